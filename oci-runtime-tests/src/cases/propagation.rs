//! `linux.rootfsPropagation`.

use crate::bench::bundle::Bundle;
use crate::bench::mounts::{bind, propagation, tmpfs};
use crate::bench::prelude::*;
use nix::mount::MsFlags;
use procfs::process::MountOptFields;

/// A bundle whose root filesystem is a shared mount of the host's.
fn shared_root<'t>(t: &'t Trial, value: &str) -> Result<Bundle<'t>> {
    t.needs_root()?;
    let b = t.bundle()?.directory("/later")?.set("/linux/rootfsPropagation", value);
    bind(&b.rootfs(), &b.rootfs())?;
    propagation(&b.rootfs(), MsFlags::MS_SHARED)?;
    Ok(b)
}

fn fields(b: Bundle<'_>) -> Result<Vec<MountOptFields>> {
    Ok(b.observe()?.mount("/")?.opt_fields)
}

cases! {
    /// The mount at / is in a peer group.
    ["propagation.shared"]
    fn a_shared_root_is_shared(t) {
        let fields = fields(t.bundle()?.set("/linux/rootfsPropagation", "shared"))?;
        ensure!(fields.iter().any(|f| matches!(f, MountOptFields::Shared(_))), "the propagation of / is {fields:?}");
    }

    /// The mount at / is a slave.
    ["propagation.slave"]
    fn a_slave_root_is_a_slave(t) {
        let fields = fields(shared_root(t, "slave")?)?;
        ensure!(fields.iter().any(|f| matches!(f, MountOptFields::Master(_))), "the propagation of / is {fields:?}");
        ensure!(!fields.iter().any(|f| matches!(f, MountOptFields::Shared(_))), "the propagation of / is {fields:?}");
    }

    /// The mount at / has no propagation.
    ["propagation.private"]
    fn a_private_root_is_private(t) {
        equal("propagation of /", fields(shared_root(t, "private")?)?.len(), 0)?;
    }

    /// The mount at / cannot be bound.
    ["propagation.unbindable"]
    fn an_unbindable_root_is_unbindable(t) {
        let fields = fields(t.bundle()?.set("/linux/rootfsPropagation", "unbindable"))?;
        ensure!(fields.iter().any(|f| matches!(f, MountOptFields::Unbindable)), "the propagation of / is {fields:?}");
    }

    /// What the host mounts in the root filesystem later is seen inside.
    ["propagation.slave"]
    fn later_mounts_of_the_host_are_seen_in_a_slave_root(t) {
        let c = shared_root(t, "slave")?.does(&["wait"]).live()?;
        tmpfs(&c.bundle.join("rootfs/later"), "size=64k")?;
        contains("mounts inside", &std::fs::read_to_string(c.proc("mountinfo")?)?, " /later ")?;
    }

    /// What the host mounts in the root filesystem later is not seen inside.
    ["propagation.private"]
    fn later_mounts_of_the_host_are_not_seen_in_a_private_root(t) {
        let c = shared_root(t, "private")?.does(&["wait"]).live()?;
        tmpfs(&c.bundle.join("rootfs/later"), "size=64k")?;
        let mounts = std::fs::read_to_string(c.proc("mountinfo")?)?;
        ensure!(!mounts.contains(" /later "), "the later mount is seen inside");
    }

    /// A mount inside of a slave root is not seen by the host.
    ["propagation.slave"]
    fn mounts_inside_of_a_slave_root_are_not_seen_outside(t) {
        let b = shared_root(t, "slave")?.capabilities(&["bounding", "effective", "permitted"], &["CAP_SYS_ADMIN"]);
        let c = b.does(&["mount tmpfs 0 tmpfs /later", "wait"]).live()?;
        c.seen_so_far()?.value("mount tmpfs 0 tmpfs /later")?;
        let point = format!(" {} ", c.bundle.join("rootfs/later").display());
        ensure!(!std::fs::read_to_string("/proc/self/mountinfo")?.contains(&point), "the mount is seen outside");
    }

    /// A word that is no propagation.
    ["propagation.private", "valid-values"]
    fn an_unknown_propagation_is_refused(t) {
        t.bundle()?.set("/linux/rootfsPropagation", "nosuch").refused()?;
    }
}
