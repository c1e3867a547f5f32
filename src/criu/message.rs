//! Encoding and decoding the messages of CRIU's RPC protocol (`rpc.proto`) in the wire format of
//! Protocol Buffers (<https://protobuf.dev/programming-guides/encoding/>). Each message is one
//! packet of a socket.

use crate::error::{Error, Result};

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CriuMessage(pub(super) Vec<u8>);

/// The wire types of fields. The format's other types are obsolete.
const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const LENGTH: u64 = 2;
const FOUR_BYTES: u64 = 5;

impl CriuMessage {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Adds a number, an enumeration's value or a boolean.
    pub(super) fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | VARINT);
        self.varint(value);
    }

    /// Adds a boolean if it is true; false is the default.
    pub(super) fn flag(&mut self, field: u64, value: bool) {
        if value {
            self.number(field, 1);
        }
    }

    /// Adds a string or bytes. CRIU accepts strings that are not UTF-8, such as paths.
    pub(super) fn bytes(&mut self, field: u64, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.varint(field << 3 | LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Adds an embedded message.
    pub(super) fn message(&mut self, field: u64, message: &CriuMessage) {
        self.bytes(field, &message.0);
    }
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The numbers and values of a message's fields, in order.
pub(super) fn fields(mut bytes: &[u8]) -> Result<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            VARINT => Field::Number(varint(&mut bytes)?),
            LENGTH => {
                let length = varint(&mut bytes)?;
                Field::Bytes(take(&mut bytes, usize::try_from(length).map_err(|_| damaged())?)?)
            }
            EIGHT_BYTES => Field::Bytes(take(&mut bytes, 8)?),
            FOUR_BYTES => Field::Bytes(take(&mut bytes, 4)?),
            _ => return Err(damaged()),
        };
        fields.push((key >> 3, value));
    }
    Ok(fields)
}

/// The value of the first numeric field with this number, if there is one.
pub(super) fn number(message: &[u8], field: u64) -> Result<Option<u64>> {
    Ok(fields(message)?.into_iter().find_map(|(n, value)| match value {
        Field::Number(value) if n == field => Some(value),
        _ => None,
    }))
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged())
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
    *bytes = rest;
    Ok(taken)
}

fn damaged() -> Error {
    Error::system("the message from criu is truncated or damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut inner = CriuMessage::default();
        inner.bytes(2, "x");
        let mut message = CriuMessage::default();
        message.number(1, 300);
        message.flag(3, false);
        message.flag(68, true);
        message.message(5, &inner);
        message.number(2, u64::MAX);
        let expected = [
            (1, Field::Number(300)),
            (68, Field::Number(1)),
            (5, Field::Bytes(&inner.0)),
            (2, Field::Number(u64::MAX)),
        ];
        assert_eq!(fields(&message.0).unwrap(), expected);
        // The format's own example: field 1 is 150.
        assert_eq!(fields(&[0x08, 0x96, 0x01]).unwrap(), [(1, Field::Number(150))]);
    }

    #[test]
    fn damaged_messages_are_refused() {
        for bytes in [
            &[0x08][..],
            &[0x0a, 5, 1],
            &[0x0b, 1],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x09, 1],
        ] {
            assert!(fields(bytes).is_err(), "{bytes:?}");
        }
    }
}
