//! The runtime's own limit of open files.

use crate::config::Spec;
use crate::error::Result;
use crate::sys::limits::{self, Raised};

/// Descriptors beyond those that mounts and devices need.
const OTHERS: usize = 128;

/// Raises the soft limit for the mounts and devices of a container, and for the caller's
/// descriptors that are passed on.
pub(super) fn raise(spec: &Spec<'_>, inherited: i32) -> Result<Raised> {
    // musl's constant is of another integer type than glibc's.
    #[allow(clippy::unnecessary_cast)]
    const RLIMIT_NOFILE: u32 = libc::RLIMIT_NOFILE as u32;
    let devices = spec.linux.as_ref().and_then(|linux| linux.devices.as_ref()).map_or(0, Vec::len);
    let mounts = spec.mounts.as_ref().map_or(0, Vec::len);
    // Each needs at most two descriptors at a time.
    let needed = 2 * (mounts + devices) + OTHERS + inherited.unsigned_abs() as usize;
    let raised = Raised::begin();
    limits::raise_soft(RLIMIT_NOFILE, needed as u64)?;
    Ok(raised)
}
