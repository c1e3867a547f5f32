//! Sends the listener of a seccomp filter to the seccomp agent (config-linux.md, "The Container
//! Process State").

use super::query::{self, Document};
use crate::error::{Context, Error, Result};
use crate::process::seccomp::Filter;
use crate::state::{Record, Status};
use crate::sys::process::Pid;
use crate::sys::{self, file};
use serde::Serialize;
use std::os::fd::OwnedFd;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: Pid,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: Document<'a>,
}

/// Sends the container process state and the listener of the process `pid` to `listenerPath`.
/// `status` is the container's: `creating` for its init and the hooks before it, at any time, as
/// agents know it from runc.
pub(super) fn give(
    filter: Option<&Filter>,
    record: &Record,
    status: Status,
    pid: Pid,
    listener: OwnedFd,
) -> Result<()> {
    let Some(notify) = filter.and_then(|filter| filter.notify.as_ref()) else {
        return Err(Error::internal("a listener without a listenerPath"));
    };
    let message = ProcessState {
        oci_version: &record.oci_version,
        fds: ["seccompFd"],
        pid,
        metadata: &notify.metadata,
        state: query::document(record, status, record.init.map_or(pid, |init| init.pid)),
    };
    let bytes = serde_json::to_vec(&message).map_err(|e| Error::internal(e.to_string()))?;
    super::console::send_fd(std::path::Path::new(&notify.path), &listener, &bytes).context("linux.seccomp.listenerPath")
}

/// Checks before the container is created that an agent listens: the filter is loaded only at
/// `start`.
///
/// # Errors
/// There is no socket at `listenerPath`.
pub(super) fn check(filter: Option<&Filter>) -> Result<()> {
    let Some(notify) = filter.and_then(|filter| filter.notify.as_ref()) else { return Ok(()) };
    let stat = file::open(&notify.path, libc::O_PATH).and_then(sys::fs::stat).context("linux.seccomp.listenerPath")?;
    if stat.kind() != libc::S_IFSOCK {
        return Err(Error::config("linux.seccomp.listenerPath", format_args!("{:?} is no socket", notify.path)));
    }
    Ok(())
}
