//! Where and when a process runs: policies of the CPU, of its memory and of its I/O.
#![allow(unsafe_code)]

use super::call::{Call, call};
use super::process::Pid;
use super::{Result, done};

/// `struct sched_attr` of `sched_setattr(2)`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchedAttr {
    /// Size of this structure in bytes.
    pub size: u32,
    /// SCHED_* policy.
    pub policy: u32,
    /// SCHED_FLAG_* flags.
    pub flags: u64,
    /// Nice value.
    pub nice: i32,
    /// Static priority, for SCHED_FIFO and SCHED_RR.
    pub priority: u32,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub runtime: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub deadline: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub period: u64,
}

/// `sched_setattr(2)` of `pid` (0: this thread).
pub(crate) fn sched_setattr(pid: Pid, attr: &SchedAttr) -> Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: `attr` is live and contains its size.
    done(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attr, 0) }, || {
        format!("sched_setattr({pid}, {attr:?})")
    })
}

/// `ioprio_set(2)` of the process `pid` (0: this one). `value` is class << 13 | level.
pub(crate) fn ioprio_set(pid: Pid, value: i32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    done(call(Call::IoprioSet, [IOPRIO_WHO_PROCESS.into(), pid.into(), value.into()]), || {
        format!("ioprio_set(IOPRIO_WHO_PROCESS, {pid}, {value:#x})")
    })
}

/// `sched_setaffinity(2)` of `pid` (0: this thread). `mask` has 64 CPUs in a word, since nix's set
/// ends at the 1024th CPU.
pub(crate) fn sched_setaffinity(pid: Pid, mask: &[u64]) -> Result<()> {
    // SAFETY: the pointer and the size are those of a live slice.
    done(unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(mask), mask.as_ptr()) }, || {
        format!("sched_setaffinity({pid}, {mask:x?})")
    })
}

/// `set_mempolicy(2)`. `nodes` has 64 nodes in a word. It is empty for a mode without nodes.
pub(crate) fn set_mempolicy(mode: i32, nodes: &[u64]) -> Result<()> {
    let (mask, bits) = if nodes.is_empty() { (std::ptr::null(), 0) } else { (nodes.as_ptr(), nodes.len() * 64 + 1) };
    // SAFETY: the mask has at least `bits` - 1 bits, which is how the kernel reads maxnode.
    done(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }, || {
        format!("set_mempolicy({mode:#x}, {nodes:x?})")
    })
}
