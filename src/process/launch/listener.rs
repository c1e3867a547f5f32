//! Fetches the listeners of a seccomp filter from the process that loaded it.

use super::{Watch, pid_of};
use crate::error::{Error, Result};
use crate::hooks::{Hooks, Moment};
use crate::process::report::Report;
use crate::process::seccomp::Filter;
use crate::sys::process::{self, Pid};
use crate::sys::{self, file};
use std::os::fd::{AsRawFd, OwnedFd};

/// Whether the descriptor is a seccomp listener: a process that traces the stub could have put
/// another one in its place.
fn is_listener(listener: &OwnedFd) -> bool {
    let path = sys::fs::read_link_at(file::CWD, format!("/proc/self/fd/{}", listener.as_raw_fd()));
    path.is_ok_and(|path| path == b"anon_inode:seccomp notify")
}

/// The number of listeners: each startContainer hook loads the filter for itself, then the program
/// does.
pub(crate) fn listeners(filter: Option<&Filter>, hooks: &Hooks) -> usize {
    match filter.is_some_and(|filter| filter.notify.is_some()) {
        true => hooks.at(Moment::StartContainer).len() + 1,
        false => 0,
    }
}

/// Fetches the next listener from the process. Returns whether there was one.
pub(crate) fn fetch_listener(report: &Report, pidfd: &OwnedFd, pid: Pid, watch: &mut dyn Watch) -> Result<bool> {
    let Some(number) = report.listener()? else { return Ok(false) };
    let child = report.listening_child()?;
    let fetched = match child {
        None => process::pidfd_getfd(pidfd, number).map(|listener| (None, listener)),
        Some(None) => return Ok(false),
        Some(Some(child)) => process::pidfd_getfd(pidfd, child).and_then(|child| {
            let listener = process::pidfd_getfd(&child, number)?;
            Ok((Some(child), listener))
        }),
    };
    match fetched {
        // The report page explains a process that has exited.
        Err(e) if e.is(libc::ESRCH) => return Ok(false),
        Err(e) => return Err(Error::from(e).context("linux.seccomp: fetch the filter's listener")),
        Ok((_, listener)) if !is_listener(&listener) => {
            return Err(Error::system("linux.seccomp: what is in the place of the filter's listener is none"));
        }
        Ok((child, listener)) => watch.listener(child.map_or(Ok(pid), |child| pid_of(&child))?, listener)?,
    }
    report.set_fetched()?;
    Ok(true)
}
