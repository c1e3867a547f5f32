//! Everything that `create` would refuse.
//!
//! The runtime stops at the first fault. So the faulty field is removed from a copy of the document, and the runtime is asked
//! again, until it accepts: each finding is the runtime's own error.

use super::Bundle;
use super::structure::join;
use crate::arguments::Global;
use crate::finding::{Finding, Severity};
use orlop::error::{Error, Kind};
use orlop::explain::{self, Content, Node};
use std::collections::{BTreeMap, BTreeSet};

/// The most faults that are looked for.
const MOST: usize = 500;

pub(super) fn findings(global: &Global, bundle: &Bundle) -> Vec<Finding> {
    let mut repair = Repair::new(bundle);
    let (mut findings, mut warnings) = (Vec::new(), Vec::new());
    for _ in 0..MOST {
        let mut json = String::new();
        repair.copy.write(&mut json);
        let judgement = explain::judge(json.as_bytes(), &bundle.directory, global.systemd);
        if warnings.is_empty() {
            warnings = judgement.warnings;
        }
        let Some(error) = judgement.refusal else { break };
        let fault = Fault::of(&error.to_string());
        match repair.locate(&fault.path) {
            Some(found) => {
                if !repair.is_consequence(&found) {
                    findings.push(finding(bundle, &fault, &error, &found));
                }
                if !repair.mend(&found) {
                    break;
                }
            }
            None => {
                findings.push(finding(bundle, &fault, &error, &Located::nowhere(&fault.path)));
                break;
            }
        }
    }
    let original = Repair::new(bundle);
    findings.extend(warnings.iter().map(|text| warning(bundle, &original, text)));
    findings
}

/// A warning that the runtime would log.
fn warning(bundle: &Bundle, original: &Repair, text: &str) -> Finding {
    let fault = Fault::of(text);
    let found = original.locate(&fault.path).unwrap_or_else(|| Located::nowhere(&fault.path));
    let place = found.offset.map(|offset| crate::place::of_offset(&bundle.text, offset));
    let finding = Finding::new("config.warned", Severity::Warning, found.path, fault.problem).at(place);
    match fault.hint {
        Some(hint) => finding.remedy(hint),
        None => finding,
    }
}

fn finding(bundle: &Bundle, fault: &Fault, error: &Error, found: &Located) -> Finding {
    let missing = !found.tail.is_empty();
    let finding = Finding::new(
        if missing { "config.missing" } else { "config.refused" },
        Severity::Error,
        &found.path,
        &fault.problem,
    );
    let place = found.offset.map(|offset| crate::place::of_offset(&bundle.text, offset));
    let finding = finding.at(place).source(section(&found.path));
    let finding = if error.kind() == Kind::Config { finding } else { finding.on_host() };
    match &fault.hint {
        Some(hint) => finding.remedy(hint),
        None => finding,
    }
}

/// Where the specification describes a field.
fn section(path: &str) -> &'static str {
    const SECTIONS: &[(&str, &str)] = &[
        ("ociVersion", "config.md, \"Specification version\""),
        ("root", "config.md, \"Root\""),
        ("mounts", "config.md, \"Mounts\""),
        ("process.rlimits", "config.md, \"POSIX process\""),
        ("process", "config.md, \"Process\""),
        ("hooks", "config.md, \"POSIX-platform Hooks\""),
        ("annotations", "config.md, \"Annotations\""),
        ("linux.namespaces", "config-linux.md, \"Namespaces\""),
        ("linux.uidMappings", "config-linux.md, \"User namespace mappings\""),
        ("linux.gidMappings", "config-linux.md, \"User namespace mappings\""),
        ("linux.timeOffsets", "config-linux.md, \"Offset for Time Namespace\""),
        ("linux.devices", "config-linux.md, \"Devices\""),
        ("linux.netDevices", "config-linux.md, \"Network Devices\""),
        ("linux.cgroupsPath", "config-linux.md, \"Cgroups Path\""),
        ("linux.resources.memory", "config-linux.md, \"Memory\""),
        ("linux.resources.cpu", "config-linux.md, \"CPU\""),
        ("linux.resources.pids", "config-linux.md, \"PIDs\""),
        ("linux.resources.devices", "config-linux.md, \"Allowed Device list\""),
        ("linux.resources", "config-linux.md, \"Control groups\""),
        ("linux.intelRdt", "config-linux.md, \"IntelRdt\""),
        ("linux.memoryPolicy", "config-linux.md, \"Memory policy\""),
        ("linux.sysctl", "config-linux.md, \"Sysctl\""),
        ("linux.seccomp", "config-linux.md, \"Seccomp\""),
        ("linux.rootfsPropagation", "config-linux.md, \"Rootfs Mount Propagation\""),
        ("linux.maskedPaths", "config-linux.md, \"Masked Paths\""),
        ("linux.readonlyPaths", "config-linux.md, \"Readonly Paths\""),
        ("linux.personality", "config-linux.md, \"Personality\""),
        ("linux", "config-linux.md"),
    ];
    SECTIONS.iter().find(|(field, _)| path.starts_with(field)).map_or("config.md", |(_, section)| section)
}

/// An error of the runtime in its parts.
struct Fault {
    /// The path of the field; empty where it names none.
    path: String,
    problem: String,
    hint: Option<String>,
}

impl Fault {
    fn of(message: &str) -> Fault {
        let (text, hint) = match message.rsplit_once(" (hint: ") {
            Some((text, hint)) => (text, hint.strip_suffix(')').map(str::to_owned)),
            None => (message, None),
        };
        let fields = explain::config_shape().fields();
        let is_path = |part: &str| {
            let key = part.split(['.', '[']).next().unwrap_or_default();
            !part.contains(' ') && fields.iter().any(|(name, _)| *name == key)
        };
        let mut before = 0;
        for part in text.split(": ") {
            let end = before + part.len();
            if is_path(part) {
                let problem = text.get(end + 2..).unwrap_or_default();
                return Fault { path: part.to_owned(), problem: problem.to_owned(), hint };
            }
            before = end + 2;
        }
        // Warnings: `annotations["run.oci.x"] has no effect`.
        if let Some((path, problem)) =
            text.split_once(' ').filter(|(path, _)| is_path(path) && path.contains(['.', '[']))
        {
            return Fault { path: path.to_owned(), problem: problem.to_owned(), hint };
        }
        Fault { path: String::new(), problem: text.to_owned(), hint }
    }
}

/// A place in the copy.
struct Located {
    /// The way to the deepest value that is there.
    steps: Vec<usize>,
    /// The rest of the path, for which there is no value.
    tail: String,
    /// The path in the document as it was written.
    path: String,
    /// The place of the deepest value; none for a value of the repair.
    offset: Option<usize>,
}

impl Located {
    fn nowhere(path: &str) -> Located {
        Located { steps: Vec::new(), tail: String::new(), path: path.to_owned(), offset: None }
    }
}

/// A copy of the document that is made acceptable.
struct Repair {
    copy: Node,
    /// The paths of the original by offset: indexes move when items are removed.
    paths: BTreeMap<usize, String>,
    /// Paths that were removed.
    removed: BTreeSet<String>,
    /// Paths for which the default's value was tried.
    grafted: BTreeSet<String>,
}

impl Repair {
    fn new(bundle: &Bundle) -> Repair {
        let mut paths = BTreeMap::new();
        collect(&bundle.config, "", &mut paths);
        Repair { copy: bundle.config.clone(), paths, removed: BTreeSet::new(), grafted: BTreeSet::new() }
    }

    fn locate(&self, path: &str) -> Option<Located> {
        if path.is_empty() {
            return None;
        }
        let (mut node, mut rest, mut steps) = (&self.copy, path, Vec::new());
        while let Some((index, length)) = step(node, rest) {
            node = child(node, index)?;
            steps.push(index);
            rest = rest[length..].trim_start_matches('.');
        }
        let own = self.paths.get(&node.offset).cloned();
        let written = match (rest, &own) {
            ("", Some(own)) => own.clone(),
            (rest, Some(own)) if rest.starts_with('[') => format!("{own}{rest}"),
            (rest, Some(own)) => join(own, rest),
            _ => path.to_owned(),
        };
        Some(Located { steps, tail: rest.to_owned(), path: written, offset: own.map(|_| node.offset) })
    }

    /// Whether the fault is there because a field was removed.
    fn is_consequence(&self, found: &Located) -> bool {
        let within = |gone: &String| found.path.starts_with(gone.as_str());
        found.offset.is_none() || !found.tail.is_empty() && self.removed.iter().any(within)
    }

    /// Takes the fault out of the copy; false where nothing is left to be tried.
    fn mend(&mut self, found: &Located) -> bool {
        self.removed.insert(found.path.clone());
        if found.tail.is_empty() && !found.steps.is_empty() && found.offset.is_some() {
            remove(&mut self.copy, &found.steps);
            return true;
        }
        // Something is missing. The default has most required fields; else the object without the field is removed.
        let Ok(mut default) = explain::read(explain::default_config().as_bytes()) else { return false };
        forget_places(&mut default);
        if self.grafted.insert(found.path.clone()) && graft(&mut self.copy, &found.steps, &found.tail, &default) {
            return true;
        }
        if found.steps.len() > 1 {
            remove(&mut self.copy, &found.steps);
            return true;
        }
        let top = found.path.split(['.', '[']).next().unwrap_or_default().to_owned();
        self.grafted.insert(format!("{top} as a whole")) && graft(&mut self.copy, &[], &top, &default)
    }
}

/// Puts the default's field `name` into the object at `steps`.
fn graft(copy: &mut Node, steps: &[usize], name: &str, default: &Node) -> bool {
    let (mut node, mut model) = (copy, default);
    for step in steps {
        let Content::Object(entries) = &mut node.content else { return false };
        let Some((key, _, value)) = entries.get_mut(*step) else { return false };
        let Some(of_default) = model.get(key) else { return false };
        (node, model) = (value, of_default);
    }
    let (Content::Object(entries), Some(value)) = (&mut node.content, model.get(name)) else { return false };
    entries.retain(|(key, ..)| !key.eq_ignore_ascii_case(name));
    entries.push((name.to_owned(), usize::MAX, value.clone()));
    true
}

fn collect(node: &Node, path: &str, paths: &mut BTreeMap<usize, String>) {
    paths.insert(node.offset, path.to_owned());
    match &node.content {
        Content::Object(entries) => entries.iter().for_each(|(key, _, node)| collect(node, &join(path, key), paths)),
        Content::List(items) => {
            items.iter().enumerate().for_each(|(n, node)| collect(node, &format!("{path}[{n}]"), paths));
        }
        _ => {}
    }
}

/// An offset that is no place in the document.
fn forget_places(node: &mut Node) {
    node.offset = usize::MAX;
    match &mut node.content {
        Content::Object(entries) => entries.iter_mut().for_each(|(.., node)| forget_places(node)),
        Content::List(items) => items.iter_mut().for_each(forget_places),
        _ => {}
    }
}

/// The child that the beginning of `rest` names, and how long that beginning is. Keys may hold dots.
fn step(node: &Node, rest: &str) -> Option<(usize, usize)> {
    match &node.content {
        Content::Object(entries) if rest.starts_with("[\"") => {
            // A key with any letters: `annotations["a: b"]`.
            let (key, _) = rest[2..].split_once("\"]")?;
            let index = entries.iter().rposition(|(known, ..)| known == key)?;
            Some((index, key.len() + 4))
        }
        Content::Object(entries) => {
            let names = |(index, (key, ..)): (usize, &(String, usize, Node))| {
                let begins = rest.get(..key.len())?.eq_ignore_ascii_case(key);
                let ends = rest[key.len()..].is_empty() || rest[key.len()..].starts_with(['.', '[']);
                (begins && ends && !key.is_empty()).then_some((key.len(), index))
            };
            // The longest key; of equal ones the last, which is the one that counts.
            entries.iter().enumerate().filter_map(names).max().map(|(length, index)| (index, length))
        }
        Content::List(items) => {
            let (number, _) = rest.strip_prefix('[')?.split_once(']')?;
            let index: usize = number.parse().ok()?;
            (index < items.len()).then_some((index, number.len() + 2))
        }
        _ => None,
    }
}

fn child(node: &Node, index: usize) -> Option<&Node> {
    match &node.content {
        Content::Object(entries) => entries.get(index).map(|(.., node)| node),
        Content::List(items) => items.get(index),
        _ => None,
    }
}

fn remove(node: &mut Node, steps: &[usize]) {
    let [first, rest @ ..] = steps else { return };
    match &mut node.content {
        Content::Object(entries) if rest.is_empty() => drop(entries.remove(*first)),
        Content::List(items) if rest.is_empty() => drop(items.remove(*first)),
        Content::Object(entries) => remove(&mut entries[*first].2, rest),
        Content::List(items) => remove(&mut items[*first], rest),
        _ => {}
    }
}
