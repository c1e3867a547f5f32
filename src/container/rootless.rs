//! Whether missing rights are to be expected.

use super::request::Rootless;
use crate::sys::credentials;

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
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_ascii_whitespace().ne(["0", "0", "4294967295"])
}
