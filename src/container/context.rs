//! What is the same for every container of a call.

use super::request::{CgroupManager, Rootless};
use crate::error::{Ignore as _, Result};
use crate::sys::process::{self, SignalMask};
use crate::sys::{file, fs};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Where the containers are, and how they are made: the command line's global options.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The directory of the containers' state, an absolute path. `create` makes it if it is missing.
    pub root: PathBuf,
    /// Who makes the cgroups.
    pub cgroup_manager: CgroupManager,
    /// Whether missing rights over cgroups are forgiven.
    pub rootless: Rootless,
    /// Whether the process ends with the operation, as the program `orlop` does: then nothing is given back to it.
    pub(crate) is_whole_process: bool,
}

impl Context {
    /// Containers whose state is in the directory `root`, an absolute path; their cgroups are made by writing to the cgroup
    /// file system.
    pub fn new(root: impl Into<PathBuf>) -> Context {
        Context {
            root: root.into(),
            cgroup_manager: CgroupManager::default(),
            rootless: Rootless::default(),
            is_whole_process: false,
        }
    }

    /// What an operation changes of the process that calls it, to be given back when the operation ends.
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
