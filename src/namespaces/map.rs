//! Writing the id mappings of a user namespace (`user_namespaces(7)`), directly or with newuidmap
//! and newgidmap.

use crate::error::{Context, Error, Result};
use crate::idmap::{IdMap, IdMaps};
use crate::sys::process::Pid;
use crate::sys::{credentials, file};
use std::process::Command;

/// Writes both maps for the process `pid`, which waits in its new user namespace.
///
/// With CAP_SETUID and CAP_SETGID the runtime writes any map. An unprivileged user may map only the
/// own id directly (a gid only after denying `setgroups`); other maps need the set-uid programs
/// newuidmap(1) and newgidmap(1), which check /etc/subuid and /etc/subgid.
pub(crate) fn write(pid: Pid, maps: &IdMaps) -> Result<()> {
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
        helper("newuidmap", pid, &maps.uids).context("linux.uidMappings")?;
    }
    if is_own(&maps.gids, credentials::effective_gid()) {
        write_file(pid, "setgroups", "deny").context("linux.gidMappings")?;
        return write_file(pid, "gid_map", &maps.gids.text()).context("linux.gidMappings");
    }
    helper("newgidmap", pid, &maps.gids).context("linux.gidMappings")
}

fn is_own(map: &IdMap, id: u32) -> bool {
    matches!(map.ranges(), [[_, outside, 1]] if *outside == id)
}

fn write_file(pid: Pid, name: &str, text: &str) -> Result<()> {
    let fd = file::open(format!("/proc/{pid}/{name}"), libc::O_WRONLY)?;
    file::write_value(fd, text.as_bytes())?;
    Ok(())
}

fn helper(program: &str, pid: Pid, map: &IdMap) -> Result<()> {
    let numbers = map.ranges().as_flattened().iter().map(u32::to_string);
    // Some engines call the runtime without PATH; set-uid programs are installed in the system's
    // directories only.
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin".into());
    let output = Command::new(program).arg(pid.to_string()).args(numbers).env_clear().env("PATH", path).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Error::system(format!("{program} failed: {said}"))
                .hint("/etc/subuid and /etc/subgid must grant these ids to the user"))
        }
        Err(e) => Err(Error::system(format!("{program}: {e}"))
            .hint("install newuidmap and newgidmap (package uidmap or shadow-utils)")),
    }
}
