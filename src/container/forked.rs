//! Work in a child process, which may enter namespaces that the runtime must not enter itself.

use crate::error::{Error, Ignore as _, Result};
use crate::sys::process::{self, Clone, Cloned, SingleThreaded};
use crate::sys::socket::{self, SockType};

/// Runs `act` in a child process and returns its result.
pub(super) fn run(proof: &SingleThreaded, act: &dyn Fn() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let (ours, theirs) = socket::pair(SockType::SeqPacket)?;
    match process::clone3(proof, &Clone::default())? {
        Cloned::Child => {
            let (tag, words) = act().map_or_else(|error| (b'E', error.encode()), |result| (b'D', result));
            let message = [&[tag], &*words].concat();
            socket::send(&theirs, &message, &[]).ignore("the runtime takes silence for a failure");
            process::exit_now(0)
        }
        Cloned::Parent(child, _) => {
            drop(theirs);
            let mut words = vec![0; socket::next_length(&ours)?.max(1)];
            let length = socket::receive(&ours, &mut words)?.length;
            process::wait(child)?;
            match words[..length].split_first() {
                Some((b'D', result)) => Ok(result.to_vec()),
                Some((_, error)) => Err(Error::decode(error)),
                None => Err(Error::system("the process ended")),
            }
        }
    }
}
