//! Sockets and pipes, and the wait for descriptors.

use super::{EINTR, Result, call, number};

#[repr(C)]
#[derive(Default)]
struct Message {
    name: usize,
    name_length: usize,
    vectors: usize,
    vector_count: usize,
    control: usize,
    control_length: usize,
    flags: usize,
}

/// The control message that carries one descriptor.
#[repr(C)]
struct OneDescriptor {
    length: usize,
    level: i32,
    kind: i32,
    fd: i32,
    padding: i32,
}

/// Sends one packet, with a descriptor or without (`sendmsg(2)`, MSG_NOSIGNAL).
pub(crate) fn send(socket: i32, bytes: &[u8], fd: Option<i32>) -> Result<usize> {
    const NOSIGNAL: usize = 0x4000;
    let vector = [bytes.as_ptr() as usize, bytes.len()];
    let control = OneDescriptor { length: 20, level: 1, kind: 1, fd: fd.unwrap_or(-1), padding: 0 };
    let mut message = Message { vectors: vector.as_ptr() as usize, vector_count: 1, ..Message::default() };
    if fd.is_some() {
        message.control = &raw const control as usize;
        message.control_length = size_of::<OneDescriptor>();
    }
    // SAFETY: a msghdr of live objects with their sizes.
    unsafe { call(number::SENDMSG, [socket as usize, &raw const message as usize, NOSIGNAL, 0, 0, 0]) }
}

/// Receives one packet of at most eight bytes: how many came, and the descriptor with it if there was one.
pub(crate) fn receive(socket: i32) -> Result<(usize, Option<i32>)> {
    const CMSG_CLOEXEC: usize = 0x4000_0000;
    let mut bytes = [0u8; 8];
    let vector = [bytes.as_mut_ptr() as usize, bytes.len()];
    let mut control = OneDescriptor { length: 0, level: 0, kind: 0, fd: -1, padding: 0 };
    let mut message = Message {
        vectors: vector.as_ptr() as usize,
        vector_count: 1,
        control: &raw mut control as usize,
        control_length: size_of::<OneDescriptor>(),
        ..Message::default()
    };
    loop {
        // SAFETY: a msghdr of live, writable objects with their sizes.
        match unsafe { call(number::RECVMSG, [socket as usize, &raw mut message as usize, CMSG_CLOEXEC, 0, 0, 0]) } {
            Err(EINTR) => continue,
            Err(e) => return Err(e),
            Ok(n) => {
                let came = message.control_length >= 20 && control.level == 1 && control.kind == 1;
                return Ok((n, came.then_some(control.fd)));
            }
        }
    }
}

/// `accept4(2)`, closed on exec.
pub(crate) fn accept(socket: i32) -> Result<i32> {
    const CLOEXEC: usize = 0o2000000;
    // SAFETY: no address is asked for.
    unsafe { call(number::ACCEPT4, [socket as usize, 0, 0, CLOEXEC, 0, 0]) }.map(|fd| fd as i32)
}

/// A pipe (`pipe2(2)`), closed on exec: the end to read from, then the end to write to.
pub(crate) fn pipe() -> Result<[i32; 2]> {
    const CLOEXEC: usize = 0o2000000;
    let mut fds = [-1i32; 2];
    // SAFETY: writes two ints into a live array.
    unsafe { call(number::PIPE2, [fds.as_mut_ptr() as usize, CLOEXEC, 0, 0, 0, 0]) }?;
    Ok(fds)
}

/// A descriptor that [`poll`] watches: `struct pollfd`. A negative number is ignored.
#[repr(C)]
pub(crate) struct Watched {
    fd: i32,
    asked: i16,
    happened: i16,
}

impl Watched {
    /// Until it can be read, or the process of a pidfd has ended.
    pub(crate) fn to_read(fd: i32) -> Watched {
        Watched { fd, asked: 1, happened: 0 }
    }

    /// Until it can be written.
    pub(crate) fn to_write(fd: i32) -> Watched {
        Watched { fd, asked: 4, happened: 0 }
    }

    /// Whether it can, or has failed.
    pub(crate) fn is_ready(&self) -> bool {
        self.happened != 0
    }
}

/// Waits until one of the descriptors is ready, at most `milliseconds` (`None`: no limit); returns
/// how many are.
pub(crate) fn poll(watched: &mut [Watched], milliseconds: Option<u64>) -> Result<usize> {
    let mut time = milliseconds.map(|ms| [ms / 1000, ms % 1000 * 1_000_000]);
    let at = time.as_mut().map_or(0, |time| time.as_mut_ptr() as usize);
    loop {
        // The kernel writes the remaining time back, so that an interrupted wait goes on with the rest.
        // SAFETY: pointer and count of live, writable pollfds, and a live, writable timespec.
        match unsafe { call(number::PPOLL, [watched.as_mut_ptr() as usize, watched.len(), at, 0, 0, 0]) } {
            Err(EINTR) => continue,
            other => return other,
        }
    }
}
