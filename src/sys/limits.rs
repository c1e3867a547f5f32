//! Resource limits that the runtime raises for its own work and gives back (`getrlimit(2)`).
//!
//! A limit of the container is the program's: it must not hit what the runtime does to make the container. So the runtime
//! keeps the higher of its own and the container's limits until the program is executed, and the init image, which has no
//! right to raise anything, lowers them last.

use super::Result;
use super::process::{rlimit, set_rlimit};
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
    /// The caller's limits that were raised.
    static BEFORE: Cell<[Option<Limit>; KINDS]> = const { Cell::new([None; KINDS]) };
}

/// For as long as this is there, limits may be raised; then those raised since are as they were.
#[derive(Debug)]
pub(crate) struct Raised([Option<Limit>; KINDS]);

impl Raised {
    /// The beginning of such a time.
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
    // Lower than it is, which is always allowed.
    #[expect(clippy::let_underscore_must_use, reason = "lower than it is, which is always allowed")]
    let _ = set_rlimit(0, limit.resource, limit.soft, limit.hard);
}

/// Raises the hard limit of this process to `hard` if it is below; the soft limit stays.
///
/// # Errors
/// EPERM without CAP_SYS_RESOURCE, or above a limit of the system (`fs.nr_open`).
pub(crate) fn raise_hard(resource: u32, hard: u64) -> Result<()> {
    let (soft, now) = rlimit(resource)?;
    if now >= hard { Ok(()) } else { raise(resource, (soft, now), (soft, hard)) }
}

/// Raises the soft limit of this process to `soft` if it is below, and the hard one with it; as far as it may.
///
/// # Errors
/// The limit cannot be read.
pub(crate) fn raise_soft(resource: u32, soft: u64) -> Result<()> {
    let (now, hard) = rlimit(resource)?;
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

/// The caller's limits that were raised, as they were.
pub(crate) fn before() -> impl Iterator<Item = Limit> {
    BEFORE.get().into_iter().flatten()
}

/// Gives this process the caller's limits back: for programs that are not the container's.
pub(crate) fn restore() {
    before().for_each(set);
    BEFORE.set([None; KINDS]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_limit_is_remembered_as_it_was_and_given_back() {
        // musl's constant is of another integer type than glibc's.
        #[allow(clippy::unnecessary_cast)]
        const CORE: u32 = libc::RLIMIT_CORE as u32;
        let (soft, hard) = rlimit(CORE).unwrap();
        set_rlimit(0, CORE, 0, hard).unwrap();
        let raised = Raised::begin();
        raise_soft(CORE, 1.min(hard)).unwrap();
        raise_soft(CORE, 2.min(hard)).unwrap();
        assert_eq!(rlimit(CORE).unwrap(), (2.min(hard), hard));
        let known: Vec<_> = before().collect();
        assert_eq!(known, if hard == 0 { vec![] } else { vec![Limit { resource: CORE, soft: 0, hard }] });
        drop(raised);
        assert_eq!(rlimit(CORE).unwrap(), (0, hard));
        assert_eq!(before().count(), 0);
        set_rlimit(0, CORE, soft, hard).unwrap();
    }
}
