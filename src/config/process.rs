//! The `process` object (config.md, "Process"), which is also the document of `exec --process`.

use std::borrow::Cow;

use crate::json::objects;

objects! {
    /// `process`.
    Process<'a> {
        terminal: bool = "terminal",
        console_size: ConsoleSize = "consoleSize",
        user: User<'a> = "user",
        args: Vec<Cow<'a, str>> = "args",
        env: Vec<Cow<'a, str>> = "env",
        cwd: Cow<'a, str> = "cwd",
        capabilities: Capabilities<'a> = "capabilities",
        rlimits: Vec<Rlimit<'a>> = "rlimits",
        no_new_privileges: bool = "noNewPrivileges",
        apparmor_profile: Cow<'a, str> = "apparmorProfile",
        oom_score_adj: i64 = "oomScoreAdj",
        scheduler: Scheduler<'a> = "scheduler",
        selinux_label: Cow<'a, str> = "selinuxLabel",
        io_priority: IoPriority<'a> = "ioPriority",
        exec_cpu_affinity: ExecCpuAffinity<'a> = "execCPUAffinity",
    }

    /// The terminal's size, in characters.
    ConsoleSize {
        height: u64 = "height",
        width: u64 = "width",
    }

    /// User and group ids in the container's user namespace.
    User<'a> {
        uid: u32 = "uid",
        gid: u32 = "gid",
        umask: u32 = "umask",
        additional_gids: Vec<u32> = "additionalGids",
        /// Used on Windows only.
        username: Cow<'a, str> = "username",
    }

    /// The names of capabilities (capabilities(7)). They are not checked here: the kernel may know
    /// more than this build.
    Capabilities<'a> {
        bounding: Vec<Cow<'a, str>> = "bounding",
        effective: Vec<Cow<'a, str>> = "effective",
        inheritable: Vec<Cow<'a, str>> = "inheritable",
        permitted: Vec<Cow<'a, str>> = "permitted",
        ambient: Vec<Cow<'a, str>> = "ambient",
    }

    /// A resource limit (setrlimit(2)); the unit depends on its type.
    Rlimit<'a> {
        type_: Cow<'a, str> = "type",
        hard: u64 = "hard",
        soft: u64 = "soft",
    }

    /// Scheduling attributes for sched_setattr(2).
    Scheduler<'a> {
        policy: Cow<'a, str> = "policy",
        nice: i32 = "nice",
        priority: i32 = "priority",
        flags: Vec<Cow<'a, str>> = "flags",
        /// Nanoseconds.
        runtime: u64 = "runtime",
        /// Nanoseconds.
        deadline: u64 = "deadline",
        /// Nanoseconds.
        period: u64 = "period",
    }

    /// An I/O priority for ioprio_set(2).
    IoPriority<'a> {
        class: Cow<'a, str> = "class",
        priority: i64 = "priority",
    }

    /// CPU affinity of the processes that `exec` starts, as CPU lists such as `0-3,7`.
    ExecCpuAffinity<'a> {
        initial: Cow<'a, str> = "initial",
        final_: Cow<'a, str> = "final",
    }
}
