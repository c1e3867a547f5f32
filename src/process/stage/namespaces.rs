//! Namespaces, cgroups and the keyring.

use super::{Stage, die_with_runtime};
use crate::error::{Context, Result};
use crate::namespaces::enter::{self, become_root, hide};
use crate::namespaces::recipe::{Fork, User};
use crate::namespaces::{NamespaceKind, recipe};
use crate::process::keyring::{self, Keyring};
use crate::process::protocol::FromChild;
use crate::procfs::ProcFd;
use crate::sys;
use crate::sys::process::{self, Clone, Cloned};

/// Enters the namespaces, except the cgroup namespace and a late fork.
pub(in crate::process) fn enter_namespaces(stage: &mut Stage<'_>) -> Result<()> {
    let (recipe, joined) = (&stage.plan.recipe, &stage.plan.joined);
    // After the change of ids the process is not dumpable, and its files in /proc belong to the
    // host's root.
    let offsets = recipe.offsets.then(enter::open_offsets).transpose()?;
    hide()?;
    enter::join(joined, &recipe.join_first)?;
    match recipe.user {
        User::Stays => {}
        User::Cloned => map_ids(stage)?,
        User::Unshared => {
            enter::unshare(NamespaceKind::User.flag() | recipe.unshare & !recipe::LATE)?;
            map_ids(stage)?;
        }
        User::Joined => enter::join(joined, &[NamespaceKind::User])?,
    }
    if recipe.user != User::Stays {
        become_root()?;
        hide()?;
    }
    enter::join(joined, &recipe.join_then)?;
    match recipe.user {
        User::Unshared => enter::unshare(recipe.unshare & recipe::LATE)?,
        _ => enter::unshare(recipe.unshare)?,
    }
    if let Some(file) = offsets {
        enter::write_offsets(&file, &stage.plan.namespaces)?;
    }
    if let Fork::Early(flags) = recipe.fork {
        fork(stage, flags)?;
    }
    Ok(())
}

/// Enters the namespaces of a running container, all at once; the late fork enters the pid
/// namespace.
pub(in crate::process) fn enter_container(stage: &mut Stage<'_>) -> Result<()> {
    let Some(container) = &stage.plan.entered else { return Ok(()) };
    if let Keyring::Of(made) = &stage.plan.keyring
        && made.outside
    {
        keyring::join(made)?;
    }
    if stage.plan.label.is_some() {
        // In the container's user namespace, no procfs could be mounted that shows this process: it
        // is not in the container's pid namespace yet.
        stage.procfs = Some(ProcFd::open()?.into());
    }
    enter::container(&container.init, container.flags)
}

/// Has the runtime write the id mappings of the new user namespace; receives the id-mapped mounts
/// that only the runtime can create.
fn map_ids(stage: &mut Stage<'_>) -> Result<()> {
    // The uid_map of a process that is not dumpable belongs to root: an unprivileged runtime could
    // not write it. There is no other process in the new user namespace.
    process::set_dumpable(true)?;
    stage.channel.send(&FromChild::UserReady)?;
    let trees = stage.channel.wait()?;
    hide()?;
    if let Some(rootfs) = &stage.plan.rootfs {
        for (index, tree) in rootfs.mapped_by_container().zip(trees) {
            stage.trees.set(index, tree);
        }
    }
    Ok(())
}

/// The early fork: the child goes on; this process sends its pidfd to the runtime and exits.
fn fork(stage: &mut Stage<'_>, flags: i32) -> Result<()> {
    let flags = flags as u64 | libc::CLONE_PARENT as u64;
    match process::clone3(stage.input.proof, &Clone { flags, into_cgroup: None })? {
        Cloned::Parent(_, pidfd) => {
            stage.channel.send(&FromChild::Forked(pidfd))?;
            process::exit_now(0)
        }
        Cloned::Child => {
            die_with_runtime(stage)?;
            // Until it knows this process, the runtime would take its messages for those of the
            // parent.
            stage.channel.wait().map(drop)
        }
    }
}

/// Joins the v1 cgroups and then unshares the cgroup namespace. A memory cgroup with a very small
/// limit is left to the stub.
pub(in crate::process) fn enter_cgroups(stage: &mut Stage<'_>) -> Result<()> {
    if let Some(entry) = stage.cgroup {
        if entry.awaits_scope {
            stage.channel.send(&FromChild::Scope)?;
            stage.channel.wait()?;
        }
        if stage.joins_unified {
            entry.join_unified()?;
        }
        entry.join_self()?;
    }
    if stage.plan.recipe.late_cgroup && !stage.leaves_a_cgroup() {
        enter::unshare(NamespaceKind::Cgroup.flag())?;
    }
    Ok(())
}

/// Joins a session keyring of the container's own (`keyrings(7)`): a new one, or that of the
/// running container.
pub(in crate::process) fn join_keyring(stage: &mut Stage<'_>) -> Result<()> {
    match &stage.plan.keyring {
        Keyring::New(name) => {
            let made = keyring::make(name)?;
            stage.channel.send(&FromChild::Keyring(made.map(|made| (made.serial, made.owner))))
        }
        Keyring::Of(made) if !made.outside => keyring::join(made),
        Keyring::Callers | Keyring::Of(_) => Ok(()),
    }
}

/// Sets host and domain name, the loopback interface, network devices and sysctls, in this order: a
/// sysctl may name a network device.
pub(in crate::process) fn set_up_namespaces(stage: &mut Stage<'_>) -> Result<()> {
    let all = &stage.plan.namespaces;
    enter::set_names(all)?;
    if *all.place(NamespaceKind::Network) == crate::namespaces::Place::New {
        sys::namespace::loopback_up().context("bring the loopback interface up")?;
    }
    if stage.plan.moves_devices {
        stage.channel.send(&FromChild::Isolated)?;
        stage.channel.wait()?;
    }
    if !all.sysctls.is_empty() {
        let procfs = ProcFd::open_full()?;
        for sysctl in all.sysctls.iter() {
            procfs
                .write_sysctl(&sysctl.path, &sysctl.value)
                .with_context(|| format!("linux.sysctl[{:?}]", sysctl.name))?;
        }
    }
    Ok(())
}
