//! The directory of a container, and the files in it.

use super::foreign::STATUS;
use super::record::Record;
use super::store::{LARGEST, absent};
use super::witness;
use crate::error::{IoContext, Result};
use crate::sys::socket::{self, SockFlag, SockType};
use crate::sys::{self, file};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The directory of a container, open and locked.
#[derive(Debug)]
pub(crate) struct ContainerDir {
    path: PathBuf,
    pub(super) directory: OwnedFd,
}

impl ContainerDir {
    pub(super) fn open(path: PathBuf) -> Result<ContainerDir> {
        let open = || file::open(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW);
        let directory = match open() {
            Err(e) if e.is(libc::ENOENT) => return Err(absent()),
            other => other?,
        };
        let dir = ContainerDir { path, directory };
        dir.lock()?;
        Ok(dir)
    }

    /// Takes the lock again, after [`ContainerDir::unlock`]. Other commands hold it only for
    /// moments.
    pub(crate) fn lock(&self) -> Result<()> {
        Ok(file::flock(&self.directory, libc::LOCK_EX)?)
    }

    /// Releases the lock while a hook or the container's code runs. The lock belongs to the open
    /// file description, so every copy of the descriptor loses it.
    pub(crate) fn unlock(&self) -> Result<()> {
        Ok(file::flock(&self.directory, libc::LOCK_UN)?)
    }

    /// The path of the directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Saves the record; it replaces the former one atomically.
    ///
    /// # Errors
    /// Also when the directory was removed meanwhile: the container was deleted.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        self.replace("state.json", &record.to_json()?)
    }

    /// Writes a file; it replaces the former one atomically.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let new = format!(".{name}");
        self.write(&new, bytes)?;
        Ok(file::rename_at(&self.directory, &new, name)?)
    }

    /// Creates a file with these bytes; replaces a file that a killed command has left.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let make = || file::open_at(&self.directory, name, flags, 0o600);
        let fd = match make() {
            Err(e) if e.is(libc::EEXIST) => {
                file::unlink_at(&self.directory, name, 0)?;
                make()?
            }
            made => made?,
        };
        Ok(file::write_all(fd, bytes)?)
    }

    /// The bytes of the record; `None` if there is none.
    pub(crate) fn bytes(&self) -> Result<Option<Vec<u8>>> {
        match self.read("state.json", LARGEST) {
            Err(e) if e.errno() == libc::ENOENT => match self.read(STATUS, LARGEST) {
                Err(e) if e.errno() == libc::ENOENT => Ok(None),
                read => read.map(Some),
            },
            read => read.map(Some),
        }
    }

    /// Opens a file of the directory, never through a link, and waits for nothing.
    pub(crate) fn open_file(&self, name: &str, access: i32) -> Result<OwnedFd> {
        Ok(file::open_at(&self.directory, name, access | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0)?)
    }

    /// Removes a file of the directory.
    pub(crate) fn remove_file(&self, name: &str) -> Result<()> {
        Ok(file::unlink_at(&self.directory, name, 0)?)
    }

    /// Reads a file of at most `limit` bytes.
    pub(crate) fn read(&self, name: &str, limit: usize) -> Result<Vec<u8>> {
        Ok(file::read_to_end(self.open_file(name, libc::O_RDONLY)?, limit)?)
    }

    /// A path of a file in the directory that fits a socket address, regardless of the directory's
    /// path.
    pub(crate) fn socket_path(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", self.directory.as_raw_fd())
    }

    /// Creates the file for the end of the program, for writing alone.
    pub(crate) fn make_end_file(&self) -> Result<OwnedFd> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        Ok(file::open_at(&self.directory, super::END_NAME, flags, 0o600)?)
    }

    /// Creates the gate: a listening socket that only its owner may connect to.
    pub(crate) fn make_gate(&self) -> Result<OwnedFd> {
        let gate = socket::unix(SockType::SeqPacket, SockFlag::empty())?;
        // `bind` takes the mode from the socket.
        sys::fs::chmod(&gate, 0o600)?;
        socket::bind(&gate, self.socket_path("gate"))?;
        socket::listen(&gate, 8)?;
        Ok(gate)
    }

    /// Connects to the gate; ECONNREFUSED or ENOENT if no process waits there.
    pub(crate) fn connect(&self) -> sys::Result<OwnedFd> {
        let connection = socket::unix(SockType::SeqPacket, SockFlag::empty())?;
        socket::connect(&connection, self.socket_path("gate"))?;
        Ok(connection)
    }

    /// Whether the directory at the path is still this one: it may have been removed, and its
    /// name be another container's by now.
    pub(crate) fn is_in_place(&self) -> Result<bool> {
        let here = sys::namespace::identity(&self.directory)?;
        match file::open(self.path.as_os_str().as_bytes(), libc::O_PATH | libc::O_NOFOLLOW) {
            Err(e) if e.is(libc::ENOENT) || e.is(libc::ENOTDIR) => Ok(false),
            there => Ok(sys::namespace::identity(there?)? == here),
        }
    }

    /// Removes the directory with its content, unless another directory has its path by now.
    pub(crate) fn remove(&self) -> Result<()> {
        if self.is_in_place()? {
            let unlink = |name: &str| file::unlink_at(&self.directory, name, 0).is_ok();
            // The record is removed last: if this command is killed, the remains still name their
            // container.
            for name in ["config.json", witness::NAME, "state.json"] {
                unlink(name);
            }
            let mut removed = std::fs::remove_dir(&self.path);
            for names in [&["gate", ".state.json"][..], &[super::END_NAME]] {
                let more = removed.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::DirectoryNotEmpty);
                if more && names.iter().filter(|name| unlink(name)).count() > 0 {
                    removed = std::fs::remove_dir(&self.path);
                }
            }
            match removed {
                Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                    std::fs::remove_dir_all(&self.path).io_context(|| format!("remove {:?}", self.path))?;
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                other => other.io_context(|| format!("rmdir({:?})", self.path))?,
            }
        }
        Ok(())
    }
}
