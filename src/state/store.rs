//! The state root, with a directory for each container.

use super::container_dir::ContainerDir;
use super::foreign::STATUS;
use super::record::Record;
use crate::error::{Context, Error, IoContext, Kind, Result};
use crate::sys::credentials::effective_uid;
use crate::sys::{self, Failure, file};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// The largest state.json that is read, in bytes: annotations may be long.
pub(super) const LARGEST: usize = 16 << 20;

/// The most bytes of a record of the end that are read: one more than it has.
const LARGEST_END: usize = 9;

/// The state root of one kind of caller.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// The store at `root`; the directory may be missing.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    /// The directory of a container.
    pub(crate) fn directory(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// The path of its state.json.
    pub(crate) fn file(&self, id: &str) -> PathBuf {
        self.directory(id).join("state.json")
    }

    /// Creates and locks the directory of a new container.
    ///
    /// # Errors
    /// `container with given ID already exists`.
    pub(crate) fn create(&self, id: &str) -> Result<ContainerDir> {
        let path = self.directory(id);
        let make =
            |path: &Path, recursive: bool| std::fs::DirBuilder::new().mode(0o711).recursive(recursive).create(path);
        let mut made = make(&path, false);
        if made.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
            std::fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(&self.root)
                .io_context(|| format!("mkdir({:?})", self.root))
                .map_err(|e| denied(e).hint("--root names the state directory"))?;
            made = make(&path, false);
        }
        match made {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::state("container with given ID already exists"));
            }
            other => other.io_context(|| format!("mkdir({path:?})")).map_err(denied)?,
        }
        ContainerDir::open(path)
    }

    /// The directory of a container, locked; `container does not exist` if there is none.
    pub(crate) fn open(&self, id: &str) -> Result<ContainerDir> {
        ContainerDir::open(self.directory(id)).map_err(denied)
    }

    /// The bytes of a container's state.json, for [`Record::parse`].
    ///
    /// # Errors
    /// `container does not exist`; a file that cannot be read.
    pub(crate) fn bytes(&self, id: &str) -> Result<Vec<u8>> {
        read_state(&self.file(id))
    }

    /// Reads the record of a container.
    ///
    /// # Errors
    /// `container does not exist`; a state.json that cannot be read.
    pub(crate) fn read(&self, id: &str) -> Result<Record> {
        self.parse(id, &self.bytes(id)?)
    }

    /// Parses the bytes of a container's record.
    ///
    /// # Errors
    /// They are no record.
    pub(crate) fn parse(&self, id: &str, bytes: &[u8]) -> Result<Record> {
        Record::parse_in(bytes, &self.directory(id)).with_context(|| format!("{:?}", self.file(id)))
    }

    /// Reads the copy of config.json that `create` saved.
    pub(crate) fn config(&self, id: &str) -> Result<Vec<u8>> {
        let open = |directory: &Path| {
            let path = directory.join("config.json");
            file::open(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_NONBLOCK)
        };
        let fd = match open(&self.directory(id)) {
            // runc keeps no copy: its containers have the bundle's.
            Err(e) if e.is(libc::ENOENT) => match self.read(id) {
                Ok(record) if record.foreign.is_some() => open(Path::new(&record.bundle))?,
                _ => return Err(e.into()),
            },
            other => other?,
        };
        Ok(file::read_to_end(fd, crate::container::LARGEST_CONFIG)?)
    }

    /// The bytes of the file in which the reaping init records the end of the program, at most
    /// [`LARGEST_END`], and the time of its last change.
    pub(crate) fn end(&self, id: &str) -> Option<(Vec<u8>, Duration)> {
        let path = self.directory(id).join(super::END_NAME);
        let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = File::from(file::open(path.as_os_str().as_bytes(), flags).ok()?);
        let known = file.metadata().ok().filter(|known| known.is_file())?;
        let mut bytes = vec![0; LARGEST_END];
        let length = file::read(&file, &mut bytes).ok()?;
        bytes.truncate(length);
        Some((bytes, known.modified().ok()?.duration_since(UNIX_EPOCH).ok()?))
    }

    /// The ids of all containers, sorted.
    ///
    /// # Errors
    /// The directory cannot be read. If there is none, there are no names.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        let root = match file::open(self.root.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY) {
            Err(e) if e.is(libc::ENOENT) => return Ok(Vec::new()),
            other => other.map_err(|e| denied(Failure::new(format!("open({:?})", self.root), e.errno()).into()))?,
        };
        let names = sys::fs::directories(root)?;
        let mut ids: Vec<String> = names.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

fn read_state(path: &Path) -> Result<Vec<u8>> {
    match file::open(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_NONBLOCK) {
        Ok(fd) => Ok(file::read_regular(fd, LARGEST)?),
        Err(e) if e.is(libc::ENOENT) && path.parent().is_some_and(Path::is_dir) => {
            let status = path.with_file_name(STATUS);
            let fd = file::open(status.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK);
            Ok(file::read_regular(fd.map_err(|_| without_record())?, LARGEST)?)
        }
        Err(e) if e.is(libc::ENOENT) || e.is(libc::ENOTDIR) => Err(absent()),
        Err(e) => Err(denied(Failure::new(format!("open({path:?})"), e.errno()).into())),
    }
}

/// Adds the way out for an unprivileged user who may not use the state directory.
fn denied(error: Error) -> Error {
    match error.errno() {
        libc::EACCES | libc::EPERM if effective_uid() != 0 => error.hint(
            "not root: set XDG_RUNTIME_DIR or --root to a directory of your own; `spec --rootless` writes a config.json for it",
        ),
        _ => error,
    }
}

pub(super) fn absent() -> Error {
    Error::new(Kind::NotFound, "container does not exist")
}

/// The error for a container that is being created, or that has lost its record.
pub(crate) fn without_record() -> Error {
    absent().hint("its directory has no state.json: it is being made, or `delete --force` removes what is left of it")
}
