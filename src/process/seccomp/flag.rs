//! Flags for seccomp(2), "SECCOMP_FILTER_FLAG_*".

use crate::config::Seccomp;
use crate::error::{Error, Result};

pub(super) const TSYNC: u32 = 1 << 0;
pub(super) const LOG: u32 = 1 << 1;
pub(super) const SPEC_ALLOW: u32 = 1 << 2;
pub(super) const NEW_LISTENER: u32 = 1 << 3;
pub(super) const TSYNC_ESRCH: u32 = 1 << 4;
pub(super) const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// Every flag that a config may name, with its bit.
pub(crate) static FLAGS: [(&str, u32); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", TSYNC),
    ("SECCOMP_FILTER_FLAG_LOG", LOG),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", WAIT_KILLABLE_RECV),
];

/// The flags for loading the filter on a kernel that supports the flags `supported`.
///
/// Without `flags` in the config the flag is SPEC_ALLOW, as in runc since 1.2: it turns off a
/// costly mitigation that kernels since 5.16 no longer enable for filters by default either. An
/// empty list means no flags.
pub(super) fn parse(seccomp: &Seccomp<'_>, supported: u32, notifies: bool) -> Result<u32> {
    let mut flags = match &seccomp.flags {
        None => SPEC_ALLOW & supported,
        Some(_) => 0,
    };
    for (index, name) in seccomp.flags.iter().flatten().enumerate() {
        let path = || format!("linux.seccomp.flags[{index}]");
        let Some(&(_, flag)) = FLAGS.iter().find(|(known, _)| *known == name) else {
            return Err(Error::config(path(), format!("unknown flag {name}")));
        };
        if flag & supported == 0 {
            return Err(Error::config(path(), format!("this kernel does not support {name}")));
        }
        flags |= flag;
    }
    Ok(match notifies {
        // With NEW_LISTENER the return value is the listener's descriptor, so a thread that cannot
        // synchronize must be reported as ESRCH.
        true if flags & TSYNC != 0 => flags | NEW_LISTENER | TSYNC_ESRCH,
        true => flags | NEW_LISTENER,
        // The kernel refuses WAIT_KILLABLE_RECV without NEW_LISTENER.
        false => flags & !WAIT_KILLABLE_RECV,
    })
}
