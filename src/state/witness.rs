//! The second place where a container's first process is named: a link in the container's directory, with a sum of its own.
//!
//! A record that was cut off, emptied, changed or removed does not tell which process is meant any more. Without the link
//! `delete --force` could only guess by root filesystems and cgroups, and would take a stranger's process for the container's or
//! the other way round. A symbolic link is made whole or not at all, in one call.

use super::record::sum_of;
use super::{ContainerDir, ProcessId, Record, Store};
use crate::error::Result;
use crate::sys::process::Pid;
use crate::sys::{file, fs};
use std::os::unix::ffi::OsStrExt;

/// The link's name.
pub(super) const NAME: &str = "init";

impl ContainerDir {
    /// Keeps the record once the container's first process is born, and then the link.
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

    /// The container's first process as the link names it; none where the link is missing or was changed.
    pub(crate) fn witness(&self) -> Option<ProcessId> {
        parse(&fs::read_link_at(&self.directory, NAME).ok()?)
    }
}

impl Store {
    /// The first process of a container as its link names it.
    pub(crate) fn witness(&self, id: &str) -> Option<ProcessId> {
        parse(std::fs::read_link(self.directory(id).join(NAME)).ok()?.as_os_str().as_bytes())
    }
}

fn text(process: ProcessId) -> String {
    let words = format!("{} {}", process.pid, process.start);
    format!("{words} {:016x}", sum_of(words.as_bytes()))
}

/// What [`text`] has written, to the letter.
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
