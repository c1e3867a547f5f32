//! User namespaces for mounts that have id mappings of their own.

use super::mount::IdMappings;
use crate::error::{Context, Result};
use crate::procfs::ProcFd;
use crate::sys::file;
use crate::sys::process::{self, Clone, Cloned, Pid, SingleThreaded};
use std::fmt::Write;
use std::os::fd::OwnedFd;

/// A user namespace with these mappings and nobody in it, for [`super::Rootfs::map_ids`].
///
/// A namespace begins with a process in it: one that only waits, and is ended as soon as its namespace is held.
///
/// # Errors
/// EPERM without CAP_SETUID and CAP_SETGID; EINVAL for ranges that overlap.
pub fn user_namespace(single: &SingleThreaded, ids: &IdMappings) -> Result<OwnedFd> {
    let how = Clone { flags: libc::CLONE_NEWUSER as u64, into_cgroup: None };
    match process::clone3(single, &how).at("make a user namespace for id mappings")? {
        Cloned::Child => wait_to_be_ended(),
        Cloned::Parent(pid, pidfd) => {
            let namespace = mapped(pid, ids).at("make a user namespace for id mappings");
            let ended = process::pidfd_send_signal(&pidfd, libc::SIGKILL).and_then(|()| process::wait(pid));
            let namespace = namespace?;
            ended?;
            Ok(namespace)
        }
    }
}

fn wait_to_be_ended() -> ! {
    // Should the parent die first; if it already has, the process is at worst an idle orphan with no descriptor but copies.
    let tied = process::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0, 0, 0);
    while tied.is_ok() && process::poll([], -1).is_ok() {}
    process::exit_now(1)
}

fn mapped(pid: Pid, ids: &IdMappings) -> Result<OwnedFd> {
    let proc = ProcFd::open()?;
    proc.write_of(pid, "uid_map", lines(&ids.uids))?;
    proc.write_of(pid, "gid_map", lines(&ids.gids))?;
    let namespaces = proc.file(&format!("{pid}/ns"), libc::O_RDONLY | libc::O_DIRECTORY)?;
    Ok(file::open_at(&namespaces, "user", libc::O_RDONLY, 0)?)
}

/// As the kernel reads mappings (user_namespaces(7)).
fn lines(ids: &[[u32; 3]]) -> String {
    ids.iter().fold(String::new(), |mut text, [inside, outside, size]| {
        let _ = writeln!(text, "{inside} {outside} {size}");
        text
    })
}
