//! The cgroups of a new container, and its view of them.

use super::bundle::Bundle;
use super::parts::Parts;
use crate::cgroups::{self, Cgroup, Layout};
use crate::error::{Context as _, Error, Result};
use crate::log;
use crate::namespaces::recipe::User;
use crate::namespaces::{self, NamespaceKind as Ns, Place};
use crate::process::plan::LaunchPlan;
use crate::rootfs::{self, CgroupView};
use crate::state::{ContainerDir, Record};

/// Chooses the cgroups and records them before any is created.
///
/// # Errors
/// A wrong limit; with `must_be_new` also a cgroup that exists already.
pub(super) fn prepare(
    dir: &ContainerDir,
    record: &mut Record,
    parts: &Parts,
    bundle: &Bundle,
    layout: &Layout,
    must_be_new: bool,
) -> Result<Cgroup> {
    let cgroup = Cgroup::prepare(&parts.asked, layout)?;
    if must_be_new {
        cgroup.refuse_existing().context("--manage-cgroups-mode strict")?;
    }
    record.cgroup = cgroup.record();
    record.resctrl = parts.resctrl.as_ref().map(|plan| plan.record()).transpose()?;
    // The record is written first: a directory with a config and without a record means that the
    // record was removed.
    dir.save(record)?;
    dir.write("config.json", &bundle.json)?;
    if parts.notifies {
        super::notify::make_directory(dir)?;
    }
    if let (Some(plan), Some(record)) = (&parts.resctrl, &record.resctrl) {
        plan.make(record)?;
    }
    log::step("make cgroups");
    Ok(cgroup)
}

/// The cgroups as the container sees them.
pub(super) fn view(cgroup: &Cgroup, plan: &LaunchPlan) -> Result<CgroupView> {
    let namespace = plan.namespaces.has(Ns::Cgroup);
    let fresh = matches!(plan.namespaces.place(Ns::Cgroup), Place::New);
    let privileged = plan.recipe.user == User::Stays && namespaces::in_first_user_namespace();
    let shared = match plan.joined.fd(Ns::Cgroup) {
        Some(joined) => cgroups::is_first_cgroup_namespace(joined)?,
        None => !fresh,
    };
    let seen = cgroup.view()?;
    let hierarchies = seen.hierarchies.into_iter().map(|seen| rootfs::Hierarchy {
        name: seen.name,
        links: seen.aliases,
        directory: seen.path.into(),
        parameters: seen.controllers,
    });
    let tree = seen.mount.filter(|_| shared && privileged).map(Into::into);
    let unified = seen.unified.map(Into::into);
    let same = fresh && privileged && unified.is_none();
    Ok(CgroupView { hierarchies: hierarchies.collect(), unified, shared, tree, namespace, same })
}

/// A process created in a frozen cgroup would never run.
pub(super) fn frozen() -> Error {
    Error::state("the container's cgroup is frozen, by itself or with one above it")
}
