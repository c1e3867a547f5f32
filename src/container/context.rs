//! Settings that are the same for every container of a call.

use super::request::{CgroupManager, Rootless};
use crate::error::{Ignore as _, Result};
use crate::sys::process;
use crate::sys::signal::SignalMask;
use crate::sys::{file, fs};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The state directory and the way cgroups are made: the command line's global options.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The directory of the containers' state, an absolute path. `create` makes it if it is missing.
    pub root: PathBuf,
    /// The cgroup manager.
    pub cgroup_manager: CgroupManager,
    /// Whether a cgroup that may not be created is tolerated.
    pub rootless: Rootless,
    /// Whether the process exits after the operation, as the program `orlop` does: then its
    /// attributes need not be restored.
    pub(crate) is_whole_process: bool,
}

impl Context {
    /// Containers with their state in the directory `root`, an absolute path; their cgroups are
    /// created in the cgroup filesystem.
    pub fn new(root: impl Into<PathBuf>) -> Context {
        Context {
            root: root.into(),
            cgroup_manager: CgroupManager::default(),
            rootless: Rootless::default(),
            is_whole_process: false,
        }
    }

    /// The attributes of the calling process that an operation changes, restored when it ends.
    pub(super) fn keep_caller(&self) -> Result<Option<CallerState>> {
        if self.is_whole_process {
            return Ok(None);
        }
        Ok(Some(CallerState {
            directory: file::open(".", libc::O_PATH | libc::O_DIRECTORY)?,
            signals: SignalMask::of_this_thread()?,
            subreaper: process::is_subreaper()?,
        }))
    }
}

/// The working directory, signal mask and subreaper attribute of a program that embeds the library; dropping it restores them.
pub(super) struct CallerState {
    directory: OwnedFd,
    signals: SignalMask,
    subreaper: bool,
}

impl Drop for CallerState {
    fn drop(&mut self) {
        fs::change_dir_to(&self.directory).ignore("the descriptor is an open directory");
        process::set_subreaper(self.subreaper).ignore("the option takes every number");
        self.signals.set();
    }
}
