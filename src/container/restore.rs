//! `restore`: a container is made from a bundle and the images that `checkpoint` wrote, with CRIU.
//!
//! What is the container's on the machine (cgroups, the state, what hooks do to its network) is made as `create` makes it; the
//! processes, their namespaces and mounts come from the images. The hooks that run in the container before its program
//! (`createContainer`, `startContainer`) have run: what they did is in the images.

use super::console::{self, Give};
use super::create::{self, Bundle, Parts, hand_over};
use super::images::{self, Images, Yard};
use super::inherited::Inherited;
use super::request::{ManageCgroups, RestoreRequest};
use super::terminal::Relay;
use super::{Context, delete, run};
use crate::cgroups::{Cgroup, Joiner, Layout};
use crate::config::{self, Spec};
use crate::criu::{self, Criu, Options, SavedMount, Start, Step, Task};
use crate::error::{Context as _, Error, Kind, Result};
use crate::hooks::{self, Hooks, Moment};
use crate::idmap::IdMaps;
use crate::log;
use crate::mountinfo;
use crate::namespaces::{self, Joined, Kind as Ns, Place};
use crate::process::attributes;
use crate::process::keyring::{self, Keyring};
use crate::process::launch::Launched;
use crate::rootfs::{self, IdmapOf, Prepared, Rootfs, Sources};
use crate::state::{Entry, ProcessId, Record, Status, Store};
use crate::sys::fs::Stat;
use crate::sys::process::{self, Clone, Cloned, Pid, SingleThreaded};
use crate::sys::{credentials, file, fs, namespace, socket, terminal};
use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// `restore`: the exit code of the program, 0 when detached.
///
/// It does to the calling process what [`run`](super::run()) does.
///
/// # Errors
/// Whatever is wrong with the request, the config, the images or the machine; nothing is left then.
pub fn restore(context: &Context, request: &RestoreRequest) -> Result<u8> {
    let proof = &SingleThreaded::of_caller()?;
    let _caller = context.keep_caller()?;
    if request.detach {
        make(context, request, proof, console::detached(&request.create)?)?;
        return Ok(0);
    }
    run::foreground(&request.create, request.no_subreaper)?;
    let mut made = make(context, request, proof, Give::Ours)?;
    let signals = made.signals.take().ok_or_else(|| Error::internal("a foreground without signals"))?;
    log::begun();
    let relay = made.terminal.map(Relay::new).transpose()?;
    log::step("wait for the program");
    let ended = super::terminal::serve(&made.launched, &signals, relay, None);
    delete::ended(&made.entry, &made.record, &made.hooks, proof)?;
    ended.map(|ended| ended.status() as u8)
}

/// A container that was restored.
struct Made {
    launched: Launched,
    entry: Entry,
    record: Record,
    hooks: Hooks,
    /// The terminal's master, if we show it.
    terminal: Option<OwnedFd>,
    /// Where signals for the container come, if this command stays in the foreground.
    signals: Option<OwnedFd>,
}

fn make(context: &Context, request: &RestoreRequest, proof: &SingleThreaded, console: Give) -> Result<Made> {
    log::step("read the configuration");
    let program = images::program(&request.criu, "restore")?;
    let images = Images::find(&request.criu, "restore.log")?;
    let descriptors = images.descriptors()?;
    let bundle = Bundle::open(&request.create)?;
    let mut spec = config::parse(&bundle.json).map_err(|e| e.at(format!("{:?}", bundle.config)))?;
    let store = Store::at(&context.root);
    let saved = images.mounts()?;
    if !request.criu.lazy_pages {
        images.check_pages()?;
    }
    let notifies = saved.iter().any(|mount| super::notify::was_offered(&spec, mount.point.as_bytes()));
    if notifies {
        super::notify::offer(&mut spec, &store.directory(request.create.id.as_str()));
    }
    log::step("check the configuration");
    if request.create.preserve_fds != 0 {
        log::warning("--preserve-fds has no effect: the descriptors are in the images");
    }
    let inherited = Inherited::take(0)?;
    let joined = Joined::open(&mut spec)?;
    let receiver = super::annotations::pidfd_receiver(&spec)?;
    let mut parts =
        Parts::parse(context, &request.create, &spec, &bundle, &inherited).map_err(|e| joined.explain(e))?;
    parts.plan.joined = joined;
    refuse(&parts)?;
    parts.notifies = notifies;
    let has_terminal = parts.plan.program.as_ref().is_some_and(|program| program.terminal.is_some());
    let ours = matches!(console, Give::Ours);
    // The master comes from CRIU, and needs no socket to us.
    let (console, _) = console.check(has_terminal)?;
    // Until now a signal ends this command, and nothing is left. From now on signals wait, so that none is lost.
    let signals = ours.then(process::all_signals_as_fd).transpose()?;

    log::step("write the state");
    let _umask = credentials::OwnUmask::set();
    let entry = store.create(request.create.id.as_str())?;
    let mut record = create::first_record(&request.create, &spec, &bundle, &parts);
    let maker =
        Maker { request, spec: &spec, bundle: &bundle, program: &program, images: &images, saved: &saved, proof };
    let terminal = if ours { Terminal::Ours } else { console.map_or(Terminal::None, Terminal::To) };
    let made = maker.build(&entry, &mut record, &mut parts, &descriptors, &terminal);
    let hooks = std::mem::take(&mut parts.plan.hooks);
    let (launched, terminal) = match made {
        Ok(made) => made,
        Err(error) => {
            parts.moved.give_back();
            create::clean_up(&entry, &record, &hooks, proof);
            return Err(error);
        }
    };
    let made = Made { launched, entry, record, hooks, terminal, signals };
    match finish(request, receiver, &made, proof) {
        Ok(()) => Ok(made),
        Err(error) => {
            parts.moved.give_back();
            let _ = process::pidfd_send_signal(&made.launched.pidfd, libc::SIGKILL);
            let _ = process::wait(made.launched.pid);
            create::clean_up(&made.entry, &made.record, &made.hooks, proof);
            Err(error)
        }
    }
}

/// What CRIU would make another one of.
fn refuse(parts: &Parts) -> Result<()> {
    for kind in [Ns::User, Ns::Mount, Ns::Cgroup] {
        if let Place::Join(path) = parts.plan.namespaces.place(kind) {
            let what = format!("a container that joins a {} namespace ({path}) cannot be restored", kind.word());
            return Err(Error::config("linux.namespaces", what));
        }
    }
    Ok(())
}

/// The word to the caller, and the poststart hooks.
fn finish(request: &RestoreRequest, receiver: Option<&Path>, made: &Made, proof: &SingleThreaded) -> Result<()> {
    hand_over(&request.create, receiver, &made.launched)?;
    let hooks = made.hooks.at(Moment::Poststart);
    if !hooks.is_empty() {
        let state = create::hook_state(&made.record, Status::Running, made.launched.pid);
        hooks::run(proof, Moment::Poststart, hooks, &state)?;
    }
    Ok(())
}

/// What is known before anything is made.
struct Maker<'a> {
    request: &'a RestoreRequest,
    spec: &'a Spec<'a>,
    bundle: &'a Bundle,
    program: &'a Path,
    images: &'a Images,
    /// The container's mounts as they were.
    saved: &'a [SavedMount],
    proof: &'a SingleThreaded,
}

/// The cgroups that stand before CRIU starts.
struct Cgroups {
    cgroup: Cgroup,
    yard: Yard,
    joiner: Joiner,
    /// The process around which systemd has made the scope.
    holder: Option<Holder>,
}

/// Where the master of the container's terminal goes.
enum Terminal {
    Ours,
    To(OwnedFd),
    /// The config has no terminal, and nobody could show one.
    None,
}

impl Maker<'_> {
    /// Everything that leaves a trace on the machine; what it leaves when it fails, [`create::clean_up`] removes.
    fn build(
        &self,
        entry: &Entry,
        record: &mut Record,
        parts: &mut Parts,
        descriptors: &[String],
        terminal: &Terminal,
    ) -> Result<(Launched, Option<OwnedFd>)> {
        let Cgroups { mut cgroup, mut yard, joiner, holder } = self.make_cgroups(entry, record, parts)?;
        log::step("describe the container");
        let plan = &mut parts.plan;
        plan.recipe = namespaces::recipe::recipe(&plan.namespaces, |kind| plan.joined.owner(kind), true);
        let view = create::view(&cgroup, plan)?;
        let rootfs = plan.rootfs.as_ref().ok_or_else(|| Error::internal("a container without a root filesystem"))?;
        let linux = self.spec.linux.as_ref().filter(|linux| linux.namespace("user").is_some());
        let ids = linux.map(IdMaps::parse).transpose()?;
        let userns = ids.map(|ids| rootfs::user_namespace(self.proof, &ids)).transpose()?;
        let mut prepared = rootfs.prepare(if userns.is_some() { Sources::ByParent } else { Sources::ByChild })?;
        if userns.is_some() {
            rootfs.make_nodes(&mut prepared, entry.path(), None)?;
        }
        rootfs.make_places(&prepared)?;
        let table = mountinfo::table("self")?;
        let kept = self.keep_mounts(&mut yard, rootfs, &mut prepared, userns.as_ref())?;
        // Without a cgroup of its own it is in ours, as CRIU is.
        let inside = cgroup.branches().is_empty() || self.request.criu.manage_cgroups == Some(ManageCgroups::Ignore);
        let mut options = self.describe(inside)?;
        if !kept.is_empty() {
            options.mount_as_of_old();
        }
        options.root(rootfs.path().as_os_str().as_bytes());
        for outside in rootfs.sources(&prepared, &view, &table, &kept)? {
            options.outside(&outside.key, &outside.value);
        }
        yard.announce(&mut options);
        for (controller, path) in cgroup.paths() {
            options.cgroup_root(&controller, &path);
        }
        let standard = standard(descriptors)?;
        let empty_network = self.request.criu.empty_ns.iter().any(|name| name == "network");
        let given = inherit(&mut options, parts, &standard, empty_network)?;
        let plan = &parts.plan;
        let new_cgroup_namespace = *plan.namespaces.place(Ns::Cgroup) == Place::New;
        let home = file::open(".", libc::O_PATH | libc::O_DIRECTORY)?;
        let told = Told::new()?;
        let prepare = || {
            if inside {
                joiner.join_self()?;
                if new_cgroup_namespace {
                    // CRIU, which is to leave cgroups alone, makes none: what it restores stays in its own.
                    namespace::unshare(libc::CLONE_NEWCGROUP).at("make a cgroup namespace")?;
                }
            }
            // CRIU gives its own to what it restores.
            attributes::use_the_cpuset();
            if let Keyring::New(name) = &plan.keyring {
                told.tell(keyring::make(name)?)?;
            }
            images::leave_host()?;
            plan.rootfs.as_ref().map_or(Ok(()), |rootfs| rootfs.mount_alone(&prepared))?;
            let directories = self.images.open(userns.as_ref())?;
            yard.make()?;
            Ok(directories)
        };
        let flags = libc::CLONE_NEWNS as u64;
        let into_cgroup = joiner.clone_into().filter(|_| inside);
        let start = Start { program: self.program, flags, into_cgroup, prepare: &prepare, inherited: &given };
        // For the child: a mount namespace knows the directory that is the current one when it is made.
        fs::change_dir_to(prepared.directory())?;
        log::step("restore the processes");
        entry.unlock()?;
        let started = Criu::start(&start, self.proof);
        fs::change_dir_to(&home)?;
        let parts = RefCell::new(parts);
        let mut steps = Steps {
            entry,
            record,
            parts: &parts,
            master: None,
            saved: self.saved,
            is_protected: false,
            empty_network,
            proof: self.proof,
        };
        let restored = started?.ask(Task::Restore, &options, &self.images.log(), &mut |step| steps.serve(step));
        let master = steps.master.take();
        let pid = restored?.ok_or_else(|| Error::system("criu did not say which process it restored"))?;
        drop::<Option<Holder>>(holder);
        let foreign = userns.is_some();
        steps.record.session_keyring = told.made()?.map(|made| keyring::Made { outside: foreign, ..made });
        let launched = steps.settle(pid, &mut cgroup);
        match (launched, give(master, terminal)) {
            (Ok(launched), Ok(given)) => Ok((launched, given)),
            (launched, given) => {
                let _ = process::kill(pid, libc::SIGKILL);
                let _ = process::wait(pid);
                Err(launched.err().or(given.err()).unwrap_or_else(|| Error::internal("no error")))
            }
        }
    }

    /// Saves the record and makes the cgroups.
    fn make_cgroups(&self, entry: &Entry, record: &mut Record, parts: &Parts) -> Result<Cgroups> {
        let layout = Layout::read()?;
        let mut cgroup = Cgroup::prepare(&parts.asked, &layout)?;
        if self.request.criu.manage_cgroups == Some(ManageCgroups::Strict) {
            cgroup.refuse_existing().at("--manage-cgroups-mode strict")?;
        }
        record.cgroup = cgroup.record();
        record.resctrl = parts.resctrl.as_ref().map(|plan| plan.record()).transpose()?;
        entry.save(record)?;
        entry.write("config.json", &self.bundle.json)?;
        if parts.notifies {
            super::notify::make_directory(entry)?;
        }
        let yard = Yard::at(entry.path(), &layout)?;
        if let (Some(plan), Some(record)) = (&parts.resctrl, &record.resctrl) {
            plan.make(record)?;
        }
        log::step("make cgroups");
        let (mut joiner, holder) = self.make_cgroup(&mut cgroup)?;
        joiner.leave_none();
        cgroup.renew(&mut record.cgroup);
        entry.save(record)?;
        if cgroup.stands_still()? {
            return Err(create::frozen());
        }
        cgroup.apply_early()?;
        Ok(Cgroups { cgroup, yard, joiner, holder })
    }

    /// The container's cgroup: CRIU puts the processes into it. systemd makes one only around a process.
    fn make_cgroup(&self, cgroup: &mut Cgroup) -> Result<(Joiner, Option<Holder>)> {
        let scope = cgroup.awaits_scope();
        let joiner = cgroup.create()?;
        if !scope {
            return Ok((joiner, None));
        }
        let holder = Holder::new(self.proof)?;
        cgroup.enter(holder.pid)?;
        Ok((cgroup.joiner()?, Some(holder)))
    }

    /// Makes the mounts that CRIU could not: where they will be, by their numbers in the config.
    fn keep_mounts(
        &self,
        yard: &mut Yard,
        rootfs: &Rootfs,
        prepared: &mut Prepared,
        userns: Option<&OwnedFd>,
    ) -> Result<Vec<(usize, PathBuf)>> {
        let mut kept = Vec::new();
        if userns.is_some() {
            let mut needed = rootfs.places();
            needed.extend(self.images.paths());
            needed.push(self.program);
            yard.move_to_open_place(&needed);
            kept.extend(prepared.take_trees().into_numbered().map(|(index, tree)| (index, yard.keep(index, tree))));
        }
        for (index, of) in rootfs.id_mapped() {
            let own = match of {
                IdmapOf::Own(ids) => Some(rootfs::user_namespace(self.proof, ids)?),
                IdmapOf::Container => None,
            };
            let userns = own.as_ref().or(userns);
            let userns = userns.ok_or_else(|| Error::internal("an id mapping without a user namespace"))?;
            kept.push((index, yard.keep(index, rootfs.map_ids(index, userns)?)));
        }
        Ok(kept)
    }

    /// `inside`: CRIU is to leave cgroups alone, and what it restores is where it is itself.
    fn describe(&self, inside: bool) -> Result<Options> {
        let mode = match self.request.criu.manage_cgroups {
            _ if inside => Some(ManageCgroups::Ignore),
            // The container's own is new, and is there when CRIU comes.
            Some(ManageCgroups::Strict) => Some(ManageCgroups::Full),
            mode => mode,
        };
        let mut options = self.images.options(&self.request.criu, self.spec, mode)?;
        options.evasive_devices();
        options.sibling();
        options.tcp_close(self.request.tcp_close);
        if let Some(profile) = &self.request.lsm_profile {
            options.lsm_profile(profile);
        }
        if let Some(context) = &self.request.lsm_mount_context {
            options.lsm_mount_context(context);
        }
        Ok(options)
    }
}

/// What CRIU takes from us instead of the images: standard descriptors that were the caller's, and namespaces.
fn inherit<'a>(
    options: &mut Options,
    parts: &'a Parts,
    given_again: &'a [(String, OwnedFd)],
    empty_network: bool,
) -> Result<Vec<BorrowedFd<'a>>> {
    let mut given: Vec<BorrowedFd<'a>> = Vec::new();
    let mut add = |options: &mut Options, key: &str, fd: BorrowedFd<'a>| {
        options.inherit(key, criu::inherited(images::OPEN + given.len()));
        given.push(fd);
    };
    for (name, fd) in given_again {
        add(options, name, fd.as_fd());
    }
    let plan = &parts.plan;
    for (kind, name) in [(Ns::Network, images::ROOT_NETWORK), (Ns::Pid, images::ROOT_PIDS)] {
        if let Some(joined) = plan.joined.fd(kind).filter(|_| kind != Ns::Network || !empty_network) {
            add(options, name, joined.as_fd());
        }
    }
    if *plan.namespaces.place(Ns::Network) == Place::New || empty_network {
        options.empty_namespaces(Ns::Network.flag());
    }
    for (kind, name) in [(Ns::Ipc, "ipc"), (Ns::Uts, "uts"), (Ns::Time, "time")] {
        if let Place::Join(path) = plan.namespaces.place(kind) {
            options.join(name, path);
        }
    }
    Ok(given)
}

/// The standard descriptors that were the caller's, with their names: this caller's take their place, and /dev/null that of
/// itself where this caller has something else.
///
/// # Errors
/// A regular file, which has a position, can be replaced by another one only.
fn standard(descriptors: &[String]) -> Result<Vec<(String, OwnedFd)>> {
    let mut list = Vec::new();
    let ours = file::standard();
    for (number, name) in descriptors.iter().enumerate() {
        let fd = ours.get(number).filter(|fd| {
            let ordinary = |stat: Stat| matches!(stat.kind(), libc::S_IFREG | libc::S_IFCHR);
            name.starts_with("pipe:") || (fs::stat(fd).is_ok_and(ordinary) && !terminal::is_terminal(fd))
        });
        let (key, path) = match images::external(name) {
            Some(external) => external,
            None if name.starts_with("pipe:") => (name.clone(), ""),
            None => continue,
        };
        let fd = match fd {
            Some(fd) => file::duplicate_above(fd, 3)?,
            None if path == images::NULL => file::open(path, libc::O_RDWR)?,
            None if path.is_empty() => continue,
            None => {
                let text =
                    format!("descriptor {number} was a file ({path}) when the container was saved, and is none now");
                return Err(Error::new(Kind::Config, text).hint("redirect it to a file"));
            }
        };
        list.push((key, fd));
    }
    Ok(list)
}

/// What the runtime does at CRIU's steps.
struct Steps<'a, 'p> {
    entry: &'a Entry,
    record: &'a mut Record,
    parts: &'a RefCell<&'p mut Parts>,
    /// The terminal's.
    master: Option<OwnedFd>,
    saved: &'a [SavedMount],
    /// Whether the mounts were looked at.
    is_protected: bool,
    /// Whether the network is to be new, whatever the config says.
    empty_network: bool,
    proof: &'a SingleThreaded,
}

impl Steps<'_, '_> {
    fn serve(&mut self, step: Step) -> Result<()> {
        match step.name.as_str() {
            "setup-namespaces" => {
                let pid = step.pid.ok_or_else(|| Error::system("criu did not say which process it makes"))?;
                self.born(pid)?;
                self.set_up_network(pid)
            }
            // Everything is there, and nothing runs yet.
            "post-restore" => self.protect(),
            "orphan-pts-master" => {
                self.master = step.master;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Until CRIU has answered the container is being created, whatever its first process is called: its creator lives.
    fn born(&mut self, pid: Pid) -> Result<()> {
        self.record.init = ProcessId::of(pid);
        self.entry.save_born(self.record).at("the container was deleted meanwhile")
    }

    /// What fills the network namespace at a start, and the hooks of the runtime.
    fn set_up_network(&mut self, pid: Pid) -> Result<()> {
        let mut parts = self.parts.borrow_mut();
        if *parts.plan.namespaces.place(Ns::Network) == Place::New || self.empty_network {
            bring_loopback_up(pid)?;
        }
        let is_joined = matches!(parts.plan.namespaces.place(Ns::Network), Place::Join(_)) && !self.empty_network;
        parts.moved = match is_joined {
            true => parts.devices.move_again_to(pid)?,
            false => parts.devices.move_to(pid)?,
        };
        let state = create::hook_state(self.record, Status::Creating, pid);
        let init = process::pidfd_open(pid)?;
        for moment in [Moment::Prestart, Moment::CreateRuntime] {
            hooks::run_for(Some(init.as_fd()), self.proof, moment, parts.plan.hooks.at(moment), &state)?;
        }
        Ok(())
    }

    /// Sees to it that no mount has lost what keeps the container from something.
    fn protect(&mut self) -> Result<()> {
        let pid =
            self.record.init.map(|init| init.pid).ok_or_else(|| Error::internal("a container without a process"))?;
        let table = mountinfo::table(&pid.to_string())?;
        let each = || self.saved.iter().try_for_each(|saved| Rootfs::restrict(&saved.point, saved.flags, &table));
        in_mount_namespace(pid, self.proof, &each).at("check the restored mounts")?;
        self.is_protected = true;
        Ok(())
    }

    /// The process runs: it is kept, and what came after it is set.
    fn settle(&mut self, pid: Pid, cgroup: &mut Cgroup) -> Result<Launched> {
        let pidfd = process::pidfd_open(pid)?;
        if !self.is_protected {
            return Err(Error::system("criu ran the container before its mounts could be looked at"));
        }
        // Also for the keyring.
        self.record.creator = None;
        self.record.restored = true;
        self.born(pid)?;
        if let Some(group) = &self.record.resctrl {
            group.join(pid)?;
        }
        cgroup.apply_late()?;
        let parts = self.parts.borrow();
        // CRIU does not keep it.
        if let Some(value) = parts.plan.program.as_ref().and_then(|program| program.attributes.io_priority) {
            process::ioprio_set(pid, value).at("process.ioPriority")?;
        }
        Ok(Launched { pid, pidfd })
    }
}

/// Has a process in the mount namespace of the process `pid` do something.
fn in_mount_namespace(pid: Pid, proof: &SingleThreaded, act: &dyn Fn() -> Result<()>) -> Result<()> {
    let theirs = file::open(format!("/proc/{pid}/ns/mnt"), libc::O_RDONLY)?;
    let (ours, other) = socket::pair(libc::SOCK_SEQPACKET)?;
    match process::clone3(proof, &Clone::default())? {
        Cloned::Child => {
            let done = namespace::setns(&theirs, libc::CLONE_NEWNS).map_err(Error::from).and_then(|()| act());
            let words = done.err().map_or_else(|| b"done".to_vec(), |error| error.encode());
            let _ = socket::send(&other, &words, &[]);
            process::exit_now(0)
        }
        Cloned::Parent(child, _) => {
            drop(other);
            let mut words = vec![0; socket::next_length(&ours)?.max(1)];
            let length = socket::receive(&ours, &mut words)?.length;
            process::wait(child)?;
            match &words[..length] {
                b"done" => Ok(()),
                b"" => Err(Error::system("the process ended")),
                error => Err(Error::decode(error)),
            }
        }
    }
}

/// Hands the terminal's master on, or keeps it.
///
/// # Errors
/// There is one that nobody would show: the program would be hung up.
fn give(master: Option<OwnedFd>, terminal: &Terminal) -> Result<Option<OwnedFd>> {
    match (master, terminal) {
        (None, Terminal::To(_)) => {
            log::warning("the images hold no terminal, so the console socket gets none");
            Ok(None)
        }
        (None, _) => Ok(None),
        (master, Terminal::Ours) => Ok(master),
        (Some(master), Terminal::To(console)) => {
            let sent = socket::send(console, b"/dev/ptmx", &[master.as_raw_fd()]);
            sent.at("send the terminal to the console socket").map(|()| None)
        }
        (Some(_), Terminal::None) => {
            Err(Error::config("process.terminal", "is not set, and the images hold a terminal"))
        }
    }
}

fn bring_loopback_up(pid: Pid) -> Result<()> {
    let open = |path: String| file::open(path, libc::O_RDONLY);
    let (ours, theirs) = (open("/proc/self/ns/net".into())?, open(format!("/proc/{pid}/ns/net"))?);
    namespace::setns(&theirs, libc::CLONE_NEWNET)?;
    let up = namespace::loopback_up();
    namespace::setns(&ours, libc::CLONE_NEWNET)?;
    Ok(up?)
}

/// How the process that becomes CRIU tells of the session keyring that it has made.
struct Told {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Told {
    fn new() -> Result<Told> {
        let (ours, theirs) = socket::pair(libc::SOCK_SEQPACKET)?;
        Ok(Told { ours, theirs })
    }

    fn tell(&self, made: Option<keyring::Made>) -> Result<()> {
        let Some(made) = made else { return Ok(()) };
        let text = serde_json::to_vec(&made).map_err(|e| Error::internal(e.to_string()))?;
        Ok(socket::send(&self.theirs, &text, &[])?)
    }

    /// The keyring that was told of by now.
    fn made(&self) -> Result<Option<keyring::Made>> {
        let mut text = [0; 512];
        let [there] = process::poll([(Some(self.ours.as_fd()), libc::POLLIN)], 0)?;
        if there == 0 {
            return Ok(None);
        }
        let length = socket::receive(&self.ours, &mut text)?.length;
        let made = crate::json::document(&text[..length]);
        made.map(Some).map_err(|_| Error::internal("a child process told of a keyring that cannot be read"))
    }
}

/// A process that does nothing but be in a cgroup.
struct Holder {
    pid: Pid,
    /// Its end is the process's.
    _pipe: OwnedFd,
}

impl Holder {
    fn new(proof: &SingleThreaded) -> Result<Holder> {
        let (ours, theirs) = socket::pair(libc::SOCK_STREAM)?;
        match process::clone3(proof, &Clone::default())? {
            Cloned::Parent(pid, _) => Ok(Holder { pid, _pipe: ours }),
            Cloned::Child => {
                drop(ours);
                let _ = file::read(&theirs, &mut [0]);
                process::exit_now(0)
            }
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = process::kill(self.pid, libc::SIGKILL);
        let _ = process::wait(self.pid);
    }
}
