//! The far end of `--console-socket`.

use super::trial::Trial;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

pub(crate) struct Receiver {
    listener: UnixListener,
    pub(crate) path: String,
}

pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) files: Vec<OwnedFd>,
    /// Is the connection at its end after this message?
    pub(crate) closed: bool,
}

impl Receiver {
    pub(crate) fn new(trial: &Trial, name: &str) -> Result<Self> {
        let path = trial.path(name);
        let listener = UnixListener::bind(&path).with_context(|| format!("listen at {path}"))?;
        listener.set_nonblocking(true)?;
        Ok(Receiver { listener, path })
    }

    /// The first connection and what it sends.
    pub(crate) fn receive(&self) -> Result<Message> {
        let deadline = Instant::now() + super::container::patience();
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(3)),
                Err(error) => bail!("nobody connected to {}: {error}", self.path),
            }
        };
        read_all(&stream)
    }
}

fn read_all(stream: &UnixStream) -> Result<Message> {
    stream.set_nonblocking(false)?;
    // Some runtimes connect long before they have something to send.
    stream.set_read_timeout(Some(super::container::patience()))?;
    let mut message = Message { text: String::new(), files: Vec::new(), closed: false };
    let mut bytes = Vec::new();
    loop {
        let mut buffer = vec![0; 1 << 16];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let mut space = nix::cmsg_space!([RawFd; 8]);
        let received =
            match recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
                Ok(received) => received,
                Err(nix::errno::Errno::EAGAIN) => break,
                // With a time limit, to be stopped and continued is an interruption.
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => bail!("receive: {error}"),
            };
        for control in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(files) = control {
                ensure!(bytes.is_empty(), "descriptors came after the first message");
                message.files.extend(files.into_iter().map(crate::sys::own));
            }
        }
        let length = received.bytes;
        if length == 0 {
            message.closed = true;
            break;
        }
        bytes.extend_from_slice(&buffer[..length]);
        stream.set_read_timeout(Some(super::runtime::stretched(Duration::from_secs(5))))?;
    }
    message.text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(message)
}
