//! Parameters of file systems: those that the kernel would refuse. Nothing is mounted to find that out.

use super::Bundle;
use super::structure::nearest;
use crate::finding::{Finding, Severity};
use Form::{Any, Flag, Number, Octal, Size};
use orlop::explain::{self, Node};

/// The form of a parameter's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// No value.
    Flag,
    Number,
    Octal,
    /// A number, with k, m, g, t, p, e or % behind it.
    Size,
    Any,
}

type Parameters = &'static [(&'static str, Form)];

/// The parameters of Linux 6.18 of the file systems that most configs mount.
const KNOWN: &[(&str, Parameters)] = &[
    (
        "tmpfs",
        &[
            ("size", Size),
            ("nr_blocks", Size),
            ("nr_inodes", Size),
            ("mode", Octal),
            ("uid", Number),
            ("gid", Number),
            ("huge", Any),
            ("mpol", Any),
            ("inode32", Flag),
            ("inode64", Flag),
            ("noswap", Flag),
            ("quota", Flag),
            ("usrquota", Flag),
            ("grpquota", Flag),
            ("usrquota_block_hardlimit", Size),
            ("usrquota_inode_hardlimit", Size),
            ("grpquota_block_hardlimit", Size),
            ("grpquota_inode_hardlimit", Size),
            ("casefold", Any),
            ("strict_encoding", Flag),
        ],
    ),
    ("proc", &[("gid", Number), ("hidepid", Any), ("subset", Any), ("pidns", Any)]),
    ("sysfs", &[]),
    ("cgroup", &[]),
    ("mqueue", &[]),
    (
        "devpts",
        &[
            ("uid", Number),
            ("gid", Number),
            ("mode", Octal),
            ("ptmxmode", Octal),
            ("newinstance", Flag),
            ("max", Number),
        ],
    ),
    (
        "overlay",
        &[
            ("lowerdir", Any),
            ("lowerdir+", Any),
            ("datadir+", Any),
            ("upperdir", Any),
            ("workdir", Any),
            ("default_permissions", Flag),
            ("redirect_dir", Any),
            ("index", Any),
            ("uuid", Any),
            ("nfs_export", Any),
            ("xino", Any),
            ("metacopy", Any),
            ("verity", Any),
            ("volatile", Flag),
            ("userxattr", Flag),
            ("override_creds", Flag),
            ("nooverride_creds", Flag),
        ],
    ),
];

/// Parameters of security modules, for every file system.
const OF_MODULES: &[&str] =
    &["context", "fscontext", "defcontext", "rootcontext", "seclabel", "smackfsdef", "smackfsroot"];

pub(super) fn findings(bundle: &Bundle) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (n, mount) in bundle.config.get("mounts").map_or(&[][..], Node::items).iter().enumerate() {
        let Some(kind) = mount.get("type").and_then(Node::text) else { continue };
        let Some((_, known)) = KNOWN.iter().find(|(name, _)| *name == kind) else { continue };
        let nodes = mount.get("options").map_or(&[][..], Node::items);
        let options: Vec<&str> = nodes.iter().map(|node| node.text().unwrap_or_default()).collect();
        if options.iter().any(|option| matches!(*option, "bind" | "rbind")) {
            continue;
        }
        for (m, name, value) in explain::parameters(&options) {
            let Some(problem) = problem(kind, known, &name, value.as_deref()) else { continue };
            let finding = Finding::new("mount.option", Severity::Error, format!("mounts[{n}].options[{m}]"), problem)
                .at(nodes.get(m).and_then(|node| bundle.place(node)))
                .source("config.md, \"Mounts\"; mount(8)")
                .on_host();
            let all = explain::mount_options().chain(known.iter().map(|(name, _)| *name));
            let is_known = known.iter().any(|(known, _)| *known == name);
            findings.push(match nearest(&name, all).filter(|_| !is_known) {
                Some(near) => finding.remedy(format!("did you mean {near:?}?")),
                None => {
                    finding.remedy(format!("leave it out, or write it as the kernel's documentation of {kind} has it"))
                }
            });
        }
    }
    findings
}

fn problem(kind: &str, known: Parameters, name: &str, value: Option<&str>) -> Option<String> {
    if name.is_empty() || OF_MODULES.contains(&name) {
        return None;
    }
    let Some((_, form)) = known.iter().find(|(known, _)| *known == name) else {
        return Some(format!("{kind} has no option {name:?}"));
    };
    let text = value.unwrap_or_default();
    let digits = |text: &str, base: u32| !text.is_empty() && text.chars().all(|letter| letter.is_digit(base));
    let fits = match form {
        Any => true,
        Flag => value.is_none(),
        Number => text.parse::<u32>().is_ok() || text.strip_prefix("0x").is_some_and(|text| digits(text, 16)),
        Octal => digits(text, 8) && u32::from_str_radix(text, 8).is_ok(),
        Size => {
            digits(text.strip_suffix(|c: char| "kKmMgGtTpPeE%".contains(c)).unwrap_or(text), 10)
                || text.starts_with("0x")
        }
    };
    let wanted = match form {
        Flag => "takes no value",
        Number => "is a number",
        Octal => "is an octal number such as 0755",
        Size => "is a size such as 64k, 1g or 50%",
        Any => "",
    };
    (!fits).then(|| format!("{text:?} is no value of the option {name:?} of {kind}, which {wanted}"))
}
