//! The processes that CRIU leaves when it is killed.

use crate::error::{Ignore as _, Result};
use crate::sys::process::{self, Pid};
use crate::sys::signal;

/// The children of this process, which is a child subreaper while CRIU runs: if CRIU is killed, the
/// processes that it created would wait for it forever, so this process must be able to find and
/// kill them.
#[derive(Debug)]
pub(super) struct Family {
    before: Vec<Pid>,
    was_subreaper: bool,
}

impl Family {
    pub(super) fn gather() -> Result<Family> {
        let was_subreaper = process::is_subreaper()?;
        process::set_subreaper(true)?;
        Ok(Family { before: children(), was_subreaper })
    }

    pub(super) fn end_strangers(&self) {
        loop {
            let strangers: Vec<Pid> = children().into_iter().filter(|pid| !self.before.contains(pid)).collect();
            if strangers.is_empty() {
                return;
            }
            for pid in strangers {
                signal::kill(pid, libc::SIGKILL).ignore("it may have ended by itself");
                process::wait(pid).ignore("a process that is gone has been reaped");
            }
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        process::set_subreaper(self.was_subreaper).ignore("the option takes every number");
    }
}

/// The children of this process (`proc_pid_task(5)`); empty if the kernel does not list them.
fn children() -> Vec<Pid> {
    let list = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
