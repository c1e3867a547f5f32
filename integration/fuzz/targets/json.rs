//! The JSON readers against an independent one with Go's rules.

use super::go_json::{self, Go, Refusal};
use crate::config::{self, Spec};
use crate::explain::{Content, Node};
use crate::json::Shaped;
use crate::json::tree::Tree;
use serde_json::Value as Json;

pub(super) fn json(input: &[u8]) {
    let ours = Node::read(input);
    let (tree, reading) = match go_json::read(input) {
        Ok(tree) => (tree, ours),
        Err(Refusal::TooDeep) => return,
        Err(Refusal::Syntax) => {
            assert!(ours.is_err() && config::parse(input).is_err(), "bad syntax is read");
            return;
        }
    };
    let node = reading.unwrap_or_else(|error| panic!("good syntax is refused: {}", error.problem()));
    assert_eq!(go_of(&node), tree, "a tree that is not the document's");
    let mut written = String::new();
    node.write(&mut written);
    let again = Node::read(written.as_bytes()).unwrap_or_else(|error| panic!("{written}: {}", error.problem()));
    assert_eq!(go_of(&again), tree, "a tree that is not written as it was read");
    // serde_json keeps the last of equal keys, and reads no invalid UTF-8, lone surrogate or number
    // beyond a double.
    if let Ok(theirs) = serde_json::from_slice::<Json>(input) {
        assert!(same(&tree, &theirs), "serde_json reads another tree: {theirs}");
    }
    typed(input, &tree);
}

/// The types of a config: what they accept is what the tree says, and they accept it when written
/// again.
fn typed(input: &[u8], tree: &Go) {
    let Ok(spec) = config::parse(input) else { return };
    let mut expected = Json::Object(serde_json::Map::new());
    go_json::decode(&Spec::SHAPE, tree, &mut expected);
    if expected.is_null() {
        expected = Json::Object(serde_json::Map::new());
    }
    let read = spec.tree();
    assert!(go_json::agrees(&expected, &read), "read as {read}, should be {expected}");
    let written = read.to_string();
    let again = config::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(again.tree(), read, "a config that is not read as it was written");
}

fn go_of(node: &Node) -> Go {
    match &node.content {
        Content::Null => Go::Null,
        Content::Literal(literal) => Go::Literal(literal.clone()),
        Content::Text(text) => Go::Text(go_json::squeezed(text)),
        Content::List(items) => Go::List(items.iter().map(go_of).collect()),
        Content::Object(entries) => {
            Go::Object(entries.iter().map(|(key, _, value)| (go_json::squeezed(key), go_of(value))).collect())
        }
    }
}

fn same(tree: &Go, theirs: &Json) -> bool {
    match (tree, theirs) {
        (Go::Null, Json::Null) => true,
        (Go::Literal(one), Json::Bool(other)) => *one == other.to_string(),
        (Go::Literal(one), Json::Number(other)) => {
            *one == other.to_string() || one.parse::<f64>().ok() == other.as_f64()
        }
        (Go::Text(one), Json::String(other)) => *one == go_json::squeezed(other),
        (Go::List(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Go::Object(one), Json::Object(other)) => other.iter().all(|(key, value)| {
            let key = go_json::squeezed(key);
            one.iter().rev().any(|(name, entry)| *name == key && same(entry, value))
        }),
        _ => false,
    }
}
