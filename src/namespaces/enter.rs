//! The child's steps of a [recipe](super::recipe): joining and unsharing namespaces and setting
//! values in them. The caller enters the user namespace and forks between these steps.

use super::{Joined, NamespaceKind, Namespaces};
use crate::error::{Context, Result};
use crate::sys;
use std::os::fd::OwnedFd;

/// Joins the namespaces of `kinds`.
pub(crate) fn join(joined: &Joined, kinds: &[NamespaceKind]) -> Result<()> {
    for kind in kinds {
        if let Some(fd) = joined.fd(*kind) {
            sys::namespace::setns(fd, kind.flag()).with_context(|| format!("join the {} namespace", kind.word()))?;
        }
    }
    Ok(())
}

/// Unshares the namespaces that the CLONE_NEW* flags name.
pub(crate) fn unshare(flags: i32) -> Result<()> {
    if flags == 0 {
        return Ok(());
    }
    sys::namespace::unshare(flags).with_context(|| format!("make new namespaces ({})", words(flags)))
}

/// Opens the file for the clock offsets of this process's children. The kernel checks CAP_SYS_TIME
/// over the time namespace against the credentials with which the file was opened.
pub(crate) fn open_offsets() -> Result<OwnedFd> {
    sys::file::open("/proc/self/timens_offsets", libc::O_WRONLY).context("linux.timeOffsets")
}

/// Writes the clock offsets of the time namespace that this process has unshared.
pub(crate) fn write_offsets(file: &OwnedFd, all: &Namespaces) -> Result<()> {
    sys::file::write_value(file, all.offsets.text().as_bytes()).context("linux.timeOffsets")?;
    Ok(())
}

/// Sets the host name and NIS domain name of the UTS namespace.
pub(crate) fn set_names(all: &Namespaces) -> Result<()> {
    if let Some(name) = &all.hostname {
        sys::namespace::set_hostname(name).context("hostname")?;
    }
    if let Some(name) = &all.domainname {
        sys::namespace::set_domainname(name).context("domainname")?;
    }
    Ok(())
}

/// The names of the namespaces in CLONE_NEW* flags: `pid, network`.
pub(crate) fn words(flags: i32) -> String {
    let words: Vec<_> =
        NamespaceKind::ALL.into_iter().filter(|k| flags & k.flag() != 0).map(NamespaceKind::word).collect();
    words.join(", ")
}
