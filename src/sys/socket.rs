//! Unix sockets that carry packets and descriptors.
#![allow(unsafe_code)]

use super::file::own;
use super::process::Pid;
use super::{Errno, Failure, Result, check, check_again, show};
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// The most descriptors that one packet carries (SCM_MAX_FD of the kernel).
pub(crate) const MOST_FDS: usize = 253;

/// A connected pair (`socketpair(2)`), closed on exec; `kind` is SOCK_SEQPACKET, SOCK_STREAM or SOCK_DGRAM.
pub(crate) fn pair(kind: i32) -> Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: the array is live and writable.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, fds.as_mut_ptr()) }, || {
        format!("socketpair(AF_UNIX, {kind})")
    })?;
    Ok((own(fds[0].into()), own(fds[1].into())))
}

/// A new unix socket (`socket(2)`), closed on exec.
pub(crate) fn unix(kind: i32) -> Result<OwnedFd> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0) }, || format!("socket(AF_UNIX, {kind})"))
        .map(own)
}

/// A socket to the kernel's routing tables and network devices (`rtnetlink(7)`), closed on exec. It stays in the network
/// namespace in which it was made.
pub(crate) fn route() -> Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: takes no pointer.
    check(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) }, || {
        "socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)".into()
    })
    .map(own)
}

/// The address of `path`, or of the abstract name behind a leading NUL; ENAMETOOLONG past 107 bytes.
fn address(path: &[u8]) -> Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: all zeroes is a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if path.len() >= address.sun_path.len() {
        return Err(Failure::new(format!("socket address {}", super::quote(path)), Errno(libc::ENAMETOOLONG)));
    }
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = *from as libc::c_char;
    }
    // An abstract name ends with its last byte, a path with its NUL (unix(7)).
    let length = match path.first() {
        Some(0) => std::mem::offset_of!(libc::sockaddr_un, sun_path) + path.len(),
        _ => size_of::<libc::sockaddr_un>(),
    };
    Ok((address, length as libc::socklen_t))
}

/// Binds to `path` (`bind(2)`).
pub(crate) fn bind(fd: impl AsFd, path: impl AsRef<[u8]>) -> Result<()> {
    let (fd, path) = (fd.as_fd(), path.as_ref());
    let (address, length) = address(path)?;
    // SAFETY: the address is live and `length` long.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) }, || {
        format!("bind({})", super::quote(path))
    })?;
    Ok(())
}

/// `listen(2)`.
pub(crate) fn listen(fd: impl AsFd, backlog: i32) -> Result<()> {
    let fd = fd.as_fd();
    // SAFETY: takes no pointer.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) }, || format!("listen({})", show(fd)))?;
    Ok(())
}

/// Connects to `path` (`connect(2)`).
pub(crate) fn connect(fd: impl AsFd, path: impl AsRef<[u8]>) -> Result<()> {
    let (fd, path) = (fd.as_fd(), path.as_ref());
    let (address, length) = address(path)?;
    check_again(
        // SAFETY: the address is live and `length` long.
        || unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), length) },
        || format!("connect({})", super::quote(path)),
    )?;
    Ok(())
}

/// Has each packet that comes in carry the pid of its sender, as the kernel knows it (`unix(7)`, SO_PASSCRED).
pub(crate) fn pass_credentials(socket: impl AsFd) -> Result<()> {
    let socket = socket.as_fd();
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    check(
        // SAFETY: the option is a live int of the length given.
        unsafe {
            let on = (&raw const on).cast();
            libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, on, length)
        },
        || format!("setsockopt({}, SO_PASSCRED)", show(socket)),
    )?;
    Ok(())
}

/// The room for control messages: [`MOST_FDS`] descriptors, and the sender's credentials.
const CONTROL_LENGTH: usize = 16 + 4 * MOST_FDS + 12 + 32;

/// A control buffer aligned as cmsghdr wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LENGTH]);

/// Sends one packet with descriptors (`sendmsg(2)`, MSG_NOSIGNAL).
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[RawFd]) -> Result<()> {
    let socket = socket.as_fd();
    let mut control = Control([0; CONTROL_LENGTH]);
    if fds.len() > MOST_FDS {
        return Err(Failure::new(
            format!("sendmsg({}) with {} descriptors", show(socket), fds.len()),
            Errno(libc::EINVAL),
        ));
    }
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all zeroes is a valid msghdr; its pointers are set to live objects with their sizes below. The control buffer
    // is aligned and has room for the header and `fds`, which CMSG_FIRSTHDR and CMSG_DATA point into.
    let sent = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        if !fds.is_empty() {
            let size = size_of_val(fds) as u32;
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            std::ptr::copy_nonoverlapping(fds.as_ptr().cast::<u8>(), libc::CMSG_DATA(header), size as usize);
        }
        check_again(
            || libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_NOSIGNAL) as i64,
            || format!("sendmsg({}, {} bytes, {} descriptors)", show(socket), bytes.len(), fds.len()),
        )?
    };
    if sent as usize != bytes.len() {
        return Err(Failure::new(format!("sendmsg({}): cut short", show(socket)), Errno(libc::EMSGSIZE)));
    }
    Ok(())
}

/// `send(2)` of as many bytes as go at once (MSG_DONTWAIT, MSG_NOSIGNAL).
pub(crate) fn send_some(socket: impl AsFd, bytes: &[u8]) -> Result<usize> {
    const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let socket = socket.as_fd();
    let sent = check_again(
        // SAFETY: the pointer and the length are those of a live slice.
        || unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), FLAGS) as i64 },
        || format!("send({}, {} bytes)", show(socket), bytes.len()),
    )?;
    Ok(sent as usize)
}

/// A packet as it came.
#[derive(Debug)]
pub(crate) struct Packet {
    /// How many bytes of the buffer it fills; 0 is the end of the stream.
    pub length: usize,
    /// Its descriptors, closed on exec.
    pub fds: Vec<OwnedFd>,
    /// The process that sent it, where [`pass_credentials`] asks for it. No process can name another one, unless it has
    /// CAP_SYS_ADMIN over its pid namespace, and then only one that it sees there.
    pub sender: Option<Pid>,
}

/// The length of the packet that comes next, 0 at the end of the stream (`recv(2)`, MSG_PEEK); waits for it.
pub(crate) fn next_length(socket: impl AsFd) -> Result<usize> {
    let socket = socket.as_fd();
    let length = check_again(
        // SAFETY: no byte is written to a buffer without length.
        || unsafe { libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), 0, libc::MSG_PEEK | libc::MSG_TRUNC) as i64 },
        || format!("recv({}, MSG_PEEK)", show(socket)),
    )?;
    Ok(length as usize)
}

/// Receives one packet into `buffer` (`recvmsg(2)`); one that does not fit is EMSGSIZE.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Packet> {
    let socket = socket.as_fd();
    let mut control = Control([0; CONTROL_LENGTH]);
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let (mut fds, mut sender) = (Vec::new(), None);
    // SAFETY: all zeroes is a valid msghdr; its pointers are set to live, writable objects with their sizes. The headers are
    // walked by the CMSG macros within what the kernel says it wrote; each descriptor in SCM_RIGHTS is new and ours.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
        let length = check_again(
            || libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) as i64,
            || format!("recvmsg({})", show(socket)),
        )? as usize;
        let mut header = libc::CMSG_FIRSTHDR(&message);
        while let Some(h) = header.as_ref() {
            if h.cmsg_level == libc::SOL_SOCKET && h.cmsg_type == libc::SCM_RIGHTS {
                // musl's length is of another integer type than glibc's.
                #[allow(clippy::unnecessary_cast)]
                let count = (h.cmsg_len as usize - libc::CMSG_LEN(0) as usize) / size_of::<RawFd>();
                for n in 0..count {
                    let fd = libc::CMSG_DATA(header).cast::<RawFd>().add(n).read_unaligned();
                    fds.push(own(fd.into()));
                }
            }
            if h.cmsg_level == libc::SOL_SOCKET && h.cmsg_type == libc::SCM_CREDENTIALS {
                sender = Some(libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned().pid);
            }
            header = libc::CMSG_NXTHDR(&message, header);
        }
        if message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 {
            return Err(Failure::new(format!("recvmsg({}): cut short", show(socket)), Errno(libc::EMSGSIZE)));
        }
        Ok(Packet { length, fds, sender })
    }
}
