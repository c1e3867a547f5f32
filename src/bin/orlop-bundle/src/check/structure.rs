//! Keys: unknown ones, doubled ones, and those of other platforms.

use super::Bundle;
use crate::finding::{Finding, Severity};
use orlop::explain::{self, Content, Node, Shape};
use std::collections::HashMap;

/// Parts of the specification for other platforms.
const OTHER_PLATFORMS: &[&str] = &["freebsd", "solaris", "vm", "windows", "zos"];

/// The longest word, in bytes, for which a name is suggested.
const LONGEST_NAME: usize = 64;

pub(super) fn findings(bundle: &Bundle) -> Vec<Finding> {
    let mut walk = Walk { bundle, findings: Vec::new() };
    walk.value(&bundle.config, &explain::config_shape(), "");
    walk.findings
}

struct Walk<'a> {
    bundle: &'a Bundle,
    findings: Vec<Finding>,
}

impl Walk<'_> {
    fn value(&mut self, node: &Node, shape: &Shape, path: &str) {
        match (&node.content, shape) {
            (Content::Object(entries), Shape::Object(fields)) => self.object(entries, fields, path),
            (Content::Object(entries), Shape::Map(value)) => {
                self.duplicates(entries, path, |key| key.to_owned());
                for (key, _, node) in entries {
                    self.value(node, value, &join(path, key));
                }
            }
            (Content::List(items), Shape::List(item)) => {
                for (n, node) in items.iter().enumerate() {
                    self.value(node, item, &format!("{path}[{n}]"));
                }
            }
            // A value of another form is refused by the runtime.
            _ => {}
        }
    }

    fn object(&mut self, entries: &[(String, usize, Node)], fields: &[(&'static str, &'static Shape)], path: &str) {
        // As the runtime: the exact name, else the same letters in another case.
        let find = |key: &str| {
            let exact = fields.iter().find(|(name, _)| *name == key);
            exact.or_else(|| fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)))
        };
        self.duplicates(entries, path, |key| find(key).map_or(key, |(name, _)| name).to_owned());
        for (key, offset, node) in entries {
            let here = join(path, key);
            let place = Some(self.bundle.text.place(*offset));
            match find(key) {
                Some((name, shape)) => {
                    if name != key {
                        let problem =
                            format!("another case than the specification's {name:?}; it is read as that field");
                        let note = Finding::new("field.case", Severity::Note, &here, problem);
                        self.findings.push(note.at(place).remedy(format!("write {name:?}")));
                    }
                    self.value(node, shape, &join(path, name));
                }
                None if path.is_empty() && OTHER_PLATFORMS.contains(&key.as_str()) => {
                    let problem = "for another platform than Linux; it has no effect";
                    self.findings.push(Finding::new("field.platform", Severity::Note, &here, problem).at(place));
                }
                None => {
                    let names = fields.iter().map(|(name, _)| *name);
                    let finding = Finding::new(
                        "field.unknown",
                        Severity::Warning,
                        &here,
                        "not a field of the specification; it has no effect",
                    )
                    .at(place)
                    .source("runtime-spec, config.md");
                    self.findings.push(match (homes(key).as_slice(), nearest(key, names)) {
                        ([home], _) if home.is_empty() => finding.remedy("move it to the top of the document"),
                        ([home], _) => finding.remedy(format!("move it into {home:?}")),
                        (_, Some(name)) => finding.remedy(format!("did you mean {name:?}?")),
                        (_, None) => finding.remedy("remove it, or look the name up in the specification"),
                    });
                }
            }
        }
    }

    fn duplicates(&mut self, entries: &[(String, usize, Node)], path: &str, name: impl Fn(&str) -> String) {
        let mut known = HashMap::new();
        for (n, (key, offset, _)) in entries.iter().enumerate() {
            let first = *known.entry(name(key)).or_insert(n);
            if first == n {
                continue;
            }
            let before = self.bundle.text.place(entries[first].1);
            let problem = format!(
                "given twice, first in line {}; of two values the last one counts, and objects are merged",
                before.line
            );
            let finding = Finding::new("field.duplicate", Severity::Warning, join(path, key), problem);
            let finding = finding.at(Some(self.bundle.text.place(*offset)));
            self.findings.push(finding.source("RFC 8259, section 4").remedy("remove one of them"));
        }
    }
}

/// The objects of the specification with a field of this name, except for those in lists.
fn homes(key: &str) -> Vec<String> {
    let mut homes = Vec::new();
    let mut objects = vec![(String::new(), explain::config_shape())];
    while let Some((path, shape)) = objects.pop() {
        let Shape::Object(fields) = shape else { continue };
        if fields.iter().any(|(name, _)| *name == key) {
            homes.push(path.clone());
        }
        let of_linux = fields.iter().filter(|(name, _)| !OTHER_PLATFORMS.contains(name));
        objects.extend(of_linux.map(|(name, shape)| (join(&path, name), **shape)));
    }
    homes
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The name that is meant, if one is near.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let most = 1 + word.len() / 4;
    // Each letter more is a difference.
    let near = names.filter(|name| name.len().abs_diff(lower.len()) <= most && lower.len() <= LONGEST_NAME);
    let near = near.map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name)).min()?;
    (near.0 <= most).then_some(near.1)
}
