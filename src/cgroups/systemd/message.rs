//! Messages of D-Bus (the D-Bus specification, "Message Protocol").

use super::value::{Value, align, write_signature};
use crate::error::{Error, Result};

/// A method call.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    /// The destination. systemd's private socket needs no name.
    pub(super) destination: &'a str,
    /// The object.
    pub(super) path: &'a str,
    /// The interface.
    pub(super) interface: &'a str,
    /// The method.
    pub(super) member: &'a str,
    /// The arguments.
    pub(super) body: Vec<Value>,
}

impl Call<'_> {
    /// Encodes the message with its serial number.
    ///
    /// # Errors
    /// The message is too long.
    pub(super) fn encode(&self, serial: u32, wants_reply: bool) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        self.body.iter().for_each(|value| value.write(&mut body));
        let signature: String = self.body.iter().map(Value::signature).collect();

        let mut message = vec![b'l', 1, u8::from(!wants_reply), 1];
        message.extend((body.len() as u32).to_le_bytes());
        message.extend(serial.to_le_bytes());
        message.extend([0; 4]);
        for (code, value) in [
            (1, Value::Path(self.path.to_owned())),
            (2, Value::str(self.interface)),
            (3, Value::str(self.member)),
            (6, Value::str(self.destination)),
        ] {
            align(&mut message, 8);
            message.push(code);
            Value::Variant(Box::new(value)).write(&mut message);
        }
        if !signature.is_empty() {
            align(&mut message, 8);
            message.push(8);
            write_signature(&mut message, "g");
            write_signature(&mut message, &signature);
        }
        let fields = (message.len() - 16) as u32;
        message[12..16].copy_from_slice(&fields.to_le_bytes());
        align(&mut message, 8);
        message.extend(body);
        // Lengths of strings and arrays have four bytes, which this limit covers.
        match message.len() {
            0..=MOST => Ok(message),
            many => Err(Error::system(format!("D-Bus: a message of {many} bytes exceeds the limit of {MOST}"))),
        }
    }
}

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageKind {
    /// The reply to a call.
    Reply,
    /// The error reply to a call.
    Error,
    /// A signal.
    Signal,
    /// Any other type.
    Other,
}

/// A received message.
#[derive(Clone, Debug)]
pub(super) struct BusMessage {
    /// Its type.
    pub(super) kind: MessageKind,
    /// The serial number of the answered call.
    pub(super) answers: u32,
    /// The member of a signal, or the name of an error.
    pub(super) name: String,
    body: Vec<u8>,
}

/// The length of the fixed part of the header.
pub(super) const HEAD: usize = 16;
/// The size limit of a message in both directions, an eighth of D-Bus's own.
const MOST: usize = 16 << 20;

/// The number of bytes after the first [`HEAD`].
pub(super) fn rest_of(head: &[u8; HEAD]) -> Result<usize> {
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
    let (body, fields) = (word(4), word(12));
    if head[0] != b'l' || body > MOST || fields > MOST {
        return Err(Error::system("D-Bus: malformed message"));
    }
    Ok(fields.next_multiple_of(8) + body)
}

/// Decodes a message from its first bytes and the rest.
pub(super) fn decode(head: &[u8; HEAD], rest: &[u8]) -> Result<BusMessage> {
    let fields_length = u32::from_le_bytes([head[12], head[13], head[14], head[15]]) as usize;
    let body = rest.get(fields_length.next_multiple_of(8)..).unwrap_or_default().to_vec();
    let kind = match head[1] {
        2 => MessageKind::Reply,
        3 => MessageKind::Error,
        4 => MessageKind::Signal,
        _ => MessageKind::Other,
    };
    let mut message = BusMessage { kind, answers: 0, name: String::new(), body };
    let mut reader = Reader { bytes: rest.get(..fields_length).unwrap_or_default(), at: 0 };
    while reader.at < reader.bytes.len() {
        reader.align(8);
        let code = reader.byte()?;
        match reader.signature()?.as_str() {
            "u" => {
                let number = reader.number()?;
                if code == 5 {
                    message.answers = number;
                }
            }
            "g" => drop(reader.signature()?),
            "s" | "o" => {
                let text = reader.string()?;
                if matches!((kind, code), (MessageKind::Error, 4) | (MessageKind::Signal, 3)) {
                    message.name = text;
                }
            }
            _ => return Err(broken()),
        }
    }
    Ok(message)
}

fn broken() -> Error {
    Error::system("D-Bus: truncated message")
}

impl BusMessage {
    /// Reads the body from its start.
    pub(super) fn body(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0 }
    }
}

/// Reads consecutive values.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, alignment: usize) {
        self.at = self.at.next_multiple_of(alignment);
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.at).ok_or_else(broken)?;
        self.at += 1;
        Ok(byte)
    }

    /// A number (`u`).
    pub(super) fn number(&mut self) -> Result<u32> {
        self.align(4);
        let bytes = self.bytes.get(self.at..self.at + 4).ok_or_else(broken)?;
        self.at += 4;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A string or object path (`s`, `o`).
    pub(super) fn string(&mut self) -> Result<String> {
        let length = self.number()? as usize;
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Result<String> {
        let end = self.at.checked_add(length).ok_or_else(broken)?;
        let bytes = self.bytes.get(self.at..end).ok_or_else(broken)?;
        self.at = end + 1;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn signature(&mut self) -> Result<String> {
        let length = self.byte()?.into();
        self.text(length)
    }

    /// A string in a variant.
    ///
    /// # Errors
    /// The value has another type.
    pub(super) fn variant_string(&mut self) -> Result<String> {
        match self.signature()?.as_str() {
            "s" | "o" => self.string(),
            other => Err(Error::system(format!("D-Bus: expected a string, got a value of type {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let call = Call {
            destination: "a.b",
            path: "/x",
            interface: "i.j",
            member: "Do",
            body: vec![Value::U32(7), Value::str("hello"), Value::Variant(Box::new(Value::str("in")))],
        };
        let mut bytes = call.encode(3, true).unwrap();
        // As a signal, the message is named by its member.
        bytes[1] = 4;
        let head: [u8; HEAD] = bytes[..HEAD].try_into().unwrap();
        assert_eq!(rest_of(&head).unwrap(), bytes.len() - HEAD);
        let message = decode(&head, &bytes[HEAD..]).unwrap();
        assert_eq!((message.kind, message.name.as_str()), (MessageKind::Signal, "Do"));
        let mut body = message.body();
        assert_eq!(body.number().unwrap(), 7);
        assert_eq!(body.string().unwrap(), "hello");
        assert_eq!(body.variant_string().unwrap(), "in");
        assert!(body.string().is_err());
    }

    #[test]
    fn a_cut_or_foreign_message_is_an_error_and_no_panic() {
        let call = Call { destination: "a", path: "/", interface: "i", member: "M", body: vec![Value::str("abc")] };
        let bytes = call.encode(1, false).unwrap();
        let head: [u8; HEAD] = bytes[..HEAD].try_into().unwrap();
        for cut in HEAD..bytes.len() {
            if let Ok(message) = decode(&head, &bytes[HEAD..cut]) {
                let _ = message.body().string();
            }
        }
        assert!(rest_of(&[b'B'; HEAD]).is_err());
    }

    #[test]
    fn a_message_that_is_too_long_is_not_sent() {
        let body = vec![Value::str("x".repeat(MOST))];
        let call = Call { destination: "a", path: "/", interface: "i", member: "M", body };
        assert!(call.encode(1, false).unwrap_err().to_string().contains("exceeds the limit of 16777216"));
    }
}
