//! The cases, by group.

use crate::case::Case;

macro_rules! groups {
    ($($group:ident)*) => {
        $(mod $group;)*

        fn all() -> Vec<Case> {
            let mut all = Vec::new();
            $(all.extend($group::cases().into_iter().map(|case| Case { group: stringify!($group), ..case }));)*
            all
        }
    };
}

groups! {
    state
    create
    start
    kill
    delete
    hooks
    process
    user
    capabilities
    rlimits
    scheduling
    terminal
    root
    descriptors
    namespaces
    mounts
    mount_options
    idmap
    devices
    device_access
    cgroups
    limits
    seccomp
    seccomp_notify
    paths
    sysctl
    propagation
    kernel
    selinux
    netdevices
    annotations
    features
}

/// The cases whose id, sentence or clauses contain one of the filters; all without a filter.
pub(crate) fn selected(filters: &[String]) -> Vec<Case> {
    let fits = |case: &Case, filter: &String| {
        case.id().contains(filter)
            || case.sentence().contains(filter)
            || case.clauses.iter().any(|id| id.contains(filter))
    };
    all().into_iter().filter(|case| filters.is_empty() || filters.iter().any(|filter| fits(case, filter))).collect()
}
