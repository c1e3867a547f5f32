//! The numbers of the system calls of aarch64 and riscv64, those of asm-generic, and their names in a filter.

pub(super) const CLOSE: usize = 57; pub(super) const MMAP: usize = 222;
pub(super) const SIGPROCMASK: usize = 135; pub(super) const IOCTL: usize = 29; pub(super) const DUP3: usize = 24;
pub(super) const SENDMSG: usize = 211; pub(super) const RECVMSG: usize = 212; pub(super) const PIPE2: usize = 59;
pub(super) const EXECVE: usize = 221; pub(super) const WAIT4: usize = 260; pub(super) const KILL: usize = 129;
pub(super) const GETCWD: usize = 17; pub(super) const CHDIR: usize = 49; pub(super) const UMASK: usize = 166;
pub(super) const SETPGID: usize = 154; pub(super) const SETSID: usize = 157; pub(super) const SETGROUPS: usize = 159;
pub(super) const SETRESUID: usize = 147; pub(super) const SETRESGID: usize = 149; pub(super) const CAPSET: usize = 91;
pub(super) const SIGTIMEDWAIT: usize = 137; pub(super) const PRCTL: usize = 167; pub(super) const EXIT: usize = 93;
pub(super) const EXIT_GROUP: usize = 94; pub(super) const OPENAT: usize = 56; pub(super) const PPOLL: usize = 73;
pub(super) const ACCEPT4: usize = 242; pub(super) const SECCOMP: usize = 277; pub(super) const WRITE: usize = 64;
pub(super) const CLONE3: usize = 435; pub(super) const CLOSE_RANGE: usize = 436; pub(super) const FACCESSAT2: usize = 439;
pub(super) const STATX: usize = 291; pub(super) const FCNTL: usize = 25; pub(super) const GETPID: usize = 172;
pub(super) const READ: usize = 63; pub(super) const CLOCK_GETTIME: usize = 113;
pub(super) const PRLIMIT64: usize = 261;
pub(super) const SIGACTION: usize = 134; pub(super) const UNSHARE: usize = 97; pub(super) const FSOPEN: usize = 430;
pub(super) const CLONE: usize = 220; pub(super) const MADVISE: usize = 233; pub(super) const STATFS: usize = 43;
/// AUDIT_ARCH_AARCH64, AUDIT_ARCH_RISCV64
pub(super) const ARCHITECTURE: u32 = if cfg!(target_arch = "aarch64") { 0xc000_00b7 } else { 0xc000_00f3 };
