//! `linux.rootfsPropagation`: what mount events pass between the container and the host.

use super::Rootfs;
use super::attributes::{self, Change};
use super::options::Propagation;
use crate::error::{Context, Error, Result};
use crate::sys::mount::{self, Mount};
use crate::sys::{file, fs};
use libc::{MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE};
use std::os::fd::OwnedFd;

pub(crate) fn parse(name: Option<&str>) -> Result<Option<Propagation>> {
    match name {
        None | Some("") => Ok(None),
        Some(name) => Propagation::named(name).map(Some).ok_or_else(|| {
            Error::config(
                "linux.rootfsPropagation",
                format!("{name:?} is none of shared, slave, private and unbindable (each also with an r in front)"),
            )
        }),
    }
}

impl Rootfs {
    /// Whether mounts of the host that are shared stay so in the container: only then can a mount made in a `shared` volume
    /// reach the host.
    pub(crate) fn keeps_peers(&self) -> bool {
        self.propagation.is_some_and(|p| p.kind == MS_SHARED)
    }

    /// Cuts the new mount namespace off from the host, so that no mount made in it from here on appears there.
    ///
    /// The current directory must be the root directory (see [`super::Prepared::directory`]).
    pub(crate) fn propagate(&self) -> Result<()> {
        if self.keeps_peers() {
            return detach_from_parent().at("make the mount above the root filesystem private");
        }
        let kind = match self.propagation {
            Some(p) if p.kind != MS_SLAVE => MS_PRIVATE,
            _ => MS_SLAVE,
        };
        Ok(mount::mount("/", &Mount { flags: kind | MS_REC, ..Mount::default() })?)
    }

    /// What is to be said of the root mount itself once it is /.
    pub(crate) fn root_propagation(&self) -> Option<Propagation> {
        self.propagation.filter(|p| p.kind == MS_SHARED)
    }

    /// What is to be said of it last: nothing of an unbindable mount can be bound, as protecting paths does.
    pub(crate) fn late_propagation(&self) -> Option<Propagation> {
        self.propagation.filter(|p| p.kind == MS_UNBINDABLE)
    }
}

/// Makes the mount that the current directory is on private: what is attached there must not appear on the host, and
/// pivot_root(2) refuses a root whose parent is shared.
fn detach_from_parent() -> Result<()> {
    let up = |from: &OwnedFd| file::open_at(from, "..", libc::O_PATH | libc::O_DIRECTORY, 0);
    let mut dir = file::open(".", libc::O_PATH | libc::O_DIRECTORY)?;
    while !fs::is_mount_root(&dir)? {
        dir = up(&dir)?;
    }
    attributes::apply_attached(&dir, vec![Change { propagation: MS_PRIVATE, ..Change::default() }])
}
