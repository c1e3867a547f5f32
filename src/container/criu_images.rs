//! Code shared by `checkpoint` and `restore`: the image directory, and the options of both.

use super::request::{CriuOptions, ManageCgroups};
use crate::cgroups::{Hierarchy, Layout};
use crate::config::Spec;
use crate::criu::{CriuFlag, CriuOpts, CriuText};
use crate::error::{Context, Error, Ignore as _, IoContext, Kind, Result};
use crate::json;
use crate::sys::mount::{
    self, MOUNT_ATTR_IDMAP, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MountArgs, MountAttr,
    OPEN_TREE_CLONE,
};
use crate::sys::{self, credentials, file, fs};
use crate::{criu, namespaces};
use std::fs::DirBuilder;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// CRIU's keys of joined namespaces, equal for checkpoint and restore; runc uses the same.
pub(super) const ROOT_NETWORK: &str = "extRootNetNS";
/// As [`ROOT_NETWORK`].
pub(super) const ROOT_PIDS: &str = "extRootPidNS";

/// The file, beside CRIU's images, that records descriptors 0, 1 and 2 of the container's first
/// process.
const DESCRIPTORS: &str = "descriptors.json";

/// The directories of a checkpoint.
pub(super) struct Images {
    path: PathBuf,
    work: PathBuf,
    name: &'static str,
}

/// The usual standard input of background commands.
pub(super) const NULL: &str = "/dev/null";

/// CRIU's name and the path of a recorded descriptor that is external.
pub(super) fn external(name: &str) -> Option<(String, &str)> {
    let (key, path) = name.split_once("]:").filter(|(key, _)| key.starts_with("file["))?;
    Some((format!("{key}]"), path))
}

/// The number of descriptors that [`Images::open`] returns.
pub(super) const OPEN: usize = 2;

impl Images {
    /// Creates missing directories.
    pub(super) fn make(given: &CriuOptions, log: &'static str) -> Result<Images> {
        make_directory(&given.image_path).context("--image-path")?;
        Images::find(given, log)
    }

    /// Opens an existing image directory.
    pub(super) fn find(given: &CriuOptions, log: &'static str) -> Result<Images> {
        if let Some(work) = &given.work_path {
            make_directory(work).context("--work-path")?;
        }
        let work = given.work_path.as_ref().unwrap_or(&given.image_path);
        Ok(Images { path: given.image_path.clone(), work: work.clone(), name: log })
    }

    /// Opens the directories in the mount namespace of the caller, which only CRIU uses, in CRIU's
    /// order. With `userns`, a user namespace with the container's mappings, the container's root
    /// can read the images: CRIU restores with its rights.
    pub(super) fn open(&self, userns: Option<&OwnedFd>) -> Result<Vec<OwnedFd>> {
        let open = |path: &Path| file::open(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY);
        let work = open(&self.work).context("--work-path")?;
        // Without id mappings in the kernel or the filesystem, the permissions of the images decide.
        let images = match userns.and_then(|userns| self.map_ids(userns).ok()) {
            Some(tree) => self.open_through(&tree),
            None => Ok(open(&self.path)?),
        };
        Ok(vec![images.context("--image-path")?, work])
    }

    /// The images as an id-mapped mount: files of the container's root.
    fn map_ids(&self, userns: &OwnedFd) -> sys::Result<OwnedFd> {
        let tree = mount::open_tree(file::CWD, self.path.as_os_str().as_bytes(), OPEN_TREE_CLONE)?;
        let attr = MountAttr { set: MOUNT_ATTR_IDMAP, userns: userns.as_raw_fd() as u64, ..MountAttr::default() };
        mount::mount_setattr(&tree, false, &attr)?;
        Ok(tree)
    }

    /// A directory of symbolic links to the images in `tree`, mounted over them. CRIU's first
    /// process enters its user namespace before its ids are mapped, so it owns no file until then.
    /// It reads the clocks at that time or later: they are a copy that every user may read.
    fn open_through(&self, tree: &OwnedFd) -> Result<OwnedFd> {
        const CLOCKS: &[u8] = b"timens-0.img";
        let names = std::fs::read_dir(&self.path).io_context(|| format!("opendir({:?})", self.path))?;
        let names: Vec<_> = names.flatten().map(|entry| entry.file_name()).collect();
        let context = mount::fsopen("tmpfs")?;
        mount::fsconfig_string(&context, "mode", "755")?;
        mount::fsconfig_create(&context)?;
        let links = mount::fsmount(&context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?;
        let place = file::open(self.path.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY)?;
        mount::move_mount(&links, &place)?;
        fs::mkdir_at(&links, "images", 0o755)?;
        mount::move_mount_into(tree, &links, "images")?;
        for name in names.iter().map(|name| name.as_bytes()) {
            if name == CLOCKS {
                let clocks = file::read_regular(file::open_at(tree, name, libc::O_RDONLY, 0)?, 1 << 16)?;
                let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
                let copy = credentials::without_umask(|| file::open_at(&links, name, flags, 0o644))?;
                file::write_all(copy, &clocks)?;
            } else {
                fs::symlink_at([b"images/", name].concat(), &links, name)?;
            }
        }
        Ok(file::open_at(&links, ".", libc::O_RDONLY | libc::O_DIRECTORY, 0)?)
    }

    /// CRIU's log.
    pub(super) fn log(&self) -> PathBuf {
        self.work.join(self.name)
    }

    /// Records the standard descriptors.
    pub(super) fn write_descriptors(&self, descriptors: &[String]) -> Result<()> {
        let json = serde_json::to_vec(descriptors).map_err(|e| Error::internal(e.to_string()))?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NOFOLLOW;
        let directory = file::open(self.path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY);
        let fd =
            file::open_at(directory.context("--image-path")?, DESCRIPTORS, flags, 0o600).context("--image-path")?;
        file::write_all(fd, &json).context("--image-path")
    }

    /// Removes the list: the images beside it are incomplete.
    pub(super) fn forget_descriptors(&self) {
        std::fs::remove_file(self.path.join(DESCRIPTORS)).ignore("the list may not have been written");
    }

    /// The recorded standard descriptors.
    pub(super) fn descriptors(&self) -> Result<Vec<String>> {
        let path = self.path.join(DESCRIPTORS);
        let fd = file::open(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_NONBLOCK)
            .hint_on(libc::ENOENT, "--image-path names the directory that checkpoint wrote")?;
        let bytes = file::read_regular(fd, 1 << 20)?;
        let damaged = |error: Box<json::Error>| {
            Error::system(format!("{path:?} is damaged: {}: {}", error.place(&bytes), error.problem()))
        };
        json::document(&bytes).map_err(damaged)
    }

    /// The directories that CRIU works in.
    pub(super) fn paths(&self) -> [&Path; 2] {
        [&self.path, &self.work]
    }

    /// The container's mounts at the checkpoint.
    pub(super) fn mounts(&self) -> Result<Vec<criu::SavedMount>> {
        criu::mounts(&self.path)
    }

    /// Checks that the memory pages in the images are complete.
    pub(super) fn check_pages(&self) -> Result<()> {
        criu::check_pages(&self.path)
    }

    /// The options of both commands; `mode` is CRIU's mode for cgroups.
    ///
    /// # Errors
    /// `--empty-ns` with another namespace than `network`.
    pub(super) fn options(
        &self,
        given: &CriuOptions,
        spec: &Spec<'_>,
        mode: Option<ManageCgroups>,
    ) -> Result<CriuOpts> {
        let mut options = CriuOpts::new(criu::inherited(0), criu::inherited(1), self.name);
        options.set(CriuFlag::TcpEstablished, given.tcp_established);
        options.set(CriuFlag::ExtUnixSk, given.ext_unix_sk);
        options.set(CriuFlag::ShellJob, given.shell_job);
        options.set(CriuFlag::FileLocks, given.file_locks);
        options.set(CriuFlag::LazyPages, given.lazy_pages);
        options.set(CriuFlag::AutoDedup, given.auto_dedup);
        options.cgroups(mode);
        if let Some(lock) = given.network_lock {
            options.network_lock(lock);
        }
        if let Some(unknown) = given.empty_ns.iter().find(|name| *name != "network") {
            return Err(Error::new(Kind::Config, format!("namespace {unknown:?} is not supported"))
                .hint("--empty-ns knows network"));
        }
        options.text(CriuText::ConfigFile, spec.annotation("org.criu.config").unwrap_or_else(|| config_file()));
        Ok(options)
    }
}

/// The directory in which CRIU finds the cgroup hierarchies, and the mounts that it could not
/// create itself.
pub(super) struct CgroupYard {
    place: PathBuf,
    /// The lock that excludes a second checkpoint or restore.
    #[expect(dead_code, reason = "it is held")]
    lock: OwnedFd,
    /// Whether the place is an existing directory of the host.
    borrowed: bool,
    hierarchies: Vec<(String, String)>,
    trees: Vec<(String, OwnedFd)>,
}

impl CgroupYard {
    /// Creates the yard below `dir`, the state directory; dropping it removes the directory.
    pub(super) fn at(dir: &Path, layout: &Layout) -> Result<CgroupYard> {
        let place = dir.join("criu");
        make_directory(&place)?;
        let lock = file::open(place.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY)?;
        file::flock(&lock, libc::LOCK_EX | libc::LOCK_NB).map_err(|e| match e.errno().0 {
            libc::EWOULDBLOCK => Error::state("another checkpoint of the container is being made"),
            _ => e.into(),
        })?;
        let name = |hierarchy: &Hierarchy| match hierarchy.is_unified() {
            true => "unified".to_owned(),
            false => hierarchy.name(),
        };
        let hierarchies =
            layout.hierarchies.iter().map(|hierarchy| (name(hierarchy), hierarchy.mount.clone())).collect();
        Ok(CgroupYard {
            place: place.canonicalize().io_context(|| format!("realpath({place:?})"))?,
            lock,
            borrowed: false,
            hierarchies,
            trees: Vec::new(),
        })
    }

    /// Adds a detached mount; returns its later path.
    pub(super) fn keep(&mut self, index: usize, tree: OwnedFd) -> PathBuf {
        let name = format!("mount-{index}");
        let path = self.place.join(&name);
        self.trees.push((name, tree));
        path
    }

    /// Moves the yard to a directory that every user may search: the root of a container with a
    /// user namespace makes its mounts itself, and may not enter a directory of the host's root.
    /// `needed` are paths that must not be covered.
    pub(super) fn move_to_open_place(&mut self, needed: &[&Path]) {
        const PLACES: [&str; 4] = ["/mnt", "/media", "/srv", "/opt"];
        let is_open = |place: &&Path| {
            let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
            place.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.permissions().mode() & 1 != 0)
                && !needed.iter().any(|path| real(path).starts_with(place))
        };
        if let Some(place) = PLACES.iter().map(Path::new).find(is_open) {
            std::fs::remove_dir(&self.place).ignore("an empty directory does no harm");
            self.place = place.to_owned();
            self.borrowed = true;
        }
    }

    /// Adds the yard to CRIU's options.
    pub(super) fn announce(&self, options: &mut CriuOpts) {
        if !self.hierarchies.is_empty() {
            options.text(CriuText::CgroupYard, self.place.as_os_str().as_bytes());
        }
    }

    /// Mounts the yard in this process's mount namespace, from which no mount may propagate to the
    /// host's.
    pub(super) fn make(&self) -> Result<()> {
        let context = mount::fsopen("tmpfs")?;
        mount::fsconfig_create(&context)?;
        let yard = mount::fsmount(&context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)?;
        let place = file::open(self.place.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY)?;
        mount::move_mount(&yard, &place)?;
        for (name, path) in &self.hierarchies {
            let tree = mount::open_tree(file::CWD, path, OPEN_TREE_CLONE)?;
            fs::mkdir_at(&yard, name, 0o755)?;
            mount::move_mount_into(&tree, &yard, name)?;
        }
        // These mounts were created in the host's namespace: nothing mounted on them may propagate
        // back.
        let slave = MountAttr { propagation: libc::MS_SLAVE, ..MountAttr::default() };
        for (name, tree) in &self.trees {
            mount::mount_setattr(tree, true, &slave)?;
            match fs::stat(tree)?.is_dir() {
                true => fs::mkdir_at(&yard, name, 0o755)?,
                false => fs::mknod_at(&yard, name, libc::S_IFREG | 0o644, 0)?,
            }
            mount::move_mount_into(tree, &yard, name)?;
        }
        Ok(())
    }
}

impl Drop for CgroupYard {
    fn drop(&mut self) {
        if !self.borrowed {
            std::fs::remove_dir(&self.place).ignore("an empty directory does no harm");
        }
    }
}

/// Makes every mount of this process's mount namespace, a copy of the host's, a slave.
pub(super) fn leave_host() -> Result<()> {
    let flags = libc::MS_SLAVE | libc::MS_REC;
    Ok(mount::mount("/", &MountArgs { flags, ..MountArgs::default() })?)
}

/// The configuration file for CRIU if the config names none.
fn config_file() -> &'static str {
    const OWN: &str = "/etc/criu/orlop.conf";
    if Path::new(OWN).exists() { OWN } else { "/etc/criu/runc.conf" }
}

fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path).io_context(|| format!("mkdir({path:?})"))
}

/// The path of CRIU.
///
/// # Errors
/// The caller is not root, or there is no CRIU.
pub(super) fn program(given: &CriuOptions, doing: &str) -> Result<PathBuf> {
    if credentials::effective_uid() != 0 || !namespaces::in_first_user_namespace() {
        return Err(Error::state(format!("cannot {doing} a rootless container"))
            .hint("CRIU needs the rights of root outside of any user namespace"));
    }
    criu::find(&given.criu)
}
