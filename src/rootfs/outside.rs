//! The mounts of a container that show what is not the container's own: in a checkpoint they are not saved, only named, and a
//! restore binds them again.
//!
//! The names are those that runc gives: the mount point, and `/dev/null` for whatever hides a file. So images of either runtime
//! are images for the other.

use super::Rootfs;
use super::attach::copy_symlink;
use super::cgroup::CgroupView;
use super::device::{Nodes, PTMX};
use super::mount::{Kind, Mount};
use super::options::Bind;
use super::prepare::Prepared;
use super::tree::Tree;
use crate::error::{Context, Error, Result};
use crate::mountinfo::{self, Mounted};
use crate::path::{Create, InRoot, Root};
use crate::sys::mount::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MountAttr};
use crate::sys::{file, fs};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A mount that shows something outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    /// In a checkpoint the mount point in the container, in a restore the name.
    pub key: Vec<u8>,
    /// In a checkpoint the name, in a restore the path on the host.
    pub value: Vec<u8>,
}

/// What hides a file.
const NULL: &str = "/dev/null";

/// What a mount may take from a container: of the same numbers as attributes and as MS_* flags.
const RESTRICTIONS: u64 = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/// Their names in the tables of mounts.
const ATTRIBUTES: [(u64, &str); 4] = [
    (MOUNT_ATTR_RDONLY, "ro"),
    (MOUNT_ATTR_NOSUID, "nosuid"),
    (MOUNT_ATTR_NODEV, "nodev"),
    (MOUNT_ATTR_NOEXEC, "noexec"),
];

/// What a mount is put on.
fn place_for(kind: &Kind) -> Create {
    match kind {
        Kind::Bind { source, .. } if std::fs::metadata(source).is_ok_and(|found| !found.is_dir()) => Create::File,
        _ => Create::Directory,
    }
}

/// Makes what is missing for `mount` in the directory that `around` binds. No link in it leads out of it.
fn make_place_within(root: &Tree, around: &Mount, mount: &Mount) -> Result<()> {
    let Kind::Bind { source, inside, .. } = &around.kind else { return Ok(()) };
    let place = InRoot::new(mount.destination.beneath(&around.destination));
    if place.is_root() || place_for(&around.kind) == Create::File {
        return Ok(());
    }
    let directory = match inside {
        // What the root filesystem has there is looked up within it.
        Some(path) => root.root().open(path, libc::O_PATH | libc::O_DIRECTORY),
        None => file::open(source.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY),
    };
    let tree = Tree::new(Root::from(directory.with(|| around.name())?));
    if tree.find(&place).with(|| mount.name())?.is_some() {
        return Ok(());
    }
    if around.options.own().set & MOUNT_ATTR_RDONLY != 0 {
        let text = format!("{place} is missing in {source:?}, which {} binds read-only", around.name());
        return Err(Error::system(text).at(mount.name()));
    }
    tree.find_or_create(&place, place_for(&mount.kind)).with(|| mount.name()).map(drop)
}

/// A path and all beneath it.
fn is_within(path: &[u8], of: &[u8]) -> bool {
    of == b"/" || path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn add(list: &mut Vec<Outside>, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    let new = Outside { key: key.as_ref().to_vec(), value: value.as_ref().to_vec() };
    if list.iter().all(|known| known.key != new.key) {
        list.push(new);
    }
}

impl Rootfs {
    /// Which mounts of a running container, whose table of mounts is `container`, are not to be saved. `host` is the runtime's
    /// table.
    ///
    /// A filesystem that the host has mounted too is outside, unless it is the root's, or a kernel's that a fresh mount shows
    /// again; so is every bind mount of the config. `own_cgroups` says that the container has a cgroup namespace of its own: a
    /// fresh mount of cgroup v2 shows the same again there, but for the host's namespace it would set options of the host's tree.
    ///
    /// # Errors
    /// A mount that a restore could not make again: it is none of `known`, which [`Rootfs::sources`] gave, or two different ones
    /// have the same mount point, which is their name.
    pub(crate) fn outside(
        &self,
        container: &[u8],
        host: &[u8],
        own_cgroups: bool,
        known: &[Outside],
    ) -> Result<Vec<Outside>> {
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
                return refuse("another one is at the same place");
            }
            if !of_cgroups && known.iter().all(|known| known.key != name) {
                return refuse("it is the host's, and none that the config names");
            }
            add(&mut list, point, name);
        }
        Ok(list)
    }

    /// Whether a mount is one of the config's that shows a whole filesystem.
    fn is_fresh(&self, mounted: &Mounted<'_>, own_cgroups: bool) -> bool {
        let point = mounted.point();
        let here = self.mounts.iter().rfind(|mount| mount.destination.as_str().as_bytes() == point);
        match here.map(|mount| &mount.kind) {
            // What it shows, its namespace decides; we see that from outside.
            Some(Kind::Filesystem { .. } | Kind::Cgroup) if mounted.kind == b"cgroup2" => own_cgroups,
            Some(Kind::Filesystem { .. }) => mounted.root() == b"/",
            _ => false,
        }
    }

    /// Whether the config has something bound there that is not the container's own.
    fn binds(&self, point: &[u8]) -> bool {
        let here = self.mounts.iter().rfind(|mount| mount.destination.as_str().as_bytes() == point);
        here.is_some_and(|mount| matches!(mount.kind, Kind::Bind { inside: None, .. }))
    }

    /// Whether a device's node, which only the runtime may make, is mounted there.
    fn has_node_at(&self, point: &[u8]) -> bool {
        self.user_namespace && self.devices.iter().any(|device| device.path.as_str().as_bytes() == point)
    }

    /// The paths on the host that the container is made of.
    pub(crate) fn places(&self) -> Vec<&Path> {
        let sources = self.mounts.iter().filter_map(|mount| match &mount.kind {
            Kind::Bind { source, .. } => Some(source.as_path()),
            _ => None,
        });
        sources.chain([self.path.as_path()]).collect()
    }

    /// Whether mounts of the host that are shared stay so, which they do not through a checkpoint.
    pub(crate) fn shares_mounts(&self) -> bool {
        self.keeps_peers()
    }

    /// Where on the host everything is that [`Rootfs::outside`] may have named. `host` is the runtime's table of mounts, `kept` says
    /// where those of the config's mounts are that were made already, by their numbers.
    ///
    /// # Errors
    /// A device that a user namespace needs is not on the host.
    pub(crate) fn sources(
        &self,
        prepared: &Prepared,
        view: &CgroupView,
        host: &[u8],
        kept: &[(usize, PathBuf)],
    ) -> Result<Vec<Outside>> {
        let mut list = Vec::new();
        let root = self.root(prepared)?;
        let points: Vec<Vec<u8>> = mountinfo::mounts(host).map(|mounted| mounted.point()).collect();
        let beneath = |list: &mut Vec<Outside>, source: &Path, kept: Option<&PathBuf>, destination: &str| {
            let source = source.canonicalize().unwrap_or_else(|_| source.to_owned());
            let source = source.as_os_str().as_bytes();
            for point in points.iter().filter(|point| is_within(point, source) && *point != source) {
                let rest = &point[if source == b"/" { 0 } else { source.len() }..];
                let value = kept.map_or(point.clone(), |kept| [kept.as_os_str().as_bytes(), rest].concat());
                add(list, [destination.trim_end_matches('/').as_bytes(), rest].concat(), value);
            }
        };
        // The last one at a place is the one that is seen.
        for mount in self.mounts.iter().rev() {
            let destination = mount.destination.as_str();
            match &mount.kind {
                Kind::Bind { source, .. } => {
                    // CRIU does not follow links.
                    let real = (!mount.options.source_no_follow).then(|| source.canonicalize().ok()).flatten();
                    let source = real.as_ref().unwrap_or(source);
                    let kept = kept.iter().find(|(index, _)| *index == mount.index).map(|(_, path)| path);
                    for key in self.places_of(&root, &mount.destination) {
                        let key = key.as_str();
                        add(&mut list, key, kept.unwrap_or(source).as_os_str().as_bytes());
                        if mount.options.bind == Bind::Tree {
                            beneath(&mut list, source, kept, key);
                        }
                    }
                }
                Kind::Filesystem { kind, .. } if kind == "cgroup2" => {
                    let tree = view.tree.as_ref().or(view.unified.as_ref());
                    tree.iter().for_each(|tree| add(&mut list, destination, tree.as_os_str().as_bytes()));
                }
                Kind::Cgroup => match &view.unified {
                    Some(directory) => {
                        add(&mut list, destination, view.tree.as_ref().unwrap_or(directory).as_os_str().as_bytes());
                    }
                    None => view.hierarchies.iter().for_each(|hierarchy| {
                        let key = format!("{}/{}", destination.trim_end_matches('/'), hierarchy.name);
                        add(&mut list, key, hierarchy.directory.as_os_str().as_bytes());
                    }),
                },
                Kind::Filesystem { .. } | Kind::Remount => {}
            }
        }
        if self.user_namespace && self.owns_dev() {
            for (n, device) in self.devices.iter().enumerate().filter(|(_, device)| device.path.as_str() != PTMX) {
                let number = self.number_of_node(n);
                let source = match kept.iter().find(|(index, _)| *index == number) {
                    Some((_, path)) => path.clone(),
                    // A node that the runtime makes has no path on the host: in a checkpoint its name is enough.
                    None if kept.is_empty() && device.is_of_config => PathBuf::from(device.path.as_str()),
                    None => device.on_host().with(|| format!("device {}", device.path))?,
                };
                add(&mut list, device.path.as_str(), source.as_os_str().as_bytes());
            }
        }
        add(&mut list, NULL, NULL);
        beneath(&mut list, &self.path, None, "");
        Ok(list)
    }

    /// In the container's mount namespace: gives the mount at `point` what of `flags` (MS_*) keeps the container from something
    /// and was lost. CRIU binds whatever hides files once, and the second one from the first, without its flags.
    ///
    /// `table` is the container's table of mounts: what is not found by its name must have lost nothing.
    ///
    /// # Errors
    /// The kernel refuses; a mount that has lost something is hidden, or its directory was exchanged.
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
        mount::mount_setattr(&place, false, &attr).with(|| format!("protect {path} again"))
    }

    /// The root directory as it is on the host, before anything is mounted in it.
    fn root(&self, prepared: &Prepared) -> Result<Root> {
        let directory = prepared.directory().try_clone_to_owned();
        Ok(Root::from(directory.map_err(|e| Error::system(format!("duplicate the root directory: {e}")))?))
    }

    /// Makes what is missing for mounts to be put on, in the root filesystem and in directories that are bound: others may be
    /// restored than were saved. What lies in a mount of the container's own is in the images.
    ///
    /// # Errors
    /// A place cannot be made, or is missing in a directory that is bound read-only.
    pub(crate) fn make_places(&self, prepared: &Prepared) -> Result<()> {
        let tree = Tree::new(self.root(prepared)?);
        for mount in &self.mounts {
            if mount.kind == Kind::Remount {
                continue;
            }
            let earlier = self.mounts.iter().take(mount.index).rev();
            let mut around =
                earlier.filter(|of| of.kind != Kind::Remount && mount.destination.is_within(&of.destination));
            if let Some(of) = around.next() {
                make_place_within(&tree, of, mount)?;
                continue;
            }
            let kind = match &mount.kind {
                Kind::Bind { source, inside, .. }
                    if mount.options.copy_symlink && copy_symlink(&tree, mount, source, inside)? =>
                {
                    continue;
                }
                kind => place_for(kind),
            };
            tree.find_or_create(&mount.destination, kind).with(|| mount.name())?;
        }
        let dev = InRoot::new("/dev");
        if !self.mounts.iter().any(|mount| dev.is_within(&mount.destination)) {
            let nodes = if self.user_namespace { Nodes::Places } else { Nodes::Own };
            super::device::create(&tree, &self.devices, nodes)?;
            super::device::link(&tree)?;
        }
        Ok(())
    }

    /// Makes the root directory, which must be the current one (see [`Prepared::directory`]), a mount in this process's mount
    /// namespace, from which the host's must not take any.
    ///
    /// # Errors
    /// The root directory was exchanged, or cannot be mounted.
    pub(crate) fn mount_alone(&self, prepared: &Prepared) -> Result<()> {
        self.attach_root(prepared).map(drop).with(|| format!("mount the root filesystem {}", self.path.display()))
    }
}

/// What is not found by its name may be hidden by another mount, and then it must be as it was.
fn refuse_lost(path: &InRoot, flags: u64, mounted: Option<Mounted<'_>>) -> Result<()> {
    let attributes = mounted.map_or(&b""[..], |mounted| mounted.attributes);
    let has = |name: &str| attributes.split(|byte| *byte == b',').any(|attribute| attribute == name.as_bytes());
    match ATTRIBUTES.iter().find(|(flag, name)| flags & flag != 0 && !has(name)) {
        None => Ok(()),
        Some((_, name)) => {
            Err(Error::system(format!("the mount at {path} was exchanged or hidden: it cannot be made {name} again")))
        }
    }
}

/// The path by which the kernel knows an open file.
pub(crate) fn path_of(fd: impl AsFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())).ok()
}
