//! `linux.rootfsPropagation`: the propagation of mounts between the container and the host.

use super::Rootfs;
use super::attributes::{self, Change};
use super::options::Propagation;
use crate::error::{Context, Error, Result};
use crate::sys::mount::{self, MountArgs};
use crate::sys::{file, fs};
use libc::{MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE};
use std::os::fd::OwnedFd;

pub(crate) fn parse(name: Option<&str>) -> Result<Option<Propagation>> {
    match name {
        None | Some("") => Ok(None),
        Some(name) => Propagation::named(name).map(Some).ok_or_else(|| {
            Error::config(
                "linux.rootfsPropagation",
                format!("{name:?} is not one of [r]shared, [r]slave, [r]private and [r]unbindable"),
            )
        }),
    }
}

impl Rootfs {
    /// Whether shared mounts of the host stay shared in the container: only then does a mount in a
    /// `shared` volume propagate to the host.
    pub(crate) fn keeps_peers(&self) -> bool {
        self.propagation.is_some_and(|p| p.kind == MS_SHARED)
    }

    /// Changes the propagation of the new mount namespace, so that no later mount in it propagates
    /// to the host.
    ///
    /// The current directory must be the root directory (see [`super::Prepared::directory`]).
    pub(crate) fn propagate(&self) -> Result<()> {
        if self.keeps_peers() {
            return detach_from_parent().context("make the mount above the root filesystem private");
        }
        let kind = match self.propagation {
            Some(p) if p.kind != MS_SLAVE => MS_PRIVATE,
            _ => MS_SLAVE,
        };
        Ok(mount::mount("/", &MountArgs { flags: kind | MS_REC, ..MountArgs::default() })?)
    }

    /// The propagation to set on the root mount once it is `/`.
    pub(crate) fn root_propagation(&self) -> Option<Propagation> {
        self.propagation.filter(|p| p.kind == MS_SHARED)
    }

    /// The propagation to set on the root mount last: protecting paths needs bind mounts, which an
    /// unbindable mount refuses.
    pub(crate) fn late_propagation(&self) -> Option<Propagation> {
        self.propagation.filter(|p| p.kind == MS_UNBINDABLE)
    }
}

/// Makes the mount of the current directory private: mounts that are attached there must not
/// propagate to the host, and pivot_root(2) refuses a root with a shared parent mount.
fn detach_from_parent() -> Result<()> {
    let up = |from: &OwnedFd| file::open_at(from, "..", libc::O_PATH | libc::O_DIRECTORY, 0);
    let mut dir = file::open(".", libc::O_PATH | libc::O_DIRECTORY)?;
    while !fs::is_mount_root(&dir)? {
        dir = up(&dir)?;
    }
    attributes::apply_attached(&dir, vec![Change { propagation: MS_PRIVATE, ..Change::default() }])
}
