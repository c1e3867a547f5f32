//! The child: from `clone3` to the init image. What it does, in which order, stands in `sequence.rs`.

use super::image::plan::flag;
use super::image::{self, Layout};
use super::keyring::{self, Keyring};
use super::plan::{Affinity, Plan};
use super::protocol::{ChildEnd, FromChild};
use crate::error::{Context, Error, Result};
use crate::hooks::{self, Moment};
use crate::namespaces::recipe::{Fork, User};
use crate::namespaces::{Kind, enter, recipe};
use crate::path::InRoot;
use crate::procfs::ProcFd;
use crate::rootfs::{self, Built, Prepared, Trees};
use crate::sys::process::{self, Clone, Cloned, SingleThreaded};
use crate::sys::{self, credentials, file, mount, terminal};
use crate::{cgroups, log};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// All that the child has, by way of the memory and the descriptors that it shares with the runtime at its birth.
pub(super) struct Stage<'a> {
    pub(super) plan: &'a Plan,
    pub(super) proof: &'a SingleThreaded,
    pub(super) channel: ChildEnd,
    pub(super) report: &'a OwnedFd,
    pub(super) cgroup: Option<&'a cgroups::Joiner>,
    /// Whether it was born outside of the unified cgroup and has to join it.
    pub(super) joins_unified: bool,
    pub(super) prepared: Option<&'a Prepared>,
    pub(super) trees: Trees,
    pub(super) built: Option<Built<'a>>,
    /// Where the terminal's master goes.
    pub(super) console: Option<&'a OwnedFd>,
    pub(super) gate: Option<&'a OwnedFd>,
    /// The terminal's slave, once there is one.
    pub(super) terminal: Option<OwnedFd>,
    pub(super) procfs: Option<OwnedFd>,
    /// What hooks read, with the pid as the container sees it (for startContainer) and as the runtime does.
    pub(super) state: &'a dyn Fn(Moment, process::Pid) -> Vec<u8>,
}

impl Stage<'_> {
    /// Whether the image joins the last cgroup, and unshares the cgroup namespace then.
    fn leaves_a_cgroup(&self) -> bool {
        self.cgroup.is_some_and(|entry| entry.last().is_some())
    }
}

/// A step: a name for errors and traces, and what it does.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) run: for<'a, 'b> fn(&'b mut Stage<'a>) -> Result<()>,
}

/// Walks the steps; comes to an end only by a failure, which it tells the runtime.
pub(super) fn walk(mut stage: Stage<'_>, steps: &[Step]) -> ! {
    report_panics(&stage.channel);
    let mut failure = steps.iter().filter_map(|step| {
        log::step(step.name);
        (step.run)(&mut stage).err().map(|e| (step.name, e))
    });
    let error = match failure.next() {
        Some((name, error)) if error.kind() == crate::error::Kind::System => error.at(name),
        Some((_, error)) => error,
        None => Error::internal("the steps came to an end without a program"),
    };
    let _ = pass_records_on(&stage);
    let _ = stage.channel.say(&FromChild::Failed(error));
    process::exit_now(1)
}

/// Has the runtime log what this process would have.
fn pass_records_on(stage: &Stage<'_>) -> Result<()> {
    log::take().into_iter().try_for_each(|record| stage.channel.say(&FromChild::Said(record)))
}

/// Makes the process one that dies with the runtime and can be traced by nobody but root.
pub(super) fn begin(stage: &mut Stage<'_>) -> Result<()> {
    log::divert();
    process::reset_signals();
    sys::credentials::restore_umask();
    die_with_runtime(stage)?;
    // The name says to others that the container is being built, see `state.rs`.
    let mut name = stage.plan.waiting_name;
    name[5] = b';';
    if let Ok(name) = CStr::from_bytes_until_nul(&name) {
        process::set_name(name)?;
    }
    Ok(())
}

/// Has the kernel kill this process when the runtime ends, also if it ended before this call.
fn die_with_runtime(stage: &Stage<'_>) -> Result<()> {
    process::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0, 0, 0)?;
    let [ready] = process::poll([(Some(stage.channel.as_fd()), 0)], 0)?;
    if ready & libc::POLLHUP != 0 {
        process::exit_now(1);
    }
    Ok(())
}

/// A panic in the child must not reach libc's abort, whose idea of the thread id is stale: it is reported, and that is all.
fn report_panics(channel: &ChildEnd) {
    let Ok(copy) = file::duplicate_above(channel, 3) else { return };
    let channel = ChildEnd(copy);
    std::panic::set_hook(Box::new(move |info| {
        let _ = channel.say(&FromChild::Failed(Error::internal(format!("panic: {info}"))));
        process::exit_now(101)
    }));
}

/// Keeps everybody but root of the machine from tracing this process and looking into it (`prctl(2)`, PR_SET_DUMPABLE).
///
/// To be said before a namespace with other processes is entered, and again after each change of the user, which resets it to
/// the sysctl fs.suid_dumpable.
fn hide() -> Result<()> {
    Ok(process::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0).map(drop)?)
}

/// Gives the files of this process in /proc to the root of its user namespace: one that is new, and has no other process.
fn show() -> Result<()> {
    Ok(process::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0).map(drop)?)
}

/// Namespaces, but for the cgroup namespace and a late fork.
pub(super) fn enter_namespaces(stage: &mut Stage<'_>) -> Result<()> {
    let (recipe, joined) = (&stage.plan.recipe, &stage.plan.joined);
    // Once its ids have changed, the process is not dumpable, and its files in /proc belong to the host's root.
    let offsets = recipe.offsets.then(enter::open_offsets).transpose()?;
    hide()?;
    enter::join(joined, &recipe.join_first)?;
    match recipe.user {
        User::Stays => {}
        User::Cloned => map_ids(stage)?,
        User::Unshared => {
            enter::unshare(Kind::User.flag() | recipe.unshare & !recipe::LATE)?;
            map_ids(stage)?;
        }
        User::Joined => enter::join(joined, &[Kind::User])?,
    }
    if recipe.user != User::Stays {
        become_root()?;
        hide()?;
    }
    enter::join(joined, &recipe.join_then)?;
    match recipe.user {
        User::Unshared => enter::unshare(recipe.unshare & recipe::LATE)?,
        _ => enter::unshare(recipe.unshare)?,
    }
    if let Some(file) = offsets {
        enter::write_offsets(&file, &stage.plan.namespaces)?;
    }
    if let Fork::Early(flags) = recipe.fork {
        fork(stage, flags)?;
    }
    Ok(())
}

/// The namespaces of a running container, all at once; its pid namespace is entered by the late fork.
pub(super) fn enter_container(stage: &mut Stage<'_>) -> Result<()> {
    let Some(container) = &stage.plan.entered else { return Ok(()) };
    if let Keyring::Of(made) = &stage.plan.keyring
        && made.outside
    {
        keyring::join(made)?;
    }
    if stage.plan.label.is_some() {
        // In a user namespace none can be made that shows this process, which is not in the container's pid namespace yet.
        stage.procfs = Some(ProcFd::open()?.into());
    }
    hide()?;
    sys::namespace::setns(&container.init, container.flags)
        .with(|| format!("join the container's namespaces ({})", enter::words(container.flags)))?;
    if container.flags & Kind::User.flag() != 0 {
        become_root()?;
        hide()?;
    }
    Ok(())
}

/// The CPUs before the cgroups are joined: those of the host that the process may use until then.
pub(super) fn set_initial_affinity(stage: &mut Stage<'_>) -> Result<()> {
    set_affinity(&stage.plan.affinity[0], "initial")
}

/// The CPUs after the cgroups are joined, which would undo it.
pub(super) fn set_final_affinity(stage: &mut Stage<'_>) -> Result<()> {
    set_affinity(&stage.plan.affinity[1], "final")
}

fn set_affinity(affinity: &Affinity, which: &str) -> Result<()> {
    match affinity {
        Affinity::Unchanged => Ok(()),
        Affinity::Only(mask) => process::sched_setaffinity(0, mask).with(|| format!("process.execCPUAffinity.{which}")),
        Affinity::Cpuset => {
            super::attributes::use_the_cpuset();
            Ok(())
        }
    }
}

/// A terminal of the running container, for one more process.
pub(super) fn open_console(stage: &mut Stage<'_>) -> Result<()> {
    let Some(size) = stage.plan.program.as_ref().and_then(|program| program.terminal) else { return Ok(()) };
    let root = crate::path::Root::from(file::open("/", libc::O_PATH | libc::O_DIRECTORY)?);
    let console = rootfs::Console::open(&root)?;
    give_terminal(stage, console, size)
}

/// Has the runtime map the ids of the new user namespace; takes the id-mapped trees that only it can make.
fn map_ids(stage: &mut Stage<'_>) -> Result<()> {
    // The maps of a process that is not dumpable belong to root: a runtime that is not root could not write them.
    show()?;
    stage.channel.say(&FromChild::UserReady)?;
    let trees = stage.channel.wait()?;
    hide()?;
    if let Some(rootfs) = &stage.plan.rootfs {
        for (index, tree) in rootfs.mapped_by_container().zip(trees) {
            stage.trees.set(index, tree);
        }
    }
    Ok(())
}

/// Root of the user namespace, if it has one. Nobody else's rights reach further than the namespace anyway.
pub(super) fn become_root() -> Result<()> {
    for (what, result) in [("gid", credentials::set_gid(0)), ("uid", credentials::set_uid(0))] {
        match result {
            Err(e) if e.is(libc::EINVAL) => {
                return Err(Error::from(e).hint(format!("linux.{what}Mappings must map the container's id 0")));
            }
            result => result?,
        }
    }
    Ok(())
}

/// The early fork: the child goes on here; this process tells the runtime of it and ends.
fn fork(stage: &mut Stage<'_>, flags: i32) -> Result<()> {
    let flags = flags as u64 | libc::CLONE_PARENT as u64;
    match process::clone3(stage.proof, &Clone { flags, into_cgroup: None })? {
        Cloned::Parent(_, pidfd) => {
            stage.channel.say(&FromChild::Forked(pidfd))?;
            process::exit_now(0)
        }
        Cloned::Child => {
            die_with_runtime(stage)?;
            // Until the runtime knows this process, it would take its messages for the first one's.
            stage.channel.wait().map(drop)
        }
    }
}

/// Joins the v1 cgroups, and only then makes the cgroup namespace; a memory cgroup with next to no memory is left to the image.
pub(super) fn enter_cgroups(stage: &mut Stage<'_>) -> Result<()> {
    if let Some(entry) = stage.cgroup {
        if entry.awaits_scope() {
            stage.channel.say(&FromChild::Scope)?;
            stage.channel.wait()?;
        }
        if stage.joins_unified {
            entry.join_unified()?;
        }
        entry.join_self()?;
    }
    if stage.plan.recipe.late_cgroup && !stage.leaves_a_cgroup() {
        enter::unshare(Kind::Cgroup.flag())?;
    }
    Ok(())
}

/// A session keyring of the container's own (`keyrings(7)`): a new one, or that of the running container.
pub(super) fn join_keyring(stage: &mut Stage<'_>) -> Result<()> {
    match &stage.plan.keyring {
        Keyring::New(name) => {
            let made = keyring::make(name)?;
            stage.channel.say(&FromChild::Keyring(made.map(|made| (made.serial, made.owner))))
        }
        Keyring::Of(made) if !made.outside => keyring::join(made),
        Keyring::Callers | Keyring::Of(_) => Ok(()),
    }
}

/// What is set inside the namespaces: names, the loopback interface, network devices, sysctls, which may be of those devices.
pub(super) fn set_up_namespaces(stage: &mut Stage<'_>) -> Result<()> {
    let all = &stage.plan.namespaces;
    enter::set_names(all)?;
    if *all.place(Kind::Network) == crate::namespaces::Place::New {
        sys::namespace::loopback_up().at("bring the loopback interface up")?;
    }
    if stage.plan.moves_devices {
        stage.channel.say(&FromChild::Isolated)?;
        stage.channel.wait()?;
    }
    if !all.sysctls.is_empty() {
        let procfs = ProcFd::open_full()?;
        for sysctl in all.sysctls.iter() {
            procfs.write_sysctl(&sysctl.path, &sysctl.value).with(|| format!("linux.sysctl[{:?}]", sysctl.name))?;
        }
    }
    Ok(())
}

/// The root filesystem with all its mounts, at its host path.
pub(super) fn build_rootfs(stage: &mut Stage<'_>) -> Result<()> {
    let (Some(rootfs), Some(prepared)) = (&stage.plan.rootfs, stage.prepared) else { return Ok(()) };
    rootfs.propagate()?;
    if stage.plan.joined.fd(Kind::Pid).is_some() {
        let mounts: Vec<usize> = rootfs.procfs_mounts().collect();
        let contexts = procfs_of_joined(stage, mounts.len()).at("open a procfs of the joined pid namespace")?;
        for (index, context) in mounts.into_iter().zip(contexts) {
            stage.trees.set(index, context);
        }
    }
    let view = stage.plan.cgroup_view.as_ref().ok_or_else(|| Error::internal("a root filesystem without cgroups"))?;
    stage.built = Some(rootfs.build(prepared, std::mem::take(&mut stage.trees), view)?);
    Ok(())
}

/// A procfs shows the pid namespace of the process that opens its context, and this process only enters the joined one when
/// it is confined. The context is told the namespace (Linux 6.17), or a helper without any rights opens it there.
fn procfs_of_joined(stage: &Stage<'_>, count: usize) -> Result<Vec<OwnedFd>> {
    let mut contexts = Vec::with_capacity(count);
    while contexts.len() < count {
        let context = mount::fsopen("proc")?;
        match mount::fsconfig_string(&context, "pidns", "/proc/self/ns/pid_for_children") {
            Ok(()) => contexts.push(context),
            Err(e) if e.is(libc::EINVAL) => {
                stage.channel.say(&FromChild::Procfs)?;
                return stage.channel.wait();
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(contexts)
}

/// The hooks before the pivot: the runtime's in its own namespaces, then createContainer's here.
pub(super) fn run_hooks(stage: &mut Stage<'_>) -> Result<()> {
    if stage.plan.runtime_acts_on_built() {
        stage.channel.say(&FromChild::Built)?;
        stage.channel.wait()?;
    }
    let list = stage.plan.hooks.at(Moment::CreateContainer);
    if !list.is_empty() {
        let pid = process::pid();
        hooks::run(stage.proof, Moment::CreateContainer, list, &(stage.state)(Moment::CreateContainer, pid))?;
        stage.channel.say(&FromChild::Hooked)?;
    }
    match &mut stage.built {
        Some(built) if stage.plan.runtime_acts_on_built() || !list.is_empty() => built.after_hooks(),
        _ => Ok(()),
    }
}

/// The root becomes the container's.
pub(super) fn pivot(stage: &mut Stage<'_>) -> Result<()> {
    match &stage.built {
        Some(built) => built.pivot(stage.plan.enter_root()),
        None => Ok(()),
    }
}

/// The container's own terminal; its master goes to whoever shows it.
pub(super) fn make_console(stage: &mut Stage<'_>) -> Result<()> {
    let (Some(program), Some(built)) = (&stage.plan.program, &stage.built) else { return Ok(()) };
    let Some(size) = program.terminal else { return Ok(()) };
    let console = built.console()?;
    give_terminal(stage, console, size)
}

/// Sends the master away and keeps the slave.
pub(super) fn give_terminal(stage: &mut Stage<'_>, console: rootfs::Console, size: terminal::Size) -> Result<()> {
    let mut size = size;
    if let Some(shown) = stage.plan.shown_on {
        // Scripts expect line feeds as the program writes them.
        terminal::set_modes(&console.slave, &terminal::modes(&console.slave)?.without_carriage_returns())?;
        if (size.height, size.width) == (0, 0) {
            size = shown;
        }
    }
    if size.height != 0 || size.width != 0 {
        terminal::set_size(&console.slave, size).at("process.consoleSize")?;
    }
    let socket = stage.console.ok_or_else(|| Error::internal("a terminal without anybody to show it"))?;
    let name = format!("/dev/pts/{}", console.index);
    sys::socket::send(socket, name.as_bytes(), &[console.master.as_raw_fd()])
        .at("send the terminal to the console socket")?;
    stage.terminal = Some(console.slave);
    Ok(())
}

/// The working directory, masks, read-only paths, read-only root.
pub(super) fn protect(stage: &mut Stage<'_>) -> Result<()> {
    let cwd = stage.plan.program.as_ref().map(|program| program.cwd.as_str());
    match stage.built.take() {
        Some(built) => built.protect(cwd),
        None => Ok(()),
    }
}

/// Standard input, output and error: the terminal, or the caller's, owned by the user so that they can be opened again.
pub(super) fn set_up_stdio(stage: &mut Stage<'_>) -> Result<()> {
    let Some(program) = &stage.plan.program else { return Ok(()) };
    if let Some(slave) = stage.terminal.take() {
        for number in 0..3 {
            file::duplicate_to(&slave, number, false)?;
        }
    }
    if program.uid == 0 && stage.plan.recipe.user == User::Stays {
        return Ok(());
    }
    for fd in file::standard() {
        give_to_user(fd, program.uid)?;
    }
    Ok(())
}

/// Changes the owner of what was passed on to the container, but for devices like /dev/null, which are everybody's.
fn give_to_user(fd: std::os::fd::BorrowedFd<'_>, uid: u32) -> Result<()> {
    let stat = sys::fs::stat(fd)?;
    let is_null = stat.kind() == libc::S_IFCHR && stat.rdev == sys::fs::device_number(1, 3);
    if is_null || stat.uid == uid {
        return Ok(());
    }
    match sys::fs::chown(fd, uid, u32::MAX) {
        // The caller's file may be on a read-only or a foreign file system, or not ours to give away; it works without.
        Err(e) if [libc::EINVAL, libc::EPERM, libc::EROFS].contains(&e.errno().0) => Ok(()),
        other => Ok(other?),
    }
}

/// What the process sets for itself, where it has the right: without a user namespace of its own.
pub(super) fn set_attributes(stage: &mut Stage<'_>) -> Result<()> {
    let Some(program) = &stage.plan.program else { return Ok(()) };
    program.attributes.apply_own()?;
    if stage.plan.recipe.user != User::Stays {
        return Ok(());
    }
    if stage.plan.recipe.fork != Fork::Late {
        // SCHED_FLAG_RESET_ON_FORK would undo it at the late fork: then the runtime does it.
        program.attributes.apply_scheduling(0)?;
    }
    Ok(())
}

/// The OOM score, while /proc is the host's. In a user namespace a score may be raised but not lowered: there the runtime has
/// the last word.
pub(super) fn set_oom_score(stage: &mut Stage<'_>) -> Result<()> {
    let score = stage.plan.program.as_ref().and_then(|program| program.attributes.oom_score_adj);
    let Some(score) = score else { return Ok(()) };
    let opened = file::open("/proc/self/oom_score_adj", libc::O_WRONLY);
    match opened.and_then(|fd| file::write_value(fd, score.to_string().as_bytes())) {
        Err(_) if stage.plan.recipe.user != User::Stays => Ok(()),
        other => other.at("process.oomScoreAdj").map(drop),
    }
}

/// Lays the init image's plan out and executes it.
pub(super) fn execute_image(stage: &mut Stage<'_>) -> Result<()> {
    let mut layout = Layout::new();
    pass_records_on(stage)?;
    let mut plan = image_plan(stage, &mut layout)?;
    leave_gaps(&mut plan)?;
    let content = image::elf(&plan, layout);
    let image = image::make(&content)?;
    // The image keeps what it is told of, and nothing else.
    let kept = [plan.sync, plan.gate, plan.page, plan.procfs, plan.cgroup_file];
    let [sync, gate, page, procfs, cgroup] = kept;
    file::close_by_execute(stage.plan.first_fd(), &[sync, gate, page, procfs, cgroup, image.as_raw_fd()])?;
    for fd in kept.into_iter().filter(|fd| *fd >= 0) {
        file::keep_over_exec(fd)?;
    }
    Err(image::execute(&image, &content))
}

/// Keeps the descriptors of the image out of the numbers that the program keeps: those that the caller left closed there are
/// closed in the program, too.
fn leave_gaps(plan: &mut image::plan::Plan) -> Result<()> {
    let first = plan.first_closed;
    for fd in [&mut plan.sync, &mut plan.gate, &mut plan.page, &mut plan.procfs, &mut plan.cgroup_file] {
        if (0..first).contains(fd) {
            *fd = file::duplicate_number_above(*fd, first)?;
        }
    }
    Ok(())
}

fn image_plan(stage: &mut Stage<'_>, layout: &mut Layout) -> Result<image::plan::Plan> {
    let plan = stage.plan;
    let mut out = plan.image_plan(layout)?;
    if let Some(program) = &plan.program {
        let mut env = program.env.clone();
        if !env.iter().any(|entry| entry.starts_with("HOME=") && entry.len() > 5) {
            env.retain(|entry| !entry.starts_with("HOME="));
            env.push(format!("HOME={}", home_of(program.uid)?));
        }
        out.envp = layout.strings(&env).at;
        if let Some(label) = &plan.label {
            let procfs = match stage.procfs.take() {
                Some(procfs) => procfs,
                None => ProcFd::open()?.into(),
            };
            out.label_file = layout.string(label.file);
            out.label = layout.bytes(label.text.as_bytes());
            out.procfs = procfs.as_raw_fd();
            stage.procfs = Some(procfs);
        }
        if program.terminal.is_some() {
            out.flags |= flag::TERMINAL;
        }
    }
    let start = plan.hooks.at(Moment::StartContainer);
    if !start.is_empty() {
        let hooks: Vec<_> = start.iter().map(|hook| lay_hook(layout, hook, out.envp)).collect();
        out.hooks = layout.hooks(&hooks);
        (out.state, out.pid_at) = layout.state(&(stage.state)(Moment::StartContainer, process::pid()));
    }
    if let Some(tasks) = stage.cgroup.and_then(|entry| entry.last()) {
        out.cgroup_file = tasks.as_raw_fd();
        if plan.recipe.late_cgroup {
            out.flags |= flag::CGROUP_NAMESPACE;
        }
    }
    out.sync = stage.channel.as_fd().as_raw_fd();
    out.gate = stage.gate.map_or(-1, |gate| gate.as_raw_fd());
    out.page = stage.report.as_raw_fd();
    out.flags |= super::early::flags(plan, &out);
    Ok(out)
}

/// Lays a startContainer hook out; `envp` is the container's environment.
fn lay_hook(layout: &mut Layout, hook: &hooks::Hook, envp: u64) -> image::plan::Hook {
    let bytes = |list: &[CString]| list.iter().map(|s| s.as_bytes().to_vec()).collect::<Vec<_>>();
    let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    image::plan::Hook {
        path: layout.string(hook.path.as_bytes()),
        argv: layout.strings(bytes(&hook.args)).at,
        envp: hook.env.as_deref().map_or(envp, |env| layout.strings(bytes(env)).at),
        timeout: hook.timeout.map_or(0, milliseconds),
    }
}

/// The home directory of `uid` by the container's /etc/passwd, `/` without one.
fn home_of(uid: u32) -> Result<String> {
    let root = crate::path::Root::from(file::open("/", libc::O_PATH | libc::O_DIRECTORY)?);
    // What is no ordinary file there says nothing of homes; the program can run without one.
    let Ok(Some(passwd)) = root.read(&InRoot::new("/etc/passwd")) else { return Ok("/".into()) };
    let text = String::from_utf8_lossy(&passwd);
    let home = text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let of_uid = fields.len() >= 6 && fields[2].parse() == Ok(uid);
        of_uid.then(|| fields[5].to_owned())
    });
    Ok(home.filter(|home| !home.is_empty()).unwrap_or_else(|| "/".into()))
}
