//! The way to a value of a document, as the indexes of its entries and items.

use orlop::explain::{self, Content, Node};

/// The way along the path with which `text` begins, as far as there are values, and the length of that part. Keys may hold
/// dots; of equal keys the last one counts that has the field.
pub(super) fn walk(node: &Node, text: &str) -> (Vec<usize>, usize) {
    let mut best = (Vec::new(), 0);
    for (index, length) in steps(node, text) {
        let Some(child) = child(node, index) else { continue };
        let dot = usize::from(text[length..].starts_with('.'));
        let (further, more) = walk(child, &text[length + dot..]);
        let all = length + if more > 0 { dot + more } else { 0 };
        if all > best.1 {
            best = ([index].into_iter().chain(further).collect(), all);
        }
    }
    best
}

/// The children that the beginning of `text` may name, and how long that beginning is.
fn steps(node: &Node, text: &str) -> Vec<(usize, usize)> {
    let ends = |length: usize| {
        text.get(length..)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ' ']) || rest.starts_with(": "))
    };
    match &node.content {
        Content::Object(entries) => {
            let named = |(index, (key, ..)): (usize, &(String, usize, Node))| {
                // A key with any letters: `annotations["a: b"]`.
                let quoted = format!("[{key:?}]");
                let plain = explain::shown(key);
                let length = match text.starts_with('[') {
                    true => text.starts_with(&quoted).then_some(quoted.len()),
                    false => text.get(..plain.len())?.eq_ignore_ascii_case(&plain).then_some(plain.len()),
                };
                length.filter(|length| ends(*length) && *length > 0).map(|length| (index, length))
            };
            let mut found: Vec<_> = entries.iter().enumerate().filter_map(named).collect();
            found.sort_by_key(|(index, length)| std::cmp::Reverse((*length, *index)));
            found
        }
        Content::List(items) => {
            let number = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(number, _)| number);
            let index = number.and_then(|number| number.parse::<usize>().ok()).filter(|index| *index < items.len());
            index.zip(number).map(|(index, number)| (index, number.len() + 2)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

pub(super) fn at<'a>(node: &'a mut Node, steps: &[usize]) -> Option<&'a mut Node> {
    let [first, rest @ ..] = steps else { return Some(node) };
    match &mut node.content {
        Content::Object(entries) => at(&mut entries.get_mut(*first)?.2, rest),
        Content::List(items) => at(items.get_mut(*first)?, rest),
        _ => None,
    }
}

pub(super) fn child(node: &Node, index: usize) -> Option<&Node> {
    match &node.content {
        Content::Object(entries) => entries.get(index).map(|(.., node)| node),
        Content::List(items) => items.get(index),
        _ => None,
    }
}

pub(super) fn remove(copy: &mut Node, steps: &[usize]) {
    let Some((last, before)) = steps.split_last() else { return };
    match at(copy, before).map(|node| &mut node.content) {
        Some(Content::Object(entries)) => drop(entries.remove(*last)),
        Some(Content::List(items)) => drop(items.remove(*last)),
        _ => {}
    }
}
