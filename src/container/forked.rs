//! Work in a child process, which may enter namespaces that the runtime must not enter itself.

use crate::error::{Error, Result};
use crate::sys::process::{self, Clone, Cloned, Ended, SingleThreaded};
use crate::sys::socket::{self, SockType};
use crate::sys::{Errno, Failure};
use std::os::fd::OwnedFd;

/// Runs `act` in a child process and returns its result. The child calls `undo` with a result that does not arrive: the
/// runtime answers the one that does.
pub(super) fn run(proof: &SingleThreaded, act: &dyn Fn() -> Result<Vec<u8>>, undo: &dyn Fn(&[u8])) -> Result<Vec<u8>> {
    let (ours, theirs) = socket::pair(SockType::SeqPacket)?;
    match process::clone3(proof, &Clone::default())? {
        Cloned::Child => {
            let (tag, words) = act().map_or_else(|error| (b'E', error.encode()), |result| (b'D', result));
            let message = [&[tag], &*words].concat();
            drop(ours);
            let sent = socket::send(&theirs, &message, &[]);
            let has_arrived = match sent.as_ref().ok().map(|()| socket::receive(&theirs, &mut [0])) {
                Some(Ok(answer)) => answer.length > 0,
                // The runtime has closed its end with the message in it; any other error is this process's own.
                Some(Err(failure)) => !failure.is(libc::ECONNRESET),
                None => false,
            };
            if tag == b'D' && !has_arrived {
                undo(&words);
            }
            process::exit_now(sent.map_or_else(|failure| failure.errno().0, |()| 0))
        }
        Cloned::Parent(child, _) => {
            drop(theirs);
            let answer = receive(&ours);
            drop(ours);
            let ended = process::wait(child)?;
            match answer?.split_first() {
                Some((b'D', result)) => Ok(result.to_vec()),
                Some((_, error)) => Err(Error::decode(error)),
                None => Err(match ended {
                    Ended::Exited(errno) if errno > 0 => Failure::new("sendmsg(the result)", Errno(errno)).into(),
                    _ => Error::system("the process ended"),
                }),
            }
        }
    }
}

/// The child's message, which is answered; empty if there is none.
fn receive(ours: &OwnedFd) -> Result<Vec<u8>> {
    let mut words = vec![0; socket::next_length(ours)?.max(1)];
    let length = socket::receive(ours, &mut words)?.length;
    words.truncate(length);
    if length > 0 {
        socket::send(ours, &[1], &[])?;
    }
    Ok(words)
}
