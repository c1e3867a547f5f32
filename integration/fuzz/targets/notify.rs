//! What a container's program says to `$NOTIFY_SOCKET`.

use super::{LONGEST, NotifyProxy};
use crate::sys::socket::{self, SockType};

pub(crate) fn notify(input: &[u8]) {
    let pair = || socket::pair(SockType::Datagram).unwrap_or_else(|error| panic!("{error}"));
    let ((socket, program), (manager, heard)) = (pair(), pair());
    if input.len() > 16 * LONGEST || socket::send(&program, input, &[]).is_err() {
        return;
    }
    let proxy = NotifyProxy { socket, manager };
    let is_ready = input.len() <= LONGEST && input.split(|byte| *byte == b'\n').any(|line| line == b"READY=1");
    assert_eq!(proxy.pass_on_if_ready(), is_ready, "{}", input.escape_ascii());
    if is_ready {
        let mut buffer = [0; 64];
        let packet = socket::receive(&heard, &mut buffer).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(&buffer[..packet.length], b"READY=1", "no other word of the program's is passed on");
    }
}
