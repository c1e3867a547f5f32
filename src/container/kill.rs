//! `kill`.

use super::Context;
use super::request::KillRequest;
use crate::error::{Context as _, Error, Result};
use crate::state::{Glance, ProcessId, Record, Store};
use crate::sys::process;

/// `kill`: a signal for the container's first process, or for all of them.
///
/// # Errors
/// `container not running`, unless all are meant.
pub fn kill(context: &Context, request: &KillRequest) -> Result<()> {
    let store = Store::at(&context.root);
    let id = request.id.as_str();
    let bytes = store.bytes(id)?;
    let container = Glance::parse(&bytes).with(|| format!("{:?}", store.file(id)))?;
    let record = || Record::parse(&bytes).with(|| format!("{:?}", store.file(id)));
    let signal = request.signal.number();
    if request.all {
        let cgroup = record()?.cgroup();
        if !cgroup.branches().is_empty() {
            return cgroup.kill_all(signal);
        }
    }
    match container.init.map(ProcessId::open).transpose()?.flatten() {
        Some(pidfd) => match process::pidfd_send_signal(&pidfd, signal) {
            Err(e) if e.is(libc::ESRCH) => not_running(request),
            other => Ok(other?),
        },
        None => not_running(request),
    }?;
    // A frozen process takes its death only when it is thawed.
    if signal == libc::SIGKILL && container.frozen().unwrap_or(false) {
        record()?.cgroup().thaw()?;
    }
    Ok(())
}

fn not_running(request: &KillRequest) -> Result<()> {
    if request.all { Ok(()) } else { Err(Error::state("container not running")) }
}
