//! System calls for control groups, beyond reading and writing files.

use super::{Result, quote, wrap, wrap_again};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::OwnedFd;

/// The magic number of the file system at `path` (`statfs(2)`).
pub(crate) fn magic_of(path: impl AsRef<[u8]>) -> Result<i64> {
    let path = path.as_ref();
    let stat = wrap_again(|| nix::sys::statfs::statfs(path), || format!("statfs({})", quote(path)))?;
    #[allow(clippy::unnecessary_cast)] // The field's type differs between architectures and C libraries.
    Ok(stat.filesystem_type().0 as i64)
}

/// A new eventfd (`eventfd(2)`), close-on-exec.
pub(crate) fn eventfd() -> Result<OwnedFd> {
    wrap(EventFd::from_flags(EfdFlags::EFD_CLOEXEC), || "eventfd(0, EFD_CLOEXEC)".into()).map(OwnedFd::from)
}
