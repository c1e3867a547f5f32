//! Resource limits that the runtime raises for its own work and restores (`getrlimit(2)`).
//!
//! The container's limits are for its program and must not affect the launch. So the runtime keeps
//! the higher of its own and the container's limits until the program is executed. The init image,
//! which has no privilege to raise limits, lowers them last.
#![allow(unsafe_code)]

use super::process::Pid;
use super::{Result, check};
use std::cell::Cell;

/// A resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// RLIMIT_* of the kernel.
    pub resource: u32,
    /// The soft limit, in the resource's own unit.
    pub soft: u64,
    /// The hard limit.
    pub hard: u64,
}

/// The number of resources that have limits.
const KINDS: usize = 16;

thread_local! {
    /// The caller's values of raised limits.
    static BEFORE: Cell<[Option<Limit>; KINDS]> = const { Cell::new([None; KINDS]) };
}

/// A scope in which limits may be raised. When it is dropped, limits raised since are restored.
#[derive(Debug)]
pub(crate) struct Raised([Option<Limit>; KINDS]);

impl Raised {
    /// Begins the scope.
    #[must_use]
    pub(crate) fn begin() -> Raised {
        Raised(BEFORE.get())
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let since = BEFORE.get().into_iter().zip(self.0).filter(|(_, before)| before.is_none());
        since.filter_map(|(limit, _)| limit).for_each(set);
        BEFORE.set(self.0);
    }
}

fn set(limit: Limit) {
    #[expect(clippy::let_underscore_must_use, reason = "lower than it is, which is always allowed")]
    let _ = set_rlimit(0, limit.resource, limit.soft, limit.hard);
}

/// Raises the hard limit of this process to `hard` if it is lower. The soft limit is unchanged.
///
/// # Errors
/// EPERM without CAP_SYS_RESOURCE, or beyond a system limit (`fs.nr_open`).
pub(crate) fn raise_hard(resource: u32, hard: u64) -> Result<()> {
    let (soft, now) = rlimit(0, resource)?;
    if now >= hard { Ok(()) } else { raise(resource, (soft, now), (soft, hard)) }
}

/// Raises the soft limit of this process to `soft` if it is lower, and the hard limit if needed.
/// Without the privilege it stops at the hard limit.
///
/// # Errors
/// The limit cannot be read.
pub(crate) fn raise_soft(resource: u32, soft: u64) -> Result<()> {
    let (now, hard) = rlimit(0, resource)?;
    if now < soft && raise(resource, (now, hard), (soft, hard.max(soft))).is_err() {
        #[expect(clippy::let_underscore_must_use, reason = "the limit stays as it is where it may not be raised")]
        let _ = raise(resource, (now, hard), (hard, hard));
    }
    Ok(())
}

fn raise(resource: u32, (soft, hard): (u64, u64), to: (u64, u64)) -> Result<()> {
    set_rlimit(0, resource, to.0, to.1)?;
    let mut before = BEFORE.get();
    if let Some(place) = before.get_mut(resource as usize) {
        place.get_or_insert(Limit { resource, soft, hard });
    }
    BEFORE.set(before);
    Ok(())
}

/// The caller's values of the raised limits.
pub(crate) fn before() -> impl Iterator<Item = Limit> {
    BEFORE.get().into_iter().flatten()
}

/// Restores the caller's limits, for programs outside the container.
pub(crate) fn restore() {
    before().for_each(set);
    BEFORE.set([None; KINDS]);
}

/// `prlimit(2)`: sets a limit of `pid` (0: this process), in the unit of the resource.
pub(crate) fn set_rlimit(pid: Pid, resource: u32, soft: u64, hard: u64) -> Result<()> {
    let new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    prlimit(pid, resource, Some(&new), || format!("prlimit({pid}, {resource}, {{{soft}, {hard}}})")).map(drop)
}

/// `prlimit(2)`: the soft and hard limit of `pid` (0: this process).
pub(crate) fn rlimit(pid: Pid, resource: u32) -> Result<(u64, u64)> {
    let old = prlimit(pid, resource, None, || format!("prlimit({pid}, {resource})"))?;
    Ok((old.rlim_cur, old.rlim_max))
}

/// `prlimit(2)`: returns the previous limit and sets `new`.
fn prlimit(
    pid: Pid,
    resource: u32,
    new: Option<&libc::rlimit64>,
    call: impl FnOnce() -> String,
) -> Result<libc::rlimit64> {
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `new` is null or live, `old` is live and writable.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, new, &raw mut old) }, call)?;
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_limit_is_remembered_as_it_was_and_given_back() {
        // musl's constant has another integer type than glibc's.
        #[allow(clippy::unnecessary_cast)]
        const CORE: u32 = libc::RLIMIT_CORE as u32;
        let (soft, hard) = rlimit(0, CORE).unwrap();
        set_rlimit(0, CORE, 0, hard).unwrap();
        let raised = Raised::begin();
        raise_soft(CORE, 1.min(hard)).unwrap();
        raise_soft(CORE, 2.min(hard)).unwrap();
        assert_eq!(rlimit(0, CORE).unwrap(), (2.min(hard), hard));
        let known: Vec<_> = before().collect();
        assert_eq!(known, if hard == 0 { vec![] } else { vec![Limit { resource: CORE, soft: 0, hard }] });
        drop(raised);
        assert_eq!(rlimit(0, CORE).unwrap(), (0, hard));
        assert_eq!(before().count(), 0);
        set_rlimit(0, CORE, soft, hard).unwrap();
    }
}
