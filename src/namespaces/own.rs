//! The namespaces of the runtime itself.

use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// The inode of the initial user namespace (the kernel's `PROC_USER_INIT_INO`).
const FIRST_USER: u64 = 0xeffffffd;

/// The inode of the initial pid namespace (the kernel's `PROC_PID_INIT_INO`).
const FIRST_PID: u64 = 0xeffffffc;

fn inode(namespace: &str) -> Option<u64> {
    std::fs::metadata(format!("/proc/self/ns/{namespace}")).ok().map(|namespace| namespace.ino())
}

/// Whether the runtime is in the initial pid namespace, whose pids the kernel's log has.
pub(crate) fn in_first_pid_namespace() -> bool {
    inode("pid") == Some(FIRST_PID)
}

/// Whether the runtime is in the initial user namespace. In any other one, the attributes of
/// inherited mounts are locked, even for root. A kernel without user namespaces has no file for
/// them; where it cannot be read nothing is forgiven. The answer is cached: the runtime never
/// changes its user namespace.
pub(crate) fn in_first_user_namespace() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| inode("user").is_none_or(|inode| inode == FIRST_USER))
}

/// Whether the runtime is in a user namespace that maps ids to other ids. One that maps every id to
/// itself counts as the initial user namespace.
pub(crate) fn in_user_namespace() -> bool {
    if in_first_user_namespace() {
        return false;
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_ascii_whitespace().ne(["0", "0", "4294967295"])
}
