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

/// The flags to load a filter with, on a kernel that supports those of `supported`.
///
/// A config that says nothing gets SPEC_ALLOW, as runc does it since 1.2: the mitigation that it leaves out costs much
/// and is no longer tied to filters by the kernel itself (since 5.16). An empty list means none.
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
        // With a listener, what the call returns is its descriptor, and no longer the thread that could not follow.
        true if flags & TSYNC != 0 => flags | NEW_LISTENER | TSYNC_ESRCH,
        true => flags | NEW_LISTENER,
        // The kernel refuses it without a listener, to whose answers alone it applies.
        false => flags & !WAIT_KILLABLE_RECV,
    })
}
