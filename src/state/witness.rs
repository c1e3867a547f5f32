//! A second record of a container's first process: a link in its directory, with a sum of its own.
//!
//! A record that was truncated, changed or removed does not name the process any more. Without the
//! link, `delete --force` could only guess by root filesystems and cgroups, and would confuse
//! foreign processes with the container's. symlink(2) is atomic: the link is complete or missing.

use super::record::sum_of;
use super::{ContainerDir, ProcessId, Record, Store};
use crate::error::Result;
use crate::sys::process::Pid;
use crate::sys::{file, fs};
use std::os::unix::ffi::OsStrExt;

/// The link's name.
pub(super) const NAME: &str = "init";

impl ContainerDir {
    /// Saves the record with the container's first process, and then the link.
    ///
    /// # Errors
    /// Also when the directory was removed meanwhile: the container was deleted.
    pub(crate) fn save_born(&self, record: &Record) -> Result<()> {
        self.save(record)?;
        let Some(init) = record.init else { return Ok(()) };
        let make = || fs::symlink_at(text(init), &self.directory, NAME);
        match make() {
            Err(e) if e.is(libc::EEXIST) => {
                file::unlink_at(&self.directory, NAME, 0)?;
                Ok(make()?)
            }
            made => Ok(made?),
        }
    }

    /// The first process that the link names; `None` if the link is missing or was changed.
    pub(crate) fn witness(&self) -> Option<ProcessId> {
        parse(&fs::read_link_at(&self.directory, NAME).ok()?)
    }
}

impl Store {
    /// The first process that a container's link names.
    pub(crate) fn witness(&self, id: &str) -> Option<ProcessId> {
        parse(std::fs::read_link(self.directory(id).join(NAME)).ok()?.as_os_str().as_bytes())
    }
}

fn text(process: ProcessId) -> String {
    let words = format!("{} {}", process.pid, process.start);
    format!("{words} {:016x}", sum_of(words.as_bytes()))
}

/// Parses a link; it must be exactly the output of [`text`].
fn parse(link: &[u8]) -> Option<ProcessId> {
    let mut words = str::from_utf8(link).ok()?.split(' ');
    let (pid, start): (Pid, u64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let process = ProcessId { pid, start };
    (pid > 0 && start > 0 && text(process).as_bytes() == link).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_was_changed_or_cut_names_nobody() {
        let process = ProcessId { pid: 1234, start: 98_765 };
        let whole = text(process).into_bytes();
        assert_eq!(parse(&whole), Some(process));
        for at in 0..whole.len() {
            assert_eq!(parse(&whole[..at]), None, "cut at {at}");
            for change in 1..=255 {
                let mut changed = whole.clone();
                changed[at] ^= change;
                assert_eq!(parse(&changed), None, "byte {at} ^ {change}");
            }
        }
        assert_eq!(parse(text(ProcessId { pid: -1, start: 1 }).as_bytes()), None);
        assert_eq!(parse(text(ProcessId { pid: 1, start: 0 }).as_bytes()), None);
    }
}
