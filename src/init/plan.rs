//! The plan of the init stub: the structure that orlop and the stub both compile.
//!
//! orlop lays out a [`StubPlan`] and everything that it points to with the addresses of the stub's
//! address space, as a read-only segment of the stub that begins at [`PLAN_AT`]. So the stub parses
//! nothing, allocates nothing and reads no descriptor to get its plan; all addresses are final.

/// The address of the plan's segment in the stub's address space.
pub(crate) const PLAN_AT: u64 = 0x2000_0000;

/// A list in the plan's segment: its address and its number of elements.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Span {
    pub at: u64,
    pub count: u64,
}

/// A startContainer hook; strings and lists as in C.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Hook {
    pub path: u64,
    pub argv: u64,
    pub envp: u64,
    /// The timeout in milliseconds; 0 is none.
    pub timeout: u64,
}

/// A resource limit, for `prlimit(2)`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Limit {
    pub resource: u64,
    pub soft: u64,
    pub hard: u64,
}

/// `struct sock_fprog` of `seccomp(2)`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Program {
    pub count: u16,
    pub at: u64,
}

/// The stub's input, in the order of its steps.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct StubPlan {
    /// The process name until the program is executed; 15 bytes and a NUL.
    pub waiting_name: [u8; 16],
    /// [`flag`] bits.
    pub flags: u32,
    /// The packet socket to the parent.
    pub sync: i32,
    /// The listening socket that `start` connects to.
    pub gate: i32,
    /// The memfd of the report page, -1 if it comes through the gate.
    pub page: i32,
    /// Descriptors from this number on are closed at the execution of the program.
    pub first_closed: i32,
    /// A procfs to write the label to.
    pub procfs: i32,
    /// The file that joins the last cgroup when written, -1 for none.
    pub cgroup_file: i32,
    /// The file to which the reaping init writes [`end_record`], -1 for none.
    pub end_file: i32,
    pub uid: u32,
    pub gid: u32,
    pub umask: u32,
    /// The highest capability that the kernel knows.
    pub last_capability: u32,
    /// The time in milliseconds between SIGTERM and SIGKILL for the other processes after the
    /// program has exited; 0 kills at once.
    pub grace: u32,
    /// The number of procfs contexts that [`flag::PROCFS`] opens.
    pub contexts: u32,
    /// A list of [`Limit`].
    pub limits: Span,
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
    /// A list of u32.
    pub groups: Span,
    /// A C string.
    pub cwd: u64,
    /// Addresses of C strings: the paths to try for the program, in order.
    pub candidates: Span,
    pub argv: u64,
    pub envp: u64,
    /// A list of [`Hook`].
    pub hooks: Span,
    /// Bytes: the state that hooks read, without the pid.
    pub state: Span,
    /// The offset of the pid in the state. Only this process knows the pid: it may fork into
    /// another pid namespace.
    pub pid_at: u64,
    /// A C string below the procfs: the file that takes the label; 0 for none.
    pub label_file: u64,
    /// Bytes.
    pub label: Span,
    /// A [`Program`]; 0 for none.
    pub filter: u64,
    /// SECCOMP_FILTER_FLAG_* for the filter.
    pub filter_flags: u64,
}

/// The record of the program's end: a mark and the wait status.
pub(crate) fn end_record(status: u32) -> [u8; 8] {
    let [a, b, c, d] = status.to_le_bytes();
    [b'e', b'n', b'd', b'1', a, b, c, d]
}

/// Bits of [`StubPlan::flags`].
pub(crate) mod flag {
    /// Fork once more, into the joined pid or time namespace.
    pub(crate) const FORK: u32 = 1;
    /// Wait for the runtime's message.
    pub(crate) const WAIT: u32 = 2;
    /// Report that the process is ready.
    pub(crate) const READY: u32 = 4;
    /// Wait at the gate.
    pub(crate) const GATE: u32 = 8;
    /// Stay as the reaping init and run the program as a child.
    pub(crate) const SHIM: u32 = 16;
    /// no_new_privs.
    pub(crate) const NO_NEW_PRIVS: u32 = 32;
    /// Set the supplementary groups.
    pub(crate) const GROUPS: u32 = 64;
    /// Make standard input the controlling terminal.
    pub(crate) const TERMINAL: u32 = 128;
    /// Set the umask.
    pub(crate) const UMASK: u32 = 256;
    /// Set the capability sets.
    pub(crate) const CAPABILITIES: u32 = 512;
    /// The filter has a listener that the parent fetches.
    pub(crate) const LISTENER: u32 = 1024;
    /// The shim is not pid 1 of a namespace of its own.
    pub(crate) const SUBREAPER: u32 = 2048;
    /// Become leader of a new session.
    pub(crate) const SESSION: u32 = 4096;
    /// There is no program: the container can only be inspected and deleted.
    pub(crate) const NO_PROGRAM: u32 = 8192;
    /// Unshare the cgroup namespace after joining the last cgroup.
    pub(crate) const CGROUP_NAMESPACE: u32 = 16384;
    /// Act as the helper that opens procfs contexts in a joined pid namespace.
    pub(crate) const PROCFS: u32 = 32768;
    /// Load the filter before the fork into the pid namespace: it allows every later call.
    pub(crate) const EARLY_FILTER: u32 = 65536;
    /// Fork by `clone(2)`: the filter refuses `clone3(2)`.
    pub(crate) const PLAIN_CLONE: u32 = 131_072;
}

/// The exit status of a stub that cannot map its report page is this and the error number, which is
/// below 36 for `mmap(2)`. A panic of the runtime ends with 101.
pub(crate) const NO_REPORT: i32 = 64;

/// The words of the report page, the stub's only output once the filter is loaded.
pub(crate) mod word {
    /// The [`super::StubStep`] that began last.
    pub(crate) const STEP: usize = 0;
    /// The error number of its failure; 0 while it goes on.
    pub(crate) const ERRNO: usize = 1;
    /// Detail of the step: the number of the hook.
    pub(crate) const DETAIL: usize = 2;
    /// The listener's descriptor number plus one.
    pub(crate) const LISTENER: usize = 3;
    /// The runtime sets it to 1 once it has the listener.
    pub(crate) const FETCHED: usize = 4;
    /// The hook's wait status.
    pub(crate) const STATUS: usize = 5;
    /// If a child of this process has the listener (a hook, or the program of the reaping init): 1
    /// until that child exists, then the descriptor number of its pidfd plus two.
    pub(crate) const CHILD: usize = 6;
    /// The error number of a failure in a hook's child before it executed the hook, else 0.
    pub(crate) const HOOK_ERRNO: usize = 7;
    /// The [`super::StubStep`] in which it failed.
    pub(crate) const HOOK_STEP: usize = 8;
    /// The length of a failed hook's output from word [`OUTPUT`] on, in bytes.
    pub(crate) const OUTPUT_LENGTH: usize = 9;
    /// Of a program that could not be executed: the number of its candidate plus one, 0 if none was looked at.
    pub(crate) const LOOKED_AT: usize = 10;
    /// The mode of the file, or, with [`PATH_LENGTH`], of the last directory that could be reached.
    pub(crate) const MODE: usize = 11;
    /// Its owner and group.
    pub(crate) const OWNER: usize = 12;
    pub(crate) const GROUP: usize = 13;
    /// How many bytes of the path lead to that directory; 0 where the file itself was reached.
    pub(crate) const PATH_LENGTH: usize = 14;
    /// The flags of the mount that has the file (`statfs(2)`, ST_NOEXEC among them).
    pub(crate) const MOUNT_FLAGS: usize = 15;
    /// 1 where the file's beginning could be read.
    pub(crate) const IS_READ: usize = 16;
    /// The end of a failed hook's output, at most [`OUTPUT_MOST`] bytes.
    pub(crate) const OUTPUT: usize = 64;
    /// The most bytes of a hook's output that are kept.
    pub(crate) const OUTPUT_MOST: usize = 1024;
}

/// The stub's steps, by their numbers in the report page.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StubStep {
    None = 0,
    Page = 1,
    Label = 2,
    Session = 3,
    Terminal = 4,
    Bounding = 5,
    Groups = 6,
    Gid = 7,
    Uid = 8,
    Capabilities = 9,
    Ambient = 10,
    Cwd = 11,
    CwdOutside = 12,
    NoNewPrivs = 13,
    Find = 14,
    Fork = 15,
    Sync = 16,
    Gate = 17,
    Hook = 18,
    HookTimeout = 19,
    HookStatus = 20,
    Shim = 21,
    Filter = 22,
    Execute = 23,
    Close = 24,
    Cgroup = 25,
    CgroupNamespace = 26,
    Limits = 27,
    UserNamespace = 28,
    Name = 29,
    Hide = 30,
    ParentSignal = 31,
}
