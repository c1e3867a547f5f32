//! Annotations `org.systemd.property.NAME`, whose values are D-Bus values in GVariant's text format.

use super::value::LONGEST_SIGNATURE;
use super::{Property, Value};
use crate::error::{Error, Result};
use crate::json;
use crate::text;
use std::borrow::Cow;

const PREFIX: &str = "org.systemd.property.";

/// Parses the properties in annotations. A name that ends in `Sec` takes seconds and becomes
/// `USec`.
///
/// # Errors
/// A name or a value is invalid.
pub(crate) fn parse(annotations: &[(Cow<'_, str>, Cow<'_, str>)]) -> Result<Vec<Property>> {
    let mut list = Vec::new();
    for (key, text) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else { continue };
        let problem = |problem: String| Error::config(format!("annotations[{key:?}]"), problem);
        if name.len() < 3 || !name.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(problem("a property name consists of at least three letters a-z or A-Z".into()));
        }
        let mut parser = Parser { text: text.trim(), depth: 0 };
        let value = parser.value(None).and_then(|value| parser.end().map(|()| value)).and_then(short);
        let value = value.map_err(|e| problem(format!("{:?}: {e}", text::excerpt(text, 200))))?;
        list.push(match name.strip_suffix("Sec").filter(|n| !n.ends_with('U')) {
            Some(stem) => (format!("{stem}USec"), microseconds(&value).map_err(|e| problem(e.into()))?),
            None => (name.to_owned(), value),
        });
    }
    Ok(list)
}

fn microseconds(value: &Value) -> std::result::Result<Value, &'static str> {
    const SECOND: u64 = 1_000_000;
    let whole = |n: i64| u64::try_from(n).ok().and_then(|n| n.checked_mul(SECOND));
    let number = match value {
        Value::Byte(n) => u64::from(*n).checked_mul(SECOND),
        Value::I16(n) => whole((*n).into()),
        Value::U16(n) => u64::from(*n).checked_mul(SECOND),
        Value::I32(n) => whole((*n).into()),
        Value::U32(n) => u64::from(*n).checked_mul(SECOND),
        Value::I64(n) => whole(*n),
        Value::U64(n) => n.checked_mul(SECOND),
        Value::F64(n) if *n >= 0.0 && *n < 1e12 => Some((n * SECOND as f64) as u64),
        _ => return Err("a number of seconds is expected"),
    };
    number.map(Value::U64).ok_or("too many seconds")
}

/// The limit on nested values: D-Bus allows 32 arrays and 32 structs.
const DEEPEST: usize = 32;

struct Parser<'a> {
    text: &'a str,
    /// The number of open values. Without a limit the config would control the depth of the stack.
    depth: usize,
}

type Parsed<T> = std::result::Result<T, &'static str>;

/// Accepts a value whose signatures, including those of its variants, D-Bus can represent.
fn short(value: Value) -> Parsed<Value> {
    match value.is_sendable() {
        true => Ok(value),
        false => Err("its signature is invalid or longer than 255 characters"),
    }
}

/// The type of a keyword, as in `uint64 5`.
fn signature(word: &str) -> Option<&'static str> {
    Some(match word {
        "boolean" => "b",
        "byte" => "y",
        "int16" => "n",
        "uint16" => "q",
        "int32" => "i",
        "uint32" => "u",
        "int64" => "x",
        "uint64" => "t",
        "double" => "d",
        "objectpath" => "o",
        _ => return None,
    })
}

impl<'a> Parser<'a> {
    fn skip(&mut self) {
        self.text = self.text.trim_start();
    }

    fn take(&mut self, token: char) -> bool {
        self.skip();
        match self.text.strip_prefix(token) {
            Some(rest) => {
                self.text = rest;
                true
            }
            None => false,
        }
    }

    fn end(&mut self) -> Parsed<()> {
        self.skip();
        if self.text.is_empty() { Ok(()) } else { Err("there is text after the value") }
    }

    fn word(&mut self) -> &'a str {
        self.skip();
        let stop = |c: char| c.is_whitespace() || matches!(c, ',' | ']' | ')' | '>');
        let (word, rest) = self.text.split_at(self.text.find(stop).unwrap_or(self.text.len()));
        self.text = rest;
        word
    }

    fn value(&mut self, kind: Option<&str>) -> Parsed<Value> {
        if self.depth == DEEPEST {
            return Err("values are nested more than 32 deep");
        }
        self.depth += 1;
        let value = self.value_within(kind);
        self.depth -= 1;
        value
    }

    fn value_within(&mut self, kind: Option<&str>) -> Parsed<Value> {
        self.skip();
        match self.text.chars().next() {
            None => Err("the value is missing"),
            Some('\'' | '"') => {
                let text = self.string()?;
                Ok(if kind == Some("o") { Value::Path(text) } else { Value::Str(text) })
            }
            Some('[') => self.array(kind),
            Some('(') => self.tuple(),
            Some('<') => {
                self.take('<');
                let value = self.value(None)?;
                if self.take('>') { Ok(Value::Variant(Box::new(value))) } else { Err("a `>` is missing") }
            }
            Some('@') => {
                let signature = &self.word()[1..];
                if signature.len() > LONGEST_SIGNATURE {
                    return Err("a type's signature has at most 255 characters");
                }
                self.value(Some(signature))
            }
            Some(_) => {
                let word = self.word();
                match signature(word) {
                    Some(signature) => self.value(Some(signature)),
                    None => scalar(word, kind),
                }
            }
        }
    }

    fn string(&mut self) -> Parsed<String> {
        let mut chars = self.text.char_indices();
        let quote = chars.next().map(|(_, c)| c);
        let mut string = String::new();
        while let Some((at, c)) = chars.next() {
            if Some(c) == quote {
                self.text = &self.text[at + c.len_utf8()..];
                return Ok(string);
            }
            match c {
                '\\' => string.push(match chars.next().map(|(_, c)| c) {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(other @ ('\\' | '\'' | '"')) => other,
                    _ => return Err("unknown escape sequence"),
                }),
                c => string.push(c),
            }
        }
        Err("a string is not terminated")
    }

    fn array(&mut self, kind: Option<&str>) -> Parsed<Value> {
        self.take('[');
        let element = kind.and_then(|k| k.strip_prefix('a'));
        let mut items = Vec::new();
        while !self.take(']') {
            if !items.is_empty() && !self.take(',') {
                return Err("a comma or `]` is missing");
            }
            items.push(self.value(element)?);
        }
        let signature = match (items.first().map(Value::signature), element) {
            (Some(signature), _) => signature,
            (None, Some(element)) => element.to_owned(),
            (None, None) => return Err("an empty array needs its type, such as @as []"),
        };
        if items.iter().any(|item| item.signature() != signature) {
            return Err("the elements of an array must have one type");
        }
        Ok(Value::Array(signature, items))
    }

    fn tuple(&mut self) -> Parsed<Value> {
        self.take('(');
        let mut fields = Vec::new();
        while !self.take(')') {
            if !fields.is_empty() && !self.take(',') {
                return Err("a comma or `)` is missing");
            }
            if self.take(')') {
                break;
            }
            fields.push(self.value(None)?);
        }
        Ok(Value::Struct(fields))
    }
}

fn scalar(word: &str, kind: Option<&str>) -> Parsed<Value> {
    fn number<T: std::str::FromStr>(word: &str, make: fn(T) -> Value) -> Parsed<Value> {
        word.parse().map(make).map_err(|_| "not a number of its type")
    }
    let (digits, negative) = word.strip_prefix('-').map_or((word, false), |digits| (digits, true));
    let decimal = match digits.strip_prefix("0x") {
        Some(hex) => match u64::from_str_radix(hex, 16) {
            Ok(n) => format!("{}{n}", if negative { "-" } else { "" }),
            Err(_) => return Err("not a hexadecimal number"),
        },
        None => word.to_owned(),
    };
    match (kind, word) {
        (None | Some("b"), "true") => Ok(Value::Bool(true)),
        (None | Some("b"), "false") => Ok(Value::Bool(false)),
        (Some("y"), _) => number(&decimal, Value::Byte),
        (Some("n"), _) => number(&decimal, Value::I16),
        (Some("q"), _) => number(&decimal, Value::U16),
        (Some("u"), _) => number(&decimal, Value::U32),
        (Some("x"), _) => number(&decimal, Value::I64),
        (Some("t"), _) => number(&decimal, Value::U64),
        (Some("d"), _) => json::float(word).map(Value::F64).ok_or("not a number of its type"),
        (Some("i"), _) => number(&decimal, Value::I32),
        (None, _) => match number(&decimal, Value::I32) {
            Ok(value) => Ok(value),
            Err(_) if word.contains(['.', 'e']) => json::float(word).map(Value::F64).ok_or("not a number of its type"),
            Err(_) => Err("not a value in GVariant's text format"),
        },
        _ => Err("the value does not have the type before it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, text: &str) -> std::result::Result<(String, Value), String> {
        let list = [(Cow::Owned(format!("{PREFIX}{name}")), Cow::Borrowed(text))];
        parse(&list).map(|mut list| list.remove(0)).map_err(|e| e.to_string())
    }

    #[test]
    fn values_are_read_as_gvariant_writes_them() {
        for (text, value) in [
            ("true", Value::Bool(true)),
            ("-5", Value::I32(-5)),
            ("uint64 0x10", Value::U64(16)),
            ("@t 7", Value::U64(7)),
            ("1.5", Value::F64(1.5)),
            ("'it\\'s'", Value::str("it's")),
            ("\"a\"", Value::str("a")),
            ("['a', 'b']", Value::strings(&["a", "b"])),
            ("@as []", Value::strings(&[])),
            (
                "[('a', uint32 1)]",
                Value::Array("(su)".into(), vec![Value::Struct(vec![Value::str("a"), Value::U32(1)])]),
            ),
            ("<'x'>", Value::Variant(Box::new(Value::str("x")))),
        ] {
            assert_eq!(one("Name", text).unwrap(), ("Name".to_owned(), value), "{text}");
        }
    }

    #[test]
    fn seconds_become_microseconds() {
        assert_eq!(one("TimeoutStopSec", "123").unwrap(), ("TimeoutStopUSec".into(), Value::U64(123_000_000)));
        assert_eq!(one("TimeoutStopUSec", "uint64 5").unwrap(), ("TimeoutStopUSec".into(), Value::U64(5)));
        assert_eq!(one("XSec", "0.5").unwrap().1, Value::U64(500_000));
        assert!(one("TimeoutStopSec", "'a'").is_err());
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (name, text) in [
            ("ab", "1"),
            ("Na-me", "1"),
            ("Name", ""),
            ("Name", "'a"),
            ("Name", "[1,'a']"),
            ("Name", "[]"),
            ("Name", "1 2"),
            ("Name", "hello"),
        ] {
            let error = one(name, text).unwrap_err();
            assert!(error.starts_with("annotations[\"org.systemd.property."), "{error}");
        }
    }

    #[test]
    fn neither_the_stack_nor_a_signature_is_as_large_as_the_config_says() {
        for open in ["<", "[", "(", "([<", "@u ", "uint32 ", "@au [", "(1,"] {
            let error = one("Name", &open.repeat(100_000)).unwrap_err();
            assert!(error.ends_with("values are nested more than 32 deep"), "{error}");
            assert!(error.len() < 1000, "{}", error.len());
        }
        let within = |depth: usize| format!("{}1{}", "<".repeat(depth), ">".repeat(depth));
        assert!(one("Name", &within(31)).is_ok());
        assert!(one("Name", &within(32)).is_err());
        // Closed values do not count.
        assert!(one("Name", &format!("[{}]", ["<<1>>"; 1000].join(","))).is_ok());
    }

    #[test]
    fn a_type_that_no_signature_holds_is_refused() {
        let tuple = |fields: usize| format!("({})", vec!["1"; fields].join(","));
        assert!(one("Name", &tuple(253)).is_ok());
        for text in [
            tuple(254),
            format!("<{}>", tuple(254)),
            format!("[<{}>]", tuple(254)),
            format!("({},{})", tuple(130), tuple(130)),
            format!("@a{}s []", "a".repeat(254)),
            format!("@{}s 1", "a".repeat(100_000)),
            "@a []".into(),
            "@a(su []".into(),
            format!("@{}s []", "a".repeat(33)),
            "()".into(),
        ] {
            let error = one("Name", &text).unwrap_err();
            assert!(error.contains("signature") && error.len() < 1000, "{text} {error}");
        }
    }

    #[test]
    fn other_annotations_are_none_of_ours() {
        assert!(parse(&[("com.example".into(), "x".into())]).unwrap().is_empty());
    }
}
