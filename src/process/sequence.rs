//! The order of things: what the child does, step by step, for a new container and for one more process in it.
//!
//! The order is the security argument, so it is written once, as data:
//! - nothing of the container's tree is touched before mounts cannot reach the host (`build` begins with propagation);
//! - hooks run while the root still stands at its host path;
//! - paths are masked after the pivot, when no name can lead out of the container any more, and after /dev/console, whose
//!   mount a masked or read-only path would refuse;
//! - descriptors are closed before anything looks at the working directory (CVE-2024-21626): that is the init image's;
//! - confinement, session, gate, filter and the program are the init image's (`src/init/main.rs`), in this order.

use super::stage::{self, Step};

/// A new container's init.
pub(super) static CREATE: &[Step] = &[
    Step { name: "begin", run: stage::begin },
    Step { name: "set the OOM score", run: stage::set_oom_score },
    Step { name: "enter namespaces", run: stage::enter_namespaces },
    Step { name: "enter cgroups", run: stage::enter_cgroups },
    Step { name: "set the CPU affinity", run: stage::set_final_affinity },
    Step { name: "make a session keyring", run: stage::join_keyring },
    Step { name: "set up namespaces", run: stage::set_up_namespaces },
    Step { name: "build the root filesystem", run: stage::build_rootfs },
    Step { name: "run hooks", run: stage::run_hooks },
    Step { name: "change the root", run: stage::pivot },
    Step { name: "make the console", run: stage::make_console },
    Step { name: "mask and protect paths", run: stage::protect },
    Step { name: "set up standard input and output", run: stage::set_up_stdio },
    Step { name: "set process attributes", run: stage::set_attributes },
    Step { name: "execute the init image", run: stage::execute_image },
];

/// One more process in a container.
pub(super) static EXEC: &[Step] = &[
    Step { name: "begin", run: stage::begin },
    Step { name: "set the OOM score", run: stage::set_oom_score },
    Step { name: "set the initial CPU affinity", run: stage::set_initial_affinity },
    Step { name: "enter cgroups", run: stage::enter_cgroups },
    Step { name: "set the final CPU affinity", run: stage::set_final_affinity },
    Step { name: "enter namespaces", run: stage::enter_container },
    Step { name: "join the session keyring", run: stage::join_keyring },
    Step { name: "open a terminal", run: stage::open_console },
    Step { name: "set up standard input and output", run: stage::set_up_stdio },
    Step { name: "set process attributes", run: stage::set_attributes },
    Step { name: "execute the init image", run: stage::execute_image },
];
