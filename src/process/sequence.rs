//! The order of a launch: the steps of the child, for a new container and for `exec`.
//!
//! The order is a security property, so it is written once, as data:
//! - no path of the container is touched before its mounts are kept from propagating to the host (`build` begins with propagation);
//! - hooks run while the root is still mounted at its host path;
//! - paths are masked after the pivot, when no name can lead out of the container any more, and after
//!   the mount of /dev/console, which a masked or read-only path would refuse;
//! - the stub closes descriptors before it changes to the working directory (CVE-2024-21626);
//! - confinement, session, gate, filter and program follow in the stub (`src/init/main.rs`), in this order.

use super::stage::{self, LaunchStep};

/// A new container's init.
pub(super) static CREATE: &[LaunchStep] = &[
    LaunchStep { name: "begin", run: stage::begin },
    LaunchStep { name: "set the OOM score", run: stage::set_oom_score },
    LaunchStep { name: "enter namespaces", run: stage::enter_namespaces },
    LaunchStep { name: "enter cgroups", run: stage::enter_cgroups },
    LaunchStep { name: "set the CPU affinity", run: stage::set_final_affinity },
    LaunchStep { name: "make a session keyring", run: stage::join_keyring },
    LaunchStep { name: "set up namespaces", run: stage::set_up_namespaces },
    LaunchStep { name: "build the root filesystem", run: stage::build_rootfs },
    LaunchStep { name: "run hooks", run: stage::run_hooks },
    LaunchStep { name: "change the root", run: stage::pivot },
    LaunchStep { name: "make the console", run: stage::make_console },
    LaunchStep { name: "mask and protect paths", run: stage::protect },
    LaunchStep { name: "set up standard input and output", run: stage::set_up_stdio },
    LaunchStep { name: "set process attributes", run: stage::set_attributes },
    LaunchStep { name: "execute the init image", run: stage::execute_stub },
];

/// The steps of the stub (`src/init/main.rs`).
pub(crate) const STUB: [&str; 7] = [
    "close descriptors",
    "set the label, capabilities, groups, user and no_new_privs",
    "make a session",
    "wait at the gate for `start`",
    "run startContainer hooks",
    "load the seccomp filter",
    "execute the program",
];

/// The names of the steps of a new container's init.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    CREATE.iter().map(|step| step.name)
}

/// One more process in a container.
pub(super) static EXEC: &[LaunchStep] = &[
    LaunchStep { name: "begin", run: stage::begin },
    LaunchStep { name: "set the OOM score", run: stage::set_oom_score },
    LaunchStep { name: "set the initial CPU affinity", run: stage::set_initial_affinity },
    LaunchStep { name: "enter cgroups", run: stage::enter_cgroups },
    LaunchStep { name: "set the final CPU affinity", run: stage::set_final_affinity },
    LaunchStep { name: "enter namespaces", run: stage::enter_container },
    LaunchStep { name: "bring the tools", run: stage::bring_tools },
    LaunchStep { name: "join the session keyring", run: stage::join_keyring },
    LaunchStep { name: "open a terminal", run: stage::open_console },
    LaunchStep { name: "set up standard input and output", run: stage::set_up_stdio },
    LaunchStep { name: "set process attributes", run: stage::set_attributes },
    LaunchStep { name: "execute the init image", run: stage::execute_stub },
];
