//! External mounts of a container: mounts of files of the host. A checkpoint stores only a name for
//! each, and a restore bind-mounts them again.
//!
//! The names are those of runc, so that each runtime can restore the other's images: the mount
//! point, and `/dev/null` for a masked file.

use super::Rootfs;
use super::cgroup::CgroupView;
use super::device::{Nodes, PTMX};
use super::mount::{MountEntry, MountKind};
use super::options::{ATTRIBUTES, Depth};
use super::prepare::Prepared;
use super::put::copy_symlink;
use super::tree::Tree;
use crate::error::{Context, Error, Result};
use crate::mountinfo::{self, Mounted};
use crate::path::{Create, InRoot, Root};
use crate::sys::mount::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MountAttr};
use crate::sys::{file, fs};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An external mount (CRIU's `ext_mnt`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternalMount {
    /// In a checkpoint the mount point in the container, in a restore the name.
    pub key: Vec<u8>,
    /// In a checkpoint the name, in a restore the path on the host.
    pub value: Vec<u8>,
}

/// The name of the mount that masks a file.
const NULL: &str = "/dev/null";

/// The attributes that restrict a container. Their values are the same as those of the MS_* flags.
const RESTRICTIONS: u64 = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/// The type of file to create as mount point.
fn place_for(kind: &MountKind) -> Create {
    match kind {
        MountKind::Bind { source, .. } if std::fs::metadata(source).is_ok_and(|found| !found.is_dir()) => Create::File,
        _ => Create::Directory,
    }
}

/// Creates the mount point of `mount` in the source directory of the bind mount `around`, if it is
/// missing. Symbolic links are resolved within that directory.
fn make_place_within(root: &Tree, around: &MountEntry, mount: &MountEntry) -> Result<()> {
    let MountKind::Bind { source, inside, .. } = &around.kind else { return Ok(()) };
    let place = InRoot::new(mount.destination.beneath(&around.destination));
    if place.is_root() || place_for(&around.kind) == Create::File {
        return Ok(());
    }
    let directory = match inside {
        // A source below the root is resolved within the root.
        Some(path) => root.root().open(path, libc::O_PATH | libc::O_DIRECTORY),
        None => file::open(source.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY),
    };
    let tree = Tree::new(Root::from(directory.with_context(|| around.name())?));
    if tree.find(&place).with_context(|| mount.name())?.is_some() {
        return Ok(());
    }
    if around.options.own().set & MOUNT_ATTR_RDONLY != 0 {
        let text = format!("{place} is missing in {source:?}, which {} binds read-only", around.name());
        return Err(Error::system(text).context(mount.name()));
    }
    tree.find_or_create(&place, place_for(&mount.kind)).with_context(|| mount.name()).map(drop)
}

/// Whether `path` is `of` or beneath it.
fn is_within(path: &[u8], of: &[u8]) -> bool {
    of == b"/" || path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn add(list: &mut Vec<ExternalMount>, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    let new = ExternalMount { key: key.as_ref().to_vec(), value: value.as_ref().to_vec() };
    if list.iter().all(|known| known.key != new.key) {
        list.push(new);
    }
}

impl Rootfs {
    /// The external mounts of a running container. `container` is the mountinfo of the container,
    /// `host` that of the runtime.
    ///
    /// All bind mounts of the config are external, and all mounts of filesystems that the host has
    /// mounted, too, except the root and kernel filesystems that a new mount restores.
    /// `own_cgroups` is set if the container has a cgroup namespace of its own: only there does a
    /// new mount of cgroup v2 leave the options of the host's mounts alone.
    ///
    /// # Errors
    /// A mount cannot be restored: it is not in `known`, the result of [`Rootfs::sources`], or
    /// different mounts have the same mount point, which is their name.
    pub(crate) fn external_mounts(
        &self,
        container: &[u8],
        host: &[u8],
        own_cgroups: bool,
        known: &[ExternalMount],
    ) -> Result<Vec<ExternalMount>> {
        let devices: Vec<&[u8]> = mountinfo::mounts(host).map(|mounted| mounted.device).collect();
        let mounts: Vec<Mounted<'_>> = mountinfo::mounts(container).collect();
        let at_host = |mounted: &Mounted<'_>| devices.contains(&mounted.device);
        let inside: Vec<(&[u8], Vec<u8>)> = mounts
            .iter()
            .filter(|mounted| !at_host(mounted) || mounted.point() == b"/" || self.is_fresh(mounted, own_cgroups))
            .map(|mounted| (mounted.device, mounted.root()))
            .collect();
        let mut list = Vec::new();
        for mounted in &mounts {
            let (point, root) = (mounted.point(), mounted.root());
            let of_inside = inside.iter().any(|(device, of)| *device == mounted.device && is_within(&root, of));
            if point == b"/" || (of_inside && !self.binds(&point) && !self.has_node_at(&point)) {
                continue;
            }
            let hides = self.masked.iter().any(|path| path.as_str().as_bytes() == point)
                || (mounted.kind == b"devtmpfs" && root == b"/null");
            let name = if hides { NULL.as_bytes().to_vec() } else { point.clone() };
            let of_cgroups = mounted.kind.starts_with(b"cgroup");
            let refuse = |why: &str| {
                let point = String::from_utf8_lossy(&point).into_owned();
                Err(Error::state(format!("the mount at {point} could not be restored: {why}")))
            };
            let other = |other: &Mounted<'_>| (other.device, other.root()) != (mounted.device, mounted.root());
            if mounts.iter().any(|stacked| stacked.point() == point && other(stacked)) {
                return refuse("another mount has the same mount point");
            }
            if !of_cgroups && known.iter().all(|known| known.key != name) {
                return refuse("it is a mount of the host that the config does not name")
                    .map_err(|e| e.hint("if it is of `mounts add`, remove it, and add it again after `restore`"));
            }
            add(&mut list, point, name);
        }
        Ok(list)
    }

    /// Whether a mount is from an entry of the config with a filesystem type, so that a new mount
    /// restores it.
    fn is_fresh(&self, mounted: &Mounted<'_>, own_cgroups: bool) -> bool {
        let point = mounted.point();
        let here = self.mounts.iter().rfind(|mount| mount.destination.as_str().as_bytes() == point);
        match here.map(|mount| &mount.kind) {
            // Its root in mountinfo depends on the reader's cgroup namespace, so it is not
            // compared.
            Some(MountKind::Filesystem { .. } | MountKind::Cgroup) if mounted.kind == b"cgroup2" => own_cgroups,
            Some(MountKind::Filesystem { .. }) => mounted.root() == b"/",
            _ => false,
        }
    }

    /// Whether the config has a bind mount there with a source outside of the root directory.
    fn binds(&self, point: &[u8]) -> bool {
        let here = self.mounts.iter().rfind(|mount| mount.destination.as_str().as_bytes() == point);
        here.is_some_and(|mount| matches!(mount.kind, MountKind::Bind { inside: None, .. }))
    }

    /// Whether a device node is mounted there, which only the runtime could create.
    fn has_node_at(&self, point: &[u8]) -> bool {
        self.user_namespace && self.devices.iter().any(|device| device.path.as_str().as_bytes() == point)
    }

    /// The paths on the host that the container uses: its root directory and the sources of bind
    /// mounts.
    pub(crate) fn places(&self) -> Vec<&Path> {
        let sources = self.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Bind { source, .. } => Some(source.as_path()),
            _ => None,
        });
        sources.chain([self.path.as_path()]).collect()
    }
    /// The host paths of all mounts that [`Rootfs::external_mounts`] may return. `host` is the
    /// runtime's mountinfo; `kept` has the paths of mounts that exist already, by their indices in
    /// the config.
    ///
    /// # Errors
    /// A device that a user namespace needs is not on the host.
    pub(crate) fn sources(
        &self,
        prepared: &Prepared,
        view: &CgroupView,
        host: &[u8],
        kept: &[(usize, PathBuf)],
    ) -> Result<Vec<ExternalMount>> {
        let mut list = Vec::new();
        let root = self.root(prepared)?;
        let points: Vec<Vec<u8>> = mountinfo::mounts(host).map(|mounted| mounted.point()).collect();
        let beneath = |list: &mut Vec<ExternalMount>, source: &Path, kept: Option<&PathBuf>, destination: &str| {
            let source = source.canonicalize().unwrap_or_else(|_| source.to_owned());
            let source = source.as_os_str().as_bytes();
            for point in points.iter().filter(|point| is_within(point, source) && *point != source) {
                let rest = &point[if source == b"/" { 0 } else { source.len() }..];
                let value = kept.map_or(point.clone(), |kept| [kept.as_os_str().as_bytes(), rest].concat());
                add(list, [destination.trim_end_matches('/').as_bytes(), rest].concat(), value);
            }
        };
        // Of mounts at one path the last one is visible.
        for mount in self.mounts.iter().rev() {
            let destination = mount.destination.as_str();
            match &mount.kind {
                MountKind::Bind { source, .. } => {
                    // CRIU does not follow links.
                    let real = (!mount.options.source_no_follow).then(|| source.canonicalize().ok()).flatten();
                    let source = real.as_ref().unwrap_or(source);
                    let kept = kept.iter().find(|(index, _)| *index == mount.index).map(|(_, path)| path);
                    for key in self.places_of(&root, &mount.destination) {
                        let key = key.as_str();
                        add(&mut list, key, kept.unwrap_or(source).as_os_str().as_bytes());
                        if mount.options.bind == Depth::Tree {
                            beneath(&mut list, source, kept, key);
                        }
                    }
                }
                MountKind::Filesystem { kind, .. } if kind == "cgroup2" => {
                    let tree = view.tree.as_ref().or(view.unified.as_ref());
                    tree.iter().for_each(|tree| add(&mut list, destination, tree.as_os_str().as_bytes()));
                }
                MountKind::Cgroup => match &view.unified {
                    Some(directory) => {
                        add(&mut list, destination, view.tree.as_ref().unwrap_or(directory).as_os_str().as_bytes());
                    }
                    None => view.hierarchies.iter().for_each(|hierarchy| {
                        let key = format!("{}/{}", destination.trim_end_matches('/'), hierarchy.name);
                        add(&mut list, key, hierarchy.directory.as_os_str().as_bytes());
                    }),
                },
                MountKind::Filesystem { .. } | MountKind::Remount => {}
            }
        }
        if self.user_namespace && self.owns_dev() {
            for (n, device) in self.devices.iter().enumerate().filter(|(_, device)| device.path.as_str() != PTMX) {
                let number = self.number_of_node(n);
                let source = match kept.iter().find(|(index, _)| *index == number) {
                    Some((_, path)) => path.clone(),
                    // A node that the runtime creates has no path on the host; for a checkpoint its
                    // name is enough.
                    None if kept.is_empty() && device.is_of_config => PathBuf::from(device.path.as_str()),
                    None => device.on_host().with_context(|| format!("device {}", device.path))?,
                };
                add(&mut list, device.path.as_str(), source.as_os_str().as_bytes());
            }
        }
        add(&mut list, NULL, NULL);
        beneath(&mut list, &self.path, None, "");
        Ok(list)
    }

    /// Sets those of the `flags` (MS_*) on the mount at `point` that restrict the container and
    /// were lost. CRIU binds /dev/null once and copies the other masks from the first one, without
    /// their flags. Must be called in the container's mount namespace.
    ///
    /// `table` is the container's mountinfo. A mount that its path does not lead to must have all
    /// flags there.
    ///
    /// # Errors
    /// The kernel refuses the change; a mount that lost flags is covered, or its directory was
    /// replaced.
    pub(crate) fn restrict(point: &str, flags: u64, table: &[u8]) -> Result<()> {
        if flags & RESTRICTIONS == 0 {
            return Ok(());
        }
        let root = Root::from(file::open("/", libc::O_PATH | libc::O_DIRECTORY)?);
        let path = InRoot::new(point);
        let place = match root.find_plain(&path) {
            Err(e) if e.is(libc::ENOENT) || e.is(libc::ENOTDIR) || e.is(libc::ELOOP) => None,
            other => Some(other?),
        };
        let mounted = mountinfo::mounts(table).rev().find(|mounted| mounted.point() == path.as_str().as_bytes());
        let number = place.as_ref().map(fs::mount_id).transpose()?.map(|number| number.to_string());
        let place = match place {
            Some(place) if number.as_deref().map(str::as_bytes) == mounted.map(|mounted| mounted.id) => place,
            _ => return refuse_lost(&path, flags, mounted),
        };
        let lost = flags & RESTRICTIONS & !fs::mount_flags(&place)?;
        if lost == 0 {
            return Ok(());
        }
        let attr = MountAttr { set: lost, ..MountAttr::default() };
        mount::mount_setattr(&place, false, &attr).with_context(|| format!("protect {path} again"))
    }

    /// The root directory on the host, without the container's mounts.
    fn root(&self, prepared: &Prepared) -> Result<Root> {
        Ok(Root::from(file::duplicate_above(prepared.directory(), 3)?))
    }

    /// Creates missing mount points in the root filesystem and in sources of bind mounts, which may
    /// be other directories than at the checkpoint. MountEntry points in mounts of the container's own
    /// are in the images.
    ///
    /// # Errors
    /// A mount point cannot be created, or is missing in a directory that is bound read-only.
    pub(crate) fn make_places(&self, prepared: &Prepared) -> Result<()> {
        let tree = Tree::new(self.root(prepared)?);
        for mount in &self.mounts {
            if mount.kind == MountKind::Remount {
                continue;
            }
            let earlier = self.mounts.iter().take(mount.index).rev();
            let mut around =
                earlier.filter(|of| of.kind != MountKind::Remount && mount.destination.is_within(&of.destination));
            if let Some(of) = around.next() {
                make_place_within(&tree, of, mount)?;
                continue;
            }
            let kind = match &mount.kind {
                MountKind::Bind { source, inside, .. }
                    if mount.options.copy_symlink && copy_symlink(&tree, mount, source, inside)? =>
                {
                    continue;
                }
                kind => place_for(kind),
            };
            tree.find_or_create(&mount.destination, kind).with_context(|| mount.name())?;
        }
        let dev = InRoot::new("/dev");
        if !self.mounts.iter().any(|mount| dev.is_within(&mount.destination)) {
            let nodes = if self.user_namespace { Nodes::Places } else { Nodes::Own };
            super::device::create(&tree, &self.devices, nodes)?;
            super::device::link(&tree)?;
        }
        Ok(())
    }

    /// Makes the root directory a mount in this process's mount namespace, from which no mount may
    /// propagate to the host. The root directory must be the current directory (see
    /// [`Prepared::directory`]).
    ///
    /// # Errors
    /// The root directory was replaced, or cannot be mounted.
    pub(crate) fn mount_alone(&self, prepared: &Prepared) -> Result<()> {
        self.attach_root(prepared)
            .map(drop)
            .with_context(|| format!("mount the root filesystem {}", self.path.display()))
    }
}

/// Refuses a mount that its path does not lead to, because another mount covers it, unless it still
/// has all `flags`.
fn refuse_lost(path: &InRoot, flags: u64, mounted: Option<Mounted<'_>>) -> Result<()> {
    let attributes = mounted.map_or(&b""[..], |mounted| mounted.attributes);
    let has = |name: &str| attributes.split(|byte| *byte == b',').any(|attribute| attribute == name.as_bytes());
    match ATTRIBUTES.iter().find(|(name, _, flag)| flags & RESTRICTIONS & flag != 0 && !has(name)) {
        None => Ok(()),
        Some((name, ..)) => {
            let problem = "was replaced or is covered: it cannot be made";
            Err(Error::system(format!("the mount at {path} {problem} {name} again")))
        }
    }
}

/// The kernel's path of an open file.
pub(crate) fn path_of(fd: impl AsFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())).ok()
}
