//! What orlop tells its init image: the one structure that both programs compile.
//!
//! orlop lays a [`StubPlan`] and everything that it points to out in memory as it will stand at [`PLAN_AT`] in the image's
//! address space, and makes it a read-only segment of the image. So the image parses nothing, allocates nothing and needs
//! no descriptor to learn what to do; all addresses are final.

/// Where the plan's segment begins in the image's address space.
pub(crate) const PLAN_AT: u64 = 0x2000_0000;

/// A list in the plan's segment: its address and its number of elements.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Span {
    pub at: u64,
    pub count: u64,
}

/// A startContainer hook; the strings and lists are C's.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Hook {
    pub path: u64,
    pub argv: u64,
    pub envp: u64,
    /// Milliseconds; 0 is no limit.
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

/// What the image does, in the order of its steps.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct StubPlan {
    /// The process name that tells others that the program has not been executed yet; 15 bytes and a NUL.
    pub waiting_name: [u8; 16],
    /// [`flag`] bits.
    pub flags: u32,
    /// The packet socket to the parent.
    pub sync: i32,
    /// The listening socket that `start` connects to.
    pub gate: i32,
    /// The memory file of the report page, -1 where it comes through the gate.
    pub page: i32,
    /// Descriptors from this number on are closed when the program is executed.
    pub first_closed: i32,
    /// A procfs to write the label to.
    pub procfs: i32,
    /// The file by which to join the last cgroup, -1 for none.
    pub cgroup_file: i32,
    pub uid: u32,
    pub gid: u32,
    pub umask: u32,
    /// The highest capability that the kernel knows.
    pub last_capability: u32,
    /// Milliseconds that the shim leaves to the rest after SIGTERM when the program has ended; 0 kills at once.
    pub grace: u32,
    /// How many procfs contexts [`flag::PROCFS`] opens.
    pub contexts: u32,
    /// So that what follows is aligned.
    pub reserved: u32,
    /// Of [`Limit`].
    pub limits: Span,
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
    /// Of u32.
    pub groups: Span,
    /// A C string.
    pub cwd: u64,
    /// Addresses of C strings: where to look for the program, in order.
    pub candidates: Span,
    pub argv: u64,
    pub envp: u64,
    /// Of [`Hook`].
    pub hooks: Span,
    /// Bytes: the state that hooks read, without the pid.
    pub state: Span,
    /// Where in the state the pid belongs, which only this process knows: it may fork into another pid namespace.
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

/// Bits of [`StubPlan::flags`].
pub(crate) mod flag {
    /// Fork once more before the program's process begins: into the pid or time namespace that was joined.
    pub(crate) const FORK: u32 = 1;
    /// Wait for the parent's word.
    pub(crate) const WAIT: u32 = 2;
    /// Say that all is ready.
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
    /// There is no program: the container can only be looked at and deleted.
    pub(crate) const NO_PROGRAM: u32 = 8192;
    /// Make a cgroup namespace, once in the last cgroup.
    pub(crate) const CGROUP_NAMESPACE: u32 = 16384;
    /// Be the helper that opens contexts of a procfs in a joined pid namespace, and nothing else.
    pub(crate) const PROCFS: u32 = 32768;
    /// Load the filter before the fork into the pid namespace: it lets through whatever comes then.
    pub(crate) const EARLY_FILTER: u32 = 65536;
    /// Fork by `clone(2)`: the filter refuses `clone3(2)`.
    pub(crate) const PLAIN_CLONE: u32 = 131_072;
}

/// What the image writes into the report page: word by word, as an error leaves no other way behind a filter.
pub(crate) mod word {
    /// The [`super::Step`] that began last.
    pub(crate) const STEP: usize = 0;
    /// The error number with which it failed; 0 while it goes on.
    pub(crate) const ERRNO: usize = 1;
    /// What belongs to the step: which hook, which of its ends.
    pub(crate) const DETAIL: usize = 2;
    /// The listener's descriptor number plus one.
    pub(crate) const LISTENER: usize = 3;
    /// The parent sets it to 1 when it has the listener.
    pub(crate) const FETCHED: usize = 4;
    /// The hook's wait status.
    pub(crate) const STATUS: usize = 5;
    /// Where a child of this process has the listener (a hook, or the program of the reaping init): 1 until that child is
    /// there, then the descriptor number of a pidfd of it plus two.
    pub(crate) const CHILD: usize = 6;
    /// The error number with which a hook's own child failed before it executed the hook, 0 if it did not.
    pub(crate) const HOOK_ERRNO: usize = 7;
    /// The [`super::Step`] in which it failed.
    pub(crate) const HOOK_STEP: usize = 8;
    /// How many bytes of a failed hook's output stand from word [`OUTPUT`] on.
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
    /// The end of what a failed hook wrote or the beginning of a program that could not be executed, at most [`OUTPUT_MOST`] bytes.
    pub(crate) const OUTPUT: usize = 64;
    /// The most bytes of a hook's output that are kept.
    pub(crate) const OUTPUT_MOST: usize = 1024;
}

/// The image's steps; the number is what stands in the report page.
#[repr(u32)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
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
}
