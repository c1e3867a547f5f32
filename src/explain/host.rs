//! The features of the kernel that the runtime needs, probed by the calls themselves.

use crate::sys::bpf::{self, Instruction};
use crate::sys::process::{self, Clone, Cloned, SingleThreaded};
use crate::sys::{Errno, Failure, Result, file, fs, mount, namespace, probe, refused};
use std::os::fd::AsFd;

/// The answer to a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel has the feature.
    Yes,
    /// It has not.
    No,
    /// A seccomp filter around this process refuses the call.
    Filtered,
    /// The call fails for another reason, such as missing rights: the call and the error.
    Failed(String),
}

/// One feature.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Feature {
    /// A system call, or another name in small letters.
    pub name: &'static str,
    /// The answer of this kernel to this process.
    pub answer: Answer,
}

/// The name of a feature, the probe, and the error number that tells that the kernel lacks it.
type Probe = (&'static str, fn() -> Result<()>, i32);

/// Probes the features of ARCHITECTURE.md's table. No probe leaves a file, a process or a mount.
///
/// The process must have one thread.
pub fn features() -> Vec<Feature> {
    let calls = refused::answers().map(|(name, errno)| Feature { name, answer: of_call(errno) });
    let others: [Probe; 7] = [
        ("clone-into-cgroup", clone_into_cgroup, libc::EINVAL),
        ("setns-pidfd", setns_pidfd, libc::EINVAL),
        ("statx-mount", statx_mount, libc::ENOSYS),
        ("close-range-cloexec", probe::close_range_cloexec, libc::EINVAL),
        ("memfd-exec", || probe::memfd_exec().map(drop), libc::EINVAL),
        ("procfs-pidns", procfs_pidns, libc::EINVAL),
        ("device-filter", device_filter, libc::EINVAL),
    ];
    calls.chain(others.map(|(name, ask, absent)| Feature { name, answer: answer(ask(), absent) })).collect()
}

/// The answer to a call with nonsense for arguments. EPERM without a filter comes from a check of rights: the call is there.
fn of_call(errno: Errno) -> Answer {
    match errno.0 {
        libc::ENOSYS if process::is_filtered() => Answer::Filtered,
        libc::ENOSYS => Answer::No,
        libc::EPERM if process::is_filtered() => Answer::Filtered,
        _ => Answer::Yes,
    }
}

/// The answer to a call that fails with `absent` where the kernel lacks the feature.
fn answer(result: Result<()>, absent: i32) -> Answer {
    match result {
        Ok(()) => Answer::Yes,
        Err(failure) if failure.is(absent) || failure.is(libc::ENOSYS) => Answer::No,
        Err(failure) => Answer::Failed(failure.to_string()),
    }
}

/// A descriptor that is no cgroup: EBADF where the kernel looks at it, EINVAL where it does not know the flag.
fn clone_into_cgroup() -> Result<()> {
    let single = SingleThreaded::of_caller().map_err(|_| Failure::new("unshare(0)", Errno(libc::EBUSY)))?;
    let nothing = file::open("/dev/null", libc::O_RDONLY)?;
    match process::clone3(&single, &Clone { into_cgroup: Some(nothing.as_fd()), ..Clone::default() }) {
        Err(failure) if failure.is(libc::EBADF) => Ok(()),
        Err(failure) => Err(failure),
        // No kernel takes /dev/null for a cgroup; a child would still have to end here.
        Ok(Cloned::Child) => process::exit_now(0),
        Ok(Cloned::Parent(pid, _)) => process::wait(pid).map(drop),
    }
}

/// Joins its own host name's namespace. EPERM comes after the look at the descriptor's kind.
fn setns_pidfd() -> Result<()> {
    let own = process::pidfd_open(process::pid())?;
    match namespace::setns(&own, libc::CLONE_NEWUTS) {
        Err(failure) if failure.is(libc::EPERM) && !process::is_filtered() => Ok(()),
        other => other,
    }
}

fn statx_mount() -> Result<()> {
    let root = file::open("/", libc::O_PATH | libc::O_DIRECTORY)?;
    fs::is_mount_root(&root)?;
    fs::mount_id(&root).map(drop)
}

/// A mount that is only described, and dropped with its descriptor.
fn procfs_pidns() -> Result<()> {
    mount::fsconfig_string(mount::fsopen("proc")?, "pidns", "/proc/self/ns/pid")
}

/// `r0 = 1; exit`, loaded and attached nowhere.
fn device_filter() -> Result<()> {
    let allow = Instruction { code: 0xb7, registers: 0, offset: 0, immediate: 1 };
    let exit = Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 };
    bpf::load_device_filter(&[allow, exit], &[0; 16]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_call_is_told_from_a_missing_right() {
        assert_eq!(of_call(Errno(libc::EINVAL)), Answer::Yes);
        let failed = |errno| Err(Failure::new("f()", Errno(errno)));
        assert_eq!(answer(failed(libc::EINVAL), libc::EINVAL), Answer::No);
        assert_eq!(answer(Ok(()), libc::EINVAL), Answer::Yes);
        assert!(matches!(answer(failed(libc::EPERM), libc::EINVAL), Answer::Failed(text) if text.contains("f()")));
    }

    #[test]
    fn this_kernel_has_the_calls_that_the_runtime_cannot_do_without() {
        for name in ["openat2", "clone3", "pidfd_open", "fsopen"] {
            let found = refused::answers().find(|(known, _)| *known == name).expect("a probe");
            assert!(matches!(of_call(found.1), Answer::Yes | Answer::Filtered), "{name}");
        }
        assert_eq!(answer(statx_mount(), libc::ENOSYS), Answer::Yes);
    }
}
