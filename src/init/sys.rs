//! The system calls of the init stub, without a libc, and its access to the plan.
#![allow(unsafe_code)]

use crate::plan::{PLAN_AT, Span, StubPlan};
use core::arch::asm;
#[cfg(not(test))]
use core::arch::naked_asm;
use core::sync::atomic::AtomicU32;

#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
mod number {
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
}
#[cfg(target_arch = "aarch64")]
#[rustfmt::skip]
mod number {
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
    /// AUDIT_ARCH_AARCH64
    pub(super) const ARCHITECTURE: u32 = 0xc000_00b7;
}

/// AT_FDCWD
const CWD: usize = -100isize as usize;

/// An error number.
pub(crate) type Errno = i32;
/// The result of a system call.
pub(crate) type Result<T> = core::result::Result<T, Errno>;

pub(crate) const ENOENT: Errno = 2;
pub(crate) const EINTR: Errno = 4;
pub(crate) const EAGAIN: Errno = 11;
pub(crate) const EACCES: Errno = 13;
pub(crate) const ENOTDIR: Errno = 20;
pub(crate) const EISDIR: Errno = 21;
pub(crate) const EINVAL: Errno = 22;
pub(crate) const ENOSYS: Errno = 38;
pub(crate) const EPERM: Errno = 1;
pub(crate) const ETIMEDOUT: Errno = 110;

/// A system call with up to six arguments.
///
/// # Safety
/// The arguments must be valid for the call (its man page), with live pointers of sufficient size.
unsafe fn call(n: usize, a: [usize; 6]) -> Result<usize> {
    let value: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel's calling convention; it clobbers rcx and r11 and keeps all else.
    unsafe {
        asm!("syscall", inlateout("rax") n as isize => value, in("rdi") a[0], in("rsi") a[1], in("rdx") a[2],
            in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel's calling convention; it keeps all other registers.
    unsafe {
        asm!("svc 0", in("x8") n, inlateout("x0") a[0] as isize => value, in("x1") a[1], in("x2") a[2],
            in("x3") a[3], in("x4") a[4], in("x5") a[5], options(nostack));
    }
    if (-4095..0).contains(&value) { Err(-value as Errno) } else { Ok(value as usize) }
}

/// The program's first instruction: aligns the stack and goes on in Rust.
#[cfg(not(test))]
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text._start")]
unsafe extern "C" fn _start() -> ! {
    #[cfg(target_arch = "x86_64")]
    naked_asm!("xor ebp, ebp", "and rsp, -16", "call {main}", "ud2", main = sym enter);
    #[cfg(target_arch = "aarch64")]
    naked_asm!("mov x29, xzr", "bl {main}", "udf #0", main = sym enter);
}

#[cfg(not(test))]
extern "C" fn enter() -> ! {
    crate::begin(plan())
}

/// The compiler calls these for copies and comparisons of any length.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    for i in 0..n {
        // SAFETY: the caller gives `n` valid bytes on both sides; volatile keeps this loop from becoming a call to itself.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
    to
}
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    for i in 0..n {
        let i = if to.cast_const() < from { i } else { n - 1 - i };
        // SAFETY: the caller gives `n` valid bytes on both sides; where they overlap none is written before it is read.
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
    to
}
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    for i in 0..n {
        // SAFETY: the caller gives `n` valid bytes.
        unsafe { to.add(i).write_volatile(value as u8) };
    }
    to
}

/// The plan, which orlop made a segment of this program.
fn plan() -> &'static StubPlan {
    // SAFETY: the segment at PLAN_AT begins with a StubPlan (process/stub.rs lays it out), is mapped by execve for the whole
    // life of this program, and is read-only.
    unsafe { &*(PLAN_AT as *const StubPlan) }
}

/// The elements of a list of the plan.
pub(crate) fn list<T: Copy>(span: Span) -> &'static [T] {
    if span.count == 0 {
        return &[];
    }
    // SAFETY: spans are made by process/stub.rs alone, with the address, alignment and count of their elements, in the
    // read-only segment of the plan.
    unsafe { core::slice::from_raw_parts(span.at as *const T, span.count as usize) }
}

/// The report page: words that orlop reads.
pub(crate) struct Page(Option<&'static [AtomicU32; 1024]>);

impl Page {
    /// No page yet: nothing is reported.
    pub(crate) const NONE: Page = Page(None);

    /// Maps the page of a memory file.
    pub(crate) fn map(fd: i32) -> Result<Page> {
        const READ_WRITE: usize = 3;
        const SHARED: usize = 1;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let at = unsafe { call(number::MMAP, [0, 4096, READ_WRITE, SHARED, fd as usize, 0]) }?;
        // SAFETY: mapped for good, aligned to a page, and only touched as atomics.
        Ok(Page(Some(unsafe { &*(at as *const [AtomicU32; 1024]) })))
    }

    /// Keeps it out of the memory of children (`madvise(2)`, MADV_DONTFORK).
    pub(crate) fn keep_from_children(&self) -> Result<()> {
        const DONTFORK: usize = 10;
        let Some(words) = self.0 else { return Ok(()) };
        // SAFETY: the page is mapped for good here; a child must not touch it, and forgets it.
        done(unsafe { call(number::MADVISE, [words.as_ptr() as usize, 4096, DONTFORK, 0, 0, 0]) })
    }

    /// A word of it.
    pub(crate) fn word(&self, n: usize) -> Option<&AtomicU32> {
        self.0?.get(n)
    }
}

fn done(result: Result<usize>) -> Result<()> {
    result.map(|_| ())
}

/// `exit_group(2)`; if a filter refuses that, an illegal instruction, which no filter sees.
pub(crate) fn exit(status: i32) -> ! {
    // SAFETY: takes no pointer; does not come back where it is allowed.
    unsafe {
        let _ = call(number::EXIT_GROUP, [status as usize, 0, 0, 0, 0, 0]);
        let _ = call(number::EXIT, [status as usize, 0, 0, 0, 0, 0]);
    }
    trap()
}

/// Ends the process by an illegal instruction.
pub(crate) fn trap() -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: raises SIGILL and nothing else.
    unsafe {
        asm!("ud2", options(noreturn))
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: raises SIGILL and nothing else.
    unsafe {
        asm!("udf #0", options(noreturn))
    }
}

/// `prctl(2)` with numbers.
pub(crate) fn prctl(option: usize, a: usize, b: usize) -> Result<()> {
    // SAFETY: only options that take numbers come here.
    done(unsafe { call(number::PRCTL, [option, a, b, 0, 0, 0]) })
}

/// `prctl(2)` PR_SET_NAME.
pub(crate) fn set_name(name: &[u8; 16]) -> Result<()> {
    const PR_SET_NAME: usize = 15;
    // SAFETY: sixteen readable bytes, as the option reads at most.
    unsafe { call(number::PRCTL, [PR_SET_NAME, name.as_ptr() as usize, 0, 0, 0, 0]) }.map(drop)
}

/// `setsid(2)`.
pub(crate) fn setsid() -> Result<()> {
    // SAFETY: takes nothing.
    done(unsafe { call(number::SETSID, [0; 6]) })
}

/// `setpgid(0, 0)`.
pub(crate) fn own_process_group() {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(number::SETPGID, [0; 6]) };
}

/// `ioctl(2)` with a number.
pub(crate) fn ioctl(fd: i32, request: usize, value: usize) -> Result<()> {
    // SAFETY: only requests that take numbers come here.
    done(unsafe { call(number::IOCTL, [fd as usize, request, value, 0, 0, 0]) })
}

/// Makes this process group the foreground one of the terminal `fd` (TIOCSPGRP).
pub(crate) fn to_foreground(fd: i32) {
    const TIOCSPGRP: usize = 0x5410;
    let pid = pid();
    // SAFETY: the request reads one live int.
    let _ = unsafe { call(number::IOCTL, [fd as usize, TIOCSPGRP, &raw const pid as usize, 0, 0, 0]) };
}

/// `getpid(2)`: this process as its own pid namespace knows it.
pub(crate) fn pid() -> u32 {
    // SAFETY: takes nothing.
    unsafe { call(number::GETPID, [0; 6]) }.unwrap_or(0) as u32
}

/// `umask(2)`.
pub(crate) fn umask(mask: u32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(number::UMASK, [mask as usize, 0, 0, 0, 0, 0]) };
}

/// `setgroups(2)`.
pub(crate) fn setgroups(groups: &[u32]) -> Result<()> {
    // SAFETY: pointer and count of a live slice.
    done(unsafe { call(number::SETGROUPS, [groups.len(), groups.as_ptr() as usize, 0, 0, 0, 0]) })
}

/// `setresgid(2)`, all three.
pub(crate) fn setgid(gid: u32) -> Result<()> {
    let gid = gid as usize;
    // SAFETY: takes no pointer.
    done(unsafe { call(number::SETRESGID, [gid, gid, gid, 0, 0, 0]) })
}

/// `setresuid(2)`, all three.
pub(crate) fn setuid(uid: u32) -> Result<()> {
    let uid = uid as usize;
    // SAFETY: takes no pointer.
    done(unsafe { call(number::SETRESUID, [uid, uid, uid, 0, 0, 0]) })
}

/// `capset(2)`.
pub(crate) fn capset(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    let header = [0x2008_0522u32, 0];
    let half = |shift: u32| [(effective >> shift) as u32, (permitted >> shift) as u32, (inheritable >> shift) as u32];
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads two words and two structures of three.
    done(unsafe { call(number::CAPSET, [header.as_ptr() as usize, data.as_ptr() as usize, 0, 0, 0, 0]) })
}

/// `prlimit(2)`: this process's soft and hard limit.
pub(crate) fn limit(resource: u64) -> Result<(u64, u64)> {
    let mut now = [0u64; 2];
    // SAFETY: writes two words into a live array; nothing is set.
    unsafe { call(number::PRLIMIT64, [0, resource as usize, 0, now.as_mut_ptr() as usize, 0, 0]) }?;
    Ok((now[0], now[1]))
}

/// `prlimit(2)`: sets a limit of this process.
pub(crate) fn set_limit(resource: u64, soft: u64, hard: u64) -> Result<()> {
    let new = [soft, hard];
    // SAFETY: reads two live words; no old value is asked for.
    done(unsafe { call(number::PRLIMIT64, [0, resource as usize, new.as_ptr() as usize, 0, 0, 0]) })
}

/// `chdir(2)`; `path` is the address of a C string of the plan.
pub(crate) fn chdir(path: u64) -> Result<()> {
    // SAFETY: C strings of the plan are made by process/stub.rs with their NUL.
    done(unsafe { call(number::CHDIR, [path as usize, 0, 0, 0, 0, 0]) })
}

/// Whether the current directory lies below the root: the kernel's `getcwd(2)` begins with a slash only then.
pub(crate) fn cwd_is_inside() -> Result<bool> {
    let mut buffer = [0u8; 4096];
    // SAFETY: pointer and length of a live, writable array.
    unsafe { call(number::GETCWD, [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0, 0]) }?;
    Ok(buffer[0] == b'/')
}

/// Whether the plan's path is a file that this user may execute: the error if not.
pub(crate) fn executable(path: u64) -> Result<()> {
    const X_OK: usize = 1;
    const AT_EACCESS: usize = 0x200;
    const STATX_TYPE: usize = 1;
    let mut stat = [0u16; 128];
    // SAFETY: a C string of the plan, and a statx buffer of 256 live, writable bytes.
    match unsafe { call(number::STATX, [CWD, path as usize, 0, STATX_TYPE, stat.as_mut_ptr() as usize, 0]) } {
        // An old filter around this process may refuse the call; execve will tell.
        Err(ENOSYS | EPERM) => return Ok(()),
        other => other?,
    };
    // stx_mode is the 16-bit word at byte 28.
    if stat[14] & 0o170000 == 0o040000 {
        return Err(EISDIR);
    }
    // SAFETY: a C string of the plan.
    match unsafe { call(number::FACCESSAT2, [CWD, path as usize, X_OK, AT_EACCESS, 0, 0]) } {
        // Kernels before 5.8 lack the call, and old filters around this process may refuse it; execve will tell.
        Err(ENOSYS | EPERM) => Ok(()),
        other => done(other),
    }
}

/// Mode, owner and group of the file at `path`, the address of a C string.
pub(crate) fn status(path: u64) -> Result<[u32; 3]> {
    const STATX_BASIC: usize = 0x7ff;
    let mut stat = [0u32; 64];
    // SAFETY: a C string, and a statx buffer of 256 live, writable bytes.
    unsafe { call(number::STATX, [CWD, path as usize, 0, STATX_BASIC, stat.as_mut_ptr() as usize, 0]) }?;
    // stx_uid, stx_gid and the 16 bits of stx_mode are at bytes 20, 24 and 28.
    Ok([stat[7] & 0xffff, stat[5], stat[6]])
}

/// The flags of the mount that has the file at `path`; 0 if they cannot be read.
pub(crate) fn mount_flags(path: u64) -> u32 {
    let mut found = [0u64; 15];
    // SAFETY: a C string of the plan, and a statfs buffer of 120 live, writable bytes; f_flags is at byte 80.
    match unsafe { call(number::STATFS, [path as usize, found.as_mut_ptr() as usize, 0, 0, 0, 0]) } {
        Ok(_) => found[10] as u32,
        Err(_) => 0,
    }
}

/// The first bytes of the file at `path`: how many there are.
pub(crate) fn read_beginning(path: u64, buffer: &mut [u8]) -> Result<usize> {
    // O_NOCTTY, O_NONBLOCK and O_CLOEXEC: it may have become another file by now.
    const FLAGS: usize = 0o400 | 0o4000 | 0o200_0000;
    // SAFETY: a C string of the plan.
    let fd = unsafe { call(number::OPENAT, [CWD, path as usize, FLAGS, 0, 0, 0]) }?;
    read(fd as i32, buffer)
}

/// A byte of a C string of the plan; those before it must not be its end.
pub(crate) fn byte(text: u64, n: usize) -> u8 {
    // SAFETY: C strings of the plan are made by process/stub.rs with their NUL, and this is no byte behind it; volatile keeps
    // a loop of these from becoming a call of strlen.
    unsafe { (text as *const u8).add(n).read_volatile() }
}

/// `execve(2)` with lists of the plan; returns only on failure.
pub(crate) fn execve(path: u64, argv: u64, envp: u64) -> Errno {
    // SAFETY: a C string and null-terminated lists of the plan.
    unsafe { call(number::EXECVE, [path as usize, argv as usize, envp as usize, 0, 0, 0]) }.err().unwrap_or(EINVAL)
}

/// `close(2)`.
pub(crate) fn close(fd: i32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(number::CLOSE, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// `close_range(2)` from `first` to the last; at the next `execve` with `cloexec`. Kernels or filters without it: one by one.
pub(crate) fn close_from(first: i32, cloexec: bool) {
    const CLOEXEC: usize = 4;
    const F_SETFD: usize = 2;
    let flags = if cloexec { CLOEXEC } else { 0 };
    // SAFETY: takes no pointer.
    if unsafe { call(number::CLOSE_RANGE, [first as usize, i32::MAX as usize, flags, 0, 0, 0]) }.is_ok() {
        return;
    }
    // orlop closed everything else before this program began, and its own descriptors are numbered from `first` on.
    for fd in first..first + 16 {
        if cloexec {
            // SAFETY: takes no pointer.
            let _ = unsafe { call(number::FCNTL, [fd as usize, F_SETFD, 1, 0, 0, 0]) };
        } else {
            close(fd);
        }
    }
}

/// `dup3(2)`, kept over `execve`.
pub(crate) fn duplicate_to(fd: i32, number: i32) -> Result<()> {
    // SAFETY: takes no pointer.
    done(unsafe { call(number::DUP3, [fd as usize, number as usize, 0, 0, 0, 0]) })
}

/// Opens a file of the plan below the directory `dir` for writing, writes the bytes at once and closes it.
pub(crate) fn write_file(dir: i32, path: u64, bytes: &[u8]) -> Result<()> {
    const WRITE_CLOEXEC: usize = 0o2000001;
    // SAFETY: a C string of the plan.
    let fd = unsafe { call(number::OPENAT, [dir as usize, path as usize, WRITE_CLOEXEC, 0, 0, 0]) }?;
    let written = write(fd as i32, bytes);
    close(fd as i32);
    written
}

/// `write(2)` of all the bytes at once.
pub(crate) fn write(fd: i32, bytes: &[u8]) -> Result<()> {
    write_some(fd, bytes).and_then(|n| if n == bytes.len() { Ok(()) } else { Err(EINVAL) })
}

/// `unshare(2)` of the user namespace and of every other namespace that could make a mount useful.
pub(crate) fn unshare_all() -> Result<()> {
    // CLONE_NEWUSER, NEWNS, NEWNET, NEWIPC, NEWUTS, NEWCGROUP
    const ALL: usize = 0x1000_0000 | 0x2_0000 | 0x4000_0000 | 0x800_0000 | 0x400_0000 | 0x200_0000;
    // SAFETY: takes no pointer.
    done(unsafe { call(number::UNSHARE, [ALL, 0, 0, 0, 0, 0]) })
}

/// `fsopen(2)` of a procfs.
pub(crate) fn fsopen_proc() -> Result<i32> {
    // SAFETY: a static C string.
    unsafe { call(number::FSOPEN, [c"proc".as_ptr() as usize, 0, 0, 0, 0, 0]) }.map(|fd| fd as i32)
}

/// The signal to the parent when a child exits.
pub(crate) const SIGCHLD: u64 = 17;

/// Loads a filter that kills the process on every call other than those that the helper and its
/// child still need.
pub(crate) fn load_helper_filter() -> Result<()> {
    const CALLS: [usize; 5] = [number::FSOPEN, number::SENDMSG, number::WAIT4, number::EXIT_GROUP, number::EXIT];
    const ALLOW: u32 = 0x7fff_0000;
    const KILL_PROCESS: u32 = 0x8000_0000;
    const PIDFD: u32 = 0x1000;
    let (load, equal, answer) = (0x20, 0x15, 0x06);
    let step = |code: u16, yes: u8, no: u8, k: u32| {
        u64::from(code) | (yes as u64) << 16 | (no as u64) << 24 | (k as u64) << 32
    };
    let mut program = [0u64; 16];
    // Offsets in struct seccomp_data: the number 0, the architecture 4, the words of the first argument 16 and 20.
    program[0] = step(load, 0, 0, 4);
    program[1] = step(equal, 1, 0, number::ARCHITECTURE);
    program[2] = step(answer, 0, 0, KILL_PROCESS);
    program[3] = step(load, 0, 0, 0);
    for (n, call) in CALLS.into_iter().enumerate() {
        program[4 + n] = step(equal, 9 - n as u8, 0, call as u32);
    }
    program[9] = step(equal, 0, 3, number::CLONE as u32);
    program[10] = step(load, 0, 0, 16);
    program[11] = step(equal, 0, 1, PIDFD | SIGCHLD as u32);
    program[12] = step(answer, 0, 0, ALLOW);
    program[13] = step(answer, 0, 0, KILL_PROCESS);
    program[14] = step(answer, 0, 0, ALLOW);
    let head = crate::plan::Program { count: 15, at: program.as_ptr() as u64 };
    load_filter(&raw const head as u64, 0).map(drop)
}

/// `clone(2)` like fork, with CLONE_PIDFD and `flags`, among them the signal at the end: for where a filter has to see the
/// flags, or knows no `clone3(2)`.
pub(crate) fn fork_by_clone(flags: u64) -> Result<Child> {
    const PIDFD: u64 = 0x1000;
    let mut pidfd: i32 = -1;
    // SAFETY: without CLONE_VM the child has a copy of all memory, the stack included; the kernel writes one live int.
    let pid = unsafe { call(number::CLONE, [(flags | PIDFD) as usize, 0, &raw mut pidfd as usize, 0, 0, 0]) }? as i32;
    Ok(Child { pid, pidfd })
}

/// `unshare(2)` of the cgroup namespace.
pub(crate) fn unshare_cgroup() -> Result<()> {
    const CLONE_NEWCGROUP: usize = 0x0200_0000;
    // SAFETY: takes no pointer.
    done(unsafe { call(number::UNSHARE, [CLONE_NEWCGROUP, 0, 0, 0, 0, 0]) })
}

#[repr(C)]
#[derive(Default)]
struct Message {
    name: usize,
    name_length: usize,
    vectors: usize,
    vector_count: usize,
    control: usize,
    control_length: usize,
    flags: usize,
}

/// The control message that carries one descriptor.
#[repr(C)]
struct OneDescriptor {
    length: usize,
    level: i32,
    kind: i32,
    fd: i32,
    padding: i32,
}

/// Sends one packet, with a descriptor or without (`sendmsg(2)`, MSG_NOSIGNAL).
pub(crate) fn send(socket: i32, bytes: &[u8], fd: Option<i32>) -> Result<usize> {
    const NOSIGNAL: usize = 0x4000;
    let vector = [bytes.as_ptr() as usize, bytes.len()];
    let control = OneDescriptor { length: 20, level: 1, kind: 1, fd: fd.unwrap_or(-1), padding: 0 };
    let mut message = Message { vectors: vector.as_ptr() as usize, vector_count: 1, ..Message::default() };
    if fd.is_some() {
        message.control = &raw const control as usize;
        message.control_length = size_of::<OneDescriptor>();
    }
    // SAFETY: a msghdr of live objects with their sizes.
    unsafe { call(number::SENDMSG, [socket as usize, &raw const message as usize, NOSIGNAL, 0, 0, 0]) }
}

/// Receives one packet of at most eight bytes: how many came, and the descriptor with it if there was one.
pub(crate) fn receive(socket: i32) -> Result<(usize, Option<i32>)> {
    const CMSG_CLOEXEC: usize = 0x4000_0000;
    let mut bytes = [0u8; 8];
    let vector = [bytes.as_mut_ptr() as usize, bytes.len()];
    let mut control = OneDescriptor { length: 0, level: 0, kind: 0, fd: -1, padding: 0 };
    let mut message = Message {
        vectors: vector.as_ptr() as usize,
        vector_count: 1,
        control: &raw mut control as usize,
        control_length: size_of::<OneDescriptor>(),
        ..Message::default()
    };
    loop {
        // SAFETY: a msghdr of live, writable objects with their sizes.
        match unsafe { call(number::RECVMSG, [socket as usize, &raw mut message as usize, CMSG_CLOEXEC, 0, 0, 0]) } {
            Err(EINTR) => continue,
            Err(e) => return Err(e),
            Ok(n) => {
                let came = message.control_length >= 20 && control.level == 1 && control.kind == 1;
                return Ok((n, came.then_some(control.fd)));
            }
        }
    }
}

/// `accept4(2)`, closed on exec.
pub(crate) fn accept(socket: i32) -> Result<i32> {
    const CLOEXEC: usize = 0o2000000;
    // SAFETY: no address is asked for.
    unsafe { call(number::ACCEPT4, [socket as usize, 0, 0, CLOEXEC, 0, 0]) }.map(|fd| fd as i32)
}

/// A pipe (`pipe2(2)`), closed on exec: the end to read from, then the end to write to.
pub(crate) fn pipe() -> Result<[i32; 2]> {
    const CLOEXEC: usize = 0o2000000;
    let mut fds = [-1i32; 2];
    // SAFETY: writes two ints into a live array.
    unsafe { call(number::PIPE2, [fds.as_mut_ptr() as usize, CLOEXEC, 0, 0, 0, 0]) }?;
    Ok(fds)
}

/// Sets O_NONBLOCK on `fd`.
pub(crate) fn never_wait(fd: i32) -> Result<()> {
    const F_SETFL: usize = 4;
    const NONBLOCK: usize = 0o4000;
    // SAFETY: takes no pointer.
    done(unsafe { call(number::FCNTL, [fd as usize, F_SETFL, NONBLOCK, 0, 0, 0]) })
}

/// `read(2)`: how many bytes came.
pub(crate) fn read(fd: i32, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: pointer and length of a live, writable slice.
    unsafe { call(number::READ, [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0]) }
}

/// `write(2)`: how many bytes went.
pub(crate) fn write_some(fd: i32, bytes: &[u8]) -> Result<usize> {
    // SAFETY: pointer and length of a live slice.
    unsafe { call(number::WRITE, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) }
}

/// Milliseconds of a clock that cannot be set (`clock_gettime(2)`, CLOCK_MONOTONIC).
pub(crate) fn now() -> u64 {
    let mut time = [0u64; 2];
    // SAFETY: writes a timespec into a live array.
    let _ = unsafe { call(number::CLOCK_GETTIME, [1, time.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    time[0] * 1000 + time[1] / 1_000_000
}

/// A child, and a descriptor of it; 0 on the child's side.
pub(crate) struct Child {
    pub(crate) pid: i32,
    pub(crate) pidfd: i32,
}

/// `clone3(2)` without sharing memory: like fork, with CLONE_PIDFD and `flags`.
pub(crate) fn fork(flags: u64) -> Result<Child> {
    const PIDFD: u64 = 0x1000;
    const PARENT: u64 = 0x8000;
    let mut pidfd: i32 = -1;
    let exit_signal = if flags & PARENT != 0 { 0 } else { SIGCHLD };
    let args = [flags | PIDFD, &raw mut pidfd as u64, 0, 0, exit_signal, 0, 0, 0];
    // SAFETY: the first version of clone_args, 64 bytes; the child gets a copy of all memory, the stack included.
    let pid = unsafe { call(number::CLONE3, [args.as_ptr() as usize, 64, 0, 0, 0, 0]) }? as i32;
    Ok(Child { pid, pidfd })
}

/// Waits for the child `pid` (-1: any) and reaps it: its id and wait status. `options` is 0 or WNOHANG (1).
pub(crate) fn wait(pid: i32, options: usize) -> Result<(i32, u32)> {
    let mut status = 0u32;
    loop {
        // SAFETY: writes one int into a live variable; no usage is asked for.
        let got = unsafe { call(number::WAIT4, [pid as usize, &raw mut status as usize, options, 0, 0, 0]) };
        match got {
            Err(EINTR) => continue,
            other => return other.map(|pid| (pid as i32, status)),
        }
    }
}

/// `kill(2)`.
pub(crate) fn kill(pid: i32, signal: i32) -> Result<()> {
    // SAFETY: takes no pointer.
    done(unsafe { call(number::KILL, [pid as usize, signal as usize, 0, 0, 0, 0]) })
}

/// A descriptor that [`poll`] watches: `struct pollfd`. A negative number is ignored.
#[repr(C)]
pub(crate) struct Watched {
    fd: i32,
    asked: i16,
    happened: i16,
}

impl Watched {
    /// Until it can be read, or the process of a pidfd has ended.
    pub(crate) fn to_read(fd: i32) -> Watched {
        Watched { fd, asked: 1, happened: 0 }
    }

    /// Until it can be written.
    pub(crate) fn to_write(fd: i32) -> Watched {
        Watched { fd, asked: 4, happened: 0 }
    }

    /// Whether it can, or has failed.
    pub(crate) fn is_ready(&self) -> bool {
        self.happened != 0
    }
}

/// Waits until one of the descriptors is ready, at most `milliseconds` (`None`: no limit); returns
/// how many are.
pub(crate) fn poll(watched: &mut [Watched], milliseconds: Option<u64>) -> Result<usize> {
    let mut time = milliseconds.map(|ms| [ms / 1000, ms % 1000 * 1_000_000]);
    let at = time.as_mut().map_or(0, |time| time.as_mut_ptr() as usize);
    loop {
        // The kernel writes the remaining time back, so that an interrupted wait goes on with the rest.
        // SAFETY: pointer and count of live, writable pollfds, and a live, writable timespec.
        match unsafe { call(number::PPOLL, [watched.as_mut_ptr() as usize, watched.len(), at, 0, 0, 0]) } {
            Err(EINTR) => continue,
            other => return other,
        }
    }
}

/// Blocks (or unblocks) every signal.
pub(crate) fn block_signals(block: bool) {
    const SET: usize = 2;
    let mask: u64 = if block { !0 } else { 0 };
    // SAFETY: reads eight live bytes; no old mask is asked for.
    let _ = unsafe { call(number::SIGPROCMASK, [SET, &raw const mask as usize, 0, 8, 0, 0]) };
}

/// Installs (or resets) a handler for the signals that terminate a process by default: it exits
/// with 128 plus the signal number. Pid 1 needs it, since the kernel drops signals for which it has
/// no handler.
pub(crate) fn end_on_signals(on: bool) {
    const ASKING: [usize; 7] = [1, 2, 3, 10, 12, 14, 15];
    const REAL_TIME: core::ops::RangeInclusive<usize> = 32..=64;
    extern "C" fn end(signal: i32) -> ! {
        exit(128 + signal)
    }
    let handler = if on { end as extern "C" fn(i32) -> ! as usize } else { 0 };
    // x86_64 delivers nothing without a way back (SA_RESTORER), though this handler never takes it. Elsewhere the third and
    // fourth word are the mask, empty.
    let action =
        if on && cfg!(target_arch = "x86_64") { [handler, 0x0400_0000, handler, 0] } else { [handler, 0, 0, 0] };
    for signal in ASKING.into_iter().chain(REAL_TIME) {
        // SAFETY: reads a live sigaction; its handler is a function of this program that needs no state and never returns.
        let _ = unsafe { call(number::SIGACTION, [signal, action.as_ptr() as usize, 0, 8, 0, 0]) };
    }
}

/// The next blocked signal (`rt_sigtimedwait(2)`), waiting at most `milliseconds` (None: without an end).
pub(crate) fn next_signal(milliseconds: Option<u64>) -> Result<i32> {
    let mask: u64 = !0;
    let time = milliseconds.map(|ms| [ms / 1000, ms % 1000 * 1_000_000]);
    let at = time.as_ref().map_or(0, |time| time.as_ptr() as usize);
    // SAFETY: reads a live mask and a live timespec; no siginfo is asked for.
    unsafe { call(number::SIGTIMEDWAIT, [&raw const mask as usize, 0, at, 8, 0, 0]) }.map(|n| n as i32)
}

/// `seccomp(2)` SECCOMP_SET_MODE_FILTER with a program of the plan: the listener's number, or 0.
pub(crate) fn load_filter(program: u64, flags: u32) -> Result<usize> {
    // SAFETY: a sock_fprog of the plan, made by process/stub.rs.
    unsafe { call(number::SECCOMP, [1, flags as usize, program as usize, 0, 0, 0]) }
}
