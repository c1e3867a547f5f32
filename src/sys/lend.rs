//! A child that has this process's memory, not a copy of it, until it executes a program.
//!
//! To copy the memory of a small process costs several times what else it takes to make it, and each page that either of
//! the two writes to afterwards costs a fault and a copy again: together a twentieth of a `run` and a tenth of an `exec`.
//! A child made with CLONE_VM pays nothing of that. Like a thread it needs a stack, a thread pointer with thread-local
//! variables (errno is one) and a side of the heap (`sys/heap.rs`) of its own; unlike a thread it has its own descriptors,
//! signals, credentials and namespaces.
//!
//! What it must not do for as long as it shares the memory: join a time namespace (the kernel refuses), or set its OOM score,
//! which would be its parent's too. And if the kernel kills it for want of memory, it kills its parent with it.
#![allow(unsafe_code)]

use super::Result;
use super::process::{Clone, Pid, SingleThreaded};
use std::convert::Infallible;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;

/// Whether this is a child of [`clone3_lending`]: whose stack this is tells it.
#[inline(always)]
pub fn is_borrower() -> bool {
    #[cfg(all(target_arch = "x86_64", target_env = "musl"))]
    return musl::is_on_stack();
    #[cfg(not(all(target_arch = "x86_64", target_env = "musl")))]
    false
}

/// What a child does: it comes to an end only by `execve` or `_exit`.
pub type Life<'m> = dyn Fn() -> Infallible + 'm;

/// The child's right to the memory: to be kept until it has executed a program or ended, or is certain to end before it runs
/// again.
#[derive(Debug)]
pub struct Lent<'m>(PhantomData<&'m ()>);

impl Drop for Lent<'_> {
    // So that what is lent is borrowed for as long as this is there.
    fn drop(&mut self) {}
}

/// `clone3(2)` with CLONE_VM: the child begins with `life`, has a copy of the descriptor table, and its id and a descriptor of
/// it are given back.
///
/// None where that cannot be done: with a C library whose thread pointer is not known here, or a second time.
pub fn clone3_lending<'m>(
    proof: &SingleThreaded,
    how: &Clone<'_>,
    life: &'m Life<'m>,
) -> Option<Result<(Pid, OwnedFd, Lent<'m>)>> {
    #[cfg(all(target_arch = "x86_64", target_env = "musl"))]
    return musl::clone3_lending(proof, how, life).map(|born| born.map(|(pid, fd)| (pid, fd, Lent(PhantomData))));
    #[cfg(not(all(target_arch = "x86_64", target_env = "musl")))]
    {
        let _ = (proof, how, life);
        None
    }
}

#[cfg(all(target_arch = "x86_64", target_env = "musl"))]
mod musl {
    use super::super::check;
    use super::super::file::own;
    use super::super::process::{Clone, CloneArgs, Pid, SingleThreaded};
    use super::Life;
    use crate::sys::Result;
    use std::cell::UnsafeCell;
    use std::os::fd::{OwnedFd, RawFd};
    use std::sync::atomic::{AtomicBool, Ordering};

    const PAGE: usize = 4096;
    const STACK: usize = 256 << 10;
    /// The bytes at the stack's upper end for the first function's argument.
    const ARGUMENT: usize = 16;
    /// The part of musl's `struct pthread` that is copied: all of it in musl 1.2.
    const THREAD: usize = 200;

    /// A page that nobody may touch, the stack above it, and the thread pointer's surroundings.
    #[repr(C, align(4096))]
    struct Ground {
        guard: UnsafeCell<[u8; PAGE]>,
        stack: UnsafeCell<[u8; STACK]>,
        thread: UnsafeCell<[u8; PAGE]>,
    }

    // SAFETY: only the one child that `TAKEN` lets be made uses it.
    unsafe impl Sync for Ground {}

    static GROUND: Ground = Ground {
        guard: UnsafeCell::new([0; PAGE]),
        stack: UnsafeCell::new([0; STACK]),
        thread: UnsafeCell::new([0; PAGE]),
    };
    static TAKEN: AtomicBool = AtomicBool::new(false);

    #[inline(always)]
    pub(super) fn is_on_stack() -> bool {
        let here: usize;
        // SAFETY: only a register is read.
        unsafe { std::arch::asm!("mov {}, rsp", out(reg) here, options(nomem, nostack, preserves_flags)) };
        here.wrapping_sub(GROUND.stack.get() as usize) < STACK
    }

    pub(super) fn clone3_lending(
        _: &SingleThreaded,
        how: &Clone<'_>,
        life: &Life<'_>,
    ) -> Option<Result<(Pid, OwnedFd)>> {
        if TAKEN.swap(true, Ordering::Relaxed) {
            return None;
        }
        if !guard() {
            return None;
        }
        let tls = thread_pointer()?;
        let mut pidfd: RawFd = -1;
        let mut args = CloneArgs::new(how, &mut pidfd);
        args.flags |= (libc::CLONE_VM | libc::CLONE_SETTLS) as u64;
        // This function may be over when the child looks at its argument, so it lies at the upper end of the child's stack.
        let argument: *mut &Life<'_> = GROUND.stack.get().wrapping_byte_add(STACK - ARGUMENT).cast();
        (args.stack, args.stack_size, args.tls) = (GROUND.stack.get() as u64, (STACK - ARGUMENT) as u64, tls);
        // SAFETY: the stack and the thread pointer are the child's alone; the argument's place is aligned and has its size.
        let pid = unsafe {
            argument.write(life);
            clone3(&raw mut args, begin, argument.cast())
        };
        if pid < 0 {
            // Nobody was born; it may be tried again with other arguments.
            TAKEN.store(false, Ordering::Relaxed);
            // SAFETY: errno is this thread's own.
            unsafe { *libc::__errno_location() = -pid as i32 };
        }
        let pid = check(if pid < 0 { -1 } else { pid }, || how.show(args.flags));
        Some(pid.map(|pid| (pid as Pid, own(pidfd.into()))))
    }

    /// Takes the page below the stack away: one that grows too far ends the child. By a mark in the page table (Linux 6.13), or
    /// by a mapping of its own, which costs two more.
    fn guard() -> bool {
        const MADV_GUARD_INSTALL: libc::c_int = 102;
        let page = GROUND.guard.get().cast();
        // SAFETY: nobody uses the page.
        unsafe {
            libc::madvise(page, PAGE, MADV_GUARD_INSTALL) == 0 || libc::mprotect(page, PAGE, libc::PROT_NONE) == 0
        }
    }

    /// The child's first function.
    extern "C" fn begin(life: *const ()) -> ! {
        // SAFETY: the parent has put its reference there, and what that refers to outlives the child's use of the memory.
        let life = unsafe { *life.cast::<&Life<'_>>() };
        match life() {}
    }

    /// The system call, in whose child nothing of the caller's stack frame may be used.
    ///
    /// # Safety
    /// `args` is live and gives the child a stack and a thread pointer of its own; `argument` is what `entry` wants.
    unsafe fn clone3(args: *mut CloneArgs, entry: extern "C" fn(*const ()) -> !, argument: *const ()) -> i64 {
        let value: i64;
        // SAFETY: the kernel's calling convention: it clobbers rcx and r11, and the child has all other registers of the
        // parent but rax and rsp. The stack's upper end is aligned to 16 bytes, as the call wants it.
        unsafe {
            std::arch::asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor ebp, ebp",
                "mov rdi, r8",
                "call r9",
                "ud2",
                "2:",
                inlateout("rax") libc::SYS_clone3 => value,
                in("rdi") args,
                in("rsi") size_of::<CloneArgs>(),
                in("r8") argument,
                in("r9") entry,
                lateout("rcx") _,
                lateout("r11") _,
            );
        }
        value
    }

    /// A copy of what lies around the thread pointer: below it the thread-local variables, from it on musl's `struct pthread`,
    /// whose first word is its own address.
    fn thread_pointer() -> Option<u64> {
        const MIDDLE: usize = PAGE / 2;
        let below = thread_local_size()?;
        let here: usize;
        // SAFETY: on x86_64 the first word at the thread pointer is the thread pointer.
        unsafe { std::arch::asm!("mov {}, fs:0", out(reg) here, options(nostack, readonly, preserves_flags)) };
        // SAFETY: only the address is looked at.
        let errno = unsafe { libc::__errno_location() } as usize;
        if below > MIDDLE || !(here..here + THREAD - 4).contains(&errno) {
            return None;
        }
        let page: *mut u8 = GROUND.thread.get().cast();
        // The variables are as aligned as where they come from.
        let there = page.wrapping_add(MIDDLE + here % 64);
        // SAFETY: `below` bytes before and THREAD bytes behind the thread pointer are this thread's and initialised; the page
        // is nobody's yet and has room for both.
        unsafe {
            std::ptr::copy_nonoverlapping((here - below) as *const u8, there.wrapping_sub(below), below + THREAD);
            there.cast::<usize>().write(there as usize);
        }
        Some(there as u64)
    }

    /// The size of the thread-local variables, with what aligns them (`PT_TLS`, elf(5)).
    fn thread_local_size() -> Option<usize> {
        // SAFETY: the kernel tells where it has put the program's headers and how many there are; they are never written to.
        let headers = unsafe {
            let (at, count) = (libc::getauxval(libc::AT_PHDR), libc::getauxval(libc::AT_PHNUM));
            std::slice::from_raw_parts(std::ptr::NonNull::new(at as *mut libc::Elf64_Phdr)?.as_ptr(), count as usize)
        };
        let tls = headers.iter().find(|header| header.p_type == libc::PT_TLS)?;
        Some(((tls.p_memsz + tls.p_align) as usize).next_multiple_of(64))
    }
}
