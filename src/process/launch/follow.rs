//! Answers the child's messages until it is ready, runs the program or fails.

use super::Watch;
use super::listener::fetch_listener;
use super::name::{name_of, pid_of, waiting_name};
use crate::error::{Context, Error, Ignore as _, Kind, Result};
use crate::hooks::Moment;
use crate::namespaces::recipe::{Fork, User};
use crate::process::keyring::Keyring;
use crate::process::plan::LaunchPlan;
use crate::process::protocol::{Due, FromChild, ParentEnd};
use crate::process::refusal::{self, Around};
use crate::process::report::Report;
use crate::process::stub::plan::{NO_REPORT, StubStep};
use crate::rootfs::Rootfs;
use crate::sys::process::{self, Ended, Pid, SingleThreaded};
use crate::sys::{Errno, Failure, file};
use crate::{log, namespaces};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The time a process may take to exit once it has nothing more to do.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time a killed process has to exit: it may be frozen.
const KILL_TIMEOUT: Duration = Duration::from_millis(500);

/// The time the child may be silent before the watcher is called.
const SILENCE_TIMEOUT: Duration = Duration::from_millis(200);

pub(super) struct Launch<'a> {
    pub(super) plan: &'a LaunchPlan,
    pub(super) proof: &'a SingleThreaded,
    pub(super) parent: &'a ParentEnd,
    pub(super) report: &'a Report,
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    /// Whether state.json names the process.
    pub(super) told: bool,
    pub(super) awaits_scope: bool,
    /// The length of the child's warnings so far, in bytes.
    pub(super) warned: usize,
    /// The number of seccomp listeners still to fetch.
    pub(super) listeners: usize,
}

impl Launch<'_> {
    /// Answers the child's messages until the launch ends.
    pub(super) fn follow(&mut self, watch: &mut dyn Watch) -> Result<()> {
        log::step("answer the process");
        self.answer(watch).map_err(|error| self.told_before().unwrap_or(error))
    }

    /// The failure that the child has told, and which is the reason of one of the runtime's own: it
    /// could not answer the child, or ended a hook because the child had ended.
    fn told_before(&self) -> Option<Error> {
        let channel = (Some(self.parent.0.as_fd()), libc::POLLIN);
        while process::poll([channel], 0).is_ok_and(|[ready]| ready != 0) {
            match self.parent.receive_from().ok()? {
                (sender, FromChild::Failed(error)) if sender.is_none_or(|sender| sender == self.pid) => {
                    return Some(error);
                }
                (_, FromChild::End) => return None,
                _ => {}
            }
        }
        None
    }

    fn answer(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let mut due = self.due();
        // With a keyring of its own the child reports that first: one write of state.json records
        // both.
        if !due.keyring {
            self.tell(watch)?;
        }
        let mut released = false;
        loop {
            if !released && !due.anything() {
                self.release(watch)?;
                released = true;
            }
            let (sender, message) = self.next(released, watch)?;
            if !due.take(&message, sender.is_none_or(|sender| sender == self.pid)) {
                let problem = "a message came from the container that its process does not send";
                // A child that fails before the runtime knows it.
                return Err(match message {
                    FromChild::Failed(error) => error.context(problem),
                    _ => Error::internal(problem),
                });
            }
            if let FromChild::Keyring(made) = message {
                watch.keyring(made);
                self.told = false;
            }
            // Before the runtime waits for a process, or lets it wait, state.json names it:
            // `delete` must find it.
            if !self.told {
                self.tell(watch)?;
            }
            match message {
                FromChild::Keyring(_) => {}
                FromChild::UserReady => self.map_ids()?,
                FromChild::Forked(pidfd) => {
                    self.take_over(pidfd)?;
                    watch.born(self.pid)?;
                    if !due.seen_by_others {
                        self.parent.go(&[])?;
                    }
                }
                FromChild::Crowded => {
                    watch.crowded(self.pid)?;
                    self.parent.go(&[])?;
                }
                FromChild::Scope => {
                    watch.scope(self.pid)?;
                    self.parent.go(&[])?;
                }
                FromChild::Isolated => {
                    watch.isolated(self.pid)?;
                    self.parent.go(&[])?;
                }
                FromChild::Procfs => {
                    let contexts =
                        crate::process::procfs::contexts(self.proof, self.plan, self.plan.procfs_of_joined())?;
                    self.parent.go(&contexts)?;
                }
                FromChild::Built => {
                    watch.built(self.pid)?;
                    self.parent.go(&[])?;
                }
                FromChild::Hooked => {}
                FromChild::Said(record) => self.keep(record),
                FromChild::Failed(error) => return Err(error),
                FromChild::Ready => return Ok(()),
                FromChild::End => return self.ended(released),
            }
        }
    }

    /// Records the process in state.json.
    fn tell(&mut self, watch: &mut dyn Watch) -> Result<()> {
        self.told = true;
        watch.born(self.pid)
    }

    /// The messages that this launch expects.
    fn due(&self) -> Due {
        Due {
            ids: self.plan.maps_ids(),
            fork: self.plan.recipe.fork,
            keyring: matches!(self.plan.keyring, Keyring::New(_)),
            scope: self.awaits_scope,
            devices: self.plan.moves_devices,
            procfs: self.plan.procfs_of_joined() > 0,
            hooks: self.plan.runtime_acts_on_built(),
            inner_hooks: !self.plan.hooks.at(Moment::CreateContainer).is_empty(),
            crowded: self.plan.forks(),
            ready: self.plan.reports_ready,
            seen_by_others: false,
        }
    }

    /// Logs a record of the child. A child that sends an unreasonable amount is cut off.
    fn keep(&mut self, record: log::LogRecord) {
        const MOST: usize = 256 << 10;
        let before = self.warned;
        self.warned += record.text.len() + 64;
        if self.warned <= MOST {
            log::repeat(record);
        } else if before <= MOST {
            log::warning("further warnings are left out");
        }
    }

    /// Waits for the child's next message, and meanwhile fetches the filter's listeners.
    fn next(&mut self, released: bool, watch: &mut dyn Watch) -> Result<(Option<Pid>, FromChild)> {
        let mut waited = Duration::ZERO;
        while released && self.listeners > 0 {
            // The stub can make no system call while it waits for this, so no event can wake the
            // runtime.
            const INTERVAL: Duration = Duration::from_millis(1);
            let channel = (Some(self.parent.0.as_fd()), libc::POLLIN);
            let [ready] = process::poll([channel], INTERVAL.as_millis() as i32)?;
            if ready != 0 {
                break;
            }
            waited += INTERVAL;
            if waited >= SILENCE_TIMEOUT {
                waited = Duration::ZERO;
                watch.waiting()?;
            }
            self.listeners -= usize::from(fetch_listener(self.report, &self.pidfd, self.pid, watch)?);
        }
        let mut stopped = Duration::ZERO;
        loop {
            let channel = (Some(self.parent.0.as_fd()), libc::POLLIN);
            let process = (Some(self.pidfd.as_fd()), libc::POLLIN);
            let [ready, dead] = process::poll([channel, process], SILENCE_TIMEOUT.as_millis() as i32)?;
            if ready != 0 {
                return self.parent.receive_from();
            }
            if dead != 0 {
                // Its last message arrived before its exit. A child of its own may hold the socket
                // open for ever.
                let [ready] = process::poll([channel], 0)?;
                return if ready != 0 { self.parent.receive_from() } else { Ok((None, FromChild::End)) };
            }
            if !self.told {
                self.tell(watch)?;
            }
            watch.waiting()?;
            stopped = if self.is_stopped() { stopped + SILENCE_TIMEOUT } else { Duration::ZERO };
            if stopped >= EXIT_TIMEOUT {
                return Err(held());
            }
        }
    }

    /// Whether a signal or a tracer has stopped the process (`proc_pid_stat(5)`).
    fn is_stopped(&self) -> bool {
        let stat = file::open(format!("/proc/{}/stat", self.pid), libc::O_RDONLY)
            .and_then(|stat| file::read_to_end(stat, 4096))
            .unwrap_or_default();
        let state = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
        matches!(state, Some(b't' | b'T'))
    }

    /// Sets the OOM score unless the process could do so itself. An unprivileged runtime may read
    /// the file of a process that is not dumpable, but not open it for writing.
    fn set_oom_score(&self, score: i32) -> Result<()> {
        let path = format!("/proc/{}/oom_score_adj", self.pid);
        let now = file::read_to_end(file::open(&path, libc::O_RDONLY)?, 64)?;
        if String::from_utf8_lossy(&now).trim() != score.to_string() {
            file::write_value(file::open(&path, libc::O_WRONLY)?, score.to_string().as_bytes())?;
        }
        Ok(())
    }

    /// Sets the attributes that only the runtime can set, and lets the process go on.
    fn release(&mut self, watch: &mut dyn Watch) -> Result<()> {
        if let Some(program) = self.plan.program.as_ref().filter(|_| self.plan.recipe.user != User::Stays) {
            let attributes = &program.attributes;
            if let Some(score) = attributes.oom_score_adj {
                self.set_oom_score(score).context("process.oomScoreAdj")?;
            }
            attributes.apply_scheduling(self.pid)?;
        } else if let Some(program) = self.plan.program.as_ref().filter(|_| self.plan.recipe.fork == Fork::Late) {
            program.attributes.apply_scheduling(self.pid)?;
        }
        watch.confined(self.pid)?;
        match self.parent.go(&[]) {
            // The child has exited; its messages before that tell the reason.
            Err(e) if matches!(e.errno(), libc::EPIPE | libc::ECONNRESET) => Ok(()),
            other => other,
        }
    }

    /// Writes the id mappings, and creates the mounts that are mapped by the container's user
    /// namespace.
    fn map_ids(&mut self) -> Result<()> {
        if let Some(maps) = &self.plan.namespaces.ids {
            namespaces::map::write(self.proof, self.pid, maps)?;
        }
        let mut trees = Vec::new();
        if let Some(rootfs) = &self.plan.rootfs {
            let mapped: Vec<usize> = rootfs.mapped_by_container().collect();
            if !mapped.is_empty() {
                let userns = file::open(format!("/proc/{}/ns/user", self.pid), libc::O_RDONLY)?;
                for index in mapped {
                    trees.push(rootfs.map_ids(index, &userns).with_context(|| format!("mounts[{index}]"))?);
                }
            }
        }
        self.parent.go(&trees)
    }

    /// Follows the child of the process after a fork, and reaps the parent.
    fn take_over(&mut self, pidfd: OwnedFd) -> Result<()> {
        let pid = pid_of(&pidfd)?;
        let old = std::mem::replace(&mut self.pid, pid);
        self.pidfd = pidfd;
        process::wait(old)?;
        Ok(())
    }

    /// End of file on the socket: either the program runs, or the report page or the wait status
    /// tells the failure.
    fn ended(&mut self, released: bool) -> Result<()> {
        if let Some(program) = &self.plan.program {
            let (hooks, filter) = (&self.plan.hooks, self.plan.filter.as_ref());
            let mount_of = |path: &str| refusal::mount_of(path, self.plan.rootfs.iter().flat_map(Rootfs::destinations));
            if let Some(error) = self.report.error(&Around { program, hooks, filter, mount_of: &mount_of }) {
                return Err(error);
            }
        }
        let executed = released && !self.plan.waits_at_gate && self.report.reached_execute();
        if executed && !self.still_waits() {
            return Ok(());
        }
        match self.reap(EXIT_TIMEOUT)? {
            Some(ended) => Err(self.explain_end(ended)),
            None => Err(held()),
        }
    }

    /// Waits at most `timeout` for the process to exit. `None`: it did not, or a process of the container traces it and does
    /// not detach.
    fn reap(&self, timeout: Duration) -> Result<Option<Ended>> {
        let [dead] = process::poll([(Some(self.pidfd.as_fd()), libc::POLLIN)], timeout.as_millis() as i32)?;
        let mut ended = if dead == 0 { None } else { process::wait_if_ended(self.pid)? };
        // A tracer reaps it first.
        for _ in 0..if dead == 0 { 0 } else { REAP_TRIES } {
            if ended.is_none() {
                std::thread::sleep(Duration::from_millis(1));
                ended = process::wait_if_ended(self.pid)?;
            }
        }
        Ok(ended)
    }

    /// Whether the process, also one that has exited, still has its random waiting name: it has not
    /// executed the program.
    fn still_waits(&self) -> bool {
        name_of(self.pid).is_some_and(|name| name == waiting_name(self.plan))
    }

    fn explain_end(&self, ended: Ended) -> Error {
        let step = self.report.step();
        let text = match ended {
            Ended::Exited(status @ NO_REPORT..100) if step == StubStep::None as u32 => {
                return Failure::new("mmap(the report of the init image)", Errno(status - NO_REPORT)).into();
            }
            Ended::Exited(status) => {
                format!("the container's process ended with status {status} before its program ran")
            }
            Ended::Signaled(signal) => {
                format!("the container's process was killed by signal {signal} before its program ran")
            }
        };
        let error = Error::new(Kind::Execute, text);
        let filtered = self.plan.filter.is_some() && step >= StubStep::Filter as u32;
        match ended {
            Ended::Signaled(libc::SIGKILL) => error.hint(match self.plan.memory_limit {
                // The kernel's part of a process, and the pages of a small static program.
                Some(limit @ 0..LEAST_MEMORY) => {
                    format!("linux.resources.memory.limit {limit} is too small: a program needs {LEAST_MEMORY} at least, most need more")
                }
                _ => "if nobody killed it, linux.resources.memory.limit may be too small to start the program".into(),
            }),
            Ended::Signaled(libc::SIGSYS) | Ended::Signaled(libc::SIGILL) if filtered => {
                error.hint("linux.seccomp refuses execve, or a system call that is needed to execute the program")
            }
            _ => error,
        }
    }

    /// Kills and reaps the process. A frozen process dies when it is thawed; it is not waited for.
    pub(super) fn end(&mut self) {
        process::pidfd_send_signal(&self.pidfd, libc::SIGKILL).ignore("it may have ended by itself");
        self.reap(KILL_TIMEOUT).ignore("one that is frozen dies when it is thawed");
    }
}

/// How often a process that has ended is looked for which its tracer has not reaped yet, each time after a millisecond.
const REAP_TRIES: usize = 20;

/// A process with this memory limit, in bytes, may live.
const LEAST_MEMORY: i64 = 1 << 20;

fn held() -> Error {
    let error = Error::system("the process in the container was stopped before it executed its program");
    error.hint("a process in the container may trace others (CAP_SYS_PTRACE), or stop them (CAP_KILL)")
}
