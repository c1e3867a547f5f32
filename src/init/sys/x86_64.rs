//! The numbers of the system calls of x86_64, and its name in a filter.

pub(super) const CLOSE: usize = 3; pub(super) const MMAP: usize = 9;
pub(super) const SIGPROCMASK: usize = 14; pub(super) const IOCTL: usize = 16; pub(super) const DUP3: usize = 292;
pub(super) const SENDMSG: usize = 46; pub(super) const RECVMSG: usize = 47; pub(super) const PIPE2: usize = 293;
pub(super) const EXECVE: usize = 59; pub(super) const WAIT4: usize = 61; pub(super) const KILL: usize = 62;
pub(super) const GETCWD: usize = 79; pub(super) const CHDIR: usize = 80; pub(super) const UMASK: usize = 95;
pub(super) const SETPGID: usize = 109; pub(super) const SETSID: usize = 112; pub(super) const SETGROUPS: usize = 116;
pub(super) const SETRESUID: usize = 117; pub(super) const SETRESGID: usize = 119; pub(super) const CAPSET: usize = 126;
pub(super) const SIGTIMEDWAIT: usize = 128; pub(super) const PRCTL: usize = 157; pub(super) const EXIT: usize = 60;
pub(super) const EXIT_GROUP: usize = 231; pub(super) const OPENAT: usize = 257; pub(super) const PPOLL: usize = 271;
pub(super) const ACCEPT4: usize = 288; pub(super) const SECCOMP: usize = 317; pub(super) const WRITE: usize = 1;
pub(super) const CLONE3: usize = 435; pub(super) const CLOSE_RANGE: usize = 436; pub(super) const FACCESSAT2: usize = 439;
pub(super) const STATX: usize = 332; pub(super) const FCNTL: usize = 72; pub(super) const GETPID: usize = 39;
pub(super) const READ: usize = 0; pub(super) const CLOCK_GETTIME: usize = 228;
pub(super) const PRLIMIT64: usize = 302;
pub(super) const SIGACTION: usize = 13; pub(super) const UNSHARE: usize = 272; pub(super) const FSOPEN: usize = 430;
pub(super) const CLONE: usize = 56; pub(super) const MADVISE: usize = 28; pub(super) const STATFS: usize = 137;
/// AUDIT_ARCH_X86_64
pub(super) const ARCHITECTURE: u32 = 0xc000_003e;
