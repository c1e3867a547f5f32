//! Hands the listener of a seccomp filter to the agent that serves it (config-linux.md, "The Container Process State").

use super::query::{self, Document};
use crate::error::{Context, Error, Result};
use crate::process::seccomp::Filter;
use crate::state::{Record, Status};
use crate::sys::process::Pid;
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

/// Sends the container process state and the listener to `listenerPath`.
pub(super) fn give(filter: Option<&Filter>, record: &Record, pid: Pid, listener: OwnedFd) -> Result<()> {
    let Some(notify) = filter.and_then(|filter| filter.notify.as_ref()) else {
        return Err(Error::internal("a listener without a listenerPath"));
    };
    let message = ProcessState {
        oci_version: &record.oci_version,
        fds: ["seccompFd"],
        pid,
        metadata: &notify.metadata,
        state: query::document(record, Status::Creating, pid),
    };
    let bytes = serde_json::to_vec(&message).map_err(|e| Error::internal(e.to_string()))?;
    super::console::send_fd(std::path::Path::new(&notify.path), &listener, &bytes).at("linux.seccomp.listenerPath")
}
