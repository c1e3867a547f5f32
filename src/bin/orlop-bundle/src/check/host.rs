//! Values that this machine's kernel would not take.

use super::Bundle;
use crate::doctor::cgroups;
use crate::finding::{Finding, Severity};
use orlop::explain::{Content, Node};
use std::path::Path;

pub(super) fn findings(bundle: &Bundle) -> Vec<Finding> {
    let mut findings = Vec::new();
    let linux = bundle.config.get("linux");
    if let Some(Content::Object(entries)) = linux.and_then(|linux| linux.get("sysctl")).map(|node| &node.content) {
        for (name, _, value) in entries {
            findings.extend(sysctl(bundle, name, value));
        }
    }
    let resources = linux.and_then(|linux| linux.get("resources"));
    let cpu = resources.and_then(|resources| resources.get("cpu"));
    for (key, file, noun) in [
        ("cpus", "/sys/devices/system/cpu/online", "processors"),
        ("mems", "/sys/devices/system/node/online", "memory nodes"),
    ] {
        let Some(node) = cpu.and_then(|cpu| cpu.get(key)) else { continue };
        let online = std::fs::read_to_string(file).unwrap_or_default();
        let (Some(wanted), Some(online)) = (node.text().and_then(ranges), ranges(online.trim())) else { continue };
        let is_there = |end: u32| online.iter().any(|(begin, last)| (*begin..=*last).contains(&end));
        if wanted.iter().any(|(begin, last)| !is_there(*begin) || !is_there(*last)) {
            let problem = format!("this machine does not have all of these {noun} ({file})");
            let field = format!("linux.resources.cpu.{key}");
            findings.push(finding(bundle, "limit.missing", field, problem, "name those that are there", node));
        }
    }
    for (group, key, least, most) in
        [("cpu", "quota", 1000, 1 << 44), ("cpu", "period", 1000, 1_000_000), ("pids", "limit", 0, 4 << 20)]
    {
        let Some(node) = resources.and_then(|resources| resources.get(group)?.get(key)) else { continue };
        let Some(value) = number(node).filter(|value| *value > 0) else { continue };
        if !(least..=most).contains(&value) {
            let problem = format!("the kernel takes values from {least} to {most}");
            let field = format!("linux.resources.{group}.{key}");
            findings.push(finding(bundle, "limit.range", field, problem, "write a value in that range", node));
        }
    }
    findings.extend(open_files(bundle));
    findings.extend(resources.and_then(|resources| swap(bundle, resources)));
    findings.extend(rights(bundle));
    findings
}

/// Namespaces and limits that need more rights than this user has.
fn rights(bundle: &Bundle) -> Vec<Finding> {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let sets = effective.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
    if sets.is_none_or(|set| set & 1 << CAP_SYS_ADMIN != 0) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let Some(linux) = bundle.config.get("linux") else { return findings };
    let list = linux.get("namespaces").filter(|list| !list.items().is_empty());
    if let Some(list) =
        list.filter(|list| list.items().iter().all(|of| of.get("type").and_then(Node::text) != Some("user")))
    {
        let problem = "this user is not root, and there is no user namespace".to_owned();
        let remedy = "`spec --rootless` writes a config with a user namespace and mappings";
        findings.push(finding(bundle, "user.rights", "linux.namespaces".to_owned(), problem, remedy, list));
    }
    for group in ["memory", "cpu", "pids"] {
        let limits = linux.get("resources").and_then(|resources| resources.get(group));
        let has_some = |node: &&Node| matches!(&node.content, Content::Object(entries) if !entries.is_empty());
        let Some(node) = limits.filter(has_some).filter(|_| !cgroups::is_delegated(group)) else { continue };
        let problem = format!("no cgroup with the controller {group} is delegated to this user");
        let remedy =
            "leave the limits out, or run it in a delegated cgroup (`systemd-run --user --scope -p Delegate=yes`)";
        findings.push(finding(bundle, "user.rights", format!("linux.resources.{group}"), problem, remedy, node));
    }
    findings
}

/// cgroup v1 limits memory and swap together, which is no less than the limit of memory.
fn swap(bundle: &Bundle, resources: &Node) -> Option<Finding> {
    let memory = resources.get("memory")?;
    let value = |key: &str| memory.get(key).and_then(number);
    let node = memory.get("swap")?;
    let has_limit = value("limit").is_some_and(|limit| limit > 0);
    if value("swap")? <= 0 || has_limit || !cgroups::is_v1("memory") {
        return None;
    }
    let problem = "cgroup v1 takes it only beside `limit`, since it is memory and swap together".to_owned();
    let field = "linux.resources.memory.swap".to_owned();
    Some(finding(bundle, "limit.range", field, problem, "set `limit` too, to the same value or less", node))
}

/// Limits of open files above the kernel's greatest (prlimit(2): EPERM, for root too).
fn open_files(bundle: &Bundle) -> Vec<Finding> {
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse::<u64>().ok());
    let limits = bundle.config.get("process").and_then(|process| process.get("rlimits")).map_or(&[][..], Node::items);
    let above = |(n, limit): (usize, &Node)| {
        limit.get("type").and_then(Node::text).filter(|kind| *kind == "RLIMIT_NOFILE")?;
        let (most, node) = (most?, limit.get("hard")?);
        let Content::Literal(literal) = &node.content else { return None };
        literal.parse::<u64>().ok().filter(|hard| *hard > most)?;
        let problem = format!("this machine allows at most {most} open files (/proc/sys/fs/nr_open)");
        let field = format!("process.rlimits[{n}].hard");
        Some(finding(bundle, "limit.range", field, problem, "write a smaller number, or raise fs.nr_open", node))
    };
    limits.iter().enumerate().filter_map(above).collect()
}

fn finding(bundle: &Bundle, id: &'static str, field: String, problem: String, remedy: &str, node: &Node) -> Finding {
    let source = match field.starts_with("process") {
        true => "config.md, \"POSIX process\"; prlimit(2)",
        false if field.ends_with("namespaces") => "config-linux.md, \"Namespaces\"; user_namespaces(7)",
        false if id.starts_with("sysctl") => "config-linux.md, \"Sysctl\"",
        false => "config-linux.md, \"Control groups\"",
    };
    let finding = Finding::new(id, Severity::Error, field, problem).at(bundle.place(node));
    finding.source(source).remedy(remedy).on_host()
}

fn sysctl(bundle: &Bundle, name: &str, value: &Node) -> Option<Finding> {
    // Interfaces and namespaces have directories of their own, which are not there yet.
    let shared = !["conf", "neigh", "user"].iter().any(|part| name.split(['.', '/']).any(|of| of == *part));
    // The separator that comes first separates; the other one is a part of names.
    let path: String = match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'.') => name
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    };
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) || !shared {
        return None;
    }
    let file = Path::new("/proc/sys").join(path);
    let field = format!("linux.sysctl.{name}");
    if !file.exists() {
        let problem = format!("{} is not there", file.display());
        return Some(finding(bundle, "sysctl.missing", field, problem, "look the name up in /proc/sys", value));
    }
    let numbers =
        |text: &str| text.split_whitespace().all(|word| word.parse::<i128>().is_ok()) && !text.trim().is_empty();
    let present = std::fs::read_to_string(&file).ok()?;
    let text = value.text()?;
    (numbers(&present) && !numbers(text)).then(|| {
        let problem = format!("{text:?} is no number, and {} has the value {:?}", file.display(), present.trim());
        finding(bundle, "sysctl.value", field, problem, "write a number", value)
    })
}

fn number(node: &Node) -> Option<i64> {
    match &node.content {
        Content::Literal(literal) => literal.parse().ok(),
        _ => None,
    }
}

/// A list such as `0-3,7`.
fn ranges(text: &str) -> Option<Vec<(u32, u32)>> {
    let range = |part: &str| {
        let (begin, last) = part.split_once('-').unwrap_or((part, part));
        Some((begin.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    text.split(',').filter(|part| !part.is_empty()).map(range).collect()
}
