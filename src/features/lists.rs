//! The names that the document lists.

use crate::word::{Word, words};

/// Kinds of hooks (config.md).
pub(super) static HOOKS: [Word<15>; 6] =
    words(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]);

/// Kinds of namespaces (config-linux.md).
pub(super) static NAMESPACES: [Word<7>; 8] = words(["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"]);

/// Memory policies (set_mempolicy(2)).
pub(super) static POLICY_MODES: [Word<24>; 7] = words([
    "MPOL_DEFAULT",
    "MPOL_BIND",
    "MPOL_INTERLEAVE",
    "MPOL_WEIGHTED_INTERLEAVE",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_LOCAL",
]);

/// Their flags.
pub(super) static POLICY_FLAGS: [Word<21>; 3] =
    words(["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"]);
