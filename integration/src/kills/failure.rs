//! The ways in which a system call of a stopped process fails.

use nix::unistd::Pid;

/// In which way a system call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is not made and has this errno.
    Errno(i32),
    /// It is not made and returns 0, as at the end of a file or where the other end of a socket is closed.
    End,
    /// It reads or writes only half of the bytes.
    Short,
}

/// Whether the call that a process is about to make may fail so: only a socket's other end closes, a packet is read and
/// written whole, and so are the files of the kernel's own file systems written.
pub(super) fn may_fail(pid: Pid, way: Failure) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let mut words = call.split(' ');
    let is_write = words.next().is_some_and(|number| number.parse() == Ok(nix::libc::SYS_write));
    let fd = words.next().and_then(|fd| i32::from_str_radix(fd.trim_start_matches("0x"), 16).ok()).unwrap_or(-1);
    let path = format!("/proc/{pid}/fd/{fd}");
    let is_socket = std::fs::read_link(&path).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"));
    match way {
        Failure::Errno(_) => true,
        Failure::End => is_socket,
        Failure::Short => !(is_socket || is_write && is_kernels(&path)),
    }
}

fn is_kernels(path: &str) -> bool {
    use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC, statfs};
    let kernels = [PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC];
    statfs(path).is_ok_and(|found| kernels.contains(&found.filesystem_type()))
}

/// The registers of a process that is stopped at a system call.
#[cfg(target_arch = "x86_64")]
pub(super) mod registers {
    use anyhow::Result;
    use nix::sys::ptrace;
    use nix::unistd::Pid;

    /// The kernel makes no call with this number; its result is then ENOSYS.
    pub(in crate::kills) fn skip_call(pid: Pid) -> Result<()> {
        let mut registers = ptrace::getregs(pid)?;
        registers.orig_rax = u64::MAX;
        Ok(ptrace::setregs(pid, registers)?)
    }

    pub(in crate::kills) fn set_result(pid: Pid, errno: i32) -> Result<()> {
        let mut registers = ptrace::getregs(pid)?;
        registers.rax = i64::from(-errno).cast_unsigned();
        Ok(ptrace::setregs(pid, registers)?)
    }

    /// Halves the third argument, the length of `read(2)` and its like; returns what it was.
    pub(in crate::kills) fn halve_length(pid: Pid) -> Result<u64> {
        let length = ptrace::getregs(pid)?.rdx;
        set_length(pid, length.div_ceil(2)).map(|()| length)
    }

    /// The kernel leaves the registers of arguments as they are.
    pub(in crate::kills) fn set_length(pid: Pid, length: u64) -> Result<()> {
        let mut registers = ptrace::getregs(pid)?;
        registers.rdx = length;
        Ok(ptrace::setregs(pid, registers)?)
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) mod registers {
    use anyhow::{Result, bail};
    use nix::unistd::Pid;

    pub(in crate::kills) fn skip_call(_: Pid) -> Result<()> {
        bail!("the registers of this architecture are not known here")
    }

    pub(in crate::kills) fn set_result(_: Pid, _: i32) -> Result<()> {
        bail!("the registers of this architecture are not known here")
    }

    pub(in crate::kills) fn halve_length(_: Pid) -> Result<u64> {
        bail!("the registers of this architecture are not known here")
    }

    pub(in crate::kills) fn set_length(_: Pid, _: u64) -> Result<()> {
        bail!("the registers of this architecture are not known here")
    }
}
