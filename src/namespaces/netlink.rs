//! A netlink client for network devices (`netlink(7)`, `rtnetlink(7)`).

use crate::error::Result;
use crate::sys::{Errno, Failure, file, process, socket};
use std::os::fd::{AsFd, OwnedFd};

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;

/// How long to wait for one packet of an answer, in milliseconds.
const ANSWER_TIMEOUT: i32 = 10_000;

/// The alignment of messages and attributes.
const ALIGN: usize = 4;

/// A netlink message: its type, fixed part and attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetlinkMessage {
    pub(super) kind: u16,
    pub(super) fixed: Vec<u8>,
    pub(super) attributes: Vec<(u16, Vec<u8>)>,
}

impl NetlinkMessage {
    /// The value of the first attribute of this type.
    pub(super) fn attribute(&self, kind: u16) -> Option<&[u8]> {
        self.attributes.iter().find(|(k, _)| *k == kind).map(|(_, value)| &value[..])
    }

    /// The 32-bit number at offset `at` of the fixed part; 0 if the message is too short.
    pub(super) fn word(&self, at: usize) -> u32 {
        self.fixed.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
    }

    fn encode(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes.extend(&self.fixed);
        for (kind, value) in &self.attributes {
            pad(&mut bytes);
            bytes.extend((4 + value.len() as u16).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(value);
        }
        pad(&mut bytes);
        let length = bytes.len() as u32;
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        bytes
    }

    /// Decodes the bytes after a message's header; `fixed` is the length of the fixed part.
    fn decode(kind: u16, body: &[u8], fixed: usize) -> NetlinkMessage {
        let (fixed, mut rest) = body.split_at(fixed.min(body.len()));
        let mut attributes = Vec::new();
        while let [a, b, c, d, ..] = *rest {
            let length = usize::from(u16::from_ne_bytes([a, b]));
            if length < 4 || length > rest.len() {
                break;
            }
            // The two highest bits are the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER.
            attributes.push((u16::from_ne_bytes([c, d]) & 0x3fff, rest[4..length].to_vec()));
            rest = &rest[length.next_multiple_of(ALIGN).min(rest.len())..];
        }
        NetlinkMessage { kind, fixed: fixed.to_vec(), attributes }
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
}

/// A NETLINK_ROUTE socket for one network namespace.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket for the current network namespace. It keeps referring to that namespace after
    /// a `setns`.
    ///
    /// # Errors
    /// The socket cannot be created.
    pub(super) fn open() -> Result<Netlink> {
        Ok(Netlink { socket: socket::route()?, sequence: 0 })
    }

    /// Requests a change. An error begins with `what`.
    ///
    /// # Errors
    /// The kernel refuses the request or does not answer in time.
    pub(super) fn change(&mut self, message: &NetlinkMessage, flags: u16, what: &str) -> Result<()> {
        self.ask(message, flags | ACK, what).map(drop)
    }

    /// Requests one object.
    ///
    /// # Errors
    /// As [`Netlink::change`].
    pub(super) fn get(&mut self, message: &NetlinkMessage, what: &str) -> Result<Vec<NetlinkMessage>> {
        self.ask(message, ACK, what)
    }

    /// Requests all objects of a type.
    ///
    /// # Errors
    /// As [`Netlink::change`].
    pub(super) fn dump(&mut self, message: &NetlinkMessage, what: &str) -> Result<Vec<NetlinkMessage>> {
        self.ask(message, DUMP, what)
    }

    /// Sends a request and reads packets until the answer is complete.
    fn ask(&mut self, message: &NetlinkMessage, flags: u16, what: &str) -> Result<Vec<NetlinkMessage>> {
        self.sequence += 1;
        file::write(&self.socket, &message.encode(REQUEST | flags, self.sequence))?;
        let mut answers = Vec::new();
        // A longer packet would be truncated; the kernel sends none.
        let mut buffer = vec![0u8; 1 << 16];
        loop {
            let [ready] = process::poll([(Some(self.socket.as_fd()), libc::POLLIN)], ANSWER_TIMEOUT)?;
            if ready == 0 {
                return Err(Failure::new(what, Errno(libc::ETIMEDOUT)).into());
            }
            let length = file::read(&self.socket, &mut buffer)?;
            let mut rest = &buffer[..length];
            while let Some((kind, sequence, body)) = split(&mut rest) {
                if sequence != self.sequence {
                    continue;
                }
                match kind {
                    ERROR => {
                        let code = body.get(..4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_ne_bytes);
                        return if code == 0 { Ok(answers) } else { Err(Failure::new(what, Errno(-code)).into()) };
                    }
                    DONE => return Ok(answers),
                    kind => answers.push(NetlinkMessage::decode(kind, body, message.fixed.len())),
                }
            }
        }
    }
}

/// Splits off the first message: its type, sequence number and body.
fn split<'a>(rest: &mut &'a [u8]) -> Option<(u16, u32, &'a [u8])> {
    let header = rest.get(..HEADER)?;
    let length = u32::from_ne_bytes(header[0..4].try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(header[4..6].try_into().ok()?);
    let sequence = u32::from_ne_bytes(header[8..12].try_into().ok()?);
    let body = rest.get(HEADER..length)?;
    *rest = &rest[length.next_multiple_of(ALIGN).min(rest.len())..];
    Some((kind, sequence, body))
}

#[cfg(any(test, fuzzing))]
#[path = "../../integration/fuzz/targets/netlink.rs"]
pub(crate) mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_back_as_it_was_written() {
        let message = NetlinkMessage {
            kind: 16,
            fixed: vec![1; 16],
            attributes: vec![(3, b"eth0\0".to_vec()), (28, vec![7; 4])],
        };
        let bytes = message.encode(5, 9);
        assert_eq!(bytes.len(), 16 + 16 + 12 + 8);
        let mut rest = &bytes[..];
        let (kind, sequence, body) = split(&mut rest).unwrap();
        assert!(rest.is_empty() && sequence == 9);
        assert_eq!(NetlinkMessage::decode(kind, body, 16), message);
    }

    #[test]
    fn damaged_bytes_end_the_list_of_attributes() {
        for bytes in [&[3u8, 0, 1, 0][..], &[9, 0, 1, 0, 5], &[0], &[]] {
            assert_eq!(NetlinkMessage::decode(1, bytes, 0).attributes, []);
        }
        assert!(split(&mut &[200u8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]).is_none());
    }

    #[test]
    fn every_network_namespace_has_a_loopback_device() {
        let mut netlink = Netlink::open().unwrap();
        let get =
            NetlinkMessage { kind: libc::RTM_GETLINK, fixed: vec![0; 16], attributes: vec![(3, b"lo\0".to_vec())] };
        let found = netlink.get(&get, "get lo").unwrap();
        assert_eq!(found[0].attribute(3), Some(&b"lo\0"[..]));
        let missing = NetlinkMessage { attributes: vec![(3, b"nosuch0\0".to_vec())], ..get };
        assert_eq!(netlink.get(&missing, "get nosuch0").unwrap_err().errno(), libc::ENODEV);
    }
}
