//! The content of a `cgroup` mount in the container, as plain data for the code that mounts it.

use super::cgroup::Cgroup;
use super::hierarchy_cgroup::HierarchyCgroup;
use super::layout::{Hierarchy, Layout};
use crate::error::Result;

/// The content of the container's /sys/fs/cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// The host's mount point of cgroup v2.
    pub mount: Option<String>,
    /// The container's cgroup v2 directory on the host, if that is its only cgroup.
    pub unified: Option<String>,
    /// Its cgroups v1. In a hybrid layout the unified hierarchy has no controllers, and containers
    /// expect v1 only.
    pub hierarchies: Vec<HierarchyView>,
}

/// The view of one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HierarchyView {
    /// The directory below /sys/fs/cgroup: `memory`, `cpu,cpuacct`, `systemd`.
    pub name: String,
    /// Symbolic links to it, for co-mounted controllers: `cpu` and `cpuacct`.
    pub aliases: Vec<String>,
    /// The controllers: `cpu` and `cpuacct`, `name=systemd`.
    pub controllers: Vec<String>,
    /// The container's directory on the host.
    pub path: String,
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
    let unified = cgroups.iter().find(|cgroup| cgroup.is_unified());
    View {
        mount: unified.map(|cgroup| cgroup.mount.clone()),
        unified: unified.filter(|_| cgroups.len() == 1).map(HierarchyCgroup::directory),
        hierarchies: cgroups.iter().filter(|cgroup| !cgroup.is_unified()).map(seen).collect(),
    }
}

fn seen(cgroup: &HierarchyCgroup) -> HierarchyView {
    let names: Vec<&str> = cgroup.controllers.iter().map(|c| c.strip_prefix("name=").unwrap_or(c)).collect();
    let aliases = if names.len() > 1 { names.iter().map(|n| n.to_string()).collect() } else { Vec::new() };
    let mounted = cgroup.mount.rsplit('/').next().unwrap_or_default();
    let name = names.join(",");
    // The directory has its name on the host, where programs look for it.
    let name = if mounted.is_empty() || aliases.is_empty() { name } else { mounted.to_owned() };
    let aliases = aliases.into_iter().filter(|alias| *alias != name).collect();
    HierarchyView { name, aliases, controllers: cgroup.controllers.clone(), path: cgroup.directory() }
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
        let View { mount, unified, hierarchies: seen } = view(&cgroups);
        assert_eq!(seen[0].name, "cpu,cpuacct");
        assert_eq!(seen[0].aliases, ["cpu", "cpuacct"]);
        assert_eq!((seen[1].name.as_str(), seen[1].controllers[0].as_str()), ("systemd", "name=systemd"));
        assert_eq!((mount.as_deref(), unified, seen.len()), (Some("/sys/fs/cgroup/unified"), None, 2));
        assert!(seen[1].aliases.is_empty());
    }

    #[test]
    fn a_unified_cgroup_alone_is_the_whole_view() {
        let (mount, unified) = (Some("/sys/fs/cgroup".into()), Some("/sys/fs/cgroup/c".into()));
        assert_eq!(view(&[cgroup(&[], "/sys/fs/cgroup")]), View { mount, unified, hierarchies: Vec::new() });
    }
}
