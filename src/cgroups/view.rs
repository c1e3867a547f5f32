//! The content of a `cgroup` mount in the container, as plain data for the code that mounts it.

use super::cgroup::Cgroup;
use super::hierarchy_cgroup::HierarchyCgroup;
use super::layout::{Hierarchy, Layout};
use crate::error::Result;

/// The content of the container's /sys/fs/cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// cgroup v2.
    Unified {
        /// The host's mount point.
        mount: String,
        /// The container's directory on the host.
        directory: String,
    },
    /// cgroup v1 (and, in a hybrid layout, the unified hierarchy): these directories.
    Legacy(Vec<HierarchyView>),
}

/// The view of one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HierarchyView {
    /// The directory below /sys/fs/cgroup: `memory`, `cpu,cpuacct`, `systemd`, `unified`.
    pub name: String,
    /// Symbolic links to it, for co-mounted controllers: `cpu` and `cpuacct`.
    pub aliases: Vec<String>,
    /// The controllers as v1's mount options: `cpu,cpuacct`, `none,name=systemd`. Empty for the
    /// unified hierarchy.
    pub options: String,
    /// The container's directory on the host.
    pub path: String,
    /// The host's mount point of the hierarchy.
    pub mount: String,
}

impl Cgroup {
    /// The container's view. Without a cgroup of its own the container has the runtime's view.
    ///
    /// # Errors
    /// As [`Layout::read`].
    pub(crate) fn view(&self) -> Result<View> {
        if !self.cgroups().is_empty() {
            return Ok(view(self.cgroups()));
        }
        let layout = Layout::read()?;
        let own = |hierarchy: &Hierarchy| Ok(HierarchyCgroup::at(hierarchy, hierarchy.own_directory()?));
        Ok(view(&layout.hierarchies.iter().map(own).collect::<Result<Vec<_>>>()?))
    }
}

fn view(cgroups: &[HierarchyCgroup]) -> View {
    match cgroups {
        [only] if only.is_unified() => View::Unified { mount: only.mount.clone(), directory: only.directory() },
        cgroups => View::Legacy(cgroups.iter().map(seen).collect()),
    }
}

fn seen(cgroup: &HierarchyCgroup) -> HierarchyView {
    let names: Vec<&str> = cgroup.controllers.iter().map(|c| c.strip_prefix("name=").unwrap_or(c)).collect();
    let aliases = if names.len() > 1 { names.iter().map(|n| n.to_string()).collect() } else { Vec::new() };
    let mounted = cgroup.mount.rsplit('/').next().unwrap_or_default();
    let options: Vec<String> = cgroup
        .controllers
        .iter()
        .map(|c| if c.starts_with("name=") { format!("none,{c}") } else { c.clone() })
        .collect();
    let name = if cgroup.is_unified() { "unified".to_owned() } else { names.join(",") };
    // The directory has its name on the host, where programs look for it.
    let name = if mounted.is_empty() || aliases.is_empty() { name } else { mounted.to_owned() };
    let aliases = aliases.into_iter().filter(|alias| *alias != name).collect();
    HierarchyView { name, aliases, options: options.join(","), path: cgroup.directory(), mount: cgroup.mount.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroup(controllers: &[&str], mount: &str) -> HierarchyCgroup {
        let controllers = controllers.iter().map(|c| c.to_string()).collect();
        HierarchyCgroup { controllers, mount: mount.into(), path: "/c".into(), parents: 0 }
    }

    #[test]
    fn co_mounted_controllers_have_one_directory_and_a_link_for_each() {
        let cgroups = [
            cgroup(&["cpu", "cpuacct"], "/sys/fs/cgroup/cpu,cpuacct"),
            cgroup(&["name=systemd"], "/sys/fs/cgroup/systemd"),
            cgroup(&[], "/sys/fs/cgroup/unified"),
        ];
        let View::Legacy(seen) = view(&cgroups) else { panic!() };
        assert_eq!(seen[0].name, "cpu,cpuacct");
        assert_eq!(seen[0].aliases, ["cpu", "cpuacct"]);
        assert_eq!((seen[1].name.as_str(), seen[1].options.as_str()), ("systemd", "none,name=systemd"));
        assert_eq!((seen[2].name.as_str(), seen[2].path.as_str()), ("unified", "/sys/fs/cgroup/unified/c"));
        assert!(seen[1].aliases.is_empty());
    }

    #[test]
    fn a_unified_cgroup_alone_is_the_whole_view() {
        let whole = View::Unified { mount: "/sys/fs/cgroup".into(), directory: "/sys/fs/cgroup/c".into() };
        assert_eq!(view(&[cgroup(&[], "/sys/fs/cgroup")]), whole);
    }
}
