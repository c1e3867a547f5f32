//! `restore`: creates a container from a bundle and the CRIU images of `checkpoint`.
//!
//! Cgroups, state and the hooks' network set-up are created as `create` does; processes, namespaces
//! and mounts come from the images. The hooks inside the container (`createContainer`,
//! `startContainer`) do not run again: their effects are in the images.

mod child;
mod given;
mod steps;
mod terminal;

use super::bundle::Bundle;
use super::cgroup_setup::{self, frozen};
use super::console::Give;
use super::criu_images::{self, CgroupYard, Images};
use super::hand_over::hand_over;
use super::inherited::Inherited;
use super::made::{CreatedContainer, Source};
use super::parts::Parts;
use super::request::{ManageCgroups, RestoreRequest};
use super::{Context, run};
use crate::cgroups::{Cgroup, CgroupFds, Layout};
use crate::criu::{Criu, CriuFlag, CriuOpts, CriuText, SavedMount, Start, Task};
use crate::error::{Context as _, Error, Result};
use crate::idmap::IdMaps;
use crate::log;
use crate::mountinfo;
use crate::namespaces::{self, NamespaceKind as Ns, Place};
use crate::process::attributes;
use crate::process::keyring::{self, Keyring};
use crate::process::launch::Launched;
use crate::rootfs::{self, CgroupView, IdmapOf, Prepared, Rootfs, Sources};
use crate::state::{ContainerDir, Record, Store};
use crate::sys::process::SingleThreaded;
use crate::sys::{file, fs, namespace, signal};
use child::{Holder, KeyringPipe};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use steps::Steps;
use terminal::Terminal;

/// `restore`: returns the exit code of the program, or 0 when detached.
///
/// It changes the calling process as [`run`](super::run()) does.
///
/// # Errors
/// A fault of the request, the config, the images or the machine; everything created is removed.
pub fn restore(context: &Context, request: &RestoreRequest) -> Result<u8> {
    let proof = &SingleThreaded::of_caller()?;
    let _caller = context.keep_caller()?;
    if request.detach {
        make(context, request, proof, Give::detached(&request.create.console_socket))?;
        return Ok(0);
    }
    let give = run::foreground(&request.create, request.no_subreaper)?;
    let mut made = make(context, request, proof, give)?;
    let master = made.terminal.take();
    run::attend(&mut made, master, false, proof)
}

fn make(
    context: &Context,
    request: &RestoreRequest,
    proof: &SingleThreaded,
    console: Give,
) -> Result<CreatedContainer> {
    log::step("read the configuration");
    let program = criu_images::program(&request.criu, "restore")?;
    let images = Images::find(&request.criu, "restore.log")?;
    let descriptors = images.descriptors()?;
    let bundle = Bundle::open(&request.create)?;
    let mut spec = bundle.spec()?;
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
    let mut parts = Parts::parse(context, &request.create, &mut spec, &bundle, &inherited)?;
    refuse(&parts)?;
    parts.notifies = notifies;
    let ours = matches!(console, Give::Ours);
    // The master comes from CRIU, so no socket to this process is needed.
    let (console, _) = console.check(parts.plan.has_terminal())?;
    let terminal = if ours { Terminal::Ours } else { console.map_or(Terminal::None, Terminal::To) };
    // Until now a signal could end this command without a trace on the machine. From now on signals
    // are blocked, so that none is lost.
    let signals = ours.then(signal::all_signals_as_fd).transpose()?;

    let source = Source { store: &store, request: &request.create, spec: &spec, bundle: &bundle, proof };
    let maker = Maker { request, source: &source, program: &program, images: &images, saved: &saved, proof };
    let receiver = parts.receiver.take();
    source.make(
        parts,
        signals,
        |dir, record, parts| maker.build(dir, record, parts, &descriptors, &terminal),
        |made| {
            hand_over(&request.create.pidfd_socket, &request.create.pid_file, receiver.as_deref(), &made.launched)?;
            made.run_poststart(proof)
        },
    )
}

/// Refuses settings that CRIU would restore differently.
fn refuse(parts: &Parts) -> Result<()> {
    for kind in [Ns::User, Ns::Mount, Ns::Cgroup] {
        if let Place::Join(path) = parts.plan.namespaces.place(kind) {
            let what = format!("a container that joins a {} namespace ({path}) cannot be restored", kind.word());
            return Err(Error::config("linux.namespaces", what));
        }
    }
    parts.plan.rootfs.as_ref().map_or(Ok(()), Rootfs::refuse_new_root)
}

/// The input of a restore.
struct Maker<'a> {
    request: &'a RestoreRequest,
    source: &'a Source<'a>,
    program: &'a Path,
    images: &'a Images,
    /// The container's mounts at the checkpoint.
    saved: &'a [SavedMount],
    proof: &'a SingleThreaded,
}

/// The cgroups created before CRIU starts.
struct Cgroups {
    cgroup: Cgroup,
    yard: CgroupYard,
    fds: CgroupFds,
    /// The process for which systemd created the scope.
    holder: Option<Holder>,
}

/// The filesystems mounted before CRIU starts.
struct Mounts<'a> {
    rootfs: &'a Rootfs,
    prepared: Prepared,
    /// A user namespace with the container's mappings, if it has one.
    userns: Option<OwnedFd>,
    /// The runtime's mount table.
    table: Vec<u8>,
    /// The mounts that CRIU cannot create, by their index in the config.
    kept: Vec<(usize, PathBuf)>,
}

impl Maker<'_> {
    /// Every step that changes the machine.
    fn build(
        &self,
        dir: &ContainerDir,
        record: &mut Record,
        parts: &mut Parts,
        descriptors: &[String],
        terminal: &Terminal,
    ) -> Result<(Launched, Option<OwnedFd>)> {
        let Cgroups { mut cgroup, mut yard, fds, holder } = self.make_cgroups(dir, record, parts)?;
        parts.new_cgroup = cgroup.is_new();
        log::step("describe the container");
        let recipe = namespaces::recipe::recipe(&parts.plan.namespaces, |kind| parts.plan.joined.owner(kind), true);
        parts.plan.recipe = recipe;
        let plan = &parts.plan;
        let view = cgroup_setup::view(&cgroup, plan)?;
        let rootfs = plan.rootfs.as_ref().ok_or_else(|| Error::internal("a container without a root filesystem"))?;
        let mounts = self.make_mounts(dir, rootfs, &mut yard)?;
        // A container without a cgroup of its own stays in the caller's, with CRIU.
        let inside = cgroup.cgroups().is_empty() || self.request.criu.manage_cgroups == Some(ManageCgroups::Ignore);
        let mut options = self.describe(inside, &mounts, &view)?;
        yard.announce(&mut options);
        for (controller, path) in cgroup.paths() {
            options.cgroup_root(&controller, &path);
        }
        let standard = given::standard(descriptors)?;
        let empty_network = self.request.criu.empty_ns.iter().any(|name| name == "network");
        let given = given::inherit(&mut options, parts, &standard, empty_network)?;
        let home = file::open(".", libc::O_PATH | libc::O_DIRECTORY)?;
        let told = KeyringPipe::new()?;
        let prepare = || {
            if inside {
                fds.join_self()?;
                if *plan.namespaces.place(Ns::Cgroup) == Place::New {
                    // In this mode CRIU creates no cgroup namespace: the restored processes stay in
                    // its own.
                    namespace::unshare(libc::CLONE_NEWCGROUP).context("make a cgroup namespace")?;
                }
            }
            // Restored processes inherit CRIU's affinity.
            attributes::use_the_cpuset();
            if let Keyring::New(name) = &plan.keyring {
                told.tell(keyring::make(name)?)?;
            }
            criu_images::leave_host()?;
            rootfs.mount_alone(&mounts.prepared)?;
            let directories = self.images.open(mounts.userns.as_ref())?;
            yard.make()?;
            Ok(directories)
        };
        let flags = libc::CLONE_NEWNS as u64;
        let into_cgroup = fds.clone_into().filter(|_| inside);
        let start = Start { program: self.program, flags, into_cgroup, prepare: &prepare, inherited: &given };
        // For the child: a new mount namespace keeps its copy of the working directory's mount.
        fs::change_dir_to(mounts.prepared.directory())?;
        log::step("restore the processes");
        dir.unlock()?;
        let started = Criu::start(&start, self.proof);
        fs::change_dir_to(&home)?;
        let foreign = mounts.userns.is_some();
        let mut steps = Steps {
            dir,
            record,
            parts,
            master: None,
            saved: self.saved,
            is_protected: false,
            empty_network,
            proof: self.proof,
        };
        let restored = started?.ask(Task::Restore, &options, &self.images.log(), &mut |step| steps.serve(step));
        let pid = restored?.ok_or_else(|| Error::system("criu did not say which process it restored"))?;
        drop::<Option<Holder>>(holder);
        let keyring = told.made().map(|made| made.map(|made| keyring::CreatedKeyring { outside: foreign, ..made }));
        steps.finish(pid, keyring, &mut cgroup, terminal)
    }

    /// Saves the record and makes the cgroups.
    fn make_cgroups(&self, dir: &ContainerDir, record: &mut Record, parts: &Parts) -> Result<Cgroups> {
        let layout = Layout::read()?;
        let must_be_new = self.request.criu.manage_cgroups == Some(ManageCgroups::Strict);
        let mut cgroup = cgroup_setup::prepare(dir, record, parts, self.source.bundle, &layout, must_be_new)?;
        let yard = CgroupYard::at(dir.path(), &layout)?;
        let (mut fds, holder) = self.make_cgroup(&mut cgroup)?;
        fds.join_all_now();
        cgroup.renew(&mut record.cgroup);
        dir.save(record)?;
        if cgroup.stands_still()? {
            return Err(frozen());
        }
        cgroup.apply_early()?;
        Ok(Cgroups { cgroup, yard, fds, holder })
    }

    /// Creates the container's cgroup, into which CRIU moves the processes. systemd creates a scope
    /// only for a process.
    fn make_cgroup(&self, cgroup: &mut Cgroup) -> Result<(CgroupFds, Option<Holder>)> {
        let scope = cgroup.awaits_scope();
        let fds = cgroup.create()?;
        if !scope {
            return Ok((fds, None));
        }
        let holder = Holder::new(self.proof)?;
        cgroup.enter(holder.pid)?;
        Ok((cgroup.open_fds()?, Some(holder)))
    }

    /// Opens the sources of the mounts, and creates those that CRIU cannot.
    fn make_mounts<'a>(&self, dir: &ContainerDir, rootfs: &'a Rootfs, yard: &mut CgroupYard) -> Result<Mounts<'a>> {
        let linux = self.source.spec.linux.as_ref().filter(|linux| linux.namespace("user").is_some());
        let ids = linux.map(IdMaps::parse).transpose()?;
        let userns = ids.map(|ids| rootfs::user_namespace(self.proof, &ids)).transpose()?;
        let mut prepared = rootfs.prepare(if userns.is_some() { Sources::ByParent } else { Sources::ByChild })?;
        if userns.is_some() {
            rootfs.make_nodes(&mut prepared, dir.path(), None)?;
        }
        rootfs.make_places(&prepared)?;
        let table = mountinfo::table("self")?;
        let kept = self.keep_mounts(yard, rootfs, &mut prepared, userns.as_ref())?;
        Ok(Mounts { rootfs, prepared, userns, table, kept })
    }

    /// Creates the mounts that CRIU cannot; returns their later paths, by index in the config.
    fn keep_mounts(
        &self,
        yard: &mut CgroupYard,
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

    /// CRIU's options. `inside`: CRIU ignores cgroups, and restored processes stay in its own.
    fn describe(&self, inside: bool, mounts: &Mounts<'_>, view: &CgroupView) -> Result<CriuOpts> {
        let mode = match self.request.criu.manage_cgroups {
            _ if inside => Some(ManageCgroups::Ignore),
            // The container's own cgroup is new, and exists before CRIU starts.
            Some(ManageCgroups::Strict) => Some(ManageCgroups::Full),
            mode => mode,
        };
        let mut options = self.images.options(&self.request.criu, self.source.spec, mode)?;
        options.set(CriuFlag::EvasiveDevices, true);
        options.set(CriuFlag::Sibling, true);
        options.set(CriuFlag::TcpClose, self.request.tcp_close);
        if let Some(profile) = &self.request.lsm_profile {
            options.text(CriuText::LsmProfile, profile);
        }
        if let Some(context) = &self.request.lsm_mount_context {
            options.text(CriuText::LsmMountContext, context);
        }
        options.set(CriuFlag::MntnsCompatMode, !mounts.kept.is_empty());
        let rootfs = mounts.rootfs;
        options.text(CriuText::Root, rootfs.path.as_os_str().as_bytes());
        for outside in rootfs.sources(&mounts.prepared, view, &mounts.table, &mounts.kept)? {
            options.external_mount(&outside.key, &outside.value);
        }
        Ok(options)
    }
}
