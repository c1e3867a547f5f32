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

/// Settings of the kernel that keep ordinary users from user namespaces: the error with which it does so, and what is to be said.
/// Ubuntu's takes the rights in a new namespace away from programs without a profile of their own; the second is Debian's.
const SWITCHES: [(&str, &str, &[i32], &str); 3] = [
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        &[libc::EPERM, libc::EACCES],
        "the sysctl kernel.apparmor_restrict_unprivileged_userns is 1, and then user namespaces need an AppArmor profile: \
         load packaging/apparmor.d/orlop",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        &[libc::EPERM],
        "the sysctl kernel.unprivileged_userns_clone is 0, and then only root may make user namespaces",
    ),
    (
        "user/max_user_namespaces",
        "0",
        &[libc::ENOSPC],
        "the sysctl user.max_user_namespaces is 0, and then nobody may make user namespaces",
    ),
];

/// Names the setting that is likely behind a refusal.
pub(super) fn explain(error: Error, new_user_namespace: bool) -> Error {
    let errno = error.errno();
    // Root is only counted.
    if !new_user_namespace || (errno != libc::ENOSPC && credentials::effective_uid() == 0) {
        return error;
    }
    let set = |sysctl: &str, value: &str| {
        std::fs::read_to_string(format!("/proc/sys/{sysctl}")).is_ok_and(|text| text.trim() == value)
    };
    match SWITCHES.iter().find(|(sysctl, value, errors, _)| errors.contains(&errno) && set(sysctl, value)) {
        Some((.., hint)) => error.better_hint(hint),
        None => error,
    }
}
