//! Unix sockets that transfer packets and file descriptors.
#![allow(unsafe_code)]

use super::process::Pid;
use super::{Errno, Failure, Result, check_again, quote, show, wrap, wrap_again};
use nix::sys::socket::{
    self as nix_socket, AddressFamily, Backlog, ControlMessage, MsgFlags, SockProtocol, UnixAddr, sockopt,
};
pub(crate) use nix::sys::socket::{SockFlag, SockType};
use std::io::IoSlice;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The maximum number of descriptors in a packet (the kernel's SCM_MAX_FD).
pub(crate) const MOST_FDS: usize = 253;

/// A connected pair (`socketpair(2)`), close-on-exec.
pub(crate) fn pair(kind: SockType) -> Result<(OwnedFd, OwnedFd)> {
    wrap(nix_socket::socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC), || {
        format!("socketpair(AF_UNIX, {kind:?})")
    })
}

/// A new unix socket (`socket(2)`), close-on-exec. `flags` may add SOCK_NONBLOCK.
pub(crate) fn unix(kind: SockType, flags: SockFlag) -> Result<OwnedFd> {
    wrap(nix_socket::socket(AddressFamily::Unix, kind, flags | SockFlag::SOCK_CLOEXEC, None), || {
        format!("socket(AF_UNIX, {kind:?})")
    })
}

/// A netlink socket for routes and network devices (`rtnetlink(7)`), close-on-exec. It stays in the
/// network namespace in which it was created.
pub(crate) fn route() -> Result<OwnedFd> {
    let (flags, protocol) = (SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute);
    wrap(nix_socket::socket(AddressFamily::Netlink, SockType::Raw, flags, protocol), || {
        "socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)".into()
    })
}

/// The address of `path`, or of the abstract name after a leading NUL. ENAMETOOLONG beyond 107
/// bytes.
fn address(path: &[u8]) -> Result<UnixAddr> {
    let address = match path.split_first() {
        Some((0, name)) => UnixAddr::new_abstract(name),
        _ => UnixAddr::new(path),
    };
    wrap(address, || format!("socket address {}", quote(path)))
}

/// Binds to `path` (`bind(2)`).
pub(crate) fn bind(fd: impl AsFd, path: impl AsRef<[u8]>) -> Result<()> {
    let (fd, path) = (fd.as_fd(), path.as_ref());
    let address = address(path)?;
    wrap(nix_socket::bind(fd.as_raw_fd(), &address), || format!("bind({})", quote(path)))
}

/// `listen(2)`.
pub(crate) fn listen(fd: impl AsFd, backlog: i32) -> Result<()> {
    let fd = fd.as_fd();
    wrap(Backlog::new(backlog).and_then(|backlog| nix_socket::listen(&fd, backlog)), || format!("listen({})", show(fd)))
}

/// Connects to `path` (`connect(2)`).
pub(crate) fn connect(fd: impl AsFd, path: impl AsRef<[u8]>) -> Result<()> {
    let (fd, path) = (fd.as_fd(), path.as_ref());
    let address = address(path)?;
    wrap_again(|| nix_socket::connect(fd.as_raw_fd(), &address), || format!("connect({})", quote(path)))
}

/// Adds the sender's pid to each received packet, as the kernel knows it (`unix(7)`, SO_PASSCRED).
pub(crate) fn pass_credentials(socket: impl AsFd) -> Result<()> {
    let socket = socket.as_fd();
    wrap(nix_socket::setsockopt(&socket, sockopt::PassCred, &true), || {
        format!("setsockopt({}, SO_PASSCRED)", show(socket))
    })
}

/// The size of control messages: [`MOST_FDS`] descriptors and the sender's credentials.
const CONTROL_LENGTH: usize = 16 + 4 * MOST_FDS + 12 + 32;

/// A control buffer with the alignment of cmsghdr.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LENGTH]);

/// Sends one packet with file descriptors (`sendmsg(2)`, MSG_NOSIGNAL).
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[RawFd]) -> Result<()> {
    let socket = socket.as_fd();
    if fds.len() > MOST_FDS {
        return Err(Failure::new(
            format!("sendmsg({}) with {} descriptors", show(socket), fds.len()),
            Errno(libc::EINVAL),
        ));
    }
    let rights = [ControlMessage::ScmRights(fds)];
    let rights = if fds.is_empty() { &[] } else { &rights[..] };
    let sent = wrap_again(
        || nix_socket::sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], rights, MsgFlags::MSG_NOSIGNAL, None),
        || format!("sendmsg({}, {} bytes, {} descriptors)", show(socket), bytes.len(), fds.len()),
    )?;
    if sent != bytes.len() {
        return Err(Failure::new(format!("sendmsg({}): cut short", show(socket)), Errno(libc::EMSGSIZE)));
    }
    Ok(())
}

/// `send(2)` of as many bytes as possible without waiting (MSG_DONTWAIT, MSG_NOSIGNAL).
pub(crate) fn send_some(socket: impl AsFd, bytes: &[u8]) -> Result<usize> {
    const FLAGS: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);
    let socket = socket.as_fd();
    wrap_again(
        || nix_socket::send(socket.as_raw_fd(), bytes, FLAGS),
        || format!("send({}, {} bytes)", show(socket), bytes.len()),
    )
}

/// A received packet.
#[derive(Debug)]
pub(crate) struct Packet {
    /// Its length in bytes. 0 is the end of the stream.
    pub length: usize,
    /// Its file descriptors, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// The sending process, if [`pass_credentials`] enabled it. A process can name another one only
    /// with CAP_SYS_ADMIN over its pid namespace, and only one in that namespace.
    pub sender: Option<Pid>,
}

/// Waits for the next packet and returns its length (`recv(2)`, MSG_PEEK). 0 at the end of the
/// stream.
pub(crate) fn next_length(socket: impl AsFd) -> Result<usize> {
    let socket = socket.as_fd();
    wrap_again(
        || nix_socket::recv(socket.as_raw_fd(), &mut [], MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC),
        || format!("recv({}, MSG_PEEK)", show(socket)),
    )
}

/// Receives one packet into `buffer` (`recvmsg(2)`). A packet that is too long fails with EMSGSIZE,
/// and its descriptors are closed, which nix's function would leave open.
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
                // musl's length has another integer type than glibc's.
                #[allow(clippy::unnecessary_cast)]
                let count = (h.cmsg_len as usize - libc::CMSG_LEN(0) as usize) / size_of::<RawFd>();
                for n in 0..count {
                    let fd = libc::CMSG_DATA(header).cast::<RawFd>().add(n).read_unaligned();
                    fds.push(OwnedFd::from_raw_fd(fd));
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
