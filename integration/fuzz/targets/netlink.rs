//! The kernel's answers about network devices.

use super::{NetlinkMessage, split};

pub(crate) fn netlink(input: &[u8]) {
    let mut rest = input;
    while let Some((kind, _, body)) = split(&mut rest) {
        for fixed in [0, 8, 16] {
            let message = NetlinkMessage::decode(kind, body, fixed);
            let length: usize = message.attributes.iter().map(|(_, value)| 4 + value.len()).sum();
            assert!(message.fixed.len() + length <= body.len(), "more than there is");
            let _ = (message.word(0), message.word(4), message.attribute(3));
            let bytes = message.encode(5, 9);
            let mut again = &bytes[..];
            let Some((_, 9, body)) = split(&mut again) else { panic!("a message that is not read as it was written") };
            if message.fixed.len() == fixed {
                assert_eq!(NetlinkMessage::decode(kind, body, fixed), message);
            }
        }
    }
}
