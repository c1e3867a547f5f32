//! The suite's own mounts.

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use procfs::process::{MountInfo, Process};
use std::path::{Path, PathBuf};

/// Unmounts everything at and beneath a directory, in the suite's own mount namespace.
pub(crate) fn detach_below(dir: &Path) {
    let Ok(all) = Process::myself().and_then(|me| me.mountinfo()) else {
        return;
    };
    let mut points: Vec<PathBuf> = all.into_iter().map(|m| m.mount_point).filter(|p| p.starts_with(dir)).collect();
    points.reverse();
    for point in points {
        // Already gone with a parent, or busy and then detached by the end of the namespace.
        let _ = umount2(&point, MntFlags::MNT_DETACH);
    }
}

pub(crate) fn tmpfs(target: &Path, data: &str) -> Result<()> {
    std::fs::create_dir_all(target)?;
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), Some(data))
        .with_context(|| format!("mount a tmpfs at {}", target.display()))
}

pub(crate) fn bind(source: &Path, target: &Path) -> Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("bind {} at {}", source.display(), target.display()))
}

/// Changes one mount point by flags alone, e.g. its propagation to `MS_SHARED`.
pub(crate) fn propagation(target: &Path, flags: MsFlags) -> Result<()> {
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("change the propagation of {}", target.display()))
}

/// The mount that is seen at `point`: the last one there.
pub(crate) fn at<'a>(all: &'a [MountInfo], point: &str) -> Option<&'a MountInfo> {
    all.iter().rev().find(|m| m.mount_point == Path::new(point))
}
