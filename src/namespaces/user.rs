//! Which user namespace the runtime itself is in.

use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// The inode of the first user namespace (`PROC_USER_INIT_INO` of the kernel).
const FIRST: u64 = 0xeffffffd;

/// Whether the runtime is in the user namespace that owns the machine: in any other, mounts that came from it keep their
/// attributes, whoever is root. Asked once: a runtime does not change its user namespace.
pub(crate) fn in_first_user_namespace() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| std::fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() == FIRST))
}

/// Whether ids here stand for others of the machine. The first user namespace maps every id to itself; one that does so too is
/// as good.
pub(crate) fn in_user_namespace() -> bool {
    if in_first_user_namespace() {
        return false;
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_ascii_whitespace().ne(["0", "0", "4294967295"])
}
