//! Namespaces: setns, unshare, host name, loopback interface.
#![allow(unsafe_code)]

use super::call::opened;
use super::{Result, check, done, quote, show, wrap};
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// `setns(2)`; `kind` is a CLONE_NEW* flag that the descriptor must match.
pub(crate) fn setns(fd: impl AsFd, kind: i32) -> Result<()> {
    let fd = fd.as_fd();
    wrap(nix::sched::setns(fd, CloneFlags::from_bits_retain(kind)), || format!("setns({}, {kind:#x})", show(fd)))
}

/// `unshare(2)` with CLONE_NEW* flags.
pub(crate) fn unshare(flags: i32) -> Result<()> {
    wrap(nix::sched::unshare(CloneFlags::from_bits_retain(flags)), || format!("unshare({flags:#x})"))
}

/// The type of a namespace (a CLONE_NEW* flag), by its file descriptor (`ioctl_ns(2)`,
/// NS_GET_NSTYPE).
pub(crate) fn kind_of(fd: impl AsFd) -> Result<i32> {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703u32 as libc::Ioctl;
    let fd = fd.as_fd();
    // SAFETY: this ioctl takes no argument.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE) }, || format!("ioctl({}, NS_GET_NSTYPE)", show(fd)))
        .map(|kind| kind as i32)
}

/// The user namespace that owns a namespace (`ioctl_ns(2)`, NS_GET_USERNS); EPERM if it is above the caller's.
pub(crate) fn owner_of(fd: impl AsFd) -> Result<OwnedFd> {
    const NS_GET_USERNS: libc::Ioctl = 0xb701u32 as libc::Ioctl;
    let fd = fd.as_fd();
    // SAFETY: this ioctl takes no argument and makes a descriptor.
    unsafe { opened(libc::ioctl(fd.as_raw_fd(), NS_GET_USERNS), || format!("ioctl({}, NS_GET_USERNS)", show(fd))) }
}

/// Device and inode of a file. They identify a namespace.
pub(crate) fn identity(fd: impl AsFd) -> Result<(u64, u64)> {
    let fd = fd.as_fd();
    wrap(nix::sys::stat::fstat(fd), || format!("fstat({})", show(fd))).map(|stat| (stat.st_dev, stat.st_ino))
}

/// `sethostname(2)`.
pub(crate) fn set_hostname(name: &str) -> Result<()> {
    wrap(nix::unistd::sethostname(name), || format!("sethostname({})", quote(name)))
}

/// `setdomainname(2)`.
pub(crate) fn set_domainname(name: &str) -> Result<()> {
    // SAFETY: the pointer and the length are those of a live slice.
    done(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }, || format!("setdomainname({})", quote(name)))
}

/// Brings the loopback interface of this network namespace up (`netdevice(7)`, SIOCSIFFLAGS).
pub(crate) fn loopback_up() -> Result<()> {
    let socket = nix::sys::socket::socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    let socket = wrap(socket, || "socket(AF_INET)".into())?;
    // SAFETY: all zeroes is a valid ifreq; the ioctl reads the name and the flags of a live one.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &request), || {
            "ioctl(SIOCSIFFLAGS, \"lo\", IFF_UP)".into()
        })?;
    }
    Ok(())
}
