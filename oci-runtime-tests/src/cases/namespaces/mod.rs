//! `linux.namespaces`, `uidMappings`, `gidMappings` and `timeOffsets`; host and domain name.

mod combined;
mod kinds;

use crate::bench::prelude::*;
use std::os::unix::fs::MetadataExt;

/// The type in a config, and the name in `/proc/PID/ns`.
const KINDS: [(&str, &str, &str); 8] = [
    ("pid", "pid", "ns.pid"),
    ("network", "net", "ns.network"),
    ("mount", "mnt", "ns.mount"),
    ("ipc", "ipc", "ns.ipc"),
    ("uts", "uts", "ns.uts"),
    ("user", "user", "ns.user"),
    ("cgroup", "cgroup", "ns.cgroup"),
    ("time", "time", "ns.time"),
];

fn ours(name: &str) -> Result<String> {
    Ok(std::fs::read_link(format!("/proc/self/ns/{name}"))?.display().to_string())
}

fn needs(t: &Trial, kind: &str) -> Result<()> {
    t.needs_root()?;
    t.needs_listed("/linux/namespaces", kind)?;
    let name = KINDS.iter().find(|(k, _, _)| *k == kind).map_or(kind, |(_, name, _)| name);
    t.needs_file(&format!("/proc/self/ns/{name}"))
}

/// A bundle with a new namespace of this kind.
fn with<'t>(t: &'t Trial, kind: &str) -> Result<crate::bench::bundle::Bundle<'t>> {
    needs(t, kind)?;
    if kind == "user" { t.bundle()?.user_namespace(200_000) } else { Ok(t.bundle()?.namespace(kind, None)) }
}

fn each() -> Vec<Case> {
    let mut all = Vec::new();
    for (kind, name, clause) in KINDS {
        all.push(Case::new(
            format!("a_new_{kind}_namespace_is_made"),
            &["ns.new", "ns.types", clause],
            "The program's namespace is another one than the suite's.",
            move |t| {
                let seen = with(t, kind)?.observe()?;
                let theirs = seen.report_text(&format!("/namespaces/{name}"))?.to_owned();
                ensure!(theirs != ours(name)?, "the {kind} namespace is the runtime's");
                Ok(())
            },
        ));
        // Without a mount namespace of its own a container cannot have its root; without it runtimes may refuse.
        if kind != "mount" && kind != "user" {
            all.push(Case::new(
                format!("without_a_{kind}_namespace_that_of_the_runtime_is_inherited"),
                &["ns.inherited"],
                "The program's namespace is the suite's.",
                move |t| inherited(t, kind, name),
            ));
        }
        if kind != "mount" {
            all.push(Case::new(
                format!("a_{kind}_namespace_is_joined_by_its_path"),
                &["ns.path.joined", clause],
                "Another container runs with a new namespace of that kind; the second joins it by /proc/PID/ns.",
                move |t| joined(t, kind, name),
            ));
        }
        all.push(Case::new(
            format!("a_{kind}_namespace_that_is_there_twice_is_refused"),
            &["ns.duplicate"],
            "The list has two entries of the type.",
            move |t| {
                needs(t, kind)?;
                let b = t.bundle()?.namespace(kind, None).set("/linux/namespaces/-", json!({"type": kind}));
                b.refused()
            },
        ));
        let other = if kind == "ipc" { "uts" } else { "ipc" };
        all.push(Case::new(
            format!("a_path_of_another_type_is_refused_for_a_{kind}_namespace"),
            &["ns.path.wrong-type"],
            "The path leads to a namespace of another type.",
            move |t| {
                needs(t, kind)?;
                let b = t.bundle()?.without_namespace(other);
                b.namespace(kind, Some(&format!("/proc/{}/ns/{other}", std::process::id()))).refused()
            },
        ));
    }
    all
}

fn inherited(t: &Trial, kind: &str, name: &str) -> Result<()> {
    needs(t, kind)?;
    let mut b = t.bundle()?.without_namespace(kind);
    if kind == "uts" {
        b = b.remove("/hostname").remove("/domainname");
    }
    if kind == "network" {
        // A sysfs shows the network namespace that it was mounted in.
        b.config["mounts"].as_array_mut().context("mounts")?.retain(|mount| mount["destination"] != "/sys");
    }
    equal(&format!("{kind} namespace"), b.observe()?.report_text(&format!("/namespaces/{name}"))?, ours(name)?.as_str())
}

fn joined(t: &Trial, kind: &str, name: &str) -> Result<()> {
    let owner = with(t, kind)?.does(&["wait"]).live()?;
    let path = owner.proc(&format!("ns/{name}"))?;
    let target = std::fs::read_link(&path)?.display().to_string();
    let mut b = t.bundle()?;
    if kind == "user" {
        crate::bench::bundle::own(&b.rootfs(), 200_000)?;
    }
    if kind == "uts" {
        b = b.remove("/hostname").remove("/domainname");
    }
    let seen = b.namespace(kind, Some(&path)).observe()?;
    equal(&format!("{kind} namespace"), seen.report_text(&format!("/namespaces/{name}"))?, target.as_str())
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = each();
    all.extend(kinds::cases());
    all.extend(combined::cases());
    all
}
