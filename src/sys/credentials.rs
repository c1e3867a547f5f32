//! Users, groups and capabilities of this process.
//!
//! The calls that change ids are made directly: libc's wrappers would signal other threads, and use
//! a stale thread id after a clone.
#![allow(unsafe_code)]

use super::call::{Call, call};
use super::{Result, check, done};
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
    done(call(Call::SetResUid, [uid.into(); 3]), || format!("setresuid({uid}, {uid}, {uid})"))
}

/// Sets the real, effective and saved group id (`setresgid(2)`).
pub(crate) fn set_gid(gid: u32) -> Result<()> {
    done(call(Call::SetResGid, [gid.into(); 3]), || format!("setresgid({gid}, {gid}, {gid})"))
}

/// Does something without a umask.
pub(crate) fn without_umask<T>(act: impl FnOnce() -> T) -> T {
    let mask = set_umask(0);
    let done = act();
    set_umask(mask);
    done
}

/// Sets the group of new files of this thread (`setfsgid(2)`) and returns the previous one. Without
/// the privilege it has no effect.
pub(crate) fn set_fs_gid(gid: u32) -> u32 {
    nix::unistd::setfsgid(Gid::from_raw(gid)).as_raw()
}

/// Sets the file mode creation mask (`umask(2)`) and returns the previous one.
pub(crate) fn set_umask(mask: u32) -> u32 {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask)).bits()
}

/// The umask of the runtime: its files get the requested modes, and none is writable by other
/// users.
const OWN_MASK: u32 = 0o022;
/// The caller's umask while [`OwnUmask`] lives, else [`NO_MASK`].
static CALLERS_MASK: AtomicU32 = AtomicU32::new(NO_MASK);
const NO_MASK: u32 = u32::MAX;

/// Sets the runtime's own umask during its life. The caller's may be 0 or 0777.
#[derive(Debug)]
pub(crate) struct OwnUmask(());

impl OwnUmask {
    /// Sets the umask, and keeps the caller's for [`restore_umask`] and [`callers_mode`].
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

/// Restores the caller's umask, for a child that inherits it.
pub(crate) fn restore_umask() {
    let callers = CALLERS_MASK.load(Ordering::Relaxed);
    if callers != NO_MASK && callers != OWN_MASK {
        set_umask(callers);
    }
}

/// The mode of a file that the caller requested, reduced by the caller's umask.
pub(crate) fn callers_mode(mode: u32) -> u32 {
    match CALLERS_MASK.load(Ordering::Relaxed) {
        NO_MASK => mode,
        mask => mode & !mask,
    }
}

/// The effective, permitted and inheritable capabilities, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// The effective set.
    pub effective: u64,
    /// The permitted set.
    pub permitted: u64,
    /// The inheritable set.
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
