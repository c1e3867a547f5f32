//! Writing the id mappings of a user namespace (`user_namespaces(7)`), directly or with newuidmap
//! and newgidmap.

use crate::error::{Context, Error, Result};
use crate::host_program;
use crate::idmap::{IdMap, IdMaps};
use crate::sys::process::{Ended, Pid, SingleThreaded};
use crate::sys::{credentials, file};

/// Writes both maps for the process `pid`, which waits in its new user namespace.
///
/// With CAP_SETUID and CAP_SETGID the runtime writes any map. An unprivileged user may map only the
/// own id directly (a gid only after denying `setgroups`); other maps need the set-uid programs
/// newuidmap(1) and newgidmap(1), which check /etc/subuid and /etc/subgid.
pub(crate) fn write(proof: &SingleThreaded, pid: Pid, maps: &IdMaps) -> Result<()> {
    const CAP_SETUID: u64 = 1 << 7;
    const CAP_SETGID: u64 = 1 << 6;
    let held = credentials::capabilities()?.effective;
    if held & (CAP_SETUID | CAP_SETGID) == CAP_SETUID | CAP_SETGID {
        write_file(pid, "uid_map", &maps.uids.text()).context("linux.uidMappings")?;
        return write_file(pid, "gid_map", &maps.gids.text()).context("linux.gidMappings");
    }
    if is_own(&maps.uids, credentials::effective_uid()) {
        write_file(pid, "uid_map", &maps.uids.text()).context("linux.uidMappings")?;
    } else {
        helper(proof, "newuidmap", pid, &maps.uids).context("linux.uidMappings")?;
    }
    if is_own(&maps.gids, credentials::effective_gid()) {
        write_file(pid, "setgroups", "deny").context("linux.gidMappings")?;
        return write_file(pid, "gid_map", &maps.gids.text()).context("linux.gidMappings");
    }
    helper(proof, "newgidmap", pid, &maps.gids).context("linux.gidMappings")
}

fn is_own(map: &IdMap, id: u32) -> bool {
    matches!(map.ranges(), [[_, outside, 1]] if *outside == id)
}

fn write_file(pid: Pid, name: &str, text: &str) -> Result<()> {
    let fd = file::open(format!("/proc/{pid}/{name}"), libc::O_WRONLY)?;
    file::write_value(fd, text.as_bytes())?;
    Ok(())
}

fn helper(proof: &SingleThreaded, program: &str, pid: Pid, map: &IdMap) -> Result<()> {
    let numbers = map.ranges().as_flattened().iter().map(u32::to_string);
    let args: Vec<String> = std::iter::once(pid.to_string()).chain(numbers).collect();
    let output = host_program::run(proof, program, &args, host_program::path_entry().as_slice()).map_err(|error| {
        error.context(program).hint("install newuidmap and newgidmap (package uidmap or shadow-utils)")
    })?;
    match output.ended {
        Ended::Exited(0) => Ok(()),
        _ => Err(Error::system(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
            .hint("/etc/subuid and /etc/subgid must grant these ids to the user")),
    }
}
