//! Delegation of a v2 cgroup to the container's user (config-linux.md, "Cgroup ownership").

use super::hierarchy_cgroup::HierarchyCgroup;
use crate::config::{Namespace, Spec};
use crate::error::{IoContext, Result};
use crate::idmap::IdMaps;
use std::os::unix::fs::lchown;

/// The delegated files on a kernel without /sys/kernel/cgroup/delegate.
const FILES: [&str; 3] = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"];

/// The host's user id of the cgroup's new owner, only if the container has a new cgroup namespace
/// and a writable /sys/fs/cgroup.
pub(super) fn parse(spec: &Spec<'_>) -> Result<Option<u32>> {
    let Some(linux) = &spec.linux else { return Ok(None) };
    let fresh = |kind: &str| linux.namespace(kind).map(Namespace::is_new);
    if fresh("cgroup") != Some(true) {
        return Ok(None);
    }
    let writable = spec.mounts.iter().flatten().any(|m| {
        let cgroup = m.source.as_deref() == Some("cgroup") || matches!(m.type_.as_deref(), Some("cgroup" | "cgroup2"));
        let read_only = m.options.iter().flatten().any(|o| o == "ro");
        cgroup && m.destination.as_deref() == Some("/sys/fs/cgroup") && !read_only
    });
    let user = spec.process.as_ref().and_then(|p| p.user.as_ref()).and_then(|u| u.uid).unwrap_or(0);
    Ok(match fresh("user") {
        _ if !writable => None,
        // The config does not have the id mappings of a joined user namespace.
        Some(false) => None,
        Some(true) => IdMaps::parse(linux)?.uids.to_host(user),
        None => Some(user),
    })
}

/// Changes the owner of the directory and of the delegated files.
///
/// # Errors
/// The owner cannot be changed.
pub(super) fn give(cgroup: &HierarchyCgroup, uid: u32) -> Result<()> {
    let list = std::fs::read_to_string("/sys/kernel/cgroup/delegate");
    let files: Vec<&str> = match &list {
        Ok(list) => list.lines().filter(|name| !name.is_empty() && !name.contains('/')).collect(),
        Err(_) => FILES.to_vec(),
    };
    let own = |path: String| lchown(&path, Some(uid), None).io_context(|| format!("lchown({path:?}, {uid})"));
    own(cgroup.directory())?;
    for name in files {
        match own(cgroup.file(name)) {
            // A file may be missing in this kernel or cgroup.
            Err(e) if e.errno() == libc::ENOENT => {}
            done => done?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(namespaces: &str, options: &str, mappings: &str) -> Option<u32> {
        let json = format!(
            r#"{{"process":{{"user":{{"uid":5}}}},"linux":{{"namespaces":[{namespaces}],"uidMappings":[{mappings}]}},
                "mounts":[{{"destination":"/sys/fs/cgroup","source":"cgroup","type":"cgroup","options":[{options}]}}]}}"#
        );
        parse(&crate::config::parse(&json).unwrap()).unwrap()
    }

    #[test]
    fn only_a_writable_mount_in_a_cgroup_namespace_changes_the_owner() {
        let both = r#"{"type":"cgroup"},{"type":"user"}"#;
        let mapping = r#"{"containerID":0,"hostID":1000,"size":10}"#;
        assert_eq!(owner(both, "", mapping), Some(1005));
        assert_eq!(owner(both, r#""nosuid","ro""#, mapping), None);
        assert_eq!(owner(r#"{"type":"user"}"#, "", mapping), None);
        assert_eq!(owner(r#"{"type":"cgroup","path":"/x"}"#, "", ""), None);
        assert_eq!(owner(r#"{"type":"cgroup"},{"type":"user","path":"/x"}"#, "", ""), None);
        assert_eq!(owner(r#"{"type":"cgroup"}"#, "", ""), Some(5));
        assert_eq!(owner(both, "", r#"{"containerID":0,"hostID":1000,"size":5}"#), None);
    }
}
