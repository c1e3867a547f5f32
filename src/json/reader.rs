//! A pull parser for JSON (RFC 8259) that borrows strings from the document wherever they hold no escape.
//!
//! It is written for one shape of use: a record asks for its next key and then reads the value as the type of that
//! field, so no tree is built and no text is looked at twice. What it accepts is what Go's `encoding/json` accepts: see
//! [`super`].

use std::borrow::Cow;

use super::fault::{Fault, Read};

/// Nesting of values that no field takes. Known values nest ten deep at most, by their types.
const MAX_DEPTH: usize = 1024;

/// How many bytes stand for themselves in a string: up to a control character, a quotation mark or a backslash.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    // Sets the highest bit of each byte that is less than `limit`, up to 0x80: of the first one surely, and of none before it.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & (ONES * 0x80);
    let (words, _) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let ends =
            below(word, 0x20) | below(word ^ (ONES * u64::from(b'"')), 1) | below(word ^ (ONES * u64::from(b'\\')), 1);
        if ends != 0 {
            return 8 * n + ends.trailing_zeros() as usize / 8;
        }
    }
    let rest = 8 * words.len();
    let end = bytes[rest..].iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\'));
    end.map_or(bytes.len(), |at| rest + at)
}

pub(crate) struct Reader<'a> {
    text: &'a [u8],
    /// The same, where it is UTF-8 from end to end: then no part of it has to be looked at again.
    valid: Option<&'a str>,
    at: usize,
    /// How often entries of objects were looked at again, together.
    repeated: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, valid: str::from_utf8(text).ok(), at: 0, repeated: 0 }
    }

    /// The next byte that is not white space, without taking it.
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Counts entries that are looked at again. A document in which an object stands again and again would else take time in
    /// the square of its length.
    pub(crate) fn repeat(&mut self, entries: usize) -> Read<()> {
        self.repeated += entries;
        if self.repeated > self.text.len() {
            return Err(self.unexpected("an object that is not repeated so often"));
        }
        Ok(())
    }

    /// Nothing but white space may follow the document's one value.
    pub(crate) fn end(&mut self) -> Read<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the document")),
        }
    }

    /// Takes `null`, and says whether it was there.
    pub(crate) fn null(&mut self) -> Read<bool> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.word(b"null")?;
        Ok(true)
    }

    fn word(&mut self, word: &'static [u8]) -> Read<()> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// `{`; false for `null`.
    pub(crate) fn object(&mut self) -> Read<bool> {
        self.open(b'{', "an object")
    }

    /// `[`; false for `null`.
    pub(crate) fn list(&mut self) -> Read<bool> {
        self.open(b'[', "a list")
    }

    fn open(&mut self, bracket: u8, expected: &str) -> Read<bool> {
        if self.take(bracket) {
            return Ok(true);
        }
        match self.null()? {
            true => Ok(false),
            false => Err(self.mismatch(expected)),
        }
    }

    /// The next key of an object with its colon, or `None` at its end.
    pub(crate) fn key(&mut self, first: bool) -> Read<Option<Cow<'a, str>>> {
        if !self.next(first, b'}', "',' or '}'")? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in double quotes"));
        }
        let key = self.quoted()?;
        match self.take(b':') {
            true => Ok(Some(key)),
            false => Err(self.unexpected("':'")),
        }
    }

    /// Whether a list has another item, which then stands next.
    pub(crate) fn item(&mut self, first: bool) -> Read<bool> {
        self.next(first, b']', "',' or ']'")
    }

    fn next(&mut self, first: bool, end: u8, expected: &str) -> Read<bool> {
        if first {
            return Ok(!self.take(end));
        }
        if self.take(end) {
            return Ok(false);
        }
        match self.take(b',') {
            true => Ok(true),
            false => Err(self.unexpected(expected)),
        }
    }

    /// `None` for `null`.
    pub(crate) fn boolean(&mut self) -> Read<Option<bool>> {
        match self.peek() {
            Some(b't') => self.word(b"true").map(|()| Some(true)),
            Some(b'f') => self.word(b"false").map(|()| Some(false)),
            Some(b'n') => self.null().map(|_| None),
            _ => Err(self.mismatch("true or false")),
        }
    }

    /// `None` for `null`. A fraction or an exponent is refused even where its value is whole, as Go does it.
    pub(crate) fn integer(&mut self, min: i128, max: i128) -> Read<Option<i128>> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return match self.null()? {
                true => Ok(None),
                false => Err(self.mismatch("an integer")),
            };
        }
        let number = self.number()?;
        if number.contains(['.', 'e', 'E']) {
            return Err(Fault::mismatch(format!("expected an integer, found {number}")));
        }
        match number.parse() {
            Ok(value) if (min..=max).contains(&value) => Ok(Some(value)),
            _ => Err(Fault::mismatch(format!("expected an integer from {min} to {max}, found {}", excerpt(number)))),
        }
    }

    /// The text of a number, in the grammar of JSON.
    fn number(&mut self) -> Read<&'a str> {
        let start = self.at;
        self.at += usize::from(self.text[self.at] == b'-');
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        // Only ASCII was taken, so the empty default cannot be reached.
        Ok(str::from_utf8(&self.text[start..self.at]).unwrap_or_default())
    }

    fn digits(&mut self) -> Read<()> {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.unexpected("a digit"));
        }
        self.at += count;
        Ok(())
    }

    /// `None` for `null`.
    pub(crate) fn string(&mut self) -> Read<Option<Cow<'a, str>>> {
        if self.peek() == Some(b'"') {
            return self.quoted().map(Some);
        }
        match self.null()? {
            true => Ok(None),
            false => Err(self.mismatch("a string")),
        }
    }

    fn quoted(&mut self) -> Read<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        let plain = self.plain();
        if self.text.get(self.at) == Some(&b'"') {
            let text = self.valid.and_then(|valid| valid.get(start..self.at));
            self.at += 1;
            return Ok(text.map_or_else(|| String::from_utf8_lossy(plain), Cow::Borrowed));
        }
        let mut bytes = self.text[start..self.at].to_vec();
        loop {
            match self.text.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut bytes)?,
                Some(_) => return Err(self.unexpected("no control character in a string")),
                None => return Err(self.unexpected("'\"'")),
            }
            let plain = self.plain();
            bytes.extend_from_slice(plain);
        }
        self.at += 1;
        Ok(Cow::Owned(match String::from_utf8(bytes) {
            Ok(string) => string,
            Err(invalid) => String::from_utf8_lossy(invalid.as_bytes()).into_owned(),
        }))
    }

    /// Takes the bytes of a string up to its end, an escape or a control character.
    fn plain(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let (plain, _) = rest.split_at(plain(rest));
        self.at += plain.len();
        plain
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Read<()> {
        self.at += 1;
        let plain = match self.text.get(self.at) {
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.code_point(bytes),
            _ => return Err(self.unexpected("one of \"\\/bfnrtu after '\\'")),
        };
        self.at += 1;
        bytes.push(plain);
        Ok(())
    }

    /// `\uXXXX`, or a surrogate pair of two of them; a lone surrogate becomes U+FFFD as in Go.
    fn code_point(&mut self, bytes: &mut Vec<u8>) -> Read<()> {
        let high = self.hex()?;
        let mut point = high;
        if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with(b"\\u") {
            let after_high = self.at;
            self.at += 1;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                point = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            } else {
                self.at = after_high;
            }
        }
        let point = char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
        bytes.extend_from_slice(point.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn hex(&mut self) -> Read<u32> {
        self.at += 1;
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.text.get(self.at).and_then(|&byte| char::from(byte).to_digit(16));
            value = value << 4 | digit.ok_or_else(|| self.unexpected("four hexadecimal digits after '\\u'"))?;
            self.at += 1;
        }
        Ok(value)
    }

    /// Takes the text of one value of any type.
    pub(crate) fn raw(&mut self) -> Read<&'a [u8]> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// Passes over one value of any type. It must still be good JSON.
    fn skip(&mut self) -> Read<()> {
        // One bit for each open bracket: set for an object. A recursion would let the document choose the stack's depth.
        let mut objects = [0_u64; MAX_DEPTH / 64];
        let mut depth = 0;
        let mut first = self.skip_one()?;
        loop {
            if let Some(object) = first {
                if depth == MAX_DEPTH {
                    return Err(Fault::syntax(self.at, format!("nested more than {MAX_DEPTH} deep")));
                }
                objects[depth / 64] &= !(1 << (depth % 64));
                objects[depth / 64] |= u64::from(object) << (depth % 64);
                depth += 1;
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = objects[(depth - 1) / 64] >> ((depth - 1) % 64) & 1 == 1;
                let more = match object {
                    true => self.key(first.is_some())?.is_some(),
                    false => self.item(first.is_some())?,
                };
                first = None;
                if more {
                    break;
                }
                depth -= 1;
            }
            first = self.skip_one()?;
        }
    }

    /// Passes over a scalar, or opens an object (`Some(true)`) or a list (`Some(false)`).
    fn skip_one(&mut self) -> Read<Option<bool>> {
        match self.peek() {
            Some(bracket @ (b'{' | b'[')) => {
                self.at += 1;
                return Ok(Some(bracket == b'{'));
            }
            Some(b'"') => drop(self.quoted()?),
            Some(b'-' | b'0'..=b'9') => drop(self.number()?),
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            _ => return Err(self.unexpected("a value")),
        }
        Ok(None)
    }

    /// The value that stands next is good JSON but not what the field takes; or it is no JSON either.
    fn mismatch(&mut self, expected: &str) -> Box<Fault> {
        self.peek();
        let start = self.at;
        let found = match self.skip_one() {
            Err(fault) => return fault,
            Ok(Some(true)) => "an object".into(),
            Ok(Some(false)) => "a list".into(),
            Ok(None) => {
                let kind = if self.text[start] == b'"' { "a string " } else { "" };
                format!("{kind}{}", excerpt(&String::from_utf8_lossy(&self.text[start..self.at])))
            }
        };
        Fault::mismatch(format!("expected {expected}, found {found}"))
    }

    fn unexpected(&mut self, expected: &str) -> Box<Fault> {
        let found = match self.text.get(self.at) {
            None => "the end of the document".into(),
            Some(&byte) if byte.is_ascii_graphic() => format!("'{}'", char::from(byte)),
            Some(byte) => format!("byte {byte:#04x}"),
        };
        Fault::syntax(self.at, format!("expected {expected}, found {found}"))
    }
}

/// Enough of a value to recognise it by in a message of one line.
fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_string_is_plain_up_to_its_first_other_byte() {
        let slowly =
            |bytes: &[u8]| bytes.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\').unwrap_or(bytes.len());
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255 {
                    // Behind it all kinds of bytes, of which a borrow could make another one.
                    let mut bytes: Vec<u8> =
                        (0..length as u8).map(|n| if n % 3 == 0 { 0x80 } else { 0x21 + n }).collect();
                    bytes[at] = byte;
                    assert_eq!(plain(&bytes), slowly(&bytes), "{bytes:?}");
                    bytes[at..].iter_mut().step_by(2).for_each(|other| *other = byte);
                    assert_eq!(plain(&bytes), slowly(&bytes), "{bytes:?}");
                }
            }
        }
    }
}
