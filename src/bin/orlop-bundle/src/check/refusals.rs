//! Everything that `create` would refuse.
//!
//! The runtime stops at the first fault. So the faulty field is removed from a copy of the document, and the runtime is asked
//! again, until it accepts: each fault is the runtime's own opinion, fault by fault.

use super::Bundle;
use super::stand_ins;
use super::structure::{join, nearest};
use super::way::{at, child, remove, walk};
use crate::arguments::Global;
use crate::finding::{Finding, Severity};
use orlop::explain::{self, Content, Node};
use std::collections::{BTreeMap, BTreeSet};

/// The most faults that are looked for, in a large document fewer.
const MOST: usize = 500;
const FEWEST: usize = 30;
/// About how many bytes the runtime is asked to read in all.
const READ: usize = 32 << 20;

/// The end of the runtime's message about a label for a security module that this kernel does not have.
const NO_MODULE: &str = "is disabled or not supported";

pub(super) fn findings(global: &Global, bundle: &Bundle) -> Vec<Finding> {
    let mut repair = Repair::new(bundle);
    let (mut findings, mut warnings) = (Vec::new(), Vec::new());
    let most = (READ / bundle.text.bytes.len().max(1)).clamp(FEWEST, MOST);
    let ask = |copy: &Node| {
        let mut json = String::new();
        copy.write(&mut json);
        explain::judge(json.as_bytes(), &bundle.directory, global.systemd)
    };
    for round in 0.. {
        let judgement = ask(&repair.copy);
        // Of those that come back the first one counts, since its values are still there.
        for warning in judgement.warnings.iter().map(|text| warning(bundle, &repair, text)) {
            let same = |known: &Finding| known.problem == warning.problem && known.field == warning.field;
            if !warnings.iter().any(same) {
                warnings.push(warning);
            }
        }
        let Some(error) = judgement.refusal else { break };
        if round == most {
            findings.push(more(most));
            break;
        }
        let fault = repair.fault(&error.to_string());
        let refusal = |copy: &Node| ask(copy).refusal.map(|error| error.to_string());
        if !repair.is_consequence(&fault) {
            let finding = finding(bundle, &fault);
            let of_host = judgement.of_host || fault.problem.ends_with(NO_MODULE);
            findings.push(if of_host { finding.on_host() } else { finding });
        }
        let searches = most == MOST;
        if !repair.mend(&fault, &|copy| if searches { refusal(copy) } else { Some(error.to_string()) }) {
            break;
        }
    }
    findings.extend(warnings);
    findings
}

/// There are more faults than are looked for.
fn more(most: usize) -> Finding {
    let problem = format!("more than {most} faults; those that follow are not looked for");
    Finding::new("config.more", Severity::Error, "", problem).remedy("mend those that are shown, and check again")
}

/// A warning that the runtime would log.
fn warning(bundle: &Bundle, repair: &Repair, text: &str) -> Finding {
    let fault = repair.fault(text);
    let place = fault.offset.map(|offset| bundle.text.place(offset));
    let finding = Finding::new("config.warned", Severity::Warning, &fault.path, fault.problem).at(place);
    let finding = finding.source(section(&fault.path));
    match fault.hint {
        Some(hint) => finding.remedy(hint),
        None => finding.remedy("leave it out, unless another runtime needs it"),
    }
}

fn finding(bundle: &Bundle, fault: &Fault) -> Finding {
    let missing = !fault.tail.is_empty();
    let id = if missing { "config.missing" } else { "config.refused" };
    let place = fault.offset.map(|offset| bundle.text.place(offset));
    let finding = Finding::new(id, Severity::Error, &fault.path, &fault.problem).at(place).source(section(&fault.path));
    match &fault.hint {
        Some(hint) => finding.remedy(hint),
        None if missing => finding.remedy("add it; the specification's section has an example"),
        None => finding.remedy("write a value that the specification's section allows, or leave the field out"),
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

/// An error of the runtime in its parts, with its place in the copy.
struct Fault {
    problem: String,
    hint: Option<String>,
    /// The way to the deepest value that is there.
    steps: Vec<usize>,
    /// The rest of the path, for which there is no value.
    tail: String,
    /// The path in the document as it was written; empty where the error names none.
    path: String,
    /// Where the deepest value begins; none for one that the repair put in.
    offset: Option<usize>,
}

/// A copy of the document that is made acceptable.
struct Repair {
    copy: Node,
    /// The paths of the original by offset: indexes move when items are removed.
    paths: BTreeMap<usize, String>,
    /// Paths that were removed.
    removed: BTreeSet<String>,
    /// Paths for which another value was tried.
    grafted: BTreeSet<String>,
}

/// The types of namespaces.
const NAMESPACES: &[&str] = &["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"];

impl Repair {
    fn new(bundle: &Bundle) -> Repair {
        let mut paths = BTreeMap::new();
        collect(&bundle.config, "", &mut paths);
        Repair { copy: bundle.config.clone(), paths, removed: BTreeSet::new(), grafted: BTreeSet::new() }
    }

    /// An error or a warning: `where: path: problem (hint: remedy)`.
    fn fault(&self, message: &str) -> Fault {
        let (text, hint) = match message.rsplit_once(" (hint: ") {
            Some((text, hint)) => (text, hint.strip_suffix(')').map(str::to_owned)),
            None => (message, None),
        };
        let starts = [0].into_iter().chain(text.match_indices(": ").map(|(at, _)| at + 2));
        let Some(found) = starts.into_iter().find_map(|start| self.locate(&text[start..])) else {
            let problem = text.to_owned();
            return Fault { problem, hint, steps: Vec::new(), tail: String::new(), path: String::new(), offset: None };
        };
        Fault { hint, ..found }
    }

    /// A text that begins with a path and goes on with a problem: `path: problem`, or `path problem` in warnings.
    fn locate(&self, text: &str) -> Option<Fault> {
        let top = text.split(['.', '[', ':', ' ']).next()?;
        let fields = explain::config_shape().fields();
        fields.iter().find(|(name, _)| *name == top)?;
        let (steps, length) = walk(&self.copy, text);
        let rest = &text[length..];
        let tail = &rest[..rest.find(": ").unwrap_or(rest.len())];
        let tail = &tail[..tail.find(' ').unwrap_or(tail.len())];
        let problem = &rest[tail.len()..];
        // Other sentences may begin with the name of a field.
        let alone = length + tail.len() == top.len();
        let problem = problem.strip_prefix(": ").or(problem.strip_prefix(' ').filter(|_| !alone))?;
        // The line of the copy.
        let problem = match problem.rsplit_once(" at line ") {
            Some((mismatch, _)) if problem.starts_with("expected ") => mismatch,
            _ => problem,
        };
        let problem = problem.to_owned();
        let node = steps.iter().try_fold(&self.copy, |node, step| child(node, *step))?;
        let own = self.paths.get(&node.offset).cloned();
        let tail = tail.trim_start_matches('.');
        let path = match (tail, &own) {
            ("", Some(own)) => own.clone(),
            (tail, Some(own)) if tail.starts_with('[') => format!("{own}{tail}"),
            (tail, Some(own)) => join(own, tail),
            _ => text[..text.len() - problem.len()].trim_end_matches([':', ' ']).to_owned(),
        };
        Some(Fault { problem, hint: None, steps, tail: tail.to_owned(), path, offset: own.map(|_| node.offset) })
    }

    /// Whether the fault is there because a field was removed: the field itself, or one of its parts.
    fn is_consequence(&self, fault: &Fault) -> bool {
        if fault.path.is_empty() {
            return false;
        }
        let parts = |gone: &String| gone.strip_prefix(&fault.path).is_some_and(|rest| rest.starts_with(['.', '[']));
        fault.offset.is_none()
            || !fault.tail.is_empty() && self.removed.contains(&fault.path)
            || self.removed.iter().any(parts)
    }

    /// Takes out the one field of an object without which the runtime does not refuse the object as a whole: its other fields
    /// may have faults of their own.
    fn without_culprit(&mut self, fault: &Fault, refusal: &dyn Fn(&Node) -> Option<String>) -> bool {
        let Some(Content::Object(entries)) = at(&mut self.copy, &fault.steps).map(|node| &node.content) else {
            return false;
        };
        let fields = if fault.steps.is_empty() || entries.len() < 2 { 0 } else { entries.len() };
        let object = fault.path.strip_suffix(&fault.tail).unwrap_or_default().trim_end_matches('.').to_owned();
        let whole = self.copy.clone();
        for index in 0..fields {
            let steps = [&fault.steps[..], &[index]].concat();
            let gone = at(&mut self.copy, &steps).and_then(|node| self.paths.get(&node.offset)).cloned();
            remove(&mut self.copy, &steps);
            let is_culprit = refusal(&self.copy).is_none_or(|message| {
                let next = self.fault(&message);
                let is_same = next.problem == fault.problem && next.path == fault.path;
                // A field that must be there is not the one.
                let is_needed = !next.tail.is_empty() && next.path.starts_with(&object);
                !is_same && !is_needed
            });
            if is_culprit {
                self.removed.extend(gone);
                return true;
            }
            self.copy = whole.clone();
        }
        false
    }

    /// Takes the fault out of the copy; false where nothing is left to be tried. `refusal` is the runtime's opinion of a copy.
    fn mend(&mut self, fault: &Fault, refusal: &dyn Fn(&Node) -> Option<String>) -> bool {
        if fault.path.is_empty() {
            return false;
        }
        if fault.path == "annotations" && self.without_empty_key(fault) {
            return true;
        }
        if fault.tail.is_empty() && !fault.steps.is_empty() {
            if !self.other_namespace(fault) && !self.without_culprit(fault, refusal) {
                remove(&mut self.copy, &fault.steps);
                self.removed.insert(fault.path.clone());
            }
            return true;
        }
        // Something is missing. The default has most fields that must be there; else what lacks the field goes.
        self.removed.insert(fault.path.clone());
        if self.grafted.insert(fault.path.clone()) && self.stand_in(fault) {
            return true;
        }
        if self.without_culprit(fault, refusal) {
            return true;
        }
        if fault.steps.len() > 1 {
            remove(&mut self.copy, &fault.steps);
            return true;
        }
        let top = fault.path.split(['.', '[']).next().unwrap_or_default().to_owned();
        self.grafted.insert(format!("{top} as a whole")) && graft(&mut self.copy, &[], &top, &default())
    }

    /// An annotation without a name is refused at the object that holds it and the other ones.
    fn without_empty_key(&mut self, fault: &Fault) -> bool {
        let Some(Content::Object(entries)) = at(&mut self.copy, &fault.steps).map(|node| &mut node.content) else {
            return false;
        };
        let before = entries.len();
        entries.retain(|(key, ..)| !key.is_empty());
        entries.len() < before
    }

    /// Gives a namespace of an unknown type the type that is meant, since others depend on it.
    fn other_namespace(&mut self, fault: &Fault) -> bool {
        if !fault.path.starts_with("linux.namespaces[") || !self.grafted.insert(fault.path.clone()) {
            return false;
        }
        let steps = &fault.steps[..fault.steps.len().min(3)];
        let list = self.copy.get("linux").and_then(|linux| linux.get("namespaces")).map_or(&[][..], Node::items);
        let is_there = |name: &&str| list.iter().any(|of| of.get("type").and_then(Node::text) == Some(name));
        let free: Vec<&str> = NAMESPACES.iter().copied().filter(|name| !is_there(name)).collect();
        let Some(Content::Object(entries)) = at(&mut self.copy, steps).map(|node| &mut node.content) else {
            return false;
        };
        let Some((.., node)) = entries.iter_mut().find(|(key, ..)| key == "type") else { return false };
        let Some(near) = nearest(node.text().unwrap_or_default(), free.into_iter()) else { return false };
        node.content = Content::Text(near.to_owned());
        true
    }

    /// Puts in a value for one that is missing.
    fn stand_in(&mut self, fault: &Fault) -> bool {
        if graft(&mut self.copy, &fault.steps, &fault.tail, &default()) {
            return true;
        }
        let mut plain = String::new();
        for part in fault.path.split_inclusive('[') {
            plain += part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        }
        let mut document = String::new();
        self.copy.write(&mut document);
        let Some(node) = at(&mut self.copy, &fault.steps) else { return false };
        let json = stand_ins::of(&plain, node, &document);
        let Some(Ok(mut value)) = json.map(|json| explain::read(json.as_bytes())) else { return false };
        forget_places(&mut value);
        let Content::Object(entries) = &mut node.content else { return false };
        entries.push((fault.tail.clone(), usize::MAX, value));
        true
    }
}

/// The default's config: its values have no place in the document.
fn default() -> Node {
    let read = explain::read(explain::default_config().as_bytes());
    let mut default = read.unwrap_or_else(|error| unreachable!("the default config is JSON: {error}"));
    forget_places(&mut default);
    default
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
