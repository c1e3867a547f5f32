//! An independent reader of JSON with the rules of Go's encoding/json, in the plainest way: a tree
//! first, then the fields.

use crate::json::Shape;
use serde_json::{Map, Number, Value as Json};

/// A value as it is written. A key may be there more than once.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Go {
    Null,
    Literal(String),
    Text(String),
    List(Vec<Go>),
    Object(Vec<(String, Go)>),
}

/// The deepest nesting that is compared: the runtime's readers have limits of their own, above it.
pub(super) const DEEPEST: usize = 200;

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

/// Why a document is not read.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    Syntax,
    TooDeep,
}

type Read<T> = Result<T, Refusal>;

/// Reads a whole document.
pub(super) fn read(text: &[u8]) -> Read<Go> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.space();
    if parser.at == text.len() { Ok(value) } else { Err(Refusal::Syntax) }
}

impl Parser<'_> {
    fn space(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Read<u8> {
        let byte = *self.text.get(self.at).ok_or(Refusal::Syntax)?;
        self.at += 1;
        Ok(byte)
    }

    fn after_space(&mut self) -> Read<u8> {
        self.space();
        self.next()
    }

    fn value(&mut self, depth: usize) -> Read<Go> {
        if depth > DEEPEST {
            return Err(Refusal::TooDeep);
        }
        match self.after_space()? {
            b'{' => self.object(depth),
            b'[' => self.list(depth),
            b'"' => self.text().map(Go::Text),
            b'n' => self.word("ull").map(|()| Go::Null),
            b't' => self.word("rue").map(|()| Go::Literal("true".into())),
            b'f' => self.word("alse").map(|()| Go::Literal("false".into())),
            b'-' | b'0'..=b'9' => self.number().map(Go::Literal),
            _ => Err(Refusal::Syntax),
        }
    }

    fn word(&mut self, rest: &str) -> Read<()> {
        rest.bytes().try_for_each(|wanted| if self.next()? == wanted { Ok(()) } else { Err(Refusal::Syntax) })
    }

    fn list(&mut self, depth: usize) -> Read<Go> {
        let mut items = Vec::new();
        self.space();
        if self.text.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(Go::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.after_space()? {
                b',' => {}
                b']' => return Ok(Go::List(items)),
                _ => return Err(Refusal::Syntax),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Read<Go> {
        let mut entries = Vec::new();
        self.space();
        if self.text.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(Go::Object(entries));
        }
        loop {
            if self.after_space()? != b'"' {
                return Err(Refusal::Syntax);
            }
            let key = self.text()?;
            if self.after_space()? != b':' {
                return Err(Refusal::Syntax);
            }
            entries.push((key, self.value(depth + 1)?));
            match self.after_space()? {
                b',' => {}
                b'}' => return Ok(Go::Object(entries)),
                _ => return Err(Refusal::Syntax),
            }
        }
    }

    fn number(&mut self) -> Read<String> {
        let start = self.at - 1;
        if self.text[start] == b'-' {
            self.next()?;
        }
        let digits = |at: usize| self.text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut end = match self.text[self.at - 1] {
            b'0' => self.at,
            b'1'..=b'9' => self.at + digits(self.at),
            _ => return Err(Refusal::Syntax),
        };
        if self.text.get(end) == Some(&b'.') {
            let count = digits(end + 1);
            end += 1 + count;
            if count == 0 {
                return Err(Refusal::Syntax);
            }
        }
        if matches!(self.text.get(end), Some(b'e' | b'E')) {
            end += if matches!(self.text.get(end + 1), Some(b'+' | b'-')) { 2 } else { 1 };
            let count = digits(end.min(self.text.len()));
            end += count;
            if count == 0 {
                return Err(Refusal::Syntax);
            }
        }
        self.at = end;
        Ok(String::from_utf8_lossy(&self.text[start..end]).into_owned())
    }

    /// The rest of a text. UTF-16 units are put together first, as Go does it for escapes.
    fn text(&mut self) -> Read<String> {
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                b'"' => return Ok(squeezed(&String::from_utf8_lossy(&bytes))),
                b'\\' => {
                    let letter = match self.next()? {
                        b'u' => self.unit_or_pair()?,
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        other @ (b'"' | b'\\' | b'/') => other.into(),
                        _ => return Err(Refusal::Syntax),
                    };
                    bytes.extend(letter.to_string().bytes());
                }
                0..0x20 => return Err(Refusal::Syntax),
                byte => bytes.push(byte),
            }
        }
    }

    fn unit(&self, at: usize) -> Read<u16> {
        let digits = self.text.get(at..at + 4).ok_or(Refusal::Syntax)?;
        let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
        let text = String::from_utf8_lossy(digits);
        u16::from_str_radix(&text, 16).ok().filter(|_| is_hex).ok_or(Refusal::Syntax)
    }

    fn unit_or_pair(&mut self) -> Read<char> {
        let first = self.unit(self.at)?;
        self.at += 4;
        if self.text.get(self.at..self.at + 2) == Some(b"\\u") {
            let pair = [first, self.unit(self.at + 2)?];
            let decoded: Vec<_> = char::decode_utf16(pair).collect();
            if let [Ok(letter)] = decoded[..] {
                self.at += 6;
                return Ok(letter);
            }
        }
        Ok(char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

/// The text with one U+FFFD for several in a row. Go writes one for each byte that is not UTF-8,
/// Rust one for each sequence that was begun; no field has a meaning that depends on their number.
pub(super) fn squeezed(text: &str) -> String {
    let mut squeezed = String::new();
    for letter in text.chars() {
        if letter != char::REPLACEMENT_CHARACTER || !squeezed.ends_with(char::REPLACEMENT_CHARACTER) {
            squeezed.push(letter);
        }
    }
    squeezed
}

/// Go's comparison of a key with a field's name, beyond equality.
fn is_folded(name: &str, key: &str) -> bool {
    let fold = |text: &str| text.replace('\u{17f}', "s").replace('\u{212a}', "k").to_ascii_lowercase();
    fold(name) == fold(key)
}

/// Puts `value` into `place`, a field of the form `shape`, as Go's decoder does: scalars and lists
/// are replaced, objects are merged, null clears the field. A null in a list stands for the type's
/// zero and stays null here.
///
/// In one thing this is not Go: a list that is there twice is the second one, and Go's decoder
/// would use the first one's items again (golang.org/issue/21092).
pub(super) fn decode(shape: &Shape, value: &Go, place: &mut Json) {
    match (shape, value) {
        (_, Go::Null) => *place = Json::Null,
        (Shape::Object(fields), Go::Object(entries)) => {
            if !place.is_object() {
                *place = Json::Object(Map::new());
            }
            for (key, value) in entries {
                let exact = fields.iter().find(|(name, _)| name == key);
                let field = exact.or_else(|| fields.iter().find(|(name, _)| is_folded(name, key)));
                let Some((name, shape)) = field else { continue };
                decode(shape, value, &mut place[*name]);
                if place[*name].is_null() {
                    place.as_object_mut().map(|object| object.remove(*name));
                }
            }
        }
        (Shape::List(of), Go::List(items)) => {
            let item = |item| {
                let mut place = Json::Null;
                decode(of, item, &mut place);
                place
            };
            *place = Json::Array(items.iter().map(item).collect());
        }
        (Shape::Map(of), Go::Object(entries)) => {
            if !place.is_object() {
                *place = Json::Object(Map::new());
            }
            for (key, value) in entries {
                let mut entry = Json::Null;
                decode(of, value, &mut entry);
                place[key.as_str()] = entry;
            }
        }
        (_, Go::Text(text)) => *place = Json::String(text.clone()),
        (_, Go::Literal(literal)) => *place = of_literal(literal),
        // Not what the field is: the runtime refuses it.
        (_, Go::List(_) | Go::Object(_)) => *place = Json::String("not of this form".into()),
    }
}

fn of_literal(literal: &str) -> Json {
    match literal {
        "true" | "false" => Json::Bool(literal == "true"),
        "-0" => Json::Number(0.into()),
        _ => literal
            .parse::<u64>()
            .map(Number::from)
            .or_else(|_| literal.parse::<i64>().map(Number::from))
            .map_or_else(|_| Json::String(literal.into()), Json::Number),
    }
}

/// Whether the runtime's reading is this one. A null in a list or a map is a zero.
pub(super) fn agrees(expected: &Json, read: &Json) -> bool {
    match (expected, read) {
        (Json::Null, read) => match read {
            Json::Null | Json::Bool(false) => true,
            Json::Number(number) => number.as_u64() == Some(0),
            Json::String(text) => text.is_empty(),
            Json::Array(items) => items.is_empty(),
            Json::Object(entries) => entries.is_empty(),
            Json::Bool(true) => false,
        },
        (Json::Array(expected), Json::Array(read)) => {
            expected.len() == read.len() && expected.iter().zip(read).all(|(one, other)| agrees(one, other))
        }
        (Json::Object(expected), Json::Object(read)) => {
            let keys: Vec<String> = read.keys().map(|key| squeezed(key)).collect();
            let values: Vec<&Json> = read.values().collect();
            // Keys that differ in nothing but the number of U+FFFD are one in the expected tree.
            expected
                .iter()
                .all(|(key, one)| keys.iter().enumerate().any(|(n, other)| other == key && agrees(one, values[n])))
                && keys.iter().all(|key| expected.contains_key(key))
        }
        (Json::String(expected), Json::String(read)) => *expected == squeezed(read),
        (expected, read) => expected == read,
    }
}
