//! Device nodes for a container with a user namespace, which cannot create any: the runtime creates
//! them with the privileges of the initial user namespace, and the container gets a bind mount of
//! each.

use super::Rootfs;
use super::attributes::{self, Change};
use super::device::Device;
use super::options::Attributes;
use super::prepare::Prepared;
use crate::error::{Context, Error, Ignore as _, Result};
use crate::idmap::IdMap;
use crate::sys::credentials::without_umask;
use crate::sys::fs::{self, device_number};
use crate::sys::mount::{
    self, MOUNT_ATTR_IDMAP, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MountAttr,
    OPEN_TREE_CLONE,
};
use crate::sys::{file, xattr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Rootfs {
    /// Creates the nodes with an owner or mode in the config, and those that the host does not
    /// have. Other devices are bind mounts of the host's nodes. Called by the parent, which must be
    /// root.
    ///
    /// The nodes stay in `directory`, which only the runtime may write to: a mount of a deleted
    /// file cannot be moved. `joined` is the user namespace if the container joins one; it has its
    /// mappings already.
    ///
    /// # Errors
    /// The user namespace does not map an owner.
    pub(crate) fn make_nodes(
        &self,
        prepared: &mut Prepared,
        directory: &Path,
        joined: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        if !self.user_namespace || !self.owns_dev() {
            return Ok(());
        }
        let needed =
            |device: &&Device| device.kind != libc::S_IFIFO && (device.is_special || device.on_host().is_err());
        let mut opened = None;
        for (n, device) in self.devices.iter().enumerate().filter(|(_, device)| device.is_of_config) {
            if !needed(&device) {
                continue;
            }
            let directory = match &opened {
                Some(directory) => directory,
                None => opened.insert(file::open(directory.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY)?),
            };
            let made = self
                .node(device, directory, &format!("node-{n}"), joined)
                .with_context(|| format!("device {}", device.path))?;
            if let Some(node) = made {
                prepared.trees.set(self.number_of_node(n), node);
            }
        }
        Ok(())
    }

    /// The index of a device's node among the trees; it follows those of the mounts.
    pub(crate) fn number_of_node(&self, device: usize) -> usize {
        self.mounts.len() + device
    }

    /// Creates a node. `None` if the runtime lacks the privilege, too; the host's node is then
    /// bound.
    fn node(
        &self,
        device: &Device,
        directory: &OwnedFd,
        name: &str,
        joined: Option<BorrowedFd<'_>>,
    ) -> Result<Option<OwnedFd>> {
        file::unlink_at(directory, name, 0).ignore("making the node fails if another is still there");
        let number = device_number(device.major, device.minor);
        match without_umask(|| fs::mknod_at(directory, name, device.kind | device.mode, number)) {
            Err(e) if e.is(libc::EPERM) => return Ok(None),
            other => other?,
        }
        self.mount_of(device, directory, name, joined).map(Some)
    }

    fn mount_of(
        &self,
        device: &Device,
        directory: &OwnedFd,
        name: &str,
        joined: Option<BorrowedFd<'_>>,
    ) -> Result<OwnedFd> {
        let node = mount::open_tree(directory, name, OPEN_TREE_CLONE)?;
        if let Some(label) = &self.label {
            xattr::set_by_number(&node, "security.selinux", format!("{label}\0").as_bytes())?;
        }
        let attributes =
            Attributes { set: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, clear: MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY };
        let waiting = attributes::apply(node.as_fd(), vec![Change { attributes, ..Change::default() }])?;
        if !waiting.is_empty() && fs::mount_flags(&node)? & libc::MS_NODEV != 0 {
            return Err(Error::system("the state directory is on a nodev mount")
                .hint("mount_setattr(2) of Linux 5.12 could clear nodev"));
        }
        match joined {
            Some(userns) if self.ids.uids.is_empty() => {
                fs::chown(&node, device.uid, device.gid)?;
                let attr =
                    MountAttr { set: MOUNT_ATTR_IDMAP, userns: userns.as_raw_fd() as u64, ..MountAttr::default() };
                let hint = "list the joined user namespace's mappings in linux.uidMappings and linux.gidMappings";
                mount::mount_setattr(&node, false, &attr).map_err(|e| Error::from(e).hint(hint))?;
            }
            _ => {
                let mapped = |ids: &IdMap, id: u32, field| {
                    ids.to_host(id).ok_or_else(|| {
                        let problem = format!("{id} is not mapped in the container's user namespace");
                        Error::config(format!("linux.devices: {field} of {}", device.path), problem)
                    })
                };
                let (uid, gid) =
                    (mapped(&self.ids.uids, device.uid, "uid")?, mapped(&self.ids.gids, device.gid, "gid")?);
                fs::chown(&node, uid, gid)?;
            }
        }
        Ok(node)
    }
}
