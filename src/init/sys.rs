//! The system calls of the init stub, without a libc, and its access to the plan.
#![allow(unsafe_code)]

mod files;
mod messages;
mod processes;
mod start;

#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
#[path = "sys/generic.rs"]
#[rustfmt::skip]
mod number;
#[cfg(target_arch = "x86_64")]
#[path = "sys/x86_64.rs"]
#[rustfmt::skip]
mod number;

pub(crate) use files::*;
pub(crate) use messages::*;
pub(crate) use processes::*;
#[cfg(test)]
pub(crate) use start::{memcpy, memmove, memset};

use crate::plan::{PLAN_AT, Span, StubPlan};
use core::arch::asm;
use core::sync::atomic::AtomicU32;

/// AT_FDCWD
const CWD: usize = -100isize as usize;

/// An error number.
pub(crate) type Errno = i32;
/// The result of a system call.
pub(crate) type Result<T> = core::result::Result<T, Errno>;

pub(crate) const ENOENT: Errno = 2;
pub(crate) const EINTR: Errno = 4;
pub(crate) const EAGAIN: Errno = 11;
pub(crate) const ENOMEM: Errno = 12;
pub(crate) const EACCES: Errno = 13;
pub(crate) const ENOTDIR: Errno = 20;
pub(crate) const EISDIR: Errno = 21;
pub(crate) const EINVAL: Errno = 22;
pub(crate) const ENFILE: Errno = 23;
pub(crate) const EMFILE: Errno = 24;
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
    #[cfg(target_arch = "riscv64")]
    // SAFETY: the kernel's calling convention; it keeps all other registers.
    unsafe {
        asm!("ecall", in("a7") n, inlateout("a0") a[0] as isize => value, in("a1") a[1], in("a2") a[2],
            in("a3") a[3], in("a4") a[4], in("a5") a[5], options(nostack));
    }
    if (-4095..0).contains(&value) { Err(-value as Errno) } else { Ok(value as usize) }
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
    #[cfg(target_arch = "riscv64")]
    // SAFETY: raises SIGILL and nothing else.
    unsafe {
        asm!("unimp", options(noreturn))
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

/// A byte of a C string of the plan; those before it must not be its end.
pub(crate) fn byte(text: u64, n: usize) -> u8 {
    // SAFETY: C strings of the plan are made by process/stub.rs with their NUL, and this is no byte behind it; volatile keeps
    // a loop of these from becoming a call of strlen.
    unsafe { (text as *const u8).add(n).read_volatile() }
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

/// `unshare(2)` of the cgroup namespace.
pub(crate) fn unshare_cgroup() -> Result<()> {
    const CLONE_NEWCGROUP: usize = 0x0200_0000;
    // SAFETY: takes no pointer.
    done(unsafe { call(number::UNSHARE, [CLONE_NEWCGROUP, 0, 0, 0, 0, 0]) })
}

/// Milliseconds of a clock that cannot be set (`clock_gettime(2)`, CLOCK_MONOTONIC).
pub(crate) fn now() -> u64 {
    let mut time = [0u64; 2];
    // SAFETY: writes a timespec into a live array.
    let _ = unsafe { call(number::CLOCK_GETTIME, [1, time.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    time[0] * 1000 + time[1] / 1_000_000
}
