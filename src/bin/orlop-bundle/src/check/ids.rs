//! User and group ids that the container's user namespace does not have.

use super::Bundle;
use crate::finding::{Finding, Severity};
use orlop::explain::{self, Content, Node};

pub(super) fn findings(bundle: &Bundle) -> Vec<Finding> {
    let mut findings = Vec::new();
    let linux = bundle.config.get("linux");
    let namespaces = linux.and_then(|linux| linux.get("namespaces")).map_or(&[][..], Node::items);
    let user = namespaces.iter().find(|namespace| namespace.get("type").and_then(Node::text) == Some("user"));
    if user.is_none_or(|user| user.get("path").is_some()) {
        return findings;
    }
    for (mappings, named, groups) in [("uidMappings", "uid", false), ("gidMappings", "gid", true)] {
        let ranges = ranges(linux.and_then(|linux| linux.get(mappings)));
        if ranges.is_empty() {
            continue;
        }
        for (field, id, node) in ids(bundle, named, groups) {
            if ranges.iter().any(|(begin, size)| id.checked_sub(*begin).is_some_and(|offset| offset < *size)) {
                continue;
            }
            let problem = format!("{named} {id} is not mapped in the container's user namespace");
            findings.push(
                Finding::new("id.unmapped", Severity::Error, field, problem)
                    .at(bundle.place(node))
                    .source("config-linux.md, \"User namespace mappings\"; user_namespaces(7)")
                    .remedy(format!("add a range with it to linux.{mappings}, or use an id that is mapped")),
            );
        }
    }
    findings
}

fn number(node: &Node) -> Option<u64> {
    match &node.content {
        Content::Literal(literal) => literal.parse().ok(),
        _ => None,
    }
}

/// The first id in the container and the size of each range.
fn ranges(mappings: Option<&Node>) -> Vec<(u64, u64)> {
    let items = mappings.map_or(&[][..], Node::items).iter();
    items
        .filter_map(|range| Some((range.get("containerID").map_or(Some(0), number)?, number(range.get("size")?)?)))
        .collect()
}

/// Every id of the config: its field, itself, its value.
fn ids<'a>(bundle: &'a Bundle, named: &str, groups: bool) -> Vec<(String, u64, &'a Node)> {
    let mut ids = Vec::new();
    let mut add = |field: String, node: Option<&'a Node>| {
        if let Some((node, id)) = node.and_then(|node| Some((node, number(node)?))) {
            ids.push((field, id, node));
        }
    };
    let user = bundle.config.get("process").and_then(|process| process.get("user"));
    add(format!("process.user.{named}"), user.and_then(|user| user.get(named)));
    let more = user.and_then(|user| user.get("additionalGids")).filter(|_| groups).map_or(&[][..], Node::items);
    for (n, node) in more.iter().enumerate() {
        add(format!("process.user.additionalGids[{n}]"), Some(node));
    }
    let devices = bundle.config.get("linux").and_then(|linux| linux.get("devices")).map_or(&[][..], Node::items);
    for (n, device) in devices.iter().enumerate() {
        add(format!("linux.devices[{n}].{named}"), device.get(named));
    }
    for (n, mount) in bundle.config.get("mounts").map_or(&[][..], Node::items).iter().enumerate() {
        if !matches!(mount.get("type").and_then(Node::text), Some("tmpfs" | "devpts")) {
            continue;
        }
        let nodes = mount.get("options").map_or(&[][..], Node::items);
        let options: Vec<&str> = nodes.iter().map(|node| node.text().unwrap_or_default()).collect();
        for (m, name, value) in explain::parameters(&options) {
            let id = value.and_then(|value| value.parse().ok()).filter(|_| name == named);
            if let Some((id, node)) = id.zip(nodes.get(m)) {
                ids.push((format!("mounts[{n}].options[{m}]"), id, node));
            }
        }
    }
    ids
}
