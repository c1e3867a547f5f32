//! `create`: from a bundle to a process that waits at the gate. `run` shares all of it.

use super::Context;
use super::inherited::Inherited;
use super::notify::Notice;
use super::request::{CgroupManager, CreateRequest};
use crate::cgroups::{self, Cgroup, Layout, resctrl};
use crate::config::{self, Spec};
use crate::error::{Context as _, Error, IoContext, Kind, Result};
use crate::hooks::{self, Hooks, Moment};
use crate::log;
use crate::namespaces::recipe::User;
use crate::namespaces::{self, Joined, Kind as Ns, Moved, Namespaces, NetDevices, Place};
use crate::process::keyring::{self, Keyring};
use crate::process::launch::{self, Inputs, Launched, Steps, Watch};
use crate::process::plan::{self, Affinity, Label, Plan};
use crate::process::program::Program;

use crate::rootfs::{self, CgroupView, Rootfs, Sources};
use crate::state::{self, Entry, ProcessId, Record, Status, Store};
use crate::sys::process::{self, Pid, SingleThreaded};
use crate::sys::{self, credentials, file};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What becomes of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// It waits at the gate.
    Gate,
    /// It runs the program.
    Program,
}

/// A container that was made.
pub(super) struct Made {
    pub(super) launched: Launched,
    pub(super) entry: Entry,
    pub(super) record: Record,
    pub(super) hooks: Hooks,
    /// What the running program says is passed on from here.
    pub(super) notice: Option<Notice>,
    /// Where the terminal's master comes, if we show it.
    pub(super) terminal: Option<OwnedFd>,
    /// Where signals for the container come, if this command stays in the foreground.
    pub(super) signals: Option<OwnedFd>,
}

/// `create`: makes a container whose program waits for [`start`](super::start()).
///
/// The calling process must have one thread. Its working directory is the bundle's meanwhile; hooks inherit its environment
/// where they have none of their own. The container's process is a child of the caller, who reaps it.
///
/// # Errors
/// Whatever is wrong with the request, the config or the machine; nothing is left then.
pub fn create(context: &Context, request: &CreateRequest) -> Result<()> {
    let proof = &SingleThreaded::of_caller()?;
    let _caller = context.keep_caller()?;
    let console = super::console::detached(request)?;
    make(context, request, proof, Until::Gate, console).map(drop)
}

/// Makes a container and brings its process to where it is wanted.
pub(super) fn make(
    context: &Context,
    request: &CreateRequest,
    proof: &SingleThreaded,
    until: Until,
    console: super::console::Give,
) -> Result<Made> {
    log::step("read the configuration");
    let bundle = Bundle::open(request)?;
    let mut spec = config::parse(&bundle.json).map_err(|e| e.at(format!("{:?}", bundle.config)))?;
    let store = Store::at(&context.root);
    let notifies = super::notify::manager().is_some();
    if notifies {
        super::notify::offer(&mut spec, &store.directory(request.id.as_str()));
    }
    let inherited = Inherited::take(request.preserve_fds)?;
    log::step("check the configuration");
    if until == Until::Program && spec.process.is_none() {
        let error = Error::config("process", "missing, so there is no program to run");
        return Err(error.hint("`create` makes a container without one, which can only be looked at and deleted"));
    }
    let _raised = super::files::raise(&spec, inherited.count())?;
    let joined = Joined::open(&mut spec)?;
    let receiver = super::annotations::pidfd_receiver(&spec)?;
    let mut parts = Parts::parse(context, request, &spec, &bundle, &inherited).map_err(|e| joined.explain(e))?;
    parts.plan.joined = joined;
    let has_terminal = parts.plan.program.as_ref().is_some_and(|program| program.terminal.is_some());
    parts.plan.shown_on = if has_terminal { console.size() } else { None };
    let foreground = matches!(console, super::console::Give::Ours);
    let (console, terminal) = console.check(has_terminal)?;
    parts.plan.reports_ready = until == Until::Gate;
    parts.plan.waits_at_gate = until == Until::Gate;
    parts.notifies = notifies;
    if until == Until::Gate {
        super::listener::check(parts.plan.filter.as_ref())?;
    }
    parts.in_foreground = foreground;
    // Until now a signal ends this command, and nothing is left. From now on signals wait, so that none is lost.
    let signals = foreground.then(process::all_signals_as_fd).transpose()?;

    log::step("write the state");
    let _umask = credentials::OwnUmask::set();
    let entry = store.create(request.id.as_str())?;
    let mut record = first_record(request, &spec, &bundle, &parts);
    let built = build(&entry, &mut record, &mut parts, &bundle, proof, console, until);
    let launched = match built {
        Ok(launched) => launched,
        Err(error) => {
            parts.moved.give_back();
            clean_up(&entry, &record, &parts.plan.hooks, proof);
            return Err(error);
        }
    };
    let made = Made { launched, entry, record, hooks: parts.plan.hooks, notice: parts.notice, terminal, signals };
    match hand_over(request, receiver, &made.launched) {
        Ok(()) => Ok(made),
        Err(error) => {
            parts.moved.give_back();
            let _ = process::pidfd_send_signal(&made.launched.pidfd, libc::SIGKILL);
            let _ = process::wait(made.launched.pid);
            clean_up(&made.entry, &made.record, &made.hooks, proof);
            Err(error)
        }
    }
}

/// The bundle as it is at the time of the call.
pub(super) struct Bundle {
    /// Absolute, without links.
    pub(super) path: PathBuf,
    pub(super) config: PathBuf,
    pub(super) json: Vec<u8>,
}

impl Bundle {
    pub(super) fn open(request: &CreateRequest) -> Result<Bundle> {
        let problem = |e: sys::Failure| {
            Error::from(e).at("bundle").hint("-b names the directory that holds config.json and the root filesystem")
        };
        let directory =
            file::open(request.bundle.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY).map_err(problem)?;
        let absolute = |file: &PathBuf| std::path::absolute(file).call(|| format!("absolute path of {file:?}"));
        let config = request.config.as_ref().map(absolute).transpose()?;
        sys::fs::change_dir_to(&directory)?;
        let path = std::env::current_dir().call(|| "getcwd()".to_owned()).at("bundle")?;
        let config = config.unwrap_or_else(|| path.join("config.json"));
        let json = super::document::read(&config).map_err(|e| match e.errno() {
            libc::ENOENT => {
                Error::system(format!("JSON specification file {config:?} not found")).hint("`orlop spec` writes one")
            }
            _ => e,
        })?;
        Ok(Bundle { path, config, json })
    }
}

/// The checked parts of a container.
pub(super) struct Parts {
    pub(super) plan: Plan,
    pub(super) asked: cgroups::Plan,
    pub(super) resctrl: Option<resctrl::Plan>,
    pub(super) devices: NetDevices,
    /// Those that are in the container.
    pub(super) moved: Moved,
    /// Whether the program can say that it is ready.
    pub(super) notifies: bool,
    /// Where it says so, if that is heard by this command.
    pub(super) notice: Option<Notice>,
    /// Whether this command holds signals back for the program.
    pub(super) in_foreground: bool,
}

impl Parts {
    pub(super) fn parse(
        context: &Context,
        request: &CreateRequest,
        spec: &Spec<'_>,
        bundle: &Bundle,
        inherited: &Inherited,
    ) -> Result<Parts> {
        plan::check_version(spec)?;
        if spec.annotations.iter().flatten().any(|(key, _)| key.is_empty()) {
            return Err(Error::config("annotations", "a key must not be empty"));
        }
        let namespaces = Namespaces::parse(spec)?;
        let devices = NetDevices::parse(spec, &namespaces)?;
        let resctrl = resctrl::Plan::parse(spec, request.id.as_str())?;
        let hooks = Hooks::parse(spec)?;
        let linux = spec.linux.as_ref();
        let mut program = spec.process.as_ref().map(|p| Program::parse("process", p, linux)).transpose()?;
        if let Some(program) = &mut program {
            inherited.announce(&mut program.env);
            program.keep_groups = super::annotations::keep_groups(spec)?;
            super::security::check(program)?;
            if !namespaces.has(Ns::User) {
                program.limit_capabilities()?;
            }
        }
        let filter = super::filter::of(spec)?;
        let rootfs = Rootfs::parse(spec, &bundle.path, super::security::facts())?;
        rootfs.warnings().into_iter().for_each(crate::log::warning);
        if crate::log::reads(crate::log::Level::Debug) {
            rootfs.unprotected().into_iter().for_each(|text| crate::log::debug(|| text));
        }
        if !namespaces.has(Ns::Mount) {
            let problem = "no mount namespace: the container would be in the runtime's own, and its mounts and its root on the host";
            return Err(Error::config("linux.namespaces", problem).hint("add {\"type\": \"mount\"}"));
        }
        let rootless = super::rootless::forgives(context.rootless);
        let notifies = filter.as_ref().is_some_and(|filter| filter.notify.is_some());
        let by_systemd = context.cgroup_manager == CgroupManager::Systemd;
        super::annotations::refuse_others(spec, super::annotations::Made { by_systemd, notifies })?;
        let asked = cgroups::Plan::parse(spec, request.id.as_str(), context.cgroup_manager, rootless)?;
        let shim = super::shim::asked(request.init, spec)?;
        if shim.is_some() {
            super::shim::check_room(&asked.limits)?;
        }
        if let Some(filter) = filter.as_ref().filter(|_| shim.is_some()) {
            super::filter::check_init(filter)?;
        }
        let keyring = if request.no_new_keyring { Keyring::Callers } else { Keyring::New(keyring::new_name()?) };
        let plan = Plan {
            recipe: namespaces::Recipe::default(),
            namespaces,
            joined: Joined::default(),
            entered: None,
            affinity: [Affinity::Unchanged, Affinity::Cpuset],
            rootfs: Some(rootfs),
            cgroup_view: None,
            hooks,
            label: program.as_ref().and_then(Label::of),
            program,
            filter,
            shim,
            keyring,
            no_pivot: request.no_pivot,
            kept_fds: inherited.count(),
            waiting_name: launch::new_waiting_name()?,
            reports_ready: false,
            waits_at_gate: false,
            moves_devices: !devices.is_empty(),
            shown_on: None,
        };
        let moved = Moved::default();
        Ok(Parts { plan, asked, resctrl, devices, moved, notifies: false, notice: None, in_foreground: false })
    }
}

pub(super) fn first_record(request: &CreateRequest, spec: &Spec<'_>, bundle: &Bundle, parts: &Parts) -> Record {
    let annotations = spec.annotations.iter().flatten().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let name = String::from_utf8_lossy(&parts.plan.waiting_name[6..15]).into_owned();
    let rootfs = parts.plan.rootfs.as_ref().map_or(Path::new(""), |rootfs| rootfs.path());
    Record {
        oci_version: spec.oci_version.clone().unwrap_or_default().into_owned(),
        id: request.id.to_string(),
        init: None,
        creator: ProcessId::of(process::pid()),
        waiting_name: name,
        bundle: bundle.path.to_string_lossy().into_owned(),
        rootfs: rootfs.to_string_lossy().into_owned(),
        created: state::now(),
        owner: credentials::uid(),
        annotations,
        cgroup: cgroups::Record::default(),
        resctrl: None,
        keyring: matches!(parts.plan.keyring, Keyring::New(_)),
        session_keyring: None,
        restored: false,
        shares_pids: !matches!(parts.plan.namespaces.place(Ns::Pid), Place::New),
        unknown: Default::default(),
    }
}

/// Everything that leaves a trace on the machine; what it leaves when it fails, [`clean_up`] removes.
fn build(
    entry: &Entry,
    record: &mut Record,
    parts: &mut Parts,
    bundle: &Bundle,
    proof: &SingleThreaded,
    console: Option<OwnedFd>,
    until: Until,
) -> Result<Launched> {
    let mut cgroup = Cgroup::prepare(&parts.asked, &Layout::read()?)?;
    record.cgroup = cgroup.record();
    record.resctrl = parts.resctrl.as_ref().map(|plan| plan.record()).transpose()?;
    if parts.notifies {
        super::notify::make_directory(entry)?;
        if until == Until::Program {
            parts.notice = Notice::open(entry);
        }
    }
    // First the record: a directory that has a config and no record is one whose record was removed.
    entry.save(record)?;
    entry.write("config.json", &bundle.json)?;
    if let (Some(plan), Some(record)) = (&parts.resctrl, &record.resctrl) {
        plan.make(record)?;
    }
    log::step("make cgroups");
    let mut joiner = cgroup.create()?;
    cgroup.renew(&mut record.cgroup);
    cgroup.apply_early()?;
    let gate = if until == Until::Gate { Some(entry.make_gate()?) } else { None };
    let born_in_cgroup = joiner.clone_into().is_some() && joiner.tasks().is_empty() && joiner.last().is_none();
    log::step("open what is to be mounted");
    let plan = &mut parts.plan;
    plan.recipe = namespaces::recipe::recipe(&plan.namespaces, |kind| plan.joined.owner(kind), born_in_cgroup);
    let view = view(&cgroup, plan)?;
    let rootfs = plan.rootfs.as_ref().ok_or_else(|| Error::internal("a container without a root filesystem"))?;
    let shows_or_fills = (view.namespace && !view.same) || rootfs.is_of_cgroups();
    if !plan.hooks.is_empty() || shows_or_fills || plan.program.is_none() {
        // Hooks want the process in all its cgroups, as do mounts that show them or are charged to them. And where there is no
        // program, there is no report of why the image failed.
        joiner.leave_none();
    }
    plan.cgroup_view = Some(view);
    // A child in a user namespace may find the ways to the sources closed; only root can open them for it.
    let by_parent = plan.recipe.user != User::Stays && credentials::effective_uid() == 0;
    let mut prepared = rootfs.prepare(if by_parent { Sources::ByParent } else { Sources::ByChild })?;
    super::idmap::prepare(rootfs, &plan.joined, &mut prepared, proof)?;
    if by_parent {
        rootfs.make_nodes(&mut prepared, entry.path(), plan.joined.fd(Ns::User).map(AsFd::as_fd))?;
    }
    entry.unlock()?;
    // For hooks alone.
    let template = (!plan.hooks.is_empty()).then(|| record.clone());
    let state = |moment: Moment, pid: Pid| {
        let status = if moment == Moment::StartContainer { Status::Created } else { Status::Creating };
        template.as_ref().map_or_else(Vec::new, |record| hook_state(record, status, pid))
    };
    let (devices, moved, holds_signals) = (&parts.devices, &mut parts.moved, parts.in_foreground);
    let cgroup = &mut cgroup;
    let mut watcher = Watcher { entry, record, cgroup, plan, proof, devices, moved, holds_signals, detour: None };
    let inputs = Inputs {
        proof,
        steps: Steps::Create,
        cgroup: Some(&joiner),
        elsewhere: None,
        prepared: Some(prepared),
        console,
        gate,
        state: &state,
    };
    let new_user = matches!(plan.recipe.user, User::Cloned | User::Unshared);
    let launched = launch::launch(plan, inputs, &mut watcher);
    launched.map_err(|e| super::rootless::explain(e, new_user)).map_err(|e| match e.kind() {
        Kind::Config => e,
        Kind::Execute => e.at("error during container init").at("unable to start container process"),
        _ => e.at("unable to start container process"),
    })
}

pub(super) fn view(cgroup: &Cgroup, plan: &Plan) -> Result<CgroupView> {
    let namespace = plan.namespaces.has(Ns::Cgroup);
    let fresh = matches!(plan.namespaces.place(Ns::Cgroup), Place::New);
    let privileged = plan.recipe.user == User::Stays && namespaces::in_first_user_namespace();
    let same = fresh && privileged;
    let shared = match plan.joined.fd(Ns::Cgroup) {
        Some(joined) => cgroups::is_first_cgroup_namespace(joined)?,
        None => !fresh,
    };
    let tree = |mount: String| (shared && privileged).then(|| mount.into());
    Ok(match cgroup.view()? {
        cgroups::View::Unified { mount, directory } => CgroupView {
            unified: Some(directory.into()),
            shared,
            tree: tree(mount),
            namespace,
            ..CgroupView::default()
        },
        cgroups::View::Legacy(list) => CgroupView {
            tree: list.iter().find(|seen| seen.options.is_empty()).and_then(|seen| tree(seen.mount.clone())),
            hierarchies: list
                .into_iter()
                // Beside v1 the unified hierarchy has no controllers; containers look for v1 alone there.
                .filter(|seen| !seen.options.is_empty())
                .map(|seen| rootfs::Hierarchy {
                    name: seen.name,
                    links: seen.aliases,
                    directory: seen.path.into(),
                    parameters: seen.options.split(',').filter(|o| *o != "none").map(str::to_owned).collect(),
                })
                .collect(),
            unified: None,
            shared,
            namespace,
            same,
        },
    })
}

/// What the runtime does while the child is at work.
struct Watcher<'a> {
    entry: &'a Entry,
    record: &'a mut Record,
    cgroup: &'a mut Cgroup,
    plan: &'a Plan,
    proof: &'a SingleThreaded,
    devices: &'a NetDevices,
    moved: &'a mut Moved,
    /// Whether signals wait that may ask this command to end.
    holds_signals: bool,
    detour: Option<cgroups::Detour>,
}

impl Watch for Watcher<'_> {
    fn born(&mut self, pid: Pid) -> Result<()> {
        self.record.creator = None;
        self.record.init = ProcessId::of(pid);
        self.entry.save_born(self.record).at("the container was deleted meanwhile")
    }

    fn keyring(&mut self, made: Option<(i32, u32)>) {
        if let (Some((serial, owner)), Keyring::New(name)) = (made, &self.plan.keyring) {
            self.record.session_keyring = Some(keyring::Made { name: name.clone(), serial, owner, outside: false });
        }
    }

    fn scope(&mut self, pid: Pid) -> Result<()> {
        let entered = self.cgroup.enter(pid);
        self.cgroup.renew(&mut self.record.cgroup);
        self.entry.save(self.record)?;
        entered
    }

    fn isolated(&mut self, pid: Pid) -> Result<()> {
        *self.moved = self.devices.move_to(pid)?;
        Ok(())
    }

    fn built(&mut self, pid: Pid) -> Result<()> {
        let state = hook_state(self.record, Status::Creating, pid);
        let init = process::pidfd_open(pid)?;
        for moment in [Moment::Prestart, Moment::CreateRuntime] {
            hooks::run_for(Some(init.as_fd()), self.proof, moment, self.plan.hooks.at(moment), &state)?;
        }
        Ok(())
    }

    fn crowded(&mut self, pid: Pid) -> Result<()> {
        self.detour = Some(self.cgroup.detour(pid).at("fork beside the processes of a full cgroup")?);
        Ok(())
    }

    fn confined(&mut self, pid: Pid) -> Result<()> {
        if let Some(detour) = self.detour.take() {
            detour.end(pid)?;
        }
        if self.record.init.is_none_or(|init| init.pid != pid) {
            self.born(pid)?;
        }
        if let Some(group) = &self.record.resctrl {
            group.join(pid)?;
        }
        self.cgroup.apply_late()
    }

    fn waiting(&mut self) -> Result<()> {
        if self.cgroup.stands_still()? {
            return Err(frozen());
        }
        match if self.holds_signals { process::pending_end()? } else { None } {
            Some(signal) => Err(Error::state(format!("ended by signal {signal} while the container is made"))),
            None => Ok(()),
        }
    }

    fn listener(&mut self, pid: Pid, listener: OwnedFd) -> Result<()> {
        super::listener::give(self.plan.filter.as_ref(), self.record, Status::Creating, pid, listener)
    }
}

/// What is made in such a cgroup never comes to be.
pub(super) fn frozen() -> Error {
    Error::state("the container's cgroup is frozen, by itself or with one above it")
}

/// The state as hooks read it (runtime.md, "State").
pub(super) fn hook_state(record: &Record, status: Status, pid: Pid) -> Vec<u8> {
    super::query::document(record, status, pid).lines()
}

/// Tells the caller who the process is.
pub(super) fn hand_over(request: &CreateRequest, receiver: Option<&Path>, launched: &Launched) -> Result<()> {
    if let Some(path) = &request.pidfd_socket {
        super::console::send_fd(path, &launched.pidfd, b"pidfd").at("--pidfd-socket")?;
    }
    if let Some(path) = receiver {
        super::console::send_fd(path, &launched.pidfd, b"pidfd").at("run.oci.pidfd_receiver")?;
    }
    if let Some(path) = &request.pid_file {
        write_pid_file(path, launched.pid)?;
    }
    Ok(())
}

/// Writes the pid in decimal without a line break, to a file that is there only when it is whole.
///
/// The directory may be one in which others make files: the name before the renaming is random, and must be a new one.
pub(super) fn write_pid_file(path: &Path, pid: Pid) -> Result<()> {
    const CONTEXT: &str = "--pid-file";
    let no_file = || Error::new(Kind::Config, format!("--pid-file {path:?} names no file"));
    let (name, parent) = (path.file_name().ok_or_else(no_file)?, path.parent().ok_or_else(no_file)?);
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let directory = file::open(parent.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY).at(CONTEXT)?;
    let hidden = format!(".pid-{:016x}", u64::from_ne_bytes(process::random()?));
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    let fd = file::open_at(&directory, &hidden, flags, credentials::callers_mode(0o644)).at(CONTEXT)?;
    let written = file::write_all(fd, pid.to_string().as_bytes());
    let done = written.and_then(|()| file::rename_at(&directory, &hidden, name.as_bytes()));
    done.inspect_err(|_| drop(file::unlink_at(&directory, &hidden, 0))).at(CONTEXT)
}

/// Undoes what [`build`] did, and, as the lifecycle has it (runtime.md, steps 12 and 13), runs the poststop hooks.
pub(super) fn clean_up(entry: &Entry, record: &Record, hooks: &Hooks, proof: &SingleThreaded) {
    record.resctrl.iter().for_each(|group| group.remove());
    let removed = record.cgroup().remove().and_then(|()| entry.lock()).and_then(|()| entry.remove());
    if let Err(error) = removed {
        crate::log::warning(error.to_string());
    }
    if record.init.is_some() {
        super::delete::run_poststop(record, hooks, proof);
    }
}
