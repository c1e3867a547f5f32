//! The runtime's side of a launch: makes the child, answers it, and finds out how it went.

use super::keyring::Keyring;
use super::plan::Plan;
use super::protocol::{self, ChildEnd, Due, FromChild, ParentEnd};
use super::report::Report;
use super::seccomp::Filter;
use super::stage::{self, Stage, Step};
use crate::cgroups;
use crate::error::{Context, Error, Kind, Result};
use crate::hooks::{Hooks, Moment};
use crate::namespaces::recipe::{Fork, User};
use crate::rootfs::{Prepared, Trees};
use crate::sys::process::{self, Clone, Cloned, Ended, Pid, SingleThreaded};
use crate::sys::{self, file};
use crate::{log, namespaces};
use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// How long a process that has nothing more to do may take, in milliseconds.
const LIMIT: i32 = 10_000;

/// How long the child may be silent before its watcher is asked, in milliseconds.
const PATIENCE: i32 = 200;

/// What the runtime does at the points of a launch where the child waits for it, or goes on beside it.
pub(crate) trait Watch {
    /// The process is born: its pid may change by a late fork until [`Watch::confined`].
    fn born(&mut self, pid: Pid) -> Result<()>;
    /// The process has a session keyring of its own, with this serial number and owner; [`Watch::born`] follows.
    fn keyring(&mut self, _: Option<(i32, u32)>) {}
    /// The process waits for systemd to make a scope around it.
    fn scope(&mut self, pid: Pid) -> Result<()>;
    /// The process is in all its namespaces and waits for its network devices.
    fn isolated(&mut self, _: Pid) -> Result<()> {
        Ok(())
    }
    /// The root filesystem stands at its host path in the namespaces of `pid`.
    fn built(&mut self, pid: Pid) -> Result<()>;
    /// The process waits for the last word before the gate or the program; `pid` is final.
    fn confined(&mut self, pid: Pid) -> Result<()>;
    /// The process could not fork: the cgroup has as many processes as it may have. It tries once more then.
    fn crowded(&mut self, _: Pid) -> Result<()> {
        Ok(())
    }
    /// The process has not said anything for a while: an error ends the launch.
    fn waiting(&mut self) -> Result<()> {
        Ok(())
    }
    /// Gives the listener of the process's seccomp filter to whoever serves it.
    fn listener(&mut self, pid: Pid, listener: OwnedFd) -> Result<()>;
}

/// What is open for the child alone.
pub(crate) struct Inputs<'a> {
    /// Proof for `clone3`.
    pub proof: &'a SingleThreaded,
    /// The steps of the child.
    pub steps: Steps,
    /// Its cgroups.
    pub cgroup: Option<&'a cgroups::Joiner>,
    /// The cgroups to try where the kernel lets nobody into those (EBUSY): the container has enabled controllers for
    /// cgroups of its own below, and then only those have processes.
    pub elsewhere: Option<&'a dyn Fn() -> Result<cgroups::Joiner>>,
    /// Host descriptors for the root filesystem.
    pub prepared: Option<Prepared>,
    /// Where the terminal's master goes.
    pub console: Option<OwnedFd>,
    /// The listening gate.
    pub gate: Option<OwnedFd>,
    /// The state that the hooks of a moment read, for a pid.
    pub state: &'a dyn Fn(Moment, Pid) -> Vec<u8>,
}

/// Which table of steps the child walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steps {
    /// A new container's init.
    Create,
    /// One more process in a container.
    Exec,
}

impl Steps {
    fn table(self) -> &'static [Step] {
        match self {
            Steps::Create => super::sequence::CREATE,
            Steps::Exec => super::sequence::EXEC,
        }
    }
}

/// A process that is ready, or runs the program.
pub(crate) struct Launched {
    /// Its pid.
    pub pid: Pid,
    /// A descriptor of it.
    pub pidfd: OwnedFd,
}

/// Launches the process of `plan`: comes back when it waits at the gate, or, without a gate, runs the program.
///
/// # Errors
/// The first failure of either side; no process is left then.
pub(crate) fn launch(plan: &Plan, mut inputs: Inputs<'_>, watch: &mut dyn Watch) -> Result<Launched> {
    log::step("make the process");
    let _raised = plan.raise_limits()?;
    let (parent, child) = protocol::pair()?;
    if plan.forks() {
        sys::socket::pass_credentials(&parent.0)?;
    }
    let report = Report::new()?;
    let home = inputs.prepared.as_ref().map(stand_in).transpose()?;
    let trees = Cell::new(inputs.prepared.as_mut().map(Prepared::take_trees).unwrap_or_default());
    let ends = (parent.0.as_raw_fd(), child.0.as_raw_fd());
    let birth = Birth { plan, inputs: &inputs, report: &report, trees: &trees, ends };
    let other;
    let born = match (birth.give_or_join(inputs.cgroup), inputs.elsewhere) {
        (Err(e), Some(elsewhere)) if e.is(libc::EBUSY) => {
            other = elsewhere()?;
            birth.give_or_join(Some(&other))
        }
        (born, _) => born,
    };
    let (pid, pidfd) = born.map_err(|e| explain_clone(e, inputs.steps))?;
    drop::<ChildEnd>(child);
    let awaits_scope = inputs.cgroup.is_some_and(|entry| entry.awaits_scope());
    let listeners = if plan.waits_at_gate { 0 } else { listeners(plan.filter.as_ref(), &plan.hooks) };
    let (parent, proof) = (&parent, inputs.proof);
    let mut launch =
        Launch { plan, proof, parent, report: &report, pid, pidfd, told: false, awaits_scope, warned: 0, listeners };
    let followed = match home {
        Some(home) => sys::fs::change_dir_to(&home).map_err(Error::from).and_then(|()| launch.follow(watch)),
        None => launch.follow(watch),
    };
    if followed.is_err() {
        launch.end();
    }
    followed.map(|()| Launched { pid: launch.pid, pidfd: launch.pidfd })
}

/// What the child is made with.
struct Birth<'a, 'b> {
    plan: &'a Plan,
    inputs: &'a Inputs<'b>,
    report: &'a Report,
    trees: &'a Cell<Trees>,
    /// The numbers of the runtime's and the child's end.
    ends: (RawFd, RawFd),
}

impl Birth<'_, '_> {
    /// Makes the child in `cgroup`, or, where that has as many processes as it may have, outside: to join it is not refused.
    fn give_or_join(&self, cgroup: Option<&cgroups::Joiner>) -> sys::Result<(Pid, OwnedFd)> {
        let has_unified = cgroup.is_some_and(|entry| entry.clone_into().is_some());
        // A cgroup namespace must be made in the cgroup.
        let may_join = has_unified && self.plan.recipe.clone & libc::CLONE_NEWCGROUP == 0;
        match self.give(cgroup, false) {
            Err(e) if e.is(libc::EAGAIN) && may_join => self.give(cgroup, true),
            born => born,
        }
    }

    /// Makes the child; comes back in the runtime alone.
    fn give(&self, cgroup: Option<&cgroups::Joiner>, joins_unified: bool) -> sys::Result<(Pid, OwnedFd)> {
        let into_cgroup = cgroup.and_then(|entry| entry.clone_into()).filter(|_| !joins_unified);
        let how = Clone { flags: self.plan.recipe.clone as u64, into_cgroup };
        match process::clone3(self.inputs.proof, &how)? {
            Cloned::Parent(pid, pidfd) => Ok((pid, pidfd)),
            Cloned::Child => self.live(cgroup, joins_unified),
        }
    }

    fn live(&self, cgroup: Option<&cgroups::Joiner>, joins_unified: bool) -> ! {
        // With a copy of the runtime's end open, the child would never see that the runtime is gone.
        let (theirs, ours) = self.ends;
        file::close(theirs);
        let inputs = self.inputs;
        stage::walk(
            Stage {
                plan: self.plan,
                proof: inputs.proof,
                channel: ChildEnd(file::inherited(ours)),
                report: self.report.file(),
                cgroup,
                joins_unified,
                prepared: inputs.prepared.as_ref(),
                trees: self.trees.take(),
                built: None,
                console: inputs.console.as_ref(),
                gate: inputs.gate.as_ref(),
                terminal: None,
                procfs: None,
                state: inputs.state,
            },
            inputs.steps.table(),
        )
    }
}

/// Stands in the root directory, so that the mount namespace that the clone makes has it as the current one; gives the way
/// back.
fn stand_in(prepared: &Prepared) -> Result<OwnedFd> {
    let home = file::open(".", libc::O_PATH | libc::O_DIRECTORY)?;
    sys::fs::change_dir_to(prepared.directory()).at("root.path")?;
    Ok(home)
}

fn explain_clone(failure: sys::Failure, steps: Steps) -> Error {
    let errno = failure.errno().0;
    let makes_namespaces = steps == Steps::Create;
    let what = match steps {
        Steps::Create => "make the container's first process",
        Steps::Exec => "make a process to enter the container",
    };
    let error = Error::from(failure).at(what);
    match errno {
        libc::EPERM if makes_namespaces => {
            error.hint("new namespaces need root, or a user namespace in linux.namespaces")
        }
        libc::ENOSPC if makes_namespaces => error.hint("a limit of /proc/sys/user/max_*_namespaces is reached"),
        libc::EACCES => error.hint(
            "a process can move itself only within the part of the cgroup tree that is delegated to its user: \
             start from a systemd user scope, such as systemd-run --user --scope",
        ),
        libc::EBUSY => {
            error.hint("the container's cgroup has controllers enabled for cgroups below it, or is threaded")
        }
        libc::EAGAIN => error.hint("a limit of processes is reached (RLIMIT_NPROC or pids.max)"),
        _ => error,
    }
}

struct Launch<'a> {
    plan: &'a Plan,
    proof: &'a SingleThreaded,
    parent: &'a ParentEnd,
    report: &'a Report,
    pid: Pid,
    pidfd: OwnedFd,
    /// Whether the process is in the state.
    told: bool,
    awaits_scope: bool,
    /// The length of the child's warnings until now.
    warned: usize,
    /// How many listeners of the filter are to be fetched.
    listeners: usize,
}

impl Launch<'_> {
    /// Answers the child until it is where it should be.
    fn follow(&mut self, watch: &mut dyn Watch) -> Result<()> {
        log::step("answer the process");
        let mut due = self.due();
        // The keyring comes at once, and both are written together.
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
                return Err(Error::internal("a message came from the container that its process does not send"));
            }
            if let FromChild::Keyring(made) = message {
                watch.keyring(made);
                self.told = false;
            }
            // No process waits for the runtime, or is waited for, that is not in the state.
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
                    let contexts = super::procfs::contexts(self.proof, self.plan, self.plan.procfs_of_joined())?;
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

    /// Has the process written to the state.
    fn tell(&mut self, watch: &mut dyn Watch) -> Result<()> {
        self.told = true;
        watch.born(self.pid)
    }

    /// What the child says on its way.
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

    /// Keeps a record for the log; a child that says more than any does is not believed.
    fn keep(&mut self, record: log::Record) {
        const MOST: usize = 256 << 10;
        let before = self.warned;
        self.warned += record.text.len() + 64;
        if self.warned <= MOST {
            log::repeat(record);
        } else if before <= MOST {
            log::warning("further warnings are left out");
        }
    }

    /// The child's next message; meanwhile, the filter's listeners are fetched as soon as they are there.
    fn next(&mut self, released: bool, watch: &mut dyn Watch) -> Result<(Option<Pid>, FromChild)> {
        while released && self.listeners > 0 {
            // The image can make no system call while it waits for this, so there is nothing to be woken by.
            const MILLISECONDS: i32 = 1;
            let [ready] = process::poll([(Some(self.parent.0.as_fd()), libc::POLLIN)], MILLISECONDS)?;
            if ready != 0 {
                break;
            }
            self.listeners -= usize::from(fetch_listener(self.report, &self.pidfd, self.pid, watch)?);
        }
        let mut stopped = 0;
        loop {
            let channel = (Some(self.parent.0.as_fd()), libc::POLLIN);
            let [ready, dead] = process::poll([channel, (Some(self.pidfd.as_fd()), libc::POLLIN)], PATIENCE)?;
            if ready != 0 {
                return self.parent.receive_from();
            }
            if dead != 0 {
                // What it said last came before its end. A child of its own may hold the channel open and wait for ever.
                let [ready] = process::poll([channel], 0)?;
                return if ready != 0 { self.parent.receive_from() } else { Ok((None, FromChild::End)) };
            }
            if !self.told {
                self.tell(watch)?;
            }
            watch.waiting()?;
            stopped = if self.is_stopped() { stopped + PATIENCE } else { 0 };
            if stopped >= LIMIT {
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

    /// Sets the OOM score, unless the process could do so itself. A runtime without root may read the file of a process that is
    /// not dumpable, but not open it for writing.
    fn set_oom_score(&self, score: i32) -> Result<()> {
        let path = format!("/proc/{}/oom_score_adj", self.pid);
        let now = file::read_to_end(file::open(&path, libc::O_RDONLY)?, 64)?;
        if String::from_utf8_lossy(&now).trim() != score.to_string() {
            file::write_value(file::open(&path, libc::O_WRONLY)?, score.to_string().as_bytes())?;
        }
        Ok(())
    }

    /// Everything that the runtime does for the process is done: lets it go on.
    fn release(&mut self, watch: &mut dyn Watch) -> Result<()> {
        if let Some(program) = self.plan.program.as_ref().filter(|_| self.plan.recipe.user != User::Stays) {
            let attributes = &program.attributes;
            if let Some(score) = attributes.oom_score_adj {
                self.set_oom_score(score).at("process.oomScoreAdj")?;
            }
            attributes.apply_scheduling(self.pid)?;
        } else if let Some(program) = self.plan.program.as_ref().filter(|_| self.plan.recipe.fork == Fork::Late) {
            program.attributes.apply_scheduling(self.pid)?;
        }
        watch.confined(self.pid)?;
        match self.parent.go(&[]) {
            // The child is gone; what it said before says why.
            Err(e) if matches!(e.errno(), libc::EPIPE | libc::ECONNRESET) => Ok(()),
            other => other,
        }
    }

    /// Writes the id maps, and makes the mounts that are mapped as the container is.
    fn map_ids(&mut self) -> Result<()> {
        if let Some(maps) = &self.plan.namespaces.ids {
            namespaces::map::write(self.pid, maps)?;
        }
        let mut trees = Vec::new();
        if let Some(rootfs) = &self.plan.rootfs {
            let mapped: Vec<usize> = rootfs.mapped_by_container().collect();
            if !mapped.is_empty() {
                let userns = file::open(format!("/proc/{}/ns/user", self.pid), libc::O_RDONLY)?;
                for index in mapped {
                    trees.push(rootfs.map_ids(index, &userns).with(|| format!("mounts[{index}]"))?);
                }
            }
        }
        self.parent.go(&trees)
    }

    /// The process that was followed has forked and ends; its child is ours.
    fn take_over(&mut self, pidfd: OwnedFd) -> Result<()> {
        let pid = pid_of(&pidfd)?;
        let old = std::mem::replace(&mut self.pid, pid);
        self.pidfd = pidfd;
        process::wait(old)?;
        Ok(())
    }

    /// The socket's end: the program runs, or something went wrong that the report page or the process's end tells.
    fn ended(&mut self, released: bool) -> Result<()> {
        if let Some(program) = &self.plan.program
            && let Some(error) = self.report.error(program, &self.plan.hooks)
        {
            return Err(error);
        }
        let executed = released && !self.plan.waits_at_gate && self.report.reached_execute();
        if executed && !self.still_waits() {
            return Ok(());
        }
        match self.reap(LIMIT)? {
            Some(ended) => Err(self.explain_end(ended)),
            None => Err(held()),
        }
    }

    /// Waits so many milliseconds for the process to end; none where it does not, or where a process of the container traces it
    /// and does not let go of it.
    fn reap(&self, milliseconds: i32) -> Result<Option<Ended>> {
        let [dead] = process::poll([(Some(self.pidfd.as_fd()), libc::POLLIN)], milliseconds)?;
        if dead == 0 { Ok(None) } else { Ok(process::wait_if_ended(self.pid)?) }
    }

    /// Whether the process, dead or alive, has not executed the program: it still has the name that only we know.
    fn still_waits(&self) -> bool {
        name_of(self.pid).is_some_and(|name| name == waiting_name(self.plan))
    }

    fn explain_end(&self, ended: Ended) -> Error {
        let step = self.report.step();
        let text = match ended {
            Ended::Exited(status) => {
                format!("the container's process ended with status {status} before its program ran")
            }
            Ended::Signaled(signal) => {
                format!("the container's process was killed by signal {signal} before its program ran")
            }
        };
        let error = Error::new(Kind::Execute, text);
        let filtered = self.plan.filter.is_some() && step >= super::image::plan::Step::Filter as u32;
        match ended {
            Ended::Signaled(libc::SIGKILL) => {
                error.hint("if nobody killed it, linux.resources.memory.limit may be too small to start the program")
            }
            Ended::Signaled(libc::SIGSYS) | Ended::Signaled(libc::SIGILL) if filtered => {
                error.hint("linux.seccomp refuses execve, or a system call that is needed to execute the program")
            }
            _ => error,
        }
    }

    /// Nothing of the process is left; one that is frozen dies when it is thawed, and is not waited for.
    fn end(&mut self) {
        let _ = process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
        let _ = self.reap(if self.plan.entered.is_some() { 500 } else { LIMIT });
    }
}

/// Whether it is a listener: a process that traces the image could have put another descriptor in its place.
fn is_listener(listener: &OwnedFd) -> bool {
    let path = sys::fs::read_link_at(file::CWD, format!("/proc/self/fd/{}", listener.as_raw_fd()));
    path.is_ok_and(|path| path == b"anon_inode:seccomp notify")
}

fn held() -> Error {
    let error = Error::system("the process in the container was stopped before it executed its program");
    error.hint("a process in the container may trace others (CAP_SYS_PTRACE), or stop them (CAP_KILL)")
}

/// How many listeners come: each startContainer hook loads the filter for itself, then the program.
pub(crate) fn listeners(filter: Option<&Filter>, hooks: &Hooks) -> usize {
    match filter.is_some_and(|filter| filter.notify.is_some()) {
        true => hooks.at(Moment::StartContainer).len() + 1,
        false => 0,
    }
}

/// Fetches the next listener from the process if it is there: whether it was.
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
        // What has ended is explained by the report page.
        Err(e) if e.is(libc::ESRCH) => return Ok(false),
        Err(e) => return Err(Error::from(e).at("linux.seccomp: fetch the filter's listener")),
        Ok((_, listener)) if !is_listener(&listener) => {
            return Err(Error::system("linux.seccomp: what is in the place of the filter's listener is none"));
        }
        Ok((child, listener)) => watch.listener(child.map_or(Ok(pid), |child| pid_of(&child))?, listener)?,
    }
    report.set_fetched()?;
    Ok(true)
}

/// The waiting name as /proc/PID/stat shows it.
fn waiting_name(plan: &Plan) -> String {
    String::from_utf8_lossy(&plan.waiting_name).trim_end_matches('\0').to_owned()
}

/// The name of a process, also of one that has ended and was not reaped (`proc_pid_comm(5)`).
pub(crate) fn name_of(pid: Pid) -> Option<String> {
    let fd = file::open(format!("/proc/{pid}/comm"), libc::O_RDONLY).ok()?;
    let mut buffer = [0u8; 64];
    let length = file::read(fd, &mut buffer).ok()?;
    let name = buffer[..length].strip_suffix(b"\n")?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The pid of the process that a pidfd refers to, in our pid namespace (`pidfd_open(2)`, fdinfo).
pub(crate) fn pid_of(pidfd: &OwnedFd) -> Result<Pid> {
    use std::os::fd::AsRawFd;
    let fd = file::open(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()), libc::O_RDONLY)?;
    let text = String::from_utf8_lossy(&file::read_to_end(fd, 4096)?).into_owned();
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.filter(|pid| *pid > 0).ok_or_else(|| Error::internal("a child process forked and its child is gone"))
}

/// A random waiting name of 15 bytes.
pub(crate) fn new_waiting_name() -> Result<[u8; 16]> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut name = *b"orlop:---------\0";
    for (letter, random) in name[6..15].iter_mut().zip(process::random::<9>()?) {
        *letter = LETTERS[(random & 31) as usize];
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_that_fails_is_told_as_what_it_was_for() {
        let text =
            |steps, errno| explain_clone(sys::Failure::new("clone3(0x1000)", sys::Errno(errno)), steps).to_string();
        let first = text(Steps::Create, libc::EPERM);
        assert!(first.starts_with("make the container's first process: clone3(0x1000): "), "{first}");
        assert!(first.contains("new namespaces need root"), "{first}");
        let more = text(Steps::Exec, libc::EPERM);
        assert!(more.starts_with("make a process to enter the container: clone3(0x1000): "), "{more}");
        assert!(!more.contains("namespaces"), "{more}");
        assert!(text(Steps::Exec, libc::EAGAIN).contains("limit of processes"));
    }
}
