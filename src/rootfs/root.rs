//! A first mount with the destination `/`: it becomes the container's root.
//!
//! It is attached to the descriptor of the root directory, which is a mount of its own in the
//! container's mount namespace by then. Every later lookup begins at the new root, and the root
//! directory below it is never looked at again.

use super::Rootfs;
use super::attach::Built;
use super::attributes::{self, Change};
use super::filesystem::{self, New};
use super::mount::{MountEntry, MountKind};
use super::options::Options;
use super::prepare;
use crate::error::{Context as _, Error, Result};
use crate::path::Handle;
use crate::sys::mount::{self, MountArgs, OPEN_TREE_CLONE};
use crate::sys::process::{self, Clone, Cloned, SingleThreaded};
use crate::sys::socket::{self, SockType};
use crate::sys::{file, fs};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Makes the paths in the options of an overlay absolute: as other sources they begin at the bundle.
pub(super) fn begin_at(bundle: &Path, options: &mut Options) {
    let bundle = bundle.to_string_lossy();
    let absolute = |path: &str, bundle: &str| match path {
        "" => String::new(),
        _ if path.starts_with('/') => path.to_owned(),
        _ => format!("{bundle}/{path}"),
    };
    for parameter in &mut options.data {
        let Some(value) = &mut parameter.value else { continue };
        match parameter.key.as_str() {
            "upperdir" | "workdir" | "lowerdir+" | "datadir+" => *value = absolute(value, &bundle),
            "lowerdir" => {
                let escaped = bundle.replace('\\', "\\\\").replace(':', "\\:");
                let mut is_first = true;
                let parts = value.split(':').map(|part| {
                    // The part after an escaped colon is the rest of a path.
                    let begins = std::mem::replace(&mut is_first, !part.ends_with('\\'));
                    if begins { absolute(part, &escaped) } else { part.to_owned() }
                });
                *value = parts.collect::<Vec<_>>().join(":");
            }
            _ => {}
        }
    }
}

impl Rootfs {
    /// The mount that becomes the root.
    pub(crate) fn new_root(&self) -> Option<&MountEntry> {
        self.mounts.first().filter(|mount| mount.is_new_root())
    }

    /// Makes the filesystem of the root as a detached mount, in the parent: most filesystems need rights
    /// that a user namespace does not have, and the layers of an overlay may be out of its reach. `None` if
    /// the child makes it.
    pub(super) fn make_root(&self, mount: &MountEntry) -> Result<Option<OwnedFd>> {
        let MountKind::Filesystem { kind, source, .. } = &mount.kind else { return Ok(None) };
        // A tmpfs belongs to the container's user namespace, and its options have ids of it.
        if matches!(kind.as_str(), "tmpfs" | "ramfs") || mount.options.legacy_flags != 0 {
            return Ok(None);
        }
        let label = self.label.as_deref();
        let new = New { kind, source, options: &mount.options, label, extra: None, context: None };
        match new.make(self.is_filled_later(mount)) {
            Err(e) if e.errno() == libc::EPERM => Ok(None),
            other => other.map(Some),
        }
    }

    /// Makes an overlay on lower layers with the id mapping of a user namespace (Linux 5.19).
    ///
    /// The kernel takes layers from the caller's mount namespace only, so a process makes it in a mount
    /// namespace of its own, where an id-mapped copy covers each layer.
    pub(super) fn make_mapped_root(&self, mount: &MountEntry, userns: BorrowedFd<'_>) -> Result<OwnedFd> {
        let (ours, theirs) = socket::pair(SockType::SeqPacket)?;
        let how = Clone { flags: libc::CLONE_NEWNS as u64, into_cgroup: None };
        let cloned = process::clone3(&SingleThreaded::of_caller()?, &how)
            .context("make a mount namespace for id-mapped layers")
            .hint_on(libc::EPERM, "only root can map the ids of layers");
        match cloned? {
            Cloned::Child => {
                let made = self.make_on_mapped_layers(mount, userns);
                let sent = match &made {
                    Ok(tree) => socket::send(&theirs, b"made", &[tree.as_raw_fd()]),
                    Err(e) => socket::send(&theirs, &e.encode(), &[]),
                };
                process::exit_now(i32::from(sent.is_err()))
            }
            Cloned::Parent(pid, _) => {
                drop(theirs);
                let mut buffer = [0; 4096];
                let packet = socket::receive(&ours, &mut buffer);
                process::wait(pid)?;
                let mut packet = packet?;
                packet.fds.pop().ok_or_else(|| Error::decode(&buffer[..packet.length]))
            }
        }
    }

    fn make_on_mapped_layers(&self, mount: &MountEntry, userns: BorrowedFd<'_>) -> Result<OwnedFd> {
        process::end_with_parent()?;
        mount::mount("/", &MountArgs { flags: libc::MS_PRIVATE | libc::MS_REC, ..MountArgs::default() })?;
        for parameter in &mount.options.data {
            let value = parameter.value.as_deref().unwrap_or_default();
            let layers = match parameter.key.as_str() {
                "lowerdir" => filesystem::layers(value),
                "lowerdir+" | "datadir+" => vec![("", value.to_owned())],
                _ => continue,
            };
            for (_, layer) in layers {
                let place = Handle::from(file::open(&layer, libc::O_PATH | libc::O_DIRECTORY)?);
                let tree = mount::open_tree(&place, "", OPEN_TREE_CLONE)?;
                mount::move_mount(prepare::map_tree(mount, tree, userns)?, &place)?;
            }
        }
        let made = self.make_root(mount)?.ok_or_else(|| Error::system("making an overlay needs CAP_SYS_ADMIN"));
        made.hint_on(libc::EINVAL, "id-mapped layers of an overlay need Linux 5.19")
    }

    /// Refuses a checkpoint or restore of a container with such a root: CRIU restores the root as a
    /// directory of the host, and this one is mounted nowhere there.
    pub(crate) fn refuse_new_root(&self) -> Result<()> {
        match self.new_root() {
            None => Ok(()),
            Some(_) => Err(Error::state("mounts[0]: CRIU cannot restore a container with a mount as its root")
                .hint("mount the filesystem on the host, and name its directory in root.path")),
        }
    }
}

impl<'a> Built<'a> {
    /// Makes the only mount of the tree its root and the current directory.
    pub(super) fn change_root(mut self) -> Result<Built<'a>> {
        self.tree = self.tree.at_mount()?;
        let root = self.tree.root();
        if [libc::PROC_SUPER_MAGIC, libc::SYSFS_MAGIC].contains(&fs::filesystem_magic(root)?) {
            return Err(Error::system("the source is a procfs or sysfs, which cannot become the root"));
        }
        if self.rootfs.keeps_peers() {
            // pivot_root(2) refuses a shared root.
            let private = Change { propagation: libc::MS_PRIVATE, ..Change::default() };
            attributes::apply_attached(root, vec![private])?;
        }
        fs::change_dir_to(root)?;
        Ok(self)
    }
}
