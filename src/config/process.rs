//! The container's process (config.md, "Process"); also a document of its own, as `exec --process` takes it.

use std::borrow::Cow;

use crate::json::records;

records! {
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

    /// Ids as they are inside the container.
    User<'a> {
        uid: u32 = "uid",
        gid: u32 = "gid",
        umask: u32 = "umask",
        additional_gids: Vec<u32> = "additionalGids",
        /// Of Windows alone.
        username: Cow<'a, str> = "username",
    }

    /// Capabilities by name (capabilities(7)); names are not checked here, a kernel may know more than this build.
    Capabilities<'a> {
        bounding: Vec<Cow<'a, str>> = "bounding",
        effective: Vec<Cow<'a, str>> = "effective",
        inheritable: Vec<Cow<'a, str>> = "inheritable",
        permitted: Vec<Cow<'a, str>> = "permitted",
        ambient: Vec<Cow<'a, str>> = "ambient",
    }

    /// A resource limit, in the unit of its type (setrlimit(2)).
    Rlimit<'a> {
        type_: Cow<'a, str> = "type",
        hard: u64 = "hard",
        soft: u64 = "soft",
    }

    /// Attributes for sched_setattr(2).
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

    /// A class and level for ioprio_set(2).
    IoPriority<'a> {
        class: Cow<'a, str> = "class",
        priority: i64 = "priority",
    }

    /// Lists of CPUs, such as `0-3,7`, for the processes that `exec` starts.
    ExecCpuAffinity<'a> {
        initial: Cow<'a, str> = "initial",
        final_: Cow<'a, str> = "final",
    }
}
