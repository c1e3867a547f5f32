//! `kill`.

use super::Context;
use super::request::KillRequest;
use crate::cgroups::Cgroup;
use crate::error::{Error, Result};
use crate::log;
use crate::state::{ProcessId, Record, Store};
use crate::sys::process;

/// `kill`: signals the container's first process, or all processes. SIGKILL always goes to all of
/// them if the container has no pid namespace of its own.
///
/// # Errors
/// `container not running`, unless the request is for all processes.
pub fn kill(context: &Context, request: &KillRequest) -> Result<()> {
    let store = Store::at(&context.root);
    let id = request.id.as_str();
    let container = store.read(id)?;
    let signal = request.signal.number();
    let everybody = signal == libc::SIGKILL && container.shares_pids;
    if request.all || everybody {
        let cgroup = container.cgroup();
        if !cgroup.cgroups().is_empty() {
            return if request.all { cgroup.kill_all(signal) } else { kill_container(&container, &cgroup) };
        }
        if everybody && !request.all {
            log::warning("the container has no cgroup of its own: of its processes only the first one is killed");
        }
    }
    match signal_init(&container, signal)? {
        false if !request.all => return Err(not_running()),
        _ => {}
    }
    if signal == libc::SIGKILL
        && let Some(above) = container.cgroup.thaw_all()?
    {
        // A frozen process dies only when it is thawed.
        log::warning(format!(
            "the killed process ends when the frozen cgroup above the container's is thawed: {above}"
        ));
    }
    Ok(())
}

/// Kills a container that shares its pid namespace, so that its processes do not die with the first
/// one: every process of its cgroup, and the first one in any cgroup.
fn kill_container(container: &Record, cgroup: &Cgroup) -> Result<()> {
    let init = container.init.is_some_and(ProcessId::lives);
    if !init && cgroup.processes()?.is_empty() {
        return Err(not_running());
    }
    cgroup.kill_all(libc::SIGKILL)?;
    signal_init(container, libc::SIGKILL).map(drop)
}

/// Signals the container's first process; false if it has exited.
fn signal_init(container: &Record, signal: i32) -> Result<bool> {
    match container.init.map(ProcessId::open).transpose()?.flatten() {
        Some(pidfd) => Ok(process::signal_if_alive(&pidfd, signal)?),
        None => Ok(false),
    }
}

fn not_running() -> Error {
    Error::state("container not running")
}
