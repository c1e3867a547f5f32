//! All unsafe code of the suite.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Takes over a descriptor that `recvmsg` has just put into this process.
pub(crate) fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: callers pass numbers fresh from SCM_RIGHTS, which nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A reader that goes away ends this process without a word, as it does other programs that only print.
pub(crate) fn end_with_the_reader() {
    // SAFETY: the default action runs no code of this process.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// A segment of System V shared memory in the suite's IPC namespace, gone with the value.
pub(crate) struct SharedMemory(i32);

impl SharedMemory {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, 4096, libc::IPC_CREAT | 0o600) };
        if id == -1 { Err(io::Error::last_os_error()) } else { Ok(SharedMemory(id)) }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: for IPC_RMID no buffer is looked at.
        unsafe { libc::shmctl(self.0, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

/// Does this kernel know a mode of `set_mempolicy`? Tried on the first node, by a thread that ends with its policy.
pub(crate) fn knows_memory_mode(mode: i32) -> bool {
    let node: libc::c_ulong = 1;
    let set = || {
        // SAFETY: the mask is one word, as the last argument says (the kernel reads one bit less), and outlives the call.
        unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, &raw const node, libc::c_ulong::BITS) }
    };
    std::thread::scope(|scope| scope.spawn(set).join()).is_ok_and(|result| result == 0)
}

/// The next call that waits at a listener of seccomp's, which there must be: who made it, and its number.
pub(crate) fn notified(listener: &OwnedFd) -> io::Result<libc::seccomp_notif> {
    // SAFETY: all-zero bytes are a value of this struct of numbers; the kernel wants it cleared.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one such struct, which outlives the call.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(call) }
}

/// Gives the call that waits under this id its result.
pub(crate) fn answer(listener: &OwnedFd, id: u64, val: i64) -> io::Result<()> {
    let mut answer = libc::seccomp_notif_resp { id, val, error: 0, flags: 0 };
    // SAFETY: the kernel reads one such struct, which outlives the call.
    let result = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Does any process have this file open for writing? It cannot be executed then. The kernel grants a read lease only where
/// nobody does; the lease goes with the descriptor.
pub(crate) fn has_a_writer(file: &std::fs::File) -> io::Result<bool> {
    // SAFETY: takes numbers only.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK) } == 0 {
        return Ok(false);
    }
    let error = io::Error::last_os_error();
    if error.kind() == io::ErrorKind::WouldBlock { Ok(true) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    #[test]
    fn a_file_that_is_open_for_writing_has_a_writer() {
        let path = std::env::temp_dir().join(format!("oci-runtime-tests-writer.{}", std::process::id()));
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        let before = super::has_a_writer(&reader).unwrap();
        drop(writer);
        let after = super::has_a_writer(&reader).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((before, after), (true, false));
    }
}
