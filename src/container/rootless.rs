//! Whether missing rights are to be expected.

use super::request::Rootless;
use crate::error::Error;
use crate::sys::credentials;
use std::os::unix::fs::MetadataExt;

/// The inode of the first user namespace (`PROC_USER_INIT_INO` of the kernel).
const FIRST_USER_NAMESPACE: u64 = 0xeffffffd;

/// Whether a cgroup that cannot be made is forgiven, as far as no limit needs it.
pub(super) fn forgives(asked: Rootless) -> bool {
    match asked {
        Rootless::Yes => true,
        Rootless::No => false,
        Rootless::Auto => credentials::effective_uid() != 0 || in_user_namespace(),
    }
}

/// The first user namespace maps every id to itself.
fn in_user_namespace() -> bool {
    if in_first_user_namespace() {
        return false;
    }
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_ascii_whitespace().ne(["0", "0", "4294967295"])
}

/// Whether the runtime is in the user namespace that owns the machine: in any other, mounts that came from it keep their
/// attributes, whoever is root.
pub(super) fn in_first_user_namespace() -> bool {
    std::fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() == FIRST_USER_NAMESPACE)
}

/// Where Ubuntu's sysctl takes the rights in a new user namespace away from programs without a profile of their own, every
/// refusal is likely its doing.
pub(super) fn explain(error: Error, new_user_namespace: bool) -> Error {
    const SYSCTL: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    let refused = matches!(error.errno(), libc::EPERM | libc::EACCES);
    if !refused || !new_user_namespace || credentials::effective_uid() == 0 || !is_one(SYSCTL) {
        return error;
    }
    error.hint(
        "the sysctl kernel.apparmor_restrict_unprivileged_userns is 1, and then user namespaces need an AppArmor profile: \
         load packaging/apparmor.d/orlop",
    )
}

fn is_one(sysctl: &str) -> bool {
    std::fs::read_to_string(sysctl).is_ok_and(|value| value.trim() == "1")
}
