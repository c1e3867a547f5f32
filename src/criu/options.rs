//! What CRIU is asked to do: `criu_opts` of its `rpc.proto`.

use super::message::Message;
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

/// The options of a request; what is not set is CRIU's default.
#[derive(Debug)]
pub(crate) struct Options(Message);

/// How much CRIU writes to its log: all that helps, without what is for its own developers.
const LOG_LEVEL: u64 = 4;

impl Options {
    /// `images` and `work` are directories, as numbers of descriptors of CRIU's (see [`super::inherited`]); the log is `log` in
    /// `work`.
    pub(crate) fn new(images: RawFd, work: RawFd, log: &str) -> Options {
        let mut message = Message::default();
        message.number(1, images as u64);
        message.number(9, LOG_LEVEL);
        message.bytes(10, log);
        // The caller is told of the steps.
        message.flag(12, true);
        message.number(17, work as u64);
        // A terminal's other side, which is outside, is handed over.
        message.flag(50, true);
        Options(message)
    }

    /// The first of the processes to be saved.
    pub(crate) fn pid(&mut self, pid: i32) {
        self.0.number(2, pid as u64);
    }

    /// The processes run on.
    pub(crate) fn leave_running(&mut self, on: bool) {
        self.0.flag(3, on);
    }

    /// Unix sockets whose other end is outside are kept.
    pub(crate) fn ext_unix_sk(&mut self, on: bool) {
        self.0.flag(4, on);
    }

    /// Established TCP connections are kept.
    pub(crate) fn tcp_established(&mut self, on: bool) {
        self.0.flag(5, on);
    }

    /// A device's file may be another one of the same device.
    pub(crate) fn evasive_devices(&mut self) {
        self.0.flag(6, true);
    }

    /// The terminal or the session may come from outside.
    pub(crate) fn shell_job(&mut self, on: bool) {
        self.0.flag(7, on);
    }

    /// File locks are kept.
    pub(crate) fn file_locks(&mut self, on: bool) {
        self.0.flag(8, on);
    }

    /// Pages go to a page server.
    pub(crate) fn page_server(&mut self, address: &str, port: u16) {
        let mut server = Message::default();
        server.bytes(1, address);
        server.number(2, port.into());
        self.0.message(11, &server);
    }

    /// The root directory of the processes, as the caller sees it.
    pub(crate) fn root(&mut self, path: impl AsRef<[u8]>) {
        self.0.bytes(13, path);
    }

    /// The images of the dump before, below those of this one.
    pub(crate) fn parent_images(&mut self, path: impl AsRef<[u8]>) {
        self.0.bytes(14, path);
    }

    /// The kernel notes which pages change from now on.
    pub(crate) fn track_memory(&mut self) {
        self.0.flag(15, true);
    }

    /// Pages that a newer image has are removed from older ones.
    pub(crate) fn auto_dedup(&mut self, on: bool) {
        self.0.flag(16, on);
    }

    /// Deleted files get a name again.
    pub(crate) fn link_remap(&mut self, on: bool) {
        self.0.flag(18, on);
    }

    /// A mount that is not saved but bound: in a dump its place in the container and a name for it, in a restore that name and
    /// what it is on the host.
    pub(crate) fn outside(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0.message(23, &pair(1, key, 2, value));
    }

    /// What becomes of cgroups, if they are looked at.
    pub(crate) fn cgroups(&mut self, mode: Option<ManageCgroups>) {
        self.0.flag(24, mode != Some(ManageCgroups::Ignore));
        if let Some(mode) = mode {
            self.0.number(34, mode as u64);
        }
    }

    /// Where the container's cgroup is in the hierarchy of a controller, which is empty for cgroup v2.
    pub(crate) fn cgroup_root(&mut self, controller: &str, path: &str) {
        self.0.message(25, &pair(1, controller, 2, path));
    }

    /// The restored process is a child of the caller's.
    pub(crate) fn sibling(&mut self) {
        self.0.flag(26, true);
    }

    /// What `key` names is descriptor `number` of CRIU's.
    pub(crate) fn inherit(&mut self, key: impl AsRef<[u8]>, number: RawFd) {
        let mut inherited = Message::default();
        inherited.bytes(1, key);
        inherited.number(2, number as u64);
        self.0.message(27, &inherited);
    }

    /// Something else outside, in the words of `criu --external`.
    pub(crate) fn external(&mut self, what: impl AsRef<[u8]>) {
        self.0.bytes(37, what);
    }

    /// Namespaces (CLONE_NEW* flags) whose contents are not saved.
    pub(crate) fn empty_namespaces(&mut self, flags: i32) {
        self.0.number(38, flags as u64);
    }

    /// A namespace that is joined instead of made.
    pub(crate) fn join(&mut self, kind: &str, path: &str) {
        self.0.message(39, &pair(1, kind, 2, path));
    }

    /// The directory of the cgroup by which the processes are stopped.
    pub(crate) fn freezer(&mut self, directory: &str) {
        self.0.bytes(44, directory);
    }

    /// Connections that are being made are left out.
    pub(crate) fn tcp_skip_in_flight(&mut self, on: bool) {
        self.0.flag(46, on);
    }

    /// Memory is moved when it is used.
    pub(crate) fn lazy_pages(&mut self, on: bool) {
        self.0.flag(48, on);
    }

    /// A descriptor of CRIU's to which a zero byte is written once pages are served.
    pub(crate) fn status_fd(&mut self, number: RawFd) {
        self.0.number(49, number as u64);
    }

    /// A file of options that add to these.
    pub(crate) fn config_file(&mut self, path: &str) {
        self.0.bytes(51, path);
    }

    /// Established TCP connections are closed.
    pub(crate) fn tcp_close(&mut self, on: bool) {
        self.0.flag(52, on);
    }

    /// `TYPE:NAME` instead of the profile or label in the images.
    pub(crate) fn lsm_profile(&mut self, profile: &str) {
        self.0.bytes(53, profile);
    }

    /// An SELinux context for mounts instead of the one in the images.
    pub(crate) fn lsm_mount_context(&mut self, context: &str) {
        self.0.bytes(63, context);
    }

    /// A directory with each hierarchy mounted in a directory of its name, `unified` for cgroup v2. CRIU mounts them itself
    /// otherwise, and in the first cgroup namespace a new mount of cgroup v2 takes the options of the host's from them all.
    pub(crate) fn cgroup_yard(&mut self, path: impl AsRef<[u8]>) {
        self.0.bytes(60, path);
    }

    /// How packets are kept away.
    pub(crate) fn network_lock(&mut self, lock: NetworkLock) {
        self.0.number(64, lock as u64);
    }

    /// Mounts are made as before Linux 5.15: each gets its peers and its master from what it is bound from. Otherwise they are
    /// copied from one that shows at least as much, and may be none that the root of a user namespace can reach.
    pub(crate) fn mount_as_of_old(&mut self) {
        self.0.flag(65, true);
    }

    pub(super) fn message(&self) -> &Message {
        &self.0
    }
}

fn pair(one: u64, first: impl AsRef<[u8]>, two: u64, second: impl AsRef<[u8]>) -> Message {
    let mut message = Message::default();
    message.bytes(one, first);
    message.bytes(two, second);
    message
}
