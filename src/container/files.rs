//! The limit of open files of the runtime itself.

use crate::error::Result;
use crate::sys::process;

/// Descriptors beyond those that mounts need.
const OTHERS: u64 = 128;

/// Raises the soft limit to the hard one if the mounts could need it; gives what the program must have back.
pub(super) fn raise(mounts: usize) -> Result<Option<(u64, u64)>> {
    // musl's constant is of another integer type than glibc's.
    #[allow(clippy::unnecessary_cast)]
    const RLIMIT_NOFILE: u32 = libc::RLIMIT_NOFILE as u32;
    // Each mount is at most two descriptors at a time. Every Linux starts with at least this soft limit.
    if mounts as u64 * 2 + OTHERS < 1024 {
        return Ok(None);
    }
    let (soft, hard) = process::rlimit(RLIMIT_NOFILE)?;
    process::set_rlimit(0, RLIMIT_NOFILE, hard, hard)?;
    Ok(Some((soft, hard)))
}
