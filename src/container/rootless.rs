//! Whether missing privileges are expected.

use super::request::Rootless;
use crate::error::Error;
use crate::namespaces::in_user_namespace;
use crate::sys::credentials;

/// Whether a cgroup that may not be created is tolerated, unless a limit needs it.
pub(super) fn forgives(asked: Rootless) -> bool {
    match asked {
        Rootless::Yes => true,
        Rootless::No => false,
        Rootless::Auto => credentials::effective_uid() != 0 || in_user_namespace(),
    }
}

/// Sysctls that keep unprivileged users from user namespaces, with the error numbers they cause and
/// the hint. Ubuntu's takes the privileges in a new namespace from programs without an AppArmor
/// profile; the second is Debian's.
static SWITCHES: [(&str, &str, [i32; 2], &str); 3] = [
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        [libc::EPERM, libc::EACCES],
        "the sysctl kernel.apparmor_restrict_unprivileged_userns is 1, and then user namespaces need an AppArmor \
             profile: load packaging/apparmor.d/orlop",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        [libc::EPERM; 2],
        "the sysctl kernel.unprivileged_userns_clone is 0, and then only root may make user namespaces",
    ),
    (
        "user/max_user_namespaces",
        "0",
        [libc::ENOSPC; 2],
        "the sysctl user.max_user_namespaces is 0, and then nobody may make user namespaces",
    ),
];

/// Adds the sysctl that is the likely reason of a refusal.
pub(super) fn explain(error: Error, new_user_namespace: bool) -> Error {
    let errno = error.errno();
    // For root only the count of namespaces is limited.
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
