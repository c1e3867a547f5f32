//! The order of things: what the child does, step by step, for a new container and for one more process in it.
//!
//! The order is the security argument, so it is written once, as data:
//! - nothing of the container's tree is touched before mounts cannot reach the host (`build` begins with propagation);
//! - hooks run while the root still stands at its host path;
//! - paths are masked after the pivot, when no name can lead out of the container any more, and after /dev/console, whose
//!   mount a masked or read-only path would refuse;
//! - descriptors are closed before anything looks at the working directory (CVE-2024-21626): that is the init image's;
//! - confinement, session, gate, filter and the program are the init image's (`src/init/main.rs`), in this order.

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

/// One more process in a container.
pub(super) static EXEC: &[LaunchStep] = &[
    LaunchStep { name: "begin", run: stage::begin },
    LaunchStep { name: "set the OOM score", run: stage::set_oom_score },
    LaunchStep { name: "set the initial CPU affinity", run: stage::set_initial_affinity },
    LaunchStep { name: "enter cgroups", run: stage::enter_cgroups },
    LaunchStep { name: "set the final CPU affinity", run: stage::set_final_affinity },
    LaunchStep { name: "enter namespaces", run: stage::enter_container },
    LaunchStep { name: "join the session keyring", run: stage::join_keyring },
    LaunchStep { name: "open a terminal", run: stage::open_console },
    LaunchStep { name: "set up standard input and output", run: stage::set_up_stdio },
    LaunchStep { name: "set process attributes", run: stage::set_attributes },
    LaunchStep { name: "execute the init image", run: stage::execute_stub },
];
