//! A document as a tree in which every value knows its place: for programs that show a document's faults to people.

use super::error::{Error, Result};
use super::reader::Reader;

/// How deep values may stand within others.
const MAX_DEPTH: usize = 256;

/// A value of a JSON document.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Node {
    /// Where its text begins: the number of bytes before it.
    pub offset: usize,
    /// The value itself.
    pub content: Content,
}

/// The content of a JSON value.
#[derive(Clone, Debug)]
pub enum Content {
    /// `null`.
    Null,
    /// A number or a truth value, as it is written.
    Literal(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// An object: each key with the offset of its text, and its value. A key may be there more than once.
    Object(Vec<(String, usize, Node)>),
}

impl Node {
    /// Reads a whole document.
    pub(crate) fn read(json: &[u8]) -> Result<Node> {
        let mut reader = Reader::new(json);
        let node = value(&mut reader, json, 0)?;
        reader.end().map(|()| node)
    }

    /// The entry of an object with this key; the last one counts, as for the runtime.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Content::Object(entries) = &self.content else { return None };
        entries.iter().rev().find(|(known, ..)| known == key).map(|(.., node)| node)
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::List(items) => items,
            _ => &[],
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Writes the value as JSON.
    pub fn write(&self, json: &mut String) {
        match &self.content {
            Content::Null => json.push_str("null"),
            Content::Literal(literal) => json.push_str(literal),
            Content::Text(text) => quote(text, json),
            Content::List(items) => {
                json.push('[');
                for (n, item) in items.iter().enumerate() {
                    json.push_str(if n == 0 { "" } else { "," });
                    item.write(json);
                }
                json.push(']');
            }
            Content::Object(entries) => {
                json.push('{');
                for (n, (key, _, value)) in entries.iter().enumerate() {
                    json.push_str(if n == 0 { "" } else { "," });
                    quote(key, json);
                    json.push(':');
                    value.write(json);
                }
                json.push('}');
            }
        }
    }
}

fn quote(text: &str, json: &mut String) {
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            '\0'..='\u{1f}' => json.push_str(&format!("\\u{:04x}", letter as u32)),
            _ => json.push(letter),
        }
    }
    json.push('"');
}

fn value(reader: &mut Reader<'_>, json: &[u8], depth: usize) -> Result<Node> {
    let offset = reader.position();
    if depth == MAX_DEPTH {
        return Err(Error::syntax(offset, format!("nested more than {MAX_DEPTH} deep")));
    }
    let content = match reader.peek() {
        Some(b'{') => Content::Object(entries(reader, json, depth)?),
        Some(b'[') => {
            reader.list()?;
            let mut items = Vec::new();
            while reader.item(items.is_empty())? {
                items.push(value(reader, json, depth + 1)?);
            }
            Content::List(items)
        }
        Some(b'"') => Content::Text(reader.string()?.unwrap_or_default().into_owned()),
        Some(b'n') => {
            reader.null()?;
            Content::Null
        }
        _ => Content::Literal(String::from_utf8_lossy(reader.raw()?).into_owned()),
    };
    Ok(Node { offset, content })
}

fn entries(reader: &mut Reader<'_>, json: &[u8], depth: usize) -> Result<Vec<(String, usize, Node)>> {
    reader.object()?;
    let mut entries = Vec::new();
    while let Some(key) = reader.key(entries.is_empty())? {
        let key = key.into_owned();
        let value = value(reader, json, depth + 1)?;
        entries.push((key, key_before(json, value.offset), value));
    }
    Ok(entries)
}

/// Where the key of the value at `offset` begins. In a string every quotation mark has an odd number of backslashes before it;
/// the one that opens it has none.
fn key_before(json: &[u8], offset: usize) -> usize {
    let mut quotes = (0..offset)
        .rev()
        .filter(|at| json[*at] == b'"' && json[..*at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0);
    quotes.next();
    quotes.next().unwrap_or(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Node {
        Node::read(json.as_bytes()).unwrap_or_else(|fault| panic!("{}", fault.problem()))
    }

    #[test]
    fn every_value_and_key_knows_its_place() {
        let json = r#"{"a" : [1, {"b\"c":null}], "d\\": "t\u00e9"}"#;
        let root = read(json);
        let Content::Object(entries) = &root.content else { panic!("{root:?}") };
        let at = |offset: usize| &json[offset..];
        assert!(at(entries[0].1).starts_with("\"a\" :") && at(entries[1].1).starts_with(r#""d\\""#));
        let inner = &entries[0].2.items()[1];
        let Content::Object(inner) = &inner.content else { panic!("{inner:?}") };
        assert!(at(inner[0].1).starts_with(r#""b\"c""#) && at(inner[0].2.offset).starts_with("null"));
        assert_eq!((inner[0].0.as_str(), entries[1].2.text()), ("b\"c", Some("té")));
    }

    #[test]
    fn a_tree_is_written_as_the_document_that_it_was_read_from() {
        for json in [r#"{"a":[1,-2.5e3,true,null],"b":{"c":"d\"\\"},"b":2}"#, "[]", "\"x\"", "{}"] {
            let mut written = String::new();
            read(json).write(&mut written);
            assert_eq!(written, json);
        }
        assert_eq!(read(r#"{"b":1,"b":2}"#).get("b").map(|node| node.offset), Some(11));
    }

    #[test]
    fn bad_documents_are_refused_as_the_runtime_refuses_them() {
        for json in ["", "{", "[1,]", "{\"a\":1,}", "1 2", "{'a':1}", "nul", "[01]"] {
            assert!(Node::read(json.as_bytes()).is_err(), "{json}");
        }
        let deep = "[".repeat(100_000);
        assert!(Node::read(deep.as_bytes()).is_err_and(|fault| fault.problem().contains("256 deep")));
    }
}
