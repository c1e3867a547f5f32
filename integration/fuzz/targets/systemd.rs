//! systemd: its answers on the bus, and the properties that annotations ask for.

use super::super::message::{Call, HEAD, rest_of};
use super::super::{Value, parse_annotations};
use super::{Bus, CALL_TIMEOUT};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Instant;

/// A peer that says `input` and closes the connection.
pub(crate) fn bus(input: &[u8]) {
    let (ours, mut theirs) = UnixStream::pair().unwrap_or_else(|error| panic!("{error}"));
    // The socket's buffer holds more than this; a longer input would wait for a reader.
    let told = &input[..input.len().min(1 << 16)];
    theirs.write_all(told).unwrap_or_else(|error| panic!("{error}"));
    theirs.shutdown(std::net::Shutdown::Write).unwrap_or_else(|error| panic!("{error}"));
    let deadline = Instant::now() + CALL_TIMEOUT;
    let mut bus = Bus { stream: ours, serial: 0, deadline, daemon: false, signals: VecDeque::new() };
    if told.first() == Some(&b'O') || told.first() == Some(&b'D') {
        let _ = bus.authenticate();
    }
    let call = Call { destination: "a", path: "/", interface: "i", member: "M", body: Vec::new() };
    while let Ok(message) = bus.call(&call) {
        let mut body = message.body();
        let _ = (body.number(), body.string(), body.variant_string());
    }
    while let Ok(signal) = bus.signal() {
        let _ = signal.body().variant_string();
    }
}

/// An annotation, and its value in the wire format as an independent reader takes it.
pub(crate) fn annotations(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (name, value) = text.split_once('=').unwrap_or(("TimeoutStopUSec", &text));
    let annotation = [(Cow::Owned(format!("org.systemd.property.{name}")), Cow::Borrowed(value))];
    let Ok(properties) = parse_annotations(&annotation) else { return };
    for (_, value) in properties {
        let call = Call { destination: "a", path: "/", interface: "i", member: "M", body: vec![value.clone()] };
        let Ok(bytes) = call.encode(1, true) else { continue };
        let head: [u8; HEAD] = bytes[..HEAD].try_into().unwrap_or_else(|_| panic!("no head"));
        assert_eq!(rest_of(&head).ok(), Some(bytes.len() - HEAD));
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let body = &bytes[bytes.len() - word(4)..];
        let mut wire = Wire { bytes: body, at: 0 };
        let signature = value.signature();
        let read = wire.value(&signature).unwrap_or_else(|| panic!("{value:?} is no value of the type {signature}"));
        assert!(read.1.is_empty() && wire.at == body.len(), "{value:?}: {} of {} bytes", wire.at, body.len());
        assert!(same(&read.0, &value), "{value:?} was written as {:?}", read.0);
    }
}

fn same(one: &Value, other: &Value) -> bool {
    // A NaN is no equal of its own.
    one == other || format!("{one:?}") == format!("{other:?}")
}

/// A reader of the wire format by signature (the D-Bus specification, "Marshaling").
struct Wire<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Wire<'_> {
    fn take(&mut self, count: usize, alignment: usize) -> Option<&[u8]> {
        let start = self.at.next_multiple_of(alignment);
        // Padding is zero.
        self.bytes.get(self.at..start)?.iter().all(|byte| *byte == 0).then_some(())?;
        self.at = start + count;
        self.bytes.get(start..self.at)
    }

    fn word(&mut self) -> Option<usize> {
        self.take(4, 4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    }

    fn text(&mut self, length: usize) -> Option<String> {
        let text = String::from_utf8(self.take(length, 1)?.to_vec()).ok()?;
        (self.take(1, 1)? == [0]).then_some(text)
    }

    /// The value of the first type of `signature`, and the rest of the signature.
    fn value<'s>(&mut self, signature: &'s str) -> Option<(Value, &'s str)> {
        let (kind, rest) = signature.split_at_checked(1)?;
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
        let value = match kind {
            "y" => Value::Byte(self.take(1, 1)?[0]),
            "b" => Value::Bool(match self.word()? {
                0 => false,
                1 => true,
                _ => return None,
            }),
            "n" => Value::I16(number(self.take(2, 2)?) as i16),
            "q" => Value::U16(number(self.take(2, 2)?) as u16),
            "i" => Value::I32(number(self.take(4, 4)?) as i32),
            "u" => Value::U32(number(self.take(4, 4)?) as u32),
            "x" => Value::I64(number(self.take(8, 8)?) as i64),
            "t" => Value::U64(number(self.take(8, 8)?)),
            "d" => Value::F64(f64::from_bits(number(self.take(8, 8)?))),
            "s" | "o" => {
                let length = self.word()?;
                let text = self.text(length)?;
                if kind == "s" { Value::Str(text) } else { Value::Path(text) }
            }
            "v" => {
                let length = self.take(1, 1)?[0].into();
                let signature = self.text(length)?;
                let (value, rest) = self.value(&signature)?;
                rest.is_empty().then_some(())?;
                Value::Variant(Box::new(value))
            }
            "(" => return self.fields(rest),
            "a" => return self.items(rest),
            _ => return None,
        };
        Some((value, rest))
    }

    fn fields<'s>(&mut self, mut signature: &'s str) -> Option<(Value, &'s str)> {
        self.take(0, 8)?;
        let mut fields = Vec::new();
        while !signature.starts_with(')') {
            let (field, rest) = self.value(signature)?;
            fields.push(field);
            signature = rest;
        }
        Some((Value::Struct(fields), &signature[1..]))
    }

    fn items<'s>(&mut self, signature: &'s str) -> Option<(Value, &'s str)> {
        let length = self.word()?;
        let alignment = match signature.as_bytes().first()? {
            b'y' | b'g' | b'v' => 1,
            b'n' | b'q' => 2,
            b'b' | b'i' | b'u' | b's' | b'o' | b'a' => 4,
            _ => 8,
        };
        self.take(0, alignment)?;
        let end = self.at + length;
        let mut items = Vec::new();
        let mut rest = after_type(signature)?;
        while self.at < end {
            let (item, after) = self.value(signature)?;
            items.push(item);
            rest = after;
        }
        let element = &signature[..signature.len() - rest.len()];
        (self.at == end).then(|| (Value::Array(element.to_owned(), items), rest))
    }
}

/// The rest of a signature after its first type.
fn after_type(signature: &str) -> Option<&str> {
    match signature.as_bytes().first()? {
        b'a' => after_type(&signature[1..]),
        b'(' => {
            let mut rest = &signature[1..];
            while !rest.starts_with(')') {
                rest = after_type(rest)?;
            }
            Some(&rest[1..])
        }
        _ => Some(&signature[1..]),
    }
}
