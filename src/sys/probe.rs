//! Probes of kernel features, by calls without an effect.

use super::call::{Call, call};
use super::{Errno, Failure, Result, wrap};
use nix::sys::memfd::MFdFlags;
use std::os::fd::OwnedFd;

/// Whether `close_range(2)` supports CLOSE_RANGE_CLOEXEC (Linux 5.11). The range contains no
/// descriptor.
pub(crate) fn close_range_cloexec() -> Result<()> {
    let last = i64::from(u32::MAX);
    match call(Call::CloseRange, [last, last, libc::CLOSE_RANGE_CLOEXEC.into()]) {
        -1 => Err(Failure::new("close_range(CLOSE_RANGE_CLOEXEC)", Errno::last())),
        _ => Ok(()),
    }
}

/// A memory file with MFD_EXEC (Linux 6.3). EINVAL on older kernels, EACCES if vm.memfd_noexec is
/// 2.
pub(crate) fn memfd_exec() -> Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::from_bits_retain(0x10);
    wrap(nix::sys::memfd::memfd_create("probe", flags), || "memfd_create(MFD_EXEC)".to_owned())
}
