//! A pull parser for JSON (RFC 8259) that borrows strings from the document unless they contain an
//! escape.
//!
//! The caller asks for the next key of an object and then reads the value as the type of that
//! field, so no tree is built and no text is scanned twice. It accepts the documents that Go's
//! `encoding/json` accepts: see [`super`].
//!
//! It is one file because every function moves the same position, and none is of use without the
//! others.

use std::borrow::Cow;

use super::error::{Error, Result};

/// The deepest nesting inside the value of an unknown key. The types of known fields nest at most
/// ten deep.
const MAX_DEPTH: usize = 1024;

/// How many bytes of a string stand for themselves: the bytes before a control character, a
/// quotation mark or a backslash.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xff;
    // Sets the highest bit of the first byte that is less than `limit` (at most 0x80). Borrows make
    // bits of later bytes unreliable, never those of earlier ones.
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

/// A position in a JSON document.
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    /// `text`, if all of it is UTF-8: strings are then borrowed without another check.
    valid: Option<&'a str>,
    at: usize,
    /// How many entries [`Reader::repeat`] has counted.
    repeated: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, valid: str::from_utf8(text).ok(), at: 0, repeated: 0 }
    }

    /// Where the next value begins, in bytes from the start of the document.
    pub(crate) fn position(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// The next byte that is not white space; it is not consumed.
    pub(crate) fn peek(&mut self) -> Option<u8> {
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

    /// Counts entries that are searched again because an object's key is repeated. Without a limit,
    /// a document that repeats one object would take time quadratic in its length.
    pub(crate) fn repeat(&mut self, entries: usize) -> Result<()> {
        self.repeated += entries;
        if self.repeated > self.text.len() {
            return Err(self.unexpected("an object that is not repeated so often"));
        }
        Ok(())
    }

    /// Checks that only white space follows the document's one value.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the document")),
        }
    }

    /// Consumes a `null`; false if the next value is another one.
    pub(crate) fn null(&mut self) -> Result<bool> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.word(b"null")?;
        Ok(true)
    }

    fn word(&mut self, word: &'static [u8]) -> Result<()> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Consumes a `{`; false for `null`.
    pub(crate) fn object(&mut self) -> Result<bool> {
        self.open(b'{', "an object")
    }

    /// Consumes a `[`; false for `null`.
    pub(crate) fn list(&mut self) -> Result<bool> {
        self.open(b'[', "a list")
    }

    fn open(&mut self, bracket: u8, expected: &str) -> Result<bool> {
        if self.take(bracket) {
            return Ok(true);
        }
        match self.null()? {
            true => Ok(false),
            false => Err(self.mismatch(expected)),
        }
    }

    /// Consumes the next key of an object and its colon; `None` at the object's end.
    pub(crate) fn key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
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

    /// Whether the list has another item, which is then the next value to read.
    pub(crate) fn item(&mut self, first: bool) -> Result<bool> {
        self.next(first, b']', "',' or ']'")
    }

    fn next(&mut self, first: bool, end: u8, expected: &str) -> Result<bool> {
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

    /// Reads `true` or `false`; `None` for `null`.
    pub(crate) fn boolean(&mut self) -> Result<Option<bool>> {
        match self.peek() {
            Some(b't') => self.word(b"true").map(|()| Some(true)),
            Some(b'f') => self.word(b"false").map(|()| Some(false)),
            Some(b'n') => self.null().map(|_| None),
            _ => Err(self.mismatch("true or false")),
        }
    }

    /// Reads an integer; `None` for `null`. Like Go it refuses a fraction or an exponent even if
    /// the value is whole.
    pub(crate) fn integer(&mut self, min: i128, max: i128) -> Result<Option<i128>> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return match self.null()? {
                true => Ok(None),
                false => Err(self.mismatch("an integer")),
            };
        }
        let start = self.at;
        let number = self.number()?;
        if number.contains(['.', 'e', 'E']) {
            return Err(Error::mismatch(start, format!("expected an integer, found {number}")));
        }
        match number.parse() {
            Ok(value) if (min..=max).contains(&value) => Ok(Some(value)),
            _ => {
                let text = format!("expected an integer from {min} to {max}, found {}", excerpt(number));
                Err(Error::mismatch(start, text))
            }
        }
    }

    /// Reads the text of a number, in the grammar of JSON.
    fn number(&mut self) -> Result<&'a str> {
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
        // The text is ASCII, so the default is never used.
        Ok(str::from_utf8(&self.text[start..self.at]).unwrap_or_default())
    }

    fn digits(&mut self) -> Result<()> {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.unexpected("a digit"));
        }
        self.at += count;
        Ok(())
    }

    /// Reads a string; `None` for `null`.
    pub(crate) fn string(&mut self) -> Result<Option<Cow<'a, str>>> {
        if self.peek() == Some(b'"') {
            return self.quoted().map(Some);
        }
        match self.null()? {
            true => Ok(None),
            false => Err(self.mismatch("a string")),
        }
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>> {
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

    /// Consumes the bytes of a string before its end, an escape or a control character.
    fn plain(&mut self) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let (plain, _) = rest.split_at(plain(rest));
        self.at += plain.len();
        plain
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
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

    /// Decodes `\uXXXX`, or a surrogate pair of two of them. A lone surrogate becomes U+FFFD, as in
    /// Go.
    fn code_point(&mut self, bytes: &mut Vec<u8>) -> Result<()> {
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

    fn hex(&mut self) -> Result<u32> {
        self.at += 1;
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.text.get(self.at).and_then(|&byte| char::from(byte).to_digit(16));
            value = value << 4 | digit.ok_or_else(|| self.unexpected("four hexadecimal digits after '\\u'"))?;
            self.at += 1;
        }
        Ok(value)
    }

    /// Consumes one value of any type and returns its text.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8]> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// Skips one value of any type, which must be valid JSON.
    fn skip(&mut self) -> Result<()> {
        // One bit for each open bracket, set for an object. With recursion the document would
        // choose the stack's depth.
        let mut objects = [0_u64; MAX_DEPTH / 64];
        let mut depth = 0;
        let mut first = self.skip_one()?;
        loop {
            if let Some(object) = first {
                if depth == MAX_DEPTH {
                    return Err(Error::syntax(self.at, format!("nested more than {MAX_DEPTH} deep")));
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

    /// Skips a scalar, or consumes the bracket that opens an object (`Some(true)`) or a list
    /// (`Some(false)`).
    fn skip_one(&mut self) -> Result<Option<bool>> {
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

    /// The error for a next value of the wrong type, or for its syntax if that is bad too.
    fn mismatch(&mut self, expected: &str) -> Box<Error> {
        self.peek();
        let start = self.at;
        let found = match self.skip_one() {
            Err(error) => return error,
            Ok(Some(true)) => "an object".into(),
            Ok(Some(false)) => "a list".into(),
            Ok(None) => {
                let kind = if self.text[start] == b'"' { "a string " } else { "" };
                format!("{kind}{}", excerpt(&String::from_utf8_lossy(&self.text[start..self.at])))
            }
        };
        Error::mismatch(start, format!("expected {expected}, found {found}"))
    }

    fn unexpected(&mut self, expected: &str) -> Box<Error> {
        let found = match self.text.get(self.at) {
            None => "the end of the document".into(),
            Some(&byte) if byte.is_ascii_graphic() => format!("'{}'", char::from(byte)),
            Some(byte) => format!("byte {byte:#04x}"),
        };
        // Habits of other languages, and of editors.
        let advice = match self.text.get(self.at) {
            Some(b'}' | b']') if self.text[..self.at].trim_ascii_end().ends_with(b",") => " (one comma too many)",
            Some(b'/' | b'#') => " (JSON has no comments)",
            Some(b'\'') => " (texts stand in double quotes)",
            Some(0xef) if self.at == 0 => " (save the file without a byte order mark)",
            Some(0 | 0xfe | 0xff) if self.at < 2 => " (save the file as UTF-8)",
            _ => "",
        };
        Error::syntax(self.at, format!("expected {expected}, found {found}{advice}"))
    }
}

/// The first 40 characters of a value, for a message of one line.
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
                    // All kinds of bytes follow it, since the subtraction borrows from them.
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
