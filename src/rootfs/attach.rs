//! Mounting the root filesystem at its host path and everything in it: steps of the child, in the
//! container's mount namespace.

use super::Rootfs;
use super::attributes::{self, Change};
use super::cgroup::{self, CgroupView};
use super::copy::{copy_up, mode_of_covered};
use super::cwd;
use super::device::{self, Nodes};
use super::filesystem::{New, reconfigure, with_hint};
use super::mask::{self, DevNull};
use super::mount::{MountEntry, MountKind, is_allowed_in_proc};
use super::options::Propagation;
use super::prepare::{Prepared, Trees, open_source};
use super::put::{copy_symlink, missing, mount_by_old_call, put};
use super::tree::{Found, Tree};
use crate::error::{Context, Error, Result};
use crate::path::{Create, Handle, InRoot, Root};
use crate::procfs::ProcFd;
use crate::sys::credentials::without_umask;
use crate::sys::mount::{self, AT_RECURSIVE, MOUNT_ATTR_RDONLY, OPEN_TREE_CLONE};
use crate::sys::{file, fs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A mounted root filesystem with the mounts in it.
#[derive(Debug)]
pub(crate) struct Built<'a> {
    pub(crate) rootfs: &'a Rootfs,
    pub(super) tree: Tree,
    pub(super) null: Option<DevNull>,
    /// Copies of the sources of bind mounts from before the root was attached.
    pub(super) sources: Trees,
    /// Mounts to make read-only after the last change of their contents.
    pub(super) late: Vec<OwnedFd>,
    /// Whether the root is such a mount.
    pub(super) is_root_late: bool,
    /// Whether the descriptor of every mount is held.
    pub(super) holds_all: bool,
}

impl Rootfs {
    /// Attaches the root at its host path and creates all mounts, devices and links.
    ///
    /// On return the current directory is the root. `cgroups` are the contents of mounts of type
    /// `cgroup`.
    pub(crate) fn build(&self, prepared: &Prepared, trees: Trees, cgroups: &CgroupView) -> Result<Built<'_>> {
        without_umask(|| self.build_unmasked(prepared, trees, cgroups))
    }

    fn build_unmasked(&self, prepared: &Prepared, mut trees: Trees, cgroups: &CgroupView) -> Result<Built<'_>> {
        let context = || format!("mount the root filesystem {}", self.path.display());
        // The root is copied before the sources of bind mounts: CRIU restores a peer group through
        // its first mount, which must be the root's, since a volume is not within the root
        // directory.
        let root = self.copy_root(prepared).with_context(context)?;
        let sources = self.open_sources(&trees)?;
        let null = if self.masked.is_empty() { None } else { Some(DevNull::open()?) };
        let root = self.attach_copy(root).with_context(context)?;
        let mut built = Built {
            rootfs: self,
            tree: Tree::new(root),
            null,
            sources,
            late: Vec::new(),
            is_root_late: false,
            holds_all: false,
        };
        for mount in &self.mounts {
            built.attach(mount, trees.take(mount.index), cgroups).with_context(|| mount.name())?;
            if mount.is_new_root() {
                built = built.change_root().with_context(|| mount.name())?;
            }
        }
        if self.owns_dev() {
            let mut made = |device| trees.take(self.number_of_node(device));
            let nodes = if self.user_namespace { Nodes::Bound(&mut made) } else { Nodes::Own };
            device::create(&built.tree, &self.devices, nodes)?;
            device::link(&built.tree)?;
        }
        Ok(built)
    }

    /// Opens the sources of bind mounts before the container's mounts exist: a later recursive copy
    /// of a directory above the root would contain the container's mounts a second time and without
    /// masks.
    ///
    /// After the first 256, only sources that contain the root are opened now.
    fn open_sources(&self, prepared: &Trees) -> Result<Trees> {
        const AT_ONCE: usize = 256;
        let mut sources = Trees::default();
        let mut left = AT_ONCE;
        for mount in &self.mounts {
            let MountKind::Bind { source, inside: None, idmap: None } = &mount.kind else { continue };
            if prepared.has(mount.index) || left == 0 && !self.lies_within(source) {
                continue;
            }
            match open_source(mount, source) {
                Ok(tree) => sources.set(mount.index, tree),
                // An earlier mount of the container may be needed for the path.
                Err(e) if matches!(e.errno(), libc::ENOENT | libc::EMFILE) => continue,
                Err(e) => return Err(e.context(mount.name())),
            }
            left = left.saturating_sub(1);
        }
        Ok(sources)
    }

    /// Whether the root directory is within a directory of the host.
    fn lies_within(&self, directory: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.into());
        real(&self.path).starts_with(real(directory))
    }

    pub(super) fn attach_root(&self, prepared: &Prepared) -> Result<Root> {
        self.attach_copy(self.copy_root(prepared)?)
    }

    /// A detached copy of the root directory and the mounts in it. On return the root directory is
    /// the current one.
    fn copy_root(&self, prepared: &Prepared) -> Result<OwnedFd> {
        self.enter_directory(prepared)?;
        Ok(mount::open_tree(file::CWD, ".", OPEN_TREE_CLONE | AT_RECURSIVE)?)
    }

    /// Mounts the copy over the current directory.
    fn attach_copy(&self, tree: OwnedFd) -> Result<Root> {
        // pivot_root(2) refuses a shared root.
        let private = Change { propagation: libc::MS_PRIVATE, ..Change::default() };
        let changes = if self.keeps_peers() { vec![private] } else { Vec::new() };
        attributes::attach(tree.as_fd(), changes, &|| Ok(mount::move_mount(&tree, file::CWD)?))?;
        fs::change_dir_to(&tree)?;
        Ok(Root::from(tree))
    }

    /// Changes to the root directory in this mount namespace.
    fn enter_directory(&self, prepared: &Prepared) -> Result<()> {
        let is_here = || fs::stat(file::CWD).is_ok_and(|stat| stat.same_file(&prepared.stat));
        if is_here() {
            return Ok(());
        }
        fs::change_dir(self.path.as_os_str().as_bytes())?;
        if is_here() { Ok(()) } else { Err(Error::system("the directory was replaced")) }
    }
}

impl Built<'_> {
    pub(super) fn attach(&mut self, mount: &MountEntry, prepared: Option<OwnedFd>, cgroups: &CgroupView) -> Result<()> {
        match &mount.kind {
            MountKind::Bind { source, inside, .. } => self.bind(mount, source, inside, prepared),
            MountKind::Filesystem { kind, .. } if kind == "cgroup2" && cgroups.shared => {
                let place = self.place(mount, Create::Directory)?;
                let tree = cgroup::version_2(mount, &place.handle, cgroups)?;
                self.mounted(mount, place.path, tree);
                Ok(())
            }
            MountKind::Filesystem { kind, .. } if kind != "proc" && prepared.is_some() => {
                self.made_by_parent(mount, prepared)
            }
            MountKind::Filesystem { kind, source, .. } => self.filesystem(mount, kind, source, prepared),
            MountKind::Cgroup => {
                let place = self.place(mount, Create::Directory)?;
                let tree = cgroup::mount(mount, &place.handle, cgroups, self.rootfs.label.as_deref())?;
                self.mounted(mount, place.path, tree);
                Ok(())
            }
            MountKind::Remount => {
                let found = self.tree.find(&mount.destination)?;
                let place = found.ok_or_else(|| missing(&mount.destination))?.handle;
                reconfigure(&place, mount)?;
                attributes::apply_attached(&place, attributes::of(mount))
            }
        }
    }

    fn bind(
        &mut self,
        mount: &MountEntry,
        source: &Path,
        inside: &Option<InRoot>,
        prepared: Option<OwnedFd>,
    ) -> Result<()> {
        if mount.options.copy_symlink && copy_symlink(&self.tree, mount, source, inside)? {
            return Ok(());
        }
        let mut changes = attributes::of(mount);
        // For an id-mapped mount with a source in the container's tree the parent prepared only the
        // user namespace.
        let is_userns = match &prepared {
            Some(prepared) if inside.is_some() => fs::filesystem_magic(prepared)? == libc::NSFS_MAGIC,
            _ => false,
        };
        let tree = match (prepared, inside) {
            (userns, Some(path)) if userns.is_none() || is_userns => self.open_inside(mount, path, userns)?,
            (Some(tree), _) => {
                if !self.rootfs.keeps_peers() {
                    let slave = Propagation { kind: libc::MS_SLAVE, recursive: true };
                    changes.insert(0, Change::propagating(slave));
                }
                tree
            }
            (None, _) => match self.sources.take(mount.index) {
                Some(tree) => tree,
                None => open_source(mount, source)?,
            },
        };
        if mount.destination.as_str() == "/proc" {
            ProcFd::checked(file::duplicate_above(&tree, 3)?)?;
        }
        let kind = if fs::stat(&tree)?.is_dir() { Create::Directory } else { Create::File };
        let place = self.place(mount, kind)?;
        put(&tree, &place.handle, changes)?;
        self.mounted(mount, place.path, tree);
        Ok(())
    }

    /// Attaches a filesystem that the parent has made.
    fn made_by_parent(&mut self, mount: &MountEntry, tree: Option<OwnedFd>) -> Result<()> {
        let tree = tree.ok_or_else(|| Error::internal("the parent has made nothing"))?;
        let place = self.place(mount, Create::Directory)?;
        put(&tree, &place.handle, propagation(mount))?;
        self.filled_later(mount, place.path, tree, self.rootfs.is_filled_later(mount))
    }

    fn filesystem(&mut self, mount: &MountEntry, kind: &str, source: &str, context: Option<OwnedFd>) -> Result<()> {
        if kind == "cgroup2" {
            cgroup::refuse_flags(mount)?;
        }
        let of_kernel = kind == "proc" || kind == "sysfs";
        let place = match of_kernel {
            true => self.ordinary_directory(mount, kind)?,
            false => self.place(mount, Create::Directory)?,
        };
        let extra = if place.existed && kind == "tmpfs" { mode_of_covered(mount, &place.handle)? } else { None };
        let new = New { kind, source, options: &mount.options, label: self.rootfs.label.as_deref(), extra, context };
        let late = self.rootfs.is_filled_later(mount);
        if new.needs_old_call() {
            let tree = mount_by_old_call(&new, mount, &place.handle, late)?;
            return self.filled_later(mount, place.path, tree, late);
        }
        let tree = new.make(late).map_err(|e| with_hint(e, kind))?;
        copy_up(mount, &place.handle, &tree)?;
        put(&tree, &place.handle, propagation(mount))?;
        self.filled_later(mount, place.path, tree, late)
    }

    /// Records a new mount that becomes read-only at the end if `late` is set.
    fn filled_later(&mut self, mount: &MountEntry, place: InRoot, tree: OwnedFd, late: bool) -> Result<()> {
        if late && mount.is_new_root() {
            self.is_root_late = true;
        } else if late {
            self.late.push(file::duplicate_above(&tree, 3)?);
        }
        self.mounted(mount, place, tree);
        Ok(())
    }

    /// Records a new mount, and holds its descriptor if a later lookup may go through it.
    fn mounted(&mut self, mount: &MountEntry, place: InRoot, tree: OwnedFd) {
        // The first mounts are all held, since a symbolic link may lead to any of them.
        const FEW: usize = 64;
        let of_kernel = matches!(&mount.kind, MountKind::Filesystem { kind, .. } if kind == "proc" || kind == "sysfs");
        let held =
            self.holds_all || self.tree.number_held() < FEW || of_kernel || self.rootfs.leads_into(&place, mount.index);
        self.tree.mounted(place, held.then_some(tree));
    }

    /// The mount point of a procfs or sysfs. No component of its path may be a symbolic link
    /// (CVE-2019-19921).
    fn ordinary_directory(&self, mount: &MountEntry, kind: &str) -> Result<Found> {
        let ordinary =
            |error: Error| error.context(format!("filesystem {kind:?} must be mounted on ordinary directory"));
        let found = match self.tree.find_plain(&mount.destination).map_err(ordinary)? {
            Some(found) => found,
            None => {
                self.tree.find_or_create(&mount.destination, Create::Directory)?;
                let found = self.tree.find_plain(&mount.destination).map_err(ordinary)?;
                found.ok_or_else(|| ordinary(missing(&mount.destination).into()))?
            }
        };
        let directory = found.handle.stat()?.is_dir();
        if directory { Ok(found) } else { Err(ordinary(Error::system("it is not a directory"))) }
    }

    /// The mount point of a mount, created if it is missing.
    fn place(&self, mount: &MountEntry, kind: Create) -> Result<Found> {
        let found = match mount.options.destination_no_follow {
            true => self.tree.find_no_follow(&mount.destination)?,
            false => None,
        };
        let found = match found {
            Some(found) => found,
            None => self.tree.find_or_create(&mount.destination, kind).map_err(|e| self.in_earlier(e, mount))?,
        };
        self.refuse_inside_proc(mount, &found.handle)?;
        Ok(found)
    }

    /// Adds the earlier mount in which the mount point cannot be made, by the paths of the config alone.
    fn in_earlier(&self, error: Error, mount: &MountEntry) -> Error {
        let problem = match error.errno() {
            libc::EROFS => "is read-only: make the mount point in its source beforehand, or take `ro` out",
            libc::ENOTDIR => "is a file: mount elsewhere",
            libc::EACCES | libc::EPERM | libc::ENOENT => "takes no new directories: mount elsewhere",
            _ => return error,
        };
        let earlier = self.rootfs.mounts.iter().take_while(|earlier| earlier.index < mount.index);
        let around = earlier.filter(|earlier| mount.destination.is_within(&earlier.destination));
        match around.max_by_key(|earlier| earlier.destination.as_str().len()) {
            Some(earlier) => error.hint(format!("mounts[{}] at {} {problem}", earlier.index, earlier.destination)),
            None if error.errno() == libc::EROFS => {
                error.hint("the root filesystem is read-only: make the mount point in root.path beforehand")
            }
            None => error,
        }
    }

    /// Refuses a mount point inside a procfs, however its path led there, except the few allowed
    /// files.
    fn refuse_inside_proc(&self, mount: &MountEntry, place: &Handle) -> Result<()> {
        let proc = InRoot::new("/proc");
        let allowed = mount.destination == proc && matches!(mount.kind, MountKind::Bind { .. });
        if allowed || is_allowed_in_proc(&mount.destination) || fs::filesystem_magic(place)? != libc::PROC_SUPER_MAGIC {
            return Ok(());
        }
        Err(Error::system(format!("{} cannot be mounted because it is inside /proc", mount.destination)))
    }

    /// Holds the mounts that hooks made over those of the runtime, so that masks apply to the
    /// visible mounts.
    pub(crate) fn after_hooks(&mut self) -> Result<()> {
        self.tree.adopt_covers()
    }

    /// Makes the last changes to the container's tree: creates a missing working directory, makes
    /// paths read-only, masks paths, and makes the root read-only.
    pub(crate) fn protect(self, cwd: Option<&str>) -> Result<()> {
        let rootfs = self.rootfs;
        for mount in &self.late {
            attributes::apply_attached(mount, vec![Change::setting(MOUNT_ATTR_RDONLY)])?;
        }
        cwd.map_or(Ok(()), |cwd| cwd::make(&self.tree, cwd))?;
        let listed = mask::apply(&self.tree, rootfs, self.null)?;
        if rootfs.readonly || self.is_root_late || listed {
            attributes::apply_attached(self.tree.root(), vec![Change::setting(MOUNT_ATTR_RDONLY)])
                .context("make the root filesystem read-only")?;
        }
        if let Some(propagation) = rootfs.late_propagation() {
            attributes::apply_attached(self.tree.root(), vec![Change::propagating(propagation)])
                .context("linux.rootfsPropagation")?;
        }
        Ok(())
    }
}

impl Rootfs {
    /// Whether a read-only mount must be writable until other mounts, devices or files are created
    /// in it.
    pub(super) fn is_filled_later(&self, mount: &MountEntry) -> bool {
        let options = &mount.options;
        let read_only = options.own().set & MOUNT_ATTR_RDONLY != 0;
        let later = self.mounts.iter().skip(mount.index + 1);
        let devices = self.devices.iter().map(|device| &device.path);
        let places = later.map(|mount| &mount.destination).chain(devices);
        let filled = || places.into_iter().any(|place| place.is_within(&mount.destination));
        let takes_names = match &mount.kind {
            MountKind::Filesystem { kind, .. } if kind == "overlay" => mount.is_new_root(),
            MountKind::Filesystem { kind, .. } => kind == "tmpfs" || kind == "ramfs",
            _ => false,
        };
        read_only && takes_names && (options.copy_up || filled())
    }

    /// Whether a later step looks up a path at or beneath `place`, where mount number `index` is.
    fn leads_into(&self, place: &InRoot, index: usize) -> bool {
        let later = self.mounts.iter().skip(index + 1).map(|mount| &mount.destination);
        let devices = self.devices.iter().map(|device| &device.path);
        let protected = self.masked.iter().chain(&self.readonly_paths);
        let mut paths = later.chain(devices).chain(protected).chain(&self.cwd);
        // The links of /dev and the terminal of /dev/pts are created later.
        matches!(place.as_str(), "/dev" | "/dev/pts") || paths.any(|path| path.is_within(place))
    }
}

fn propagation(mount: &MountEntry) -> Vec<Change> {
    mount.options.propagation.iter().copied().map(Change::propagating).collect()
}
