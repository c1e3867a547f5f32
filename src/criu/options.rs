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
        // notify_scripts: CRIU sends notifications.
        message.flag(12, true);
        message.number(17, work as u64);
        // orphan_pts_master: CRIU sends the master side of the container's terminal.
        message.flag(50, true);
        CriuOpts(message)
    }

    /// The root of the process tree to checkpoint.
    pub(crate) fn pid(&mut self, pid: i32) {
        self.0.number(2, pid as u64);
    }

    /// Leaves the processes running after the checkpoint.
    pub(crate) fn leave_running(&mut self, on: bool) {
        self.0.flag(3, on);
    }

    /// Allows unix sockets with a peer outside of the container.
    pub(crate) fn ext_unix_sk(&mut self, on: bool) {
        self.0.flag(4, on);
    }

    /// Checkpoints or restores established TCP connections.
    pub(crate) fn tcp_established(&mut self, on: bool) {
        self.0.flag(5, on);
    }

    /// Accepts any path to a device file if the original path is not accessible.
    pub(crate) fn evasive_devices(&mut self) {
        self.0.flag(6, true);
    }

    /// Allows a terminal or session of a process outside of the container.
    pub(crate) fn shell_job(&mut self, on: bool) {
        self.0.flag(7, on);
    }

    /// Checkpoints or restores file locks.
    pub(crate) fn file_locks(&mut self, on: bool) {
        self.0.flag(8, on);
    }

    /// Sends memory pages to a page server.
    pub(crate) fn page_server(&mut self, address: &str, port: u16) {
        let mut server = CriuMessage::default();
        server.bytes(1, address);
        server.number(2, port.into());
        self.0.message(11, &server);
    }

    /// The root directory of the restored processes, as a path in CRIU's mount namespace.
    pub(crate) fn root(&mut self, path: impl AsRef<[u8]>) {
        self.0.bytes(13, path);
    }

    /// The path of the parent images (an earlier pre-dump), relative to this image directory.
    pub(crate) fn parent_images(&mut self, path: impl AsRef<[u8]>) {
        self.0.bytes(14, path);
    }

    /// Tracks memory changes from now on, for the next dump.
    pub(crate) fn track_memory(&mut self) {
        self.0.flag(15, true);
    }

    /// Removes pages from parent images that newer images contain.
    pub(crate) fn auto_dedup(&mut self, on: bool) {
        self.0.flag(16, on);
    }

    /// Allows deleted files with open descriptors, by linking them again.
    pub(crate) fn link_remap(&mut self, on: bool) {
        self.0.flag(18, on);
    }

    /// Adds an external mount, which a restore bind-mounts: in a dump the mount point in the
    /// container and a name, in a restore the name and the path on the host.
    pub(crate) fn external_mount(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0.message(23, &pair(1, key, 2, value));
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
        self.0.message(25, &pair(1, controller, 2, path));
    }

    /// Makes the restored process a child of CRIU's parent instead of CRIU.
    pub(crate) fn sibling(&mut self) {
        self.0.flag(26, true);
    }

    /// Replaces the file `key` by the file descriptor `number` of CRIU.
    pub(crate) fn inherit(&mut self, key: impl AsRef<[u8]>, number: RawFd) {
        let mut inherited = CriuMessage::default();
        inherited.bytes(1, key);
        inherited.number(2, number as u64);
        self.0.message(27, &inherited);
    }

    /// Adds another external resource, in the syntax of `criu --external`.
    pub(crate) fn external(&mut self, resource: impl AsRef<[u8]>) {
        self.0.bytes(37, resource);
    }

    /// Namespaces (CLONE_NEW* flags) that are checkpointed or restored without their contents.
    pub(crate) fn empty_namespaces(&mut self, flags: i32) {
        self.0.number(38, flags as u64);
    }

    /// A namespace to join instead of creating one.
    pub(crate) fn join(&mut self, kind: &str, path: &str) {
        self.0.message(39, &pair(1, kind, 2, path));
    }

    /// The directory of the cgroup whose freezer stops the processes.
    pub(crate) fn freezer(&mut self, directory: &str) {
        self.0.bytes(44, directory);
    }

    /// Skips TCP connections that are not established yet.
    pub(crate) fn tcp_skip_in_flight(&mut self, on: bool) {
        self.0.flag(46, on);
    }

    /// Restores memory pages on demand.
    pub(crate) fn lazy_pages(&mut self, on: bool) {
        self.0.flag(48, on);
    }

    /// A file descriptor of CRIU to which it writes a zero byte once its page server is ready.
    pub(crate) fn status_fd(&mut self, number: RawFd) {
        self.0.number(49, number as u64);
    }

    /// A configuration file with further options.
    pub(crate) fn config_file(&mut self, path: &str) {
        self.0.bytes(51, path);
    }

    /// Closes established TCP connections.
    pub(crate) fn tcp_close(&mut self, on: bool) {
        self.0.flag(52, on);
    }

    /// The LSM profile or label as `TYPE:NAME`, instead of the one in the images.
    pub(crate) fn lsm_profile(&mut self, profile: &str) {
        self.0.bytes(53, profile);
    }

    /// The SELinux context of mounts, instead of the one in the images.
    pub(crate) fn lsm_mount_context(&mut self, context: &str) {
        self.0.bytes(63, context);
    }

    /// A directory where each cgroup hierarchy is mounted in a subdirectory of its name, `unified`
    /// for cgroup v2. Otherwise CRIU mounts them itself; in the initial cgroup namespace a new
    /// mount of cgroup v2 would reset the options of all of the host's mounts of it.
    pub(crate) fn cgroup_yard(&mut self, path: impl AsRef<[u8]>) {
        self.0.bytes(60, path);
    }

    /// The method of locking the network.
    pub(crate) fn network_lock(&mut self, lock: NetworkLock) {
        self.0.number(64, lock as u64);
    }

    /// Restores mounts with the engine for kernels before Linux 5.15 (`--mntns-compat-mode`): each
    /// mount gets its peer group and master from the source of its bind mount. The newer engine
    /// copies a mount with a wider root, which root of a user namespace may not be able to reach.
    pub(crate) fn mntns_compat_mode(&mut self) {
        self.0.flag(65, true);
    }

    pub(super) fn message(&self) -> &CriuMessage {
        &self.0
    }
}

fn pair(one: u64, first: impl AsRef<[u8]>, two: u64, second: impl AsRef<[u8]>) -> CriuMessage {
    let mut message = CriuMessage::default();
    message.bytes(one, first);
    message.bytes(two, second);
    message
}
