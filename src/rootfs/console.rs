//! The container's terminal: a pseudo-terminal of the container's devpts, and /dev/console.

use super::Built;
use super::put::missing;
use crate::error::{Context, Error, Result};
use crate::path::{Create, Handle, InRoot, Root};
use crate::sys::fs;
use crate::sys::mount::{self, OPEN_TREE_CLONE, RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV};
use std::os::fd::OwnedFd;

const NO_DEVPTS: &str = "a terminal needs a devpts mounted at /dev/pts";

/// Both sides of the container's pseudo-terminal.
#[derive(Debug)]
pub(crate) struct Console {
    /// The side for the engine or terminal emulator.
    pub master: OwnedFd,
    /// The side for the container's process.
    pub slave: OwnedFd,
    /// The number of the slave side in the container's devpts.
    pub index: u32,
}

impl Console {
    /// Creates a pseudo-terminal in the devpts at /dev/pts of `root`, which is not trusted.
    ///
    /// The slave side is opened through the master, never by its name in devpts (CVE-2025-52565).
    pub(crate) fn open(root: &Root) -> Result<Console> {
        let devpts = root.find(&InRoot::new("/dev/pts")).hint_on(libc::ENOENT, NO_DEVPTS);
        devpts.and_then(|devpts| Console::of(&devpts)).context("make a pseudo-terminal")
    }

    fn of(devpts: &Handle) -> Result<Console> {
        if fs::filesystem_magic(devpts)? != libc::DEVPTS_SUPER_MAGIC {
            return Err(Error::system("/dev/pts in the container is not a devpts"));
        }
        // In a devpts without mounts over it, `ptmx` cannot be another file.
        let beneath = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
        let master = mount::openat2(devpts, "ptmx", libc::O_RDWR | libc::O_NOCTTY, 0, beneath)?;
        let slave = fs::pty_peer(&master)?;
        if fs::filesystem_magic(&slave)? != libc::DEVPTS_SUPER_MAGIC {
            return Err(Error::system("the pseudo-terminal is not in a devpts"));
        }
        let index = fs::pty_index(&master)?;
        Ok(Console { master, slave, index })
    }
}

impl Built<'_> {
    /// Creates a pseudo-terminal in the container's devpts and mounts it at /dev/console. Call it
    /// after [`Built::pivot`] and before [`Built::protect`].
    pub(crate) fn console(&self) -> Result<Console> {
        let path = InRoot::new("/dev/pts");
        let found = self.tree.find(&path)?.ok_or_else(|| Error::from(missing(&path)).hint(NO_DEVPTS));
        let console = found.and_then(|found| Console::of(&found.handle)).context("make a pseudo-terminal")?;
        self.mount_console(&console).context("mount /dev/console")?;
        Ok(console)
    }

    fn mount_console(&self, console: &Console) -> Result<()> {
        let node = mount::open_tree(&console.slave, "", OPEN_TREE_CLONE)?;
        let place = self.tree.find_or_create(&InRoot::new("/dev/console"), Create::File)?;
        Ok(mount::move_mount(&node, &place.handle)?)
    }
}
