//! Name and pid of a process that waits for `start`.

use crate::error::{Error, Result};
use crate::process::plan::LaunchPlan;
use crate::sys::file;
use crate::sys::process::{self, Pid};
use std::os::fd::OwnedFd;

/// The waiting name as /proc/PID/stat shows it.
pub(super) fn waiting_name(plan: &LaunchPlan) -> String {
    String::from_utf8_lossy(&plan.waiting_name).trim_end_matches('\0').to_owned()
}

/// The name of a process, also of a zombie (`proc_pid_comm(5)`).
pub(crate) fn name_of(pid: Pid) -> Option<String> {
    let fd = file::open(format!("/proc/{pid}/comm"), libc::O_RDONLY).ok()?;
    let mut buffer = [0u8; 64];
    let length = file::read(fd, &mut buffer).ok()?;
    let name = buffer[..length].strip_suffix(b"\n")?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The pid of the process that a pidfd refers to, in our pid namespace (`pidfd_open(2)`, fdinfo).
pub(crate) fn pid_of(pidfd: &OwnedFd) -> Result<Pid> {
    use std::os::fd::AsRawFd;
    let fd = file::open(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()), libc::O_RDONLY)?;
    let text = String::from_utf8_lossy(&file::read_to_end(fd, 4096)?).into_owned();
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.filter(|pid| *pid > 0).ok_or_else(|| Error::internal("a child process forked and its child is gone"))
}

/// A random waiting name of 15 bytes.
pub(crate) fn new_waiting_name() -> Result<[u8; 16]> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut name = *b"orlop:---------\0";
    for (letter, random) in name[6..15].iter_mut().zip(process::random::<9>()?) {
        *letter = LETTERS[(random & 31) as usize];
    }
    Ok(name)
}
