//! `kill`.

use super::Context;
use super::request::KillRequest;
use crate::error::{Error, Result};
use crate::state::{ProcessId, Store};
use crate::sys::process;

/// `kill`: a signal for the container's first process, or for all of them.
///
/// # Errors
/// `container not running`, unless all are meant.
pub fn kill(context: &Context, request: &KillRequest) -> Result<()> {
    let record = Store::at(&context.root).read(request.id.as_str())?;
    let signal = request.signal.number();
    if request.all {
        let cgroup = record.cgroup();
        if !cgroup.branches().is_empty() {
            return cgroup.kill_all(signal);
        }
    }
    match record.init.map(ProcessId::open).transpose()?.flatten() {
        Some(pidfd) => match process::pidfd_send_signal(&pidfd, signal) {
            Err(e) if e.is(libc::ESRCH) => not_running(request),
            other => Ok(other?),
        },
        None => not_running(request),
    }?;
    // A frozen process takes its death only when it is thawed.
    if signal == libc::SIGKILL && record.cgroup().frozen().unwrap_or(false) {
        record.cgroup().thaw()?;
    }
    Ok(())
}

fn not_running(request: &KillRequest) -> Result<()> {
    if request.all { Ok(()) } else { Err(Error::state("container not running")) }
}
