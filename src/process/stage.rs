//! The child, from `clone3` to the init stub. The order of its steps is in `sequence.rs`.

mod attributes;
mod namespaces;
mod root;
mod stub;
mod terminal;
mod tools;

pub(super) use attributes::{set_attributes, set_final_affinity, set_initial_affinity, set_oom_score};
pub(super) use namespaces::{enter_cgroups, enter_container, enter_namespaces, join_keyring, set_up_namespaces};
pub(super) use root::{build_rootfs, pivot, protect, run_hooks};
pub(super) use stub::execute_stub;
pub(super) use terminal::{make_console, open_console, set_up_stdio};
pub(super) use tools::bring_tools;

use super::launch::LaunchInput;
use super::plan::LaunchPlan;
use super::protocol::{ChildEnd, FromChild};
use crate::error::{Error, Ignore as _, Result};
use crate::rootfs::{Built, Trees};
use crate::sys::process;
use crate::sys::{credentials, file, signal};
use crate::{cgroups, log};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// The child's state: the copy of the runtime's memory and descriptors that `clone3` gave it.
pub(super) struct Stage<'a> {
    pub(super) plan: &'a LaunchPlan,
    pub(super) input: &'a LaunchInput<'a>,
    pub(super) channel: ChildEnd,
    pub(super) report: &'a OwnedFd,
    pub(super) cgroup: Option<&'a cgroups::CgroupFds>,
    /// Whether it was cloned outside of the unified cgroup and has to join it.
    pub(super) joins_unified: bool,
    pub(super) trees: Trees,
    pub(super) built: Option<Built<'a>>,
    /// The terminal's slave, once it is open.
    pub(super) terminal: Option<OwnedFd>,
    pub(super) procfs: Option<OwnedFd>,
}

impl Stage<'_> {
    /// Whether the stub joins the last cgroup, and unshares the cgroup namespace afterwards.
    fn leaves_a_cgroup(&self) -> bool {
        self.cgroup.is_some_and(|fds| fds.deferred_memory.is_some())
    }
}

/// A step: its name in errors and traces, and its function.
pub(super) struct LaunchStep {
    pub(super) name: &'static str,
    pub(super) run: for<'a, 'b> fn(&'b mut Stage<'a>) -> Result<()>,
}

/// Runs the steps. Only a failure ends it here; the runtime receives the error.
pub(super) fn walk(mut stage: Stage<'_>, steps: &[LaunchStep]) -> ! {
    report_panics(&stage.channel);
    let mut failure = steps.iter().filter_map(|step| {
        log::step(step.name);
        (step.run)(&mut stage).err().map(|e| (step.name, e))
    });
    let error = match failure.next() {
        Some((name, error)) if error.kind() == crate::error::Kind::System => error.context(name),
        Some((_, error)) => error,
        None => Error::internal("the steps came to an end without a program"),
    };
    pass_records_on(&stage).ignore("the error that follows says more");
    stage.channel.send(&FromChild::Failed(error)).ignore("the runtime sees the end of the socket");
    process::exit_now(1)
}

/// Sends the log records of this process to the runtime.
fn pass_records_on(stage: &Stage<'_>) -> Result<()> {
    log::take().into_iter().try_for_each(|record| stage.channel.send(&FromChild::Said(record)))
}

/// Resets signals and umask, has the process die with the runtime, and gives it its first name.
pub(super) fn begin(stage: &mut Stage<'_>) -> Result<()> {
    log::divert();
    signal::reset_signals();
    credentials::restore_umask();
    die_with_runtime(stage)?;
    // The name tells other commands that the container is being created, see `state/status.rs`.
    let mut name = stage.plan.waiting_name;
    name[5] = b';';
    if let Ok(name) = CStr::from_bytes_until_nul(&name) {
        process::set_name(name)?;
    }
    Ok(())
}

/// Has the kernel kill this process when the runtime exits; exits if the runtime already has.
fn die_with_runtime(stage: &Stage<'_>) -> Result<()> {
    process::end_with_parent()?;
    let [ready] = process::poll([(Some(stage.channel.as_fd()), 0)], 0)?;
    if ready & libc::POLLHUP != 0 {
        process::exit_now(1);
    }
    Ok(())
}

/// Reports a panic and exits. libc's abort would use the thread id that it cached before `clone3`.
fn report_panics(channel: &ChildEnd) {
    let Ok(copy) = file::duplicate_above(channel, 3) else { return };
    let channel = ChildEnd(copy);
    std::panic::set_hook(Box::new(move |info| {
        channel
            .send(&FromChild::Failed(Error::internal(format!("panic: {info}"))))
            .ignore("the runtime sees the end of the socket");
        process::exit_now(101)
    }));
}
