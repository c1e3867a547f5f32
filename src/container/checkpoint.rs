//! `checkpoint`: saves the container's processes as CRIU images.

use super::criu_images::{self, CgroupYard, Images};
use super::request::{CheckpointRequest, CriuOptions, ManageCgroups};
use super::{Context, delete};
use crate::cgroups::Layout;
use crate::config::{self, Spec};
use crate::criu::{self, Criu, CriuFlag, CriuOpts, CriuText, Start, Task};
use crate::error::{Context as _, Error, Ignore as _, Kind, Result};
use crate::hooks::Hooks;
use crate::log;
use crate::mountinfo;
use crate::namespaces::{self, NamespaceKind as Ns, Namespaces, Place};
use crate::process::launch;
use crate::rootfs::{CgroupView, Rootfs, Sources};
use crate::state::{ContainerDir, Record, Status, Store};
use crate::sys::process::{self, Pid, SingleThreaded};
use crate::sys::{credentials, file};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

/// The time the saved processes may take to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// `checkpoint`: saves the container and then deletes it, unless the request lets it run on.
///
/// # Errors
/// The container does not run, there is no CRIU, or CRIU cannot save it; the container goes on then.
pub fn checkpoint(context: &Context, request: &CheckpointRequest) -> Result<()> {
    let proof = &SingleThreaded::of_caller()?;
    // Before this process opens a descriptor that could get the same number.
    let told = request.status_fd.map(status_descriptor).transpose()?;
    log::step("read the state and the configuration");
    let store = Store::at(&context.root);
    let dir = store.open(request.id.as_str())?;
    let yard = CgroupYard::at(dir.path(), &Layout::read()?)?;
    let record = store.read(request.id.as_str())?;
    record.refuse_foreign("checkpoint")?;
    let (status, pidfd) = record.status_and_init()?;
    let running = matches!(status, Status::Running | Status::Paused);
    let (Some(init), Some(pidfd)) = (record.init.filter(|_| running), pidfd) else {
        return Err(Error::state(format!("Container cannot be checkpointed in {} state", status.word())));
    };
    // A `delete --force` meanwhile kills the processes and ends the checkpoint.
    dir.unlock()?;
    let program = criu_images::program(&request.criu, "checkpoint")?;
    let json = store.config(request.id.as_str())?;
    let mut spec = config::parse(&json)?;
    namespaces::disregard_shared(&mut spec, init.pid, &Ns::ALL)?;
    let table = mountinfo::table(&init.pid.to_string()).context("the container's mounts")?;
    if mountinfo::mounts(&table).any(|mounted| super::notify::was_offered(&spec, &mounted.point())) {
        super::notify::offer(&mut spec, dir.path());
    }
    let rootfs = Rootfs::parse(&spec, Path::new(&record.bundle), super::security::selinux())?;
    rootfs.refuse_new_root()?;
    if std::fs::read_link(format!("/proc/{}/exe", init.pid))
        .is_ok_and(|exe| exe.as_os_str().as_bytes().starts_with(b"/memfd:"))
    {
        let what =
            "the container's first program is in memory alone, as the reaping init is, and CRIU cannot restore that";
        return Err(Error::state(what).hint("make the container without --init or the annotation orlop.init"));
    }
    let none = || Ok(Vec::new());
    let plain = Start { program: &program, flags: 0, into_cgroup: None, prepare: &none, inherited: &[] };
    if request.pre_dump || request.criu.lazy_pages {
        let features = Criu::start(&plain, proof)?.features()?;
        let lacks = |what: &str| Err(Error::system(format!("CRIU is missing features: the kernel has no {what}")));
        match (request.pre_dump, request.criu.lazy_pages) {
            (true, _) if !features.memory_tracking => return lacks("memory tracking (CONFIG_MEM_SOFT_DIRTY)"),
            (_, true) if !features.lazy_pages => return lacks("userfaultfd that CRIU could use for --lazy-pages"),
            _ => {}
        }
    }
    log::step("describe the container");
    let images = Images::make(&request.criu, "dump.log")?;
    let mut options = describe(request, &spec, &record, &rootfs, &images, (init.pid, &table))?;
    yard.announce(&mut options);
    log::step("save the processes");
    let task = if request.pre_dump { Task::PreDump } else { Task::Dump };
    let inherited: Vec<BorrowedFd<'_>> = told.iter().map(AsFd::as_fd).collect();
    let prepare = || {
        // CRIU creates images that every user can read.
        credentials::set_umask(0o077);
        criu_images::leave_host()?;
        yard.make()?;
        images.open(None)
    };
    let start = Start { flags: libc::CLONE_NEWNS as u64, prepare: &prepare, inherited: &inherited, ..plain };
    let saved = Criu::start(&start, proof)?.ask(task, &options, &images.log(), &mut |_| Ok(()));
    saved.inspect_err(|_| {
        if !request.pre_dump {
            images.forget_descriptors();
        }
        // If CRIU was killed, it has left the cgroup frozen.
        if status == Status::Running && record.cgroup().frozen().unwrap_or(false) {
            record.cgroup().thaw().ignore("the first error is the one to tell");
        }
    })?;
    if request.leave_running || request.pre_dump {
        return Ok(());
    }
    let hooks = Hooks::parse(&spec)?;
    remove(&dir, &record, &pidfd, &hooks, proof)
}

/// CRIU's options for the container.
fn describe(
    request: &CheckpointRequest,
    spec: &Spec<'_>,
    record: &Record,
    rootfs: &Rootfs,
    images: &Images,
    (pid, table): (Pid, &[u8]),
) -> Result<CriuOpts> {
    let given = &request.criu;
    let mut options = images.options(given, spec, cgroup_mode(given, record))?;
    options.pid(pid);
    options.text(CriuText::Root, record.rootfs.as_bytes());
    options.set(CriuFlag::LeaveRunning, request.leave_running || request.pre_dump);
    options.set(CriuFlag::LinkRemap, request.link_remap);
    options.set(CriuFlag::TcpSkipInFlight, request.tcp_skip_in_flight);
    options.set(CriuFlag::TrackMemory, request.pre_dump || request.parent_path.is_some());
    if let Some(parent) = &request.parent_path {
        if parent.is_absolute() {
            let text = format!("--parent-path {parent:?} must be relative to the directory of the images");
            return Err(Error::new(Kind::Config, text));
        }
        if !given.image_path.join(parent).is_dir() {
            let text = format!("--parent-path {parent:?}: {:?} is no directory", given.image_path.join(parent));
            return Err(Error::new(Kind::Config, text).hint("it is relative to the directory of the images"));
        }
        options.text(CriuText::ParentImages, parent.as_os_str().as_bytes());
    }
    if let Some((address, port)) = &request.page_server {
        options.page_server(address, *port);
    }
    if request.status_fd.is_some() {
        options.status_fd(criu::inherited(criu_images::OPEN));
    }
    // Freezing the cgroup is quicker than stopping each process, and cannot miss one that forks.
    if let Some(directory) = record.cgroup().freezer() {
        options.text(CriuText::Freezer, &directory);
    }
    let namespaces = Namespaces::parse(spec)?;
    let own_cgroups = *namespaces.place(Ns::Cgroup) == Place::New;
    let host = mountinfo::table("self")?;
    let known = rootfs.sources(&rootfs.prepare(Sources::ByChild)?, &CgroupView::default(), &host, &[])?;
    for outside in rootfs.external_mounts(table, &host, own_cgroups, &known)? {
        options.external_mount(&outside.key, &outside.value);
    }
    if rootfs.keeps_peers() {
        log::warning(
            "linux.rootfsPropagation: what is mounted on either side after a restore is not seen on the other",
        );
    }
    look_for_strays(record, pid, *namespaces.place(Ns::Pid) != Place::Runtime)?;
    name_namespaces(&mut options, &namespaces, pid, given.empty_ns.iter().any(|name| name == "network"))?;
    if !request.pre_dump {
        images.write_descriptors(&name_descriptors(&mut options, record, pid, &host)?)?;
    }
    Ok(options)
}

/// CRIU's mode for cgroups; a container without a cgroup of its own is in the caller's.
fn cgroup_mode(given: &CriuOptions, record: &Record) -> Option<ManageCgroups> {
    if record.cgroup().cgroups().is_empty() { Some(ManageCgroups::Ignore) } else { given.manage_cgroups }
}

/// CRIU saves the first process and its descendants. Other processes in the container would be
/// lost.
///
/// # Errors
/// There are such processes, and they may belong to the container, since it has no pid namespace in
/// which its first process would inherit them.
fn look_for_strays(record: &Record, first: Pid, own_pids: bool) -> Result<()> {
    let is_below = |pid: Pid| std::iter::successors(Some(pid), |pid| parent_of(*pid)).any(|pid| pid == first);
    for pid in record.cgroup().processes()?.into_iter().filter(|pid| !is_below(*pid)) {
        let name = launch::name_of(pid).unwrap_or_default();
        let text = format!("process {pid} ({name}) is not below the container's first one, and is not saved");
        if !own_pids {
            return Err(Error::state(text).hint("without a pid namespace it would be lost"));
        }
        log::warning(text);
    }
    Ok(())
}

/// Field 4 of /proc/PID/stat.
fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok().filter(|parent| *parent > 0)
}

/// A copy of the descriptor that the caller opened for the status.
fn status_descriptor(number: i32) -> Result<OwnedFd> {
    match file::duplicate_number_above(number, 3) {
        Ok(copy) => Ok(copy),
        Err(e) if e.is(libc::EBADF) => Err(Error::new(Kind::Config, format!("--status-fd {number} is not open"))),
        Err(e) => Err(e.into()),
    }
}

/// Names a joined network or pid namespace, so that a restore can join another one. The content of
/// a network namespace of the container's own is not saved: hooks and devices of the config set it
/// up at each start.
fn name_namespaces(options: &mut CriuOpts, namespaces: &Namespaces, pid: Pid, empty: bool) -> Result<()> {
    let inode = |kind: Ns| {
        let path = format!("/proc/{pid}/ns/{}", kind.file());
        std::fs::metadata(&path).map(|file| file.ino()).map_err(|e| Error::system(format!("stat({path:?}): {e}")))
    };
    match namespaces.place(Ns::Network) {
        Place::New => options.empty_namespaces(Ns::Network.flag()),
        Place::Join(_) if empty => options.empty_namespaces(Ns::Network.flag()),
        Place::Join(_) => {
            options.text(CriuText::External, format!("net[{}]:{}", inode(Ns::Network)?, criu_images::ROOT_NETWORK))
        }
        Place::Runtime => {}
    }
    if let Place::Join(_) = namespaces.place(Ns::Pid) {
        options.text(CriuText::External, format!("pid[{}]:{}", inode(Ns::Pid)?, criu_images::ROOT_PIDS));
    }
    Ok(())
}

/// The standard descriptors of the first process. A file outside of the container's mounts is named
/// to CRIU as external: it is the caller's, as a pipe is. The other processes may have their
/// callers' /dev/null, named last.
fn name_descriptors(options: &mut CriuOpts, record: &Record, pid: Pid, host: &[u8]) -> Result<Vec<String>> {
    let mut names: Vec<String> = (0..3).map(|number| name_of(pid, number, host)).collect();
    for other in record.cgroup().processes()?.into_iter().filter(|other| *other != pid) {
        for number in 0..3 {
            let name = name_of(other, number, host);
            let null = criu_images::external(&name).is_some_and(|(_, path)| path == criu_images::NULL);
            if null && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    for key in names.iter().filter_map(|name| criu_images::external(name)) {
        options.text(CriuText::External, key.0);
    }
    Ok(names)
}

/// The target of a descriptor as procfs shows it, with CRIU's name in front if it is external;
/// empty if the descriptor is closed.
fn name_of(pid: Pid, number: i32, host: &[u8]) -> String {
    let link = std::fs::read_link(format!("/proc/{pid}/fd/{number}"));
    let name = link.map_or(String::new(), |target| target.to_string_lossy().into_owned());
    let file = name.starts_with('/').then(|| file_of(pid, number, host)).flatten();
    file.map_or(name.clone(), |file| format!("{file}:{name}"))
}

/// CRIU's name of a regular file, or a device such as /dev/null, in a mount of the host.
fn file_of(pid: Pid, number: i32, host: &[u8]) -> Option<String> {
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    if !mountinfo::mounts(host).any(|mounted| mounted.id == mount.as_bytes()) {
        return None;
    }
    const MEMORY_DEVICES: u32 = 1;
    let file = std::fs::metadata(format!("/proc/{pid}/fd/{number}")).ok()?;
    let is_device = file.file_type().is_char_device() && libc::major(file.rdev()) == MEMORY_DEVICES;
    if !file.is_file() && !is_device {
        return None;
    }
    Some(format!("file[{:x}:{:x}]", mount.parse::<u64>().ok()?, file.ino()))
}

/// Deletes the container after CRIU has killed its processes.
fn remove(dir: &ContainerDir, record: &Record, pidfd: &impl AsFd, hooks: &Hooks, proof: &SingleThreaded) -> Result<()> {
    if record.cgroup().frozen().unwrap_or(false) {
        record.cgroup().thaw()?;
    }
    process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], EXIT_TIMEOUT.as_millis() as i32)?;
    delete::ended(dir, record, hooks, proof)
}
