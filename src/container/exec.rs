//! `exec`: one more process in a running container. It shares the launch with `create`.

use super::console::{self, Give};
use super::hand_over::hand_over;
use super::inherited::Inherited;
use super::request::{ExecProcess, ExecRequest, ProcessChanges};
use super::terminal::Relay;
use super::{Context, death};
use crate::cgroups::{Cgroup, Detour};
use crate::config::{self, Process, Spec};
use crate::error::{Context as _, Error, Kind, Result};
use crate::log;
use crate::namespaces::recipe::{Fork, User};
use crate::namespaces::{self, NamespaceKind as Ns, Namespaces, Recipe};
use crate::process::keyring::{self, Keyring};
use crate::process::launch::{self, LaunchInput, Watch};
use crate::process::plan::{Affinity, Entered, Label, LaunchPlan, Tools};
use crate::process::program::Program;
use crate::state::{ProcessId, Record, Status, Store};
use crate::sys::process::{Pid, SingleThreaded};
use crate::sys::{scheduling, signal};
use std::borrow::Cow;
use std::os::fd::OwnedFd;

/// `exec`: executes a program in a running container. In the foreground it waits for the program
/// and returns its exit code; detached it returns 0.
///
/// It changes the calling process as [`run`](super::run()) does, except the working directory and
/// the subreaper attribute.
///
/// # Errors
/// The container does not run, or the process cannot be created; nothing is left then.
pub fn exec(context: &Context, request: &ExecRequest) -> Result<u8> {
    let proof = &SingleThreaded::of_caller()?;
    let _caller = context.keep_caller()?;
    log::step("read the state and the configuration");
    let store = Store::at(&context.root);
    let record = store.read(request.id.as_str())?;
    let init = enterable(&record, request.ignore_paused)?;
    let json = store.config(request.id.as_str())?;
    let mut spec = config::parse(&json)?;
    // The kernel refuses setns to the caller's own user namespace.
    namespaces::disregard_shared(&mut spec, init.0.pid, &[Ns::User])?;
    let from_file = match &request.process {
        ExecProcess::File(path) => Some(super::document::read(path).context("--process")?),
        ExecProcess::Changes(_) => None,
    };
    let written = match (&from_file, &request.process) {
        (Some(json), _) => config::parse_process(json).map_err(|e| e.context("--process"))?,
        (None, ExecProcess::Changes(changes)) => changed(&spec, changes)?,
        (None, ExecProcess::File(_)) => return Err(Error::internal("a process without its file")),
    };
    let inherited = Inherited::take(request.preserve_fds)?;
    let init_pid = init.0.pid;
    let _raised = super::files::raise(&Spec::default(), inherited.count())?;
    let mut plan = plan(&spec, &written, &record, init, inherited)?;
    if request.tools {
        let label =
            spec.linux.as_ref().and_then(|linux| linux.mount_label.as_deref()).filter(|label| !label.is_empty());
        plan.tools = Some(Tools { program: super::tools::find()?, label: label.map(str::to_owned) });
        plan.program.iter_mut().for_each(|program| super::tools::add_to_path(&mut program.env));
    }
    if !request.detach {
        plan.shown_on = plan.has_terminal().then(super::terminal::own_size);
    }
    let (console, ours, signals) = console_of(request, &plan)?;
    let cgroup = record.cgroup();
    let joined = joined(&cgroup, request)?;
    let fds = joined.open_fds()?;
    let ignore_paused = request.ignore_paused;
    let mut watcher = Watcher { record: &record, plan: &plan, cgroup: &cgroup, ignore_paused, detour: None };
    let input = LaunchInput {
        proof,
        cgroup: Some(&fds),
        fallback_cgroup: if request.cgroups.is_empty() { Some(&|| cgroup.open_fds_of(init_pid)) } else { None },
        prepared: None,
        console,
        gate: None,
        end_file: None,
        state: &|_, _| Vec::new(),
    };
    let launched = launch::launch(&plan, input, &mut watcher).map_err(|e| match e.kind() {
        Kind::Config | Kind::State => e,
        _ => e.context("unable to start container process"),
    })?;
    let kill = |_: &Error| launched.kill();
    hand_over(&request.pidfd_socket, &request.pid_file, None, &launched).inspect_err(kill)?;
    let Some(signals) = signals else { return Ok(0) };
    log::begun();
    log::step("wait for the program");
    let master = ours.map(|ours| console::master(&ours)).transpose().inspect_err(kill)?.flatten();
    let relay = master.map(Relay::new).transpose().inspect_err(kill)?;
    let ended = super::terminal::serve(&launched, &signals, relay, None).inspect_err(kill)?;
    death::tell_joined(&record, launched.pid, &joined, ended);
    Ok(ended.status() as u8)
}

/// The container's init, if `exec` may enter the container now.
fn enterable(record: &Record, ignore_paused: bool) -> Result<(ProcessId, OwnedFd)> {
    let stopped = || Error::state("cannot exec in a stopped container");
    let (status, pidfd) = record.status_and_init()?;
    match status {
        Status::Stopped => return Err(stopped()),
        Status::Paused if !ignore_paused => return Err(paused()),
        Status::Creating => return Err(Error::state("cannot exec in a container that is being created")),
        _ => {}
    }
    Ok((record.init.ok_or_else(stopped)?, pidfd.ok_or_else(stopped)?))
}

fn paused() -> Error {
    Error::state("cannot exec in a paused container (use --ignore-paused to override)")
}

/// The process of the container's config, with the changes of the command line.
fn changed<'a>(spec: &Spec<'a>, changes: &'a ProcessChanges) -> Result<Process<'a>> {
    let mut process = spec.process.clone().unwrap_or_default();
    if changes.args.is_empty() {
        return Err(Error::new(Kind::Config, "process args cannot be empty"));
    }
    process.args = Some(changes.args.iter().map(|arg| Cow::from(arg.as_str())).collect());
    process.terminal = Some(changes.tty);
    process.console_size = None;
    if let Some(cwd) = changes.cwd.as_deref().or(spec.process.is_none().then_some("/")) {
        process.cwd = Some(cwd.into());
    }
    process.env.get_or_insert_default().extend(changes.env.iter().map(|entry| Cow::from(entry.as_str())));
    let user = process.user.get_or_insert_default();
    if let Some(asked) = changes.user {
        user.uid = Some(asked.uid);
        if asked.gid.is_some() {
            user.gid = asked.gid;
        }
    }
    user.additional_gids.get_or_insert_default().extend(&changes.additional_gids);
    if let Some(label) = &changes.process_label {
        process.selinux_label = Some(label.as_str().into());
    }
    if let Some(profile) = &changes.apparmor {
        process.apparmor_profile = Some(profile.as_str().into());
    }
    if changes.no_new_privs.is_some() {
        process.no_new_privileges = changes.no_new_privs;
    }
    // Never the inheritable set: a program with file capabilities would get it back
    // (CVE-2022-29162). A capability that is already inheritable becomes ambient too, so that a
    // program of a user other than root has it; see `Sets::parse`.
    let sets = process.capabilities.get_or_insert_default();
    let inheritable = |name: &&String| sets.inheritable.iter().flatten().any(|other| other == name.as_str());
    let ambient: Vec<_> = changes.capabilities.iter().filter(inheritable).map(|name| name.as_str().into()).collect();
    sets.ambient.get_or_insert_default().extend(ambient);
    for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
        set.get_or_insert_default().extend(changes.capabilities.iter().map(|name| Cow::from(name.as_str())));
    }
    Ok(process)
}

fn plan(
    spec: &Spec<'_>,
    written: &Process<'_>,
    record: &Record,
    (init_id, init): (ProcessId, OwnedFd),
    inherited: Inherited,
) -> Result<LaunchPlan> {
    let linux = spec.linux.as_ref();
    let mut program = Program::parse("process", written, linux)?;
    inherited.announce(&mut program.env);
    program.keep_groups = super::annotations::keep_groups(spec)?;
    super::security::check(&program)?;
    let all = Namespaces::parse(spec)?;
    let flags = own_namespaces(&all, record, init_id.pid)?;
    let affinity = affinity(&program);
    let keyring = match &record.session_keyring {
        Some(made) => Keyring::Of(made.clone()),
        // An older version did not record the keyring, but it is not the caller's.
        None if record.keyring => Keyring::New(keyring::new_name()?),
        None => Keyring::Callers,
    };
    let filter = super::filter::of(spec)?;
    if !all.has(Ns::User) {
        program.limit_capabilities()?;
    }
    Ok(LaunchPlan {
        recipe: Recipe {
            user: if all.has(Ns::User) { User::Joined } else { User::Stays },
            fork: if all.has(Ns::Pid) { Fork::Late } else { Fork::None },
            ..Recipe::default()
        },
        entered: Some(Entered { init, flags }),
        affinity,
        label: Label::of(&program),
        filter,
        program: Some(program),
        keyring,
        kept_fds: inherited.count(),
        waiting_name: launch::new_waiting_name()?,
        ..LaunchPlan::default()
    })
}

/// CLONE_NEW* flags of the namespaces that the container has of its own.
pub(super) fn own_namespaces(all: &Namespaces, record: &Record, init: Pid) -> Result<i32> {
    let listed = |kind: &Ns| all.has(*kind);
    let flags = Ns::ALL.into_iter().filter(listed).fold(0, |flags, kind| flags | kind.flag());
    Ok(match record.restored && namespaces::is_elsewhere(init, Ns::Time)? {
        true => flags | Ns::Time.flag(),
        false => flags,
    })
}

/// The CPUs before and after the cgroups are joined. With process.execCPUAffinity a missing final
/// mask is the kernel's choice (config.md); without it, the caller's affinity must not reach the
/// container.
fn affinity(program: &Program) -> [Affinity; 2] {
    match program.exec_affinity.clone() {
        [None, None] => [Affinity::Unchanged, Affinity::Cpuset],
        asked => asked.map(|mask| mask.map_or(Affinity::Unchanged, Affinity::Only)),
    }
}

/// The socket for the terminal's master, this process's end of it, and the signalfd of a foreground
/// process.
type Console = (Option<OwnedFd>, Option<OwnedFd>, Option<OwnedFd>);

fn console_of(request: &ExecRequest, plan: &LaunchPlan) -> Result<Console> {
    if request.detach {
        let (console, _) = Give::detached(&request.console_socket).check(plan.has_terminal())?;
        return Ok((console, None, None));
    }
    let give = Give::foreground(&request.console_socket)?;
    let signals = signal::all_signals_as_fd()?;
    let (console, ours) = give.check(plan.has_terminal())?;
    Ok((console, ours, Some(signals)))
}

/// The container's cgroups, or the cgroups below them that the request names.
fn joined<'a>(cgroup: &'a Cgroup, request: &ExecRequest) -> Result<Cow<'a, Cgroup>> {
    if request.cgroups.is_empty() {
        return Ok(Cow::Borrowed(cgroup));
    }
    let asked: Vec<_> = request.cgroups.iter().map(|sub| (sub.controllers.as_slice(), sub.path.as_str())).collect();
    Ok(Cow::Owned(cgroup.below(&asked)?))
}

struct Watcher<'a> {
    record: &'a Record,
    plan: &'a LaunchPlan,
    cgroup: &'a Cgroup,
    ignore_paused: bool,
    detour: Option<Detour>,
}

impl Watch for Watcher<'_> {
    fn crowded(&mut self, pid: Pid) -> Result<()> {
        self.detour = Some(self.cgroup.detour(pid).context("fork beside the processes of a full cgroup")?);
        Ok(())
    }
    fn confined(&mut self, pid: Pid) -> Result<()> {
        if let Some(detour) = self.detour.take() {
            detour.end(pid)?;
            if let Affinity::Only(mask) = &self.plan.affinity[1] {
                // Kernels before 6.2 reset it when the cpuset changes.
                scheduling::sched_setaffinity(pid, mask).context("process.execCPUAffinity.final")?;
            }
        }
        self.record.resctrl.as_ref().map_or(Ok(()), |group| group.join(pid))
    }
    fn waiting(&mut self) -> Result<()> {
        // The container, or a cgroup above it, was frozen after its status was read, and the child
        // is frozen with it.
        if !self.cgroup.stands_still()? {
            return Ok(());
        }
        match signal::pending_end()? {
            _ if !self.ignore_paused => Err(paused()),
            Some(signal) => Err(Error::state(format!("ended by signal {signal} while the container is paused"))),
            None => Ok(()),
        }
    }
    fn listener(&mut self, pid: Pid, listener: OwnedFd) -> Result<()> {
        super::listener::give(self.plan.filter.as_ref(), self.record, self.record.status()?, pid, listener)
    }
}
