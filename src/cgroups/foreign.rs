//! The cgroups that another runtime's record names.

use super::hierarchy_cgroup::{HierarchyCgroup, is_gone};
use super::kill;
use super::layout::{Hierarchy, Layout};
use crate::error::{Error, Result};
use crate::json;

/// The cgroups at these directories of the host, by the controller; the empty name is the unified
/// hierarchy. Hierarchies without an entry are left out, as is the root of a hierarchy.
///
/// # Errors
/// A directory is not below the mount point of its hierarchy.
pub(crate) fn of_directories(paths: &json::Map<String>) -> Result<Vec<HierarchyCgroup>> {
    let mut found = Vec::new();
    for hierarchy in Layout::read()?.hierarchies {
        let names: Vec<&str> = match hierarchy.is_unified() {
            true => vec![""],
            false => hierarchy.controllers.iter().map(String::as_str).collect(),
        };
        let Some((name, directory)) = names.iter().find_map(|name| Some((*name, paths.get(name)?))) else { continue };
        // Distributions have a link for each controller of a joint hierarchy.
        let short = format!("/sys/fs/cgroup/{name}");
        let below = |mount: &str| directory.strip_prefix(mount).filter(|path| path.is_empty() || path.starts_with('/'));
        let path = below(&hierarchy.mount)
            .or_else(|| below(&short))
            .ok_or_else(|| Error::system(format!("the cgroup {directory:?} is not below {:?}", hierarchy.mount)))?;
        if path.trim_end_matches('/').is_empty() || path.split('/').any(|part| part == "..") {
            continue;
        }
        found.push(at(&hierarchy, path));
    }
    Ok(found)
}

/// The cgroups of this path that exist, in every hierarchy.
///
/// # Errors
/// The hierarchies cannot be read.
pub(crate) fn at_path(path: &str) -> Result<Vec<HierarchyCgroup>> {
    if path.trim_matches('/').is_empty() || path.split('/').any(|part| part == "..") {
        return Ok(Vec::new());
    }
    let path = format!("/{}", path.trim_start_matches('/'));
    let all = Layout::read()?.hierarchies;
    Ok(all.iter().map(|hierarchy| at(hierarchy, &path)).filter(HierarchyCgroup::exists).collect())
}

/// A cgroup whose parents the other runtime has made or found: none of them is removed with it.
fn at(hierarchy: &Hierarchy, path: &str) -> HierarchyCgroup {
    HierarchyCgroup::at(hierarchy, path.trim_end_matches('/').to_owned())
}

/// The first cgroup in which the process is, and which is neither one of `cgroups` nor below one that
/// `is_own` knows by its path: every container of a pod is below the pod's cgroup.
///
/// # Errors
/// The process is gone.
pub(crate) fn outside(pid: i32, cgroups: &[HierarchyCgroup], is_own: &dyn Fn(&str) -> bool) -> Result<Option<String>> {
    for hierarchy in Layout::read_of(pid)?.hierarchies {
        let Some(cgroup) = cgroups.iter().find(|cgroup| cgroup.mount == hierarchy.mount) else { continue };
        let place = hierarchy.own_directory()?;
        let is_in = match place.strip_prefix(&cgroup.path) {
            Some("") => true,
            Some(rest) => rest.starts_with('/') && is_own(&cgroup.path),
            None => false,
        };
        if !is_in {
            return Ok(Some(format!("{}{place}", hierarchy.mount)));
        }
    }
    Ok(None)
}

/// The processes of these cgroups and of those nested in them, of every hierarchy.
///
/// # Errors
/// A list cannot be read.
pub(crate) fn processes_of_each(cgroups: &[HierarchyCgroup]) -> Result<Vec<i32>> {
    let mut all = Vec::new();
    for cgroup in cgroups {
        match kill::processes(&cgroup.directory()) {
            Err(e) if is_gone(&e) => {}
            found => all.extend(found?),
        }
    }
    Ok(all)
}
