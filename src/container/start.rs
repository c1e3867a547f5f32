//! `start`: opens the gate for a created container.

use super::Context;
use super::notify::NotifyProxy;
use super::request::ContainerId;
use crate::config::{self, Spec};
use crate::error::{Error, Ignore as _, Result};
use crate::hooks::{self, Hooks, Moment};
use crate::log;
use crate::process::launch::{self, Watch};
use crate::process::plan::check_version;
use crate::process::program::Program;
use crate::process::refusal::{self, Around};
use crate::process::report::Report;
use crate::process::seccomp::Filter;
use crate::state::{Record, Status, Store};
use crate::sys::process::{self, Pid, SingleThreaded};
use crate::sys::signal::{self, EndHeld};
use crate::sys::{file, socket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// How often a start that takes long looks whether the container was paused, in milliseconds.
const FREEZER_INTERVAL: i32 = 1000;

/// `start`: returns when the program runs and the poststart hooks have run.
///
/// # Errors
/// The container is not `created`, its program cannot be executed, a hook failed.
pub fn start(context: &Context, id: &ContainerId) -> Result<()> {
    let proof = &SingleThreaded::of_caller()?;
    log::step("read the state and the configuration");
    let store = Store::at(&context.root);
    let dir = store.open(id.as_str())?;
    let record = store.read(id.as_str())?;
    let (status, pidfd) = record.status_and_init()?;
    refuse_unless_created(status)?;
    let json = store.config(id.as_str())?;
    let spec = config::parse(&json)?;
    check_version(&spec)?;
    let Some(process) = &spec.process else {
        return Err(
            Error::config("process", "missing, so there is nothing to start").hint("it must be there at create")
        );
    };
    let program = Program::parse("process", process, spec.linux.as_ref())?;
    let hooks = Hooks::parse(&spec)?;
    let filter = super::filter::with_listener(&spec)?;
    let init = record.init.ok_or_else(|| Error::state("the container has no process"))?;
    let pidfd = pidfd.ok_or_else(stopped)?;

    if let Some(foreign) = &record.foreign {
        log::step("open the fifo of the other runtime");
        dir.unlock()?;
        super::start_foreign::open_fifo(&dir, foreign, &pidfd)?;
        return run_poststart(&record, &hooks, init.pid, proof)
            .map_err(|error| super::delete::after_failure(&dir, &record, &hooks, proof, error));
    }
    let notify = NotifyProxy::open(&dir);
    log::step("open the gate");
    let waits_for_hooks = !hooks.at(Moment::StartContainer).is_empty();
    let _held = waits_for_hooks.then(EndHeld::hold).transpose()?;
    let signals = waits_for_hooks.then(signal::end_signals_as_fd).transpose()?;
    let report = Report::new()?;
    let connection = dir.connect().map_err(|e| match e.errno().0 {
        libc::ECONNREFUSED | libc::ENOENT => match record.status() {
            Ok(status) if status != Status::Created => refuse_unless_created(status).err().unwrap_or_else(stopped),
            _ => Error::state("cannot start an already running container"),
        },
        _ => e.into(),
    })?;
    socket::send(&connection, b"S", &[report.file().as_raw_fd()])?;
    dir.unlock()?;
    let gate = Gate { connection, report: &report, pidfd: &pidfd, record: &record, pid: init.pid };
    let failed = |error| super::delete::after_failure(&dir, &record, &hooks, proof, error);
    if let Some(signal) = gate.wait(signals.as_ref(), &hooks, filter.as_ref())? {
        let text = format!("was killed because signal {signal} ends this command");
        return Err(failed(Error::system(text).context("a startContainer hook")));
    }
    gate.result(&spec, &program, &hooks).map_err(|e| if report.hook_failed() { failed(e) } else { e })?;
    run_poststart(&record, &hooks, init.pid, proof).map_err(failed)?;
    if let Some(notify) = notify {
        notify.pass_on(init.pid, &pidfd);
    }
    Ok(())
}

/// Runs the poststart hooks.
///
/// # Errors
/// A hook's error.
pub(super) fn run_poststart(record: &Record, hooks: &Hooks, pid: Pid, proof: &SingleThreaded) -> Result<()> {
    let poststart = hooks.at(Moment::Poststart);
    if poststart.is_empty() {
        return Ok(());
    }
    let state = super::query::hook_state(record, Status::Running, pid);
    hooks::run(proof, Moment::Poststart, poststart, &state)
}

pub(super) fn stopped() -> Error {
    Error::state("cannot start a container that has stopped")
}

fn refuse_unless_created(status: Status) -> Result<()> {
    match status {
        Status::Created => Ok(()),
        Status::Stopped => Err(stopped()),
        Status::Running => Err(Error::state("cannot start an already running container")),
        other => Err(Error::state(format!("cannot start a container in the {} state", other.word()))),
    }
}

/// A connection to the gate.
struct Gate<'a> {
    connection: OwnedFd,
    report: &'a Report,
    pidfd: &'a OwnedFd,
    record: &'a Record,
    pid: Pid,
}

impl Gate<'_> {
    /// Waits until the program runs or has failed, or until a signal of `signals` asks this command to
    /// end: then returns the signal.
    fn wait(&self, signals: Option<&OwnedFd>, hooks: &Hooks, filter: Option<&Filter>) -> Result<Option<i32>> {
        let mut listeners = launch::listeners(filter, hooks);
        loop {
            let time = if listeners == 0 { FREEZER_INTERVAL } else { 1 };
            let fds = [Some(self.connection.as_fd()), signals.map(AsFd::as_fd)];
            let [ready, signalled] = process::poll(fds.map(|fd| (fd, libc::POLLIN)), time)?;
            if ready != 0 {
                return Ok(None);
            }
            if let Some(signals) = signals.filter(|_| signalled != 0)
                && let Some(signal) = signal::next_signal(signals)?.filter(|signal| !signal::ignores(*signal))
            {
                return Ok(Some(signal));
            }
            if listeners == 0 {
                self.refuse_paused()?;
                continue;
            }
            let mut watch = Listener { record: self.record, filter };
            let done = launch::fetch_listener(self.report, self.pidfd, self.pid, &mut watch);
            listeners -= usize::from(done.inspect_err(|_| {
                // The process would wait for ever for its listener to be fetched.
                process::pidfd_send_signal(self.pidfd, libc::SIGKILL).ignore("it may have ended by itself");
            })?);
        }
    }

    /// A paused process goes no further before `resume`, which the caller may make only after this command.
    fn refuse_paused(&self) -> Result<()> {
        match self.record.status()? {
            Status::Paused => {
                Err(Error::state("the container was paused while it was started").hint("it goes on after `resume`"))
            }
            _ => Ok(()),
        }
    }

    /// The result of the start, once the process has closed its connection.
    fn result(&self, spec: &Spec<'_>, program: &Program, hooks: &Hooks) -> Result<()> {
        let mut byte = [0u8; 8];
        file::read(&self.connection, &mut byte).ignore("the report page tells how it ended");
        if self.report.failure().is_some() {
            let filter = super::filter::of(spec).ok().flatten();
            let destinations = || spec.mounts.iter().flatten().map(|mount| mount.destination.as_deref());
            let mount_of = |path: &str| {
                let mounts = destinations().enumerate().filter_map(|(n, destination)| Some((n, destination?)));
                refusal::mount_of(path, mounts)
            };
            let around = Around { program, hooks, filter: filter.as_ref(), mount_of: &mount_of };
            if let Some(error) = self.report.error(&around) {
                return Err(error.context("unable to start container process"));
            }
        }
        if self.report.reached_execute() && !self.still_waits() {
            return Ok(());
        }
        Err(Error::system("the container's process ended before its program ran")
            .hint("it was killed, by the memory limit perhaps, or linux.seccomp refuses execve"))
    }

    /// Whether the process, also one that has exited, never executed the program.
    fn still_waits(&self) -> bool {
        let waiting = format!("{}{}", crate::state::WAITING, self.record.waiting_name);
        launch::name_of(self.pid).is_some_and(|name| name == waiting)
    }
}

struct Listener<'a> {
    record: &'a Record,
    filter: Option<&'a Filter>,
}

impl Watch for Listener<'_> {
    fn listener(&mut self, pid: Pid, listener: OwnedFd) -> Result<()> {
        super::listener::give(self.filter, self.record, Status::Creating, pid, listener)
    }
}
