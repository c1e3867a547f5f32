//! The options of a request: `criu_opts` of CRIU's `rpc.proto`.

use super::message::CriuMessage;
use std::os::fd::RawFd;

/// How CRIU treats the cgroups that the processes are in (`enum criu_cg_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // CRIU's own words.
#[non_exhaustive]
pub enum ManageCgroups {
    Ignore = 0,
    Soft = 3,
    Full = 4,
    Strict = 5,
}

/// How CRIU keeps packets away while it works (`enum criu_network_lock_method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // CRIU's own words.
#[non_exhaustive]
pub enum NetworkLock {
    Iptables = 1,
    Nftables = 2,
    Skip = 3,
}

/// The flags of `criu_opts`, with the numbers of their fields.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CriuFlag {
    /// Leaves the processes running after the checkpoint.
    LeaveRunning = 3,
    /// Allows unix sockets with a peer outside of the container.
    ExtUnixSk = 4,
    /// Checkpoints or restores established TCP connections.
    TcpEstablished = 5,
    /// Accepts any path to a device file if the original path is not accessible.
    EvasiveDevices = 6,
    /// Allows a terminal or session of a process outside of the container.
    ShellJob = 7,
    /// Checkpoints or restores file locks.
    FileLocks = 8,
    /// Sends notifications of the steps (notify_scripts).
    NotifyScripts = 12,
    /// Tracks memory changes from now on, for the next dump.
    TrackMemory = 15,
    /// Removes pages from parent images that newer images contain.
    AutoDedup = 16,
    /// Allows deleted files with open descriptors, by linking them again.
    LinkRemap = 18,
    /// Makes the restored process a child of CRIU's parent instead of CRIU.
    Sibling = 26,
    /// Skips TCP connections that are not established yet.
    TcpSkipInFlight = 46,
    /// Restores memory pages on demand.
    LazyPages = 48,
    /// Sends the master side of the container's terminal.
    OrphanPtsMaster = 50,
    /// Closes established TCP connections.
    TcpClose = 52,
    /// Restores mounts with the engine for kernels before Linux 5.15 (`--mntns-compat-mode`): each
    /// mount gets its peer group and master from the source of its bind mount. The newer engine
    /// copies a mount with a wider root, which root of a user namespace may not be able to reach.
    MntnsCompatMode = 65,
}

/// The texts of `criu_opts`, with the numbers of their fields.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CriuText {
    /// The root directory of the restored processes, as a path in CRIU's mount namespace.
    Root = 13,
    /// The path of the parent images (an earlier pre-dump), relative to this image directory.
    ParentImages = 14,
    /// Adds another external resource, in the syntax of `criu --external`.
    External = 37,
    /// The directory of the cgroup whose freezer stops the processes.
    Freezer = 44,
    /// A configuration file with further options.
    ConfigFile = 51,
    /// The LSM profile or label as `TYPE:NAME`, instead of the one in the images.
    LsmProfile = 53,
    /// A directory where each cgroup hierarchy is mounted in a subdirectory of its name, `unified`
    /// for cgroup v2. Otherwise CRIU mounts them itself; in the initial cgroup namespace a new
    /// mount of cgroup v2 would reset the options of all of the host's mounts of it.
    CgroupYard = 60,
    /// The SELinux context of mounts, instead of the one in the images.
    LsmMountContext = 63,
}

/// The options of a request. Options that are not set have CRIU's defaults.
#[derive(Debug)]
pub(crate) struct CriuOpts(CriuMessage);

/// CRIU's log level: debug messages.
const LOG_LEVEL: u64 = 4;

impl CriuOpts {
    /// Creates options. `images` and `work` are directories, as file descriptors of CRIU's process
    /// (see [`super::inherited`]); the log is the file `log` in `work`.
    pub(crate) fn new(images: RawFd, work: RawFd, log: &str) -> CriuOpts {
        let mut message = CriuMessage::default();
        message.number(1, images as u64);
        message.number(9, LOG_LEVEL);
        message.bytes(10, log);
        message.number(17, work as u64);
        let mut options = CriuOpts(message);
        options.set(CriuFlag::NotifyScripts, true);
        options.set(CriuFlag::OrphanPtsMaster, true);
        options
    }

    pub(crate) fn set(&mut self, flag: CriuFlag, on: bool) {
        self.0.flag(flag as u64, on);
    }

    pub(crate) fn text(&mut self, text: CriuText, value: impl AsRef<[u8]>) {
        self.0.bytes(text as u64, value);
    }

    /// The root of the process tree to checkpoint.
    pub(crate) fn pid(&mut self, pid: i32) {
        self.0.number(2, pid as u64);
    }

    /// Sends memory pages to a page server.
    pub(crate) fn page_server(&mut self, address: &str, port: u16) {
        let mut server = CriuMessage::default();
        server.bytes(1, address);
        server.number(2, port.into());
        self.0.message(11, &server);
    }

    /// Adds an external mount, which a restore bind-mounts: in a dump the mount point in the
    /// container and a name, in a restore the name and the path on the host.
    pub(crate) fn external_mount(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0.message(23, &pair(key, value));
    }

    /// Sets the mode of managing cgroups.
    pub(crate) fn cgroups(&mut self, mode: Option<ManageCgroups>) {
        self.0.flag(24, mode != Some(ManageCgroups::Ignore));
        if let Some(mode) = mode {
            self.0.number(34, mode as u64);
        }
    }

    /// The path of the container's cgroup in the hierarchy of a controller; an empty `controller`
    /// is cgroup v2.
    pub(crate) fn cgroup_root(&mut self, controller: &str, path: &str) {
        self.0.message(25, &pair(controller, path));
    }

    /// Replaces the file `key` by the file descriptor `number` of CRIU.
    pub(crate) fn inherit(&mut self, key: impl AsRef<[u8]>, number: RawFd) {
        let mut inherited = CriuMessage::default();
        inherited.bytes(1, key);
        inherited.number(2, number as u64);
        self.0.message(27, &inherited);
    }

    /// Namespaces (CLONE_NEW* flags) that are checkpointed or restored without their contents.
    pub(crate) fn empty_namespaces(&mut self, flags: i32) {
        self.0.number(38, flags as u64);
    }

    /// A namespace to join instead of creating one.
    pub(crate) fn join(&mut self, kind: &str, path: &str) {
        self.0.message(39, &pair(kind, path));
    }

    /// A file descriptor of CRIU to which it writes a zero byte once its page server is ready.
    pub(crate) fn status_fd(&mut self, number: RawFd) {
        self.0.number(49, number as u64);
    }

    /// The method of locking the network.
    pub(crate) fn network_lock(&mut self, lock: NetworkLock) {
        self.0.number(64, lock as u64);
    }

    pub(super) fn message(&self) -> &CriuMessage {
        &self.0
    }
}

fn pair(first: impl AsRef<[u8]>, second: impl AsRef<[u8]>) -> CriuMessage {
    let mut message = CriuMessage::default();
    message.bytes(1, first);
    message.bytes(2, second);
    message
}
