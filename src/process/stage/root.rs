//! The root filesystem: mount, hooks, pivot, protection.

use super::Stage;
use crate::error::{Context, Error, Result};
use crate::hooks::{self, Moment};
use crate::namespaces::NamespaceKind;
use crate::namespaces::recipe::User;
use crate::process::protocol::FromChild;
use crate::sys::{mount, process};
use std::os::fd::OwnedFd;

/// Mounts the root filesystem with all its mounts, at its host path.
pub(in crate::process) fn build_rootfs(stage: &mut Stage<'_>) -> Result<()> {
    let (Some(rootfs), Some(prepared)) = (&stage.plan.rootfs, &stage.input.prepared) else { return Ok(()) };
    rootfs.propagate()?;
    if stage.plan.joined.fd(NamespaceKind::Pid).is_some() {
        let mounts: Vec<usize> = rootfs.procfs_mounts().collect();
        let contexts = procfs_of_joined(stage, mounts.len()).context("open a procfs of the joined pid namespace")?;
        for (index, context) in mounts.into_iter().zip(contexts) {
            stage.trees.set(index, context);
        }
        if stage.plan.recipe.user != User::Stays {
            crate::rootfs::hold_procfs()?;
        }
    }
    let view = stage.plan.cgroup_view.as_ref().ok_or_else(|| Error::internal("a root filesystem without cgroups"))?;
    stage.built = Some(rootfs.build(prepared, std::mem::take(&mut stage.trees), view)?);
    Ok(())
}

/// The contexts for procfs mounts of a joined pid namespace. A procfs shows the pid namespace of
/// the process that opened its context, and this process enters the joined one only when it is
/// confined. So the context names the namespace (Linux 6.17), or an unprivileged helper opens it
/// there.
fn procfs_of_joined(stage: &Stage<'_>, count: usize) -> Result<Vec<OwnedFd>> {
    let mut contexts = Vec::with_capacity(count);
    while contexts.len() < count {
        let context = mount::fsopen("proc")?;
        match mount::fsconfig_string(&context, "pidns", "/proc/self/ns/pid_for_children") {
            Ok(()) => contexts.push(context),
            Err(e) if e.is(libc::EINVAL) => {
                stage.channel.send(&FromChild::Procfs)?;
                return stage.channel.wait();
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(contexts)
}

/// Runs the hooks before the pivot: the runtime's in the runtime namespaces, then createContainer
/// here.
pub(in crate::process) fn run_hooks(stage: &mut Stage<'_>) -> Result<()> {
    if stage.plan.runtime_acts_on_built() {
        stage.channel.send(&FromChild::Built)?;
        stage.channel.wait()?;
    }
    let list = stage.plan.hooks.at(Moment::CreateContainer);
    if !list.is_empty() {
        let pid = process::pid();
        hooks::run(
            stage.input.proof,
            Moment::CreateContainer,
            list,
            &(stage.input.state)(Moment::CreateContainer, pid),
        )?;
        stage.channel.send(&FromChild::Hooked)?;
    }
    match &mut stage.built {
        Some(built) if stage.plan.runtime_acts_on_built() || !list.is_empty() => built.after_hooks(),
        _ => Ok(()),
    }
}

/// Pivots into the root filesystem.
pub(in crate::process) fn pivot(stage: &mut Stage<'_>) -> Result<()> {
    match &stage.built {
        Some(built) => built.pivot(stage.plan.enter_root()),
        None => Ok(()),
    }
}

/// Creates the working directory, masks paths, and makes paths and the root read-only.
pub(in crate::process) fn protect(stage: &mut Stage<'_>) -> Result<()> {
    let cwd = stage.plan.program.as_ref().map(|program| program.cwd.as_str());
    match stage.built.take() {
        Some(built) => built.protect(cwd),
        None => Ok(()),
    }
}
