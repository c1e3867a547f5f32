//! Namespaces, cgroups and the keyring.

use super::{Stage, die_with_runtime};
use crate::error::{Context, Error, Result};
use crate::namespaces::recipe::{Fork, User};
use crate::namespaces::{Kind, enter, recipe};
use crate::process::keyring::{self, Keyring};
use crate::process::protocol::FromChild;
use crate::procfs::ProcFd;
use crate::sys::process::{self, Clone, Cloned};
use crate::sys::{self, credentials};

/// Keeps everybody but root of the machine from tracing this process and looking into it (`prctl(2)`, PR_SET_DUMPABLE).
///
/// To be said before a namespace with other processes is entered, and again after each change of the user, which resets it to
/// the sysctl fs.suid_dumpable.
fn hide() -> Result<()> {
    Ok(process::set_dumpable(false)?)
}

/// Gives the files of this process in /proc to the root of its user namespace: one that is new, and has no other process.
fn show() -> Result<()> {
    Ok(process::set_dumpable(true)?)
}

/// Namespaces, but for the cgroup namespace and a late fork.
pub(in crate::process) fn enter_namespaces(stage: &mut Stage<'_>) -> Result<()> {
    let (recipe, joined) = (&stage.plan.recipe, &stage.plan.joined);
    // Once its ids have changed, the process is not dumpable, and its files in /proc belong to the host's root.
    let offsets = recipe.offsets.then(enter::open_offsets).transpose()?;
    hide()?;
    enter::join(joined, &recipe.join_first)?;
    match recipe.user {
        User::Stays => {}
        User::Cloned => map_ids(stage)?,
        User::Unshared => {
            enter::unshare(Kind::User.flag() | recipe.unshare & !recipe::LATE)?;
            map_ids(stage)?;
        }
        User::Joined => enter::join(joined, &[Kind::User])?,
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

/// The namespaces of a running container, all at once; its pid namespace is entered by the late fork.
pub(in crate::process) fn enter_container(stage: &mut Stage<'_>) -> Result<()> {
    let Some(container) = &stage.plan.entered else { return Ok(()) };
    if let Keyring::Of(made) = &stage.plan.keyring
        && made.outside
    {
        keyring::join(made)?;
    }
    if stage.plan.label.is_some() {
        // In a user namespace none can be made that shows this process, which is not in the container's pid namespace yet.
        stage.procfs = Some(ProcFd::open()?.into());
    }
    hide()?;
    sys::namespace::setns(&container.init, container.flags)
        .with_context(|| format!("join the container's namespaces ({})", enter::words(container.flags)))?;
    if container.flags & Kind::User.flag() != 0 {
        become_root()?;
        hide()?;
    }
    Ok(())
}

/// Has the runtime map the ids of the new user namespace; takes the id-mapped trees that only it can make.
fn map_ids(stage: &mut Stage<'_>) -> Result<()> {
    // The maps of a process that is not dumpable belong to root: a runtime that is not root could not write them.
    show()?;
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

/// Root of the user namespace, if it has one. Nobody else's rights reach further than the namespace anyway.
pub(in crate::process) fn become_root() -> Result<()> {
    for (what, result) in [("gid", credentials::set_gid(0)), ("uid", credentials::set_uid(0))] {
        match result {
            Err(e) if e.is(libc::EINVAL) => {
                return Err(Error::from(e).hint(format!("linux.{what}Mappings must map the container's id 0")));
            }
            result => result?,
        }
    }
    Ok(())
}

/// The early fork: the child goes on here; this process tells the runtime of it and ends.
fn fork(stage: &mut Stage<'_>, flags: i32) -> Result<()> {
    let flags = flags as u64 | libc::CLONE_PARENT as u64;
    match process::clone3(stage.proof, &Clone { flags, into_cgroup: None })? {
        Cloned::Parent(_, pidfd) => {
            stage.channel.send(&FromChild::Forked(pidfd))?;
            process::exit_now(0)
        }
        Cloned::Child => {
            die_with_runtime(stage)?;
            // Until the runtime knows this process, it would take its messages for the first one's.
            stage.channel.wait().map(drop)
        }
    }
}

/// Joins the v1 cgroups, and only then makes the cgroup namespace; a memory cgroup with next to no memory is left to the image.
pub(in crate::process) fn enter_cgroups(stage: &mut Stage<'_>) -> Result<()> {
    if let Some(entry) = stage.cgroup {
        if entry.awaits_scope() {
            stage.channel.send(&FromChild::Scope)?;
            stage.channel.wait()?;
        }
        if stage.joins_unified {
            entry.join_unified()?;
        }
        entry.join_self()?;
    }
    if stage.plan.recipe.late_cgroup && !stage.leaves_a_cgroup() {
        enter::unshare(Kind::Cgroup.flag())?;
    }
    Ok(())
}

/// A session keyring of the container's own (`keyrings(7)`): a new one, or that of the running container.
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

/// What is set inside the namespaces: names, the loopback interface, network devices, sysctls, which may be of those devices.
pub(in crate::process) fn set_up_namespaces(stage: &mut Stage<'_>) -> Result<()> {
    let all = &stage.plan.namespaces;
    enter::set_names(all)?;
    if *all.place(Kind::Network) == crate::namespaces::Place::New {
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
