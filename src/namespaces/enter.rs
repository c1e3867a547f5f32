//! The child's steps of a [recipe](super::recipe): joining and unsharing namespaces and setting
//! values in them. The caller enters the user namespace and forks between these steps.

use super::{Joined, NamespaceKind, Namespaces};
use crate::error::{Context, Error, Result};
use crate::sys::{self, credentials, process};
use std::os::fd::{AsFd, OwnedFd};

/// Makes the process non-dumpable (`prctl(2)`, PR_SET_DUMPABLE): only a process with CAP_SYS_PTRACE
/// in the host's user namespace can trace it or read its /proc files.
///
/// Must be called before a namespace with other processes is entered, and after each change of the
/// user, which resets it to the sysctl fs.suid_dumpable.
pub(crate) fn hide() -> Result<()> {
    Ok(process::set_dumpable(false)?)
}

/// Becomes root of the user namespace, if the container has one.
pub(crate) fn become_root() -> Result<()> {
    for (what, result) in [("gid", credentials::set_gid(0)), ("uid", credentials::set_uid(0))] {
        let hint = || format!("linux.{what}Mappings must map the container's id 0");
        result.map_err(|e| Error::from(e).hint_on(libc::EINVAL, hint()))?;
    }
    Ok(())
}

/// Joins the namespaces of a running container that `flags` names, all at once, and becomes root of
/// its user namespace. The process is not dumpable afterwards.
pub(crate) fn container(init: impl AsFd, flags: i32) -> Result<()> {
    hide()?;
    sys::namespace::setns(init, flags)
        .with_context(|| format!("join the container's namespaces ({})", words(flags)))?;
    if flags & NamespaceKind::User.flag() != 0 {
        become_root()?;
        hide()?;
    }
    Ok(())
}

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
    sys::file::write_value(file, all.offsets.as_bytes()).context("linux.timeOffsets").map(drop)
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
