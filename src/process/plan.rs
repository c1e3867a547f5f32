//! The plan of a launch: everything that is decided before the process exists.

use super::capability;
use super::keyring::Keyring;
use super::program::Program;
use super::seccomp::Filter;
use super::stub::Layout;
use super::stub::plan::{self as init, flag};
use crate::config;
use crate::error::{Error, Result};
use crate::hooks::{Hooks, Moment};
use crate::namespaces::recipe::{Fork, User};
use crate::namespaces::{Joined, NamespaceKind, Namespaces, Place, Recipe};
use crate::rootfs::{CgroupView, Enter, Rootfs};
use crate::sys::limits::{self, Limit, Raised};
use crate::sys::terminal::Size;
use std::os::fd::OwnedFd;

/// Everything that is decided about a container's process before it exists.
#[derive(Default)]
pub(crate) struct LaunchPlan {
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// The namespaces that are joined, open.
    pub joined: Joined,
    /// The way into the namespaces.
    pub recipe: Recipe,
    /// The running container that the process enters (`exec`).
    pub entered: Option<Entered>,
    /// The CPUs that the process may use before and after it has joined its cgroups.
    pub affinity: [Affinity; 2],
    /// The root filesystem; none for a process that enters a container.
    pub rootfs: Option<Rootfs>,
    /// The cgroups that a mount of type `cgroup` shows.
    pub cgroup_view: Option<CgroupView>,
    /// The hooks.
    pub hooks: Hooks,
    /// The program; a container can be created without one.
    pub program: Option<Program>,
    /// The label that the security module gives the program.
    pub label: Option<Label>,
    /// The seccomp filter.
    pub filter: Option<Filter>,
    /// The grace time in milliseconds of the reaping init, if the container has one.
    pub shim: Option<u32>,
    /// The session keyring.
    pub keyring: Keyring,
    /// Whether the root is entered without `pivot_root`.
    pub no_pivot: bool,
    /// The number of descriptors after standard error that the program keeps.
    pub kept_fds: i32,
    /// The random name of the process until it executes the program. Other processes cannot guess
    /// it, so a process with this name is the one that waits.
    pub waiting_name: [u8; 16],
    /// Whether the stub reports that it is ready.
    pub reports_ready: bool,
    /// Whether the stub waits at the gate.
    pub waits_at_gate: bool,
    /// The size of the caller's terminal, if it shows the program's (a foreground `run` or `exec`).
    pub shown_on: Option<Size>,
    /// `linux.resources.memory.limit`, for the message about a launch that it kills.
    pub memory_limit: Option<i64>,
    /// The busybox of `exec --tools`.
    pub tools: Option<Tools>,
    /// Whether the runtime moves network devices into the container, once the process is in its namespaces.
    pub moves_devices: bool,
}

// musl's constant is of another integer type than glibc's.
#[allow(clippy::unnecessary_cast)]
const NPROC: u32 = libc::RLIMIT_NPROC as u32;

/// The CPUs that a process may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Affinity {
    /// The CPUs that it may use already.
    #[default]
    Unchanged,
    /// Every CPU of its cpuset: the caller's own affinity says nothing about the container.
    Cpuset,
    /// These, as bits of 64 a word (process.execCPUAffinity).
    Only(Vec<u64>),
}

/// A running container, as `exec` enters it.
#[derive(Debug)]
pub(crate) struct Entered {
    /// A descriptor of its init.
    pub init: OwnedFd,
    /// CLONE_NEW* flags of the namespaces that it has of its own.
    pub flags: i32,
}

/// The directory of the tools in the container's root.
pub(crate) const TOOLS: &str = ".orlop-tools";

/// A busybox that the process gets in a mount namespace of its own.
pub(crate) struct Tools {
    /// The program's bytes.
    pub program: Vec<u8>,
    /// The SELinux context of its file (`linux.mountLabel`).
    pub label: Option<String>,
}

/// The label for the security module; it is chosen while /proc is the host's.
#[derive(Debug)]
pub(crate) struct Label {
    /// The file below a procfs that takes the label.
    pub(super) file: &'static str,
    pub(super) text: String,
}

impl Label {
    /// The label for the program, if it asks for one.
    pub(crate) fn of(program: &Program) -> Option<Label> {
        if let Some(profile) = &program.apparmor {
            let newer = std::path::Path::new("/proc/self/attr/apparmor/exec").exists();
            let file = if newer { "self/attr/apparmor/exec" } else { "self/attr/exec" };
            return Some(Label { file, text: format!("exec {profile}") });
        }
        program.selinux.as_ref().map(|label| Label { file: "self/attr/exec", text: label.clone() })
    }
}

impl LaunchPlan {
    /// Whether the program has a terminal.
    pub(crate) fn has_terminal(&self) -> bool {
        self.program.as_ref().is_some_and(|program| program.terminal.is_some())
    }

    /// The first descriptor that the program does not keep.
    pub(super) fn first_fd(&self) -> i32 {
        3 + self.kept_fds
    }

    /// Whether the runtime runs hooks once the root filesystem is mounted.
    pub(super) fn runtime_acts_on_built(&self) -> bool {
        let hooks = [Moment::Prestart, Moment::CreateRuntime];
        hooks.into_iter().any(|moment| !self.hooks.at(moment).is_empty())
    }

    /// Whether the child waits for its id mappings.
    pub(super) fn maps_ids(&self) -> bool {
        matches!(self.recipe.user, User::Cloned | User::Unshared)
    }

    /// The number of procfs mounts that show a joined pid namespace.
    pub(super) fn procfs_of_joined(&self) -> usize {
        let joins = self.joined.fd(NamespaceKind::Pid).is_some();
        self.rootfs.iter().filter(|_| joins).flat_map(|rootfs| rootfs.procfs_mounts()).count()
    }

    /// Whether the process forks once more; the runtime learns the final pid only then.
    pub(super) fn forks(&self) -> bool {
        self.recipe.fork != Fork::None
    }

    /// Raises the runtime's own resource limits to those that creating the process needs, and to
    /// the program's hard limits.
    pub(super) fn raise_limits(&self) -> Result<Raised> {
        let raised = Raised::begin();
        let Some(program) = &self.program else { return Ok(raised) };
        program.attributes.raise_rlimits()?;
        // Root of the first user namespace has no limit of processes.
        let is_limited = program.uid != 0 || self.recipe.user != User::Stays;
        let hooks = [Moment::CreateContainer, Moment::StartContainer];
        let forks =
            self.forks() || self.shim.is_some() || hooks.iter().any(|moment| !self.hooks.at(*moment).is_empty());
        if is_limited && forks {
            limits::raise_soft(NPROC, libc::RLIM_INFINITY)?;
        }
        Ok(raised)
    }

    /// The limits that the stub sets: the program's, and the caller's where the runtime raised its
    /// own.
    fn limits(&self, program: &Program) -> Vec<init::Limit> {
        let own: Vec<Limit> = program.attributes.rlimits.iter().map(|(limit, _)| *limit).collect();
        let callers = limits::before().filter(|limit| own.iter().all(|known| known.resource != limit.resource));
        let all = own.iter().copied().chain(callers);
        all.map(|Limit { resource, soft, hard }| init::Limit { resource: resource.into(), soft, hard }).collect()
    }

    /// How the root is entered.
    pub(super) fn enter_root(&self) -> Enter {
        if self.no_pivot { Enter::Move } else { Enter::Pivot }
    }

    /// The stub's plan without the values that only the child knows.
    pub(super) fn stub_plan(&self, layout: &mut Layout) -> Result<init::StubPlan> {
        let mut plan = init::StubPlan {
            waiting_name: self.waiting_name,
            flags: self.flags(),
            first_closed: self.first_fd(),
            procfs: -1,
            cgroup_file: -1,
            end_file: -1,
            last_capability: capability::last_known(),
            ..init::StubPlan::default()
        };
        let Some(program) = &self.program else {
            plan.cwd = layout.string("/");
            return Ok(plan);
        };
        let sets = program.capabilities;
        (plan.uid, plan.gid, plan.umask) = (program.uid, program.gid, program.umask.unwrap_or(0));
        (plan.bounding, plan.effective, plan.permitted) = (sets.bounding, sets.effective, sets.permitted);
        (plan.inheritable, plan.ambient) = (sets.inheritable, sets.ambient);
        plan.groups = layout.words(&program.groups);
        plan.limits = layout.limits(&self.limits(program));
        plan.cwd = layout.string(&program.cwd);
        plan.candidates = layout.strings(program.candidates());
        plan.argv = layout.strings(program.args.iter().map(|arg| arg.as_bytes())).at;
        if let Some(filter) = &self.filter {
            let count = u16::try_from(filter.program.len())
                .map_err(|_| Error::config("linux.seccomp", "the filter has more than 65535 instructions"))?;
            plan.filter = layout.program(&filter.bytes(), count);
            plan.filter_flags = filter.flags.into();
        }
        plan.grace = self.shim.unwrap_or(0);
        Ok(plan)
    }

    fn flags(&self) -> u32 {
        let program = self.program.as_ref();
        let own_pids = *self.namespaces.place(NamespaceKind::Pid) == Place::New;
        [
            (flag::WAIT | flag::SESSION | flag::CAPABILITIES, true),
            (flag::NO_PROGRAM, program.is_none()),
            (flag::FORK, self.recipe.fork == Fork::Late),
            (flag::READY, self.reports_ready),
            (flag::GATE, self.waits_at_gate),
            (flag::SHIM, self.shim.is_some()),
            (flag::SUBREAPER, self.shim.is_some() && !own_pids),
            (flag::GROUPS, program.is_some_and(|program| !program.keep_groups)),
            (flag::NO_NEW_PRIVS, program.is_some_and(|program| program.no_new_privs)),
            (flag::UMASK, program.is_some_and(|program| program.umask.is_some())),
            (flag::LISTENER, self.filter.as_ref().is_some_and(|filter| filter.notify.is_some())),
        ]
        .into_iter()
        .filter(|(_, on)| *on)
        .fold(0, |flags, (flag, _)| flags | flag)
    }
}

/// Checks `ociVersion`: SemVer 2.0.0, of the major version 1 (config.md, "Specification version").
pub(crate) fn check_version(spec: &config::Spec<'_>) -> Result<()> {
    let version = spec.oci_version.as_deref().unwrap_or_default();
    let problem = |text: &str| Err(Error::config("ociVersion", format_args!("{version:?} {text}")));
    if version.is_empty() {
        return Err(Error::config("ociVersion", "missing"));
    }
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    let is_number = |n: &&str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
    if numbers.len() != 3 || !numbers.iter().all(is_number) {
        return problem("is not of the form MAJOR.MINOR.PATCH (SemVer 2.0.0)");
    }
    if numbers[0] != "1" {
        return problem("is not supported; this runtime knows 1.0.0 to 1.3.0");
    }
    Ok(())
}
