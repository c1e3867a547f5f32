//! `exec --tools`: a busybox of the host at `/.orlop-tools`, which no other process sees.
//!
//! A mount point is needed, and nothing may be written to the container's root, which may be
//! read-only. So the process gets a mount namespace of its own with another root: a tmpfs that has,
//! for each entry of the container's root, the same symbolic link or a copy of the mounts there, and
//! beside them the tools. The copies are the container's own files with their masks.
//!
//! An overlay would show neither the mounts in the root nor later changes of its files. A mount over
//! a directory of the image would hide it, and an image need not have one. The price of a new root:
//! the directory `/` is read-only, and entries that it gets later are not seen.

use super::Stage;
use crate::error::{Context, Result};
use crate::namespaces::{NamespaceKind, enter};
use crate::path::Handle;
use crate::process::plan::{TOOLS, Tools};
use crate::sys::file;
use crate::sys::fs::{self, Stat};
use crate::sys::mount::{
    self, AT_RECURSIVE, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MountArgs, MountAttr, OPEN_TREE_CLONE,
    RESOLVE_BENEATH, openat2, openat2_if_there,
};
use std::os::fd::OwnedFd;

/// The names by which busybox is called.
const APPLETS: &str = "[ ash awk base64 basename cat chmod chown clear cmp cp cut date dd df diff dirname dmesg du echo env \
                       expr false find free getopt grep gunzip gzip head hexdump hostname id ifconfig install ip kill killall \
                       less ln ls lsof md5sum mkdir mkfifo mknod mktemp more mount mv nc netstat nproc nslookup od pgrep pidof \
                       ping pkill pmap printenv printf ps pwd readlink realpath reset rm rmdir route sed seq sh sha256sum \
                       sleep sort stat strings stty sync tail tar tee telnet test timeout top touch tr traceroute true tty \
                       umount uname uniq uptime vi watch wc wget which whoami xargs yes";

/// Gives the process its own root with the tools, if it gets any.
pub(in crate::process) fn bring_tools(stage: &mut Stage<'_>) -> Result<()> {
    let Some(tools) = &stage.plan.tools else { return Ok(()) };
    enter::unshare(NamespaceKind::Mount.flag())?;
    mount::mount("/", &MountArgs { flags: libc::MS_REC | libc::MS_PRIVATE, ..MountArgs::default() })?;
    let old = file::open("/", libc::O_RDONLY | libc::O_DIRECTORY)?;
    let Stat { mode, uid, gid, .. } = fs::stat(&old)?;
    let new =
        tmpfs(tools, &[("mode", format!("{:o}", mode & 0o7777)), ("uid", uid.to_string()), ("gid", gid.to_string())])?;
    mount::move_mount(&new, &old)?;
    for name in fs::names(&old)?.iter().filter(|name| *name != TOOLS.as_bytes()) {
        copy_entry(&old, &new, name).with_context(|| format!("/{}", String::from_utf8_lossy(name)))?;
    }
    let filled = filled(tools)?;
    fs::mkdir_at(&new, TOOLS, 0o755)?;
    mount::move_mount_into(&filled, &new, TOOLS)?;
    make_read_only(&new)?;
    fs::change_dir_to(&new)?;
    mount::pivot_root_here()?;
    mount::detach(".", 0).context("detach the container's root")?;
    Ok(fs::change_dir("/")?)
}

/// Copies a symbolic link, or the mounts at a file or directory.
fn copy_entry(old: &OwnedFd, new: &OwnedFd, name: &[u8]) -> Result<()> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let Some(found) = openat2_if_there(old, name, flags, 0, RESOLVE_BENEATH)? else { return Ok(()) };
    let stat = fs::stat(&found)?;
    if stat.kind() == libc::S_IFLNK {
        return Ok(fs::symlink_at(fs::read_link_at(&found, "")?, new, name)?);
    }
    match stat.is_dir() {
        true => fs::mkdir_at(new, name, 0o755)?,
        false => fs::mknod_at(new, name, libc::S_IFREG | 0o644, 0)?,
    }
    let place = Handle::from(openat2(new, name, flags, 0, RESOLVE_BENEATH)?);
    let tree = mount::open_tree(&found, "", OPEN_TREE_CLONE | AT_RECURSIVE)?;
    Ok(mount::move_mount(&tree, &place)?)
}

/// The directory of tools, as a detached mount: a copy of the program, which cannot lead to the host's
/// file, and a link for each applet.
fn filled(tools: &Tools) -> Result<OwnedFd> {
    let tree = tmpfs(tools, &[("mode", "755".to_owned())])?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    let program = file::open_at(&tree, "busybox", flags, 0o755)?;
    file::write_all(&program, &tools.program)?;
    fs::chmod(&program, 0o755)?;
    // A mount with a file that is open for writing cannot become read-only.
    drop(program);
    for applet in APPLETS.split_ascii_whitespace() {
        fs::symlink_at("busybox", &tree, applet)?;
    }
    make_read_only(&tree)?;
    Ok(tree)
}

fn make_read_only(tree: &OwnedFd) -> Result<()> {
    Ok(mount::mount_setattr(tree, false, &MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() })?)
}

fn tmpfs(tools: &Tools, parameters: &[(&str, String)]) -> Result<OwnedFd> {
    let context = mount::fsopen("tmpfs")?;
    for (key, value) in parameters {
        mount::fsconfig_string(&context, key, value)?;
    }
    if let Some(label) = &tools.label {
        mount::fsconfig_string(&context, "context", label)?;
    }
    mount::fsconfig_create(&context)?;
    Ok(mount::fsmount(&context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?)
}
