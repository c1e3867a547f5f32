//! Users, groups and capabilities of this process.
//!
//! Those that change ids are made raw: libc's wrappers would signal other threads and look at a stale thread id after a clone.
#![allow(unsafe_code)]

use super::call::{Call, call};
use super::{Result, check};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use std::sync::atomic::{AtomicU32, Ordering};

/// `getuid(2)`.
pub(crate) fn uid() -> u32 {
    Uid::current().as_raw()
}

/// `geteuid(2)`.
pub(crate) fn effective_uid() -> u32 {
    Uid::effective().as_raw()
}

/// `getegid(2)`.
pub(crate) fn effective_gid() -> u32 {
    Gid::effective().as_raw()
}

/// Sets the real, effective and saved user id (`setresuid(2)`).
pub(crate) fn set_uid(uid: u32) -> Result<()> {
    check(call(Call::SetResUid, [uid.into(); 3]), || format!("setresuid({uid}, {uid}, {uid})"))?;
    Ok(())
}

/// Sets the real, effective and saved group id (`setresgid(2)`).
pub(crate) fn set_gid(gid: u32) -> Result<()> {
    check(call(Call::SetResGid, [gid.into(); 3]), || format!("setresgid({gid}, {gid}, {gid})"))?;
    Ok(())
}

/// Sets the group of the files that this thread makes (`setfsgid(2)`); gives back the one before. Without the right to, nothing
/// changes.
pub(crate) fn set_fs_gid(gid: u32) -> u32 {
    nix::unistd::setfsgid(Gid::from_raw(gid)).as_raw()
}

/// Sets the mask of file modes (`umask(2)`); gives back the old one.
pub(crate) fn set_umask(mask: u32) -> u32 {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask)).bits()
}

/// The mask of the runtime's own files: what it makes has the modes that it asks for, and nothing is for all to write.
const OWN_MASK: u32 = 0o022;
/// The caller's mask while ours is set, else [`NO_MASK`].
static CALLERS_MASK: AtomicU32 = AtomicU32::new(NO_MASK);
const NO_MASK: u32 = u32::MAX;

/// While it lives, the umask is the runtime's own and not the caller's, which may be 0 or 0777.
#[derive(Debug)]
pub(crate) struct OwnUmask(());

impl OwnUmask {
    /// Sets it; the caller's is known to [`restore_umask`] and [`callers_mode`].
    pub(crate) fn set() -> OwnUmask {
        CALLERS_MASK.store(set_umask(OWN_MASK), Ordering::Relaxed);
        OwnUmask(())
    }
}

impl Drop for OwnUmask {
    fn drop(&mut self) {
        restore_umask();
        CALLERS_MASK.store(NO_MASK, Ordering::Relaxed);
    }
}

/// Gives this process the caller's umask again: for a child that is to have it.
pub(crate) fn restore_umask() {
    let callers = CALLERS_MASK.load(Ordering::Relaxed);
    if callers != NO_MASK && callers != OWN_MASK {
        set_umask(callers);
    }
}

/// The mode of a file that is made for the caller, who may want less than `mode`.
pub(crate) fn callers_mode(mode: u32) -> u32 {
    match CALLERS_MASK.load(Ordering::Relaxed) {
        NO_MASK => mode,
        mask => mode & !mask,
    }
}

/// Effective, permitted and inheritable capabilities, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Those that are checked.
    pub effective: u64,
    /// Those that can be made effective.
    pub permitted: u64,
    /// Those that stay over an `execve` of a file that inherits them.
    pub inheritable: u64,
}

const VERSION_3: u32 = 0x2008_0522;

/// `capget(2)` of this process.
pub(crate) fn capabilities() -> Result<Capabilities> {
    let mut header = [VERSION_3, 0];
    let mut data = [[0u32; 3]; 2];
    // SAFETY: version 3 reads a header of two words and writes two structures of three.
    check(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()) }, || "capget".into())?;
    let join = |n: usize| u64::from(data[0][n]) | u64::from(data[1][n]) << 32;
    Ok(Capabilities { effective: join(0), permitted: join(1), inheritable: join(2) })
}
