//! The program of a plan: its command, ids, capabilities, labels and limits.

use super::Section;
use super::plan::on_host;
use crate::process::attributes::{POLICY_FLAGS, POLICY_MODES};
use crate::process::capability::{self, Sets};
use crate::process::keyring::Keyring;
use crate::process::plan::LaunchPlan;
use crate::process::program::Program;

pub(super) fn program(plan: &LaunchPlan) -> Section {
    let mut section = Section::new("program", "Program");
    let Some(program) = &plan.program else {
        section.add("command", "none: the container can be created and deleted, not started");
        return section;
    };
    let words: Vec<String> = program.args.iter().map(|argument| format!("{:?}", argument.to_string_lossy())).collect();
    section.add("command", words.join(" "));
    let found: Vec<String> =
        program.candidates().iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    section.add("looked for at", if found.is_empty() { "nowhere: there is no PATH".into() } else { found.join(", ") });
    section.add("working directory", program.cwd.clone());
    section.add("environment", format!("{} variables", program.env.len()));
    for (name, value) in program.env.iter().filter_map(|entry| entry.split_once('=')) {
        section.detail(name, value);
    }
    section.add("terminal", if program.terminal.is_some() { "a new pseudo-terminal" } else { "none" });
    section
}

pub(super) fn rights(plan: &LaunchPlan) -> Section {
    let mut section = Section::new("credentials", "Credentials");
    let Some(program) = &plan.program else { return section };
    let ids = plan.namespaces.ids.as_ref();
    section.add("user", format!("{}{}", program.uid, on_host(ids.map(|ids| &ids.uids), program.uid)));
    section.add("group", format!("{}{}", program.gid, on_host(ids.map(|ids| &ids.gids), program.gid)));
    section.add("supplementary groups", groups(program));
    if let Some(mask) = program.umask {
        section.add("umask", format!("{mask:04o}"));
    }
    for (name, set) in sets(&program.capabilities) {
        section.add(format!("{name} capabilities"), set_in_words(set));
    }
    let (yes, no) = ("set: execve gives no rights", "not set: set-user-ID programs and file capabilities give rights");
    section.add("no_new_privs", if program.no_new_privs { yes } else { no });
    section.add("AppArmor profile", program.apparmor.clone().unwrap_or_else(|| "none".into()));
    section.add("SELinux label", program.selinux.clone().unwrap_or_else(|| "none".into()));
    let keyring = if matches!(plan.keyring, Keyring::New(_)) { "a new one" } else { "the caller's" };
    section.add("session keyring", keyring);
    section
}

fn groups(program: &Program) -> String {
    match (program.keep_groups, program.groups.is_empty()) {
        (true, _) => "the caller's".into(),
        (false, true) => "none".into(),
        (false, false) => program.groups.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The five sets, named as in /proc/PID/status and capabilities(7).
pub(super) fn sets(sets: &Sets) -> [(&'static str, u64); 5] {
    [
        ("bounding", sets.bounding),
        ("permitted", sets.permitted),
        ("effective", sets.effective),
        ("inheritable", sets.inheritable),
        ("ambient", sets.ambient),
    ]
}

pub(super) fn set_in_words(set: u64) -> String {
    let last = capability::last_known();
    match capability::names(set) {
        names if names.is_empty() => "none".into(),
        names if names.len() as u32 > last => format!("all {}", names.len()),
        names => names.join(" "),
    }
}

pub(super) fn limits(plan: &LaunchPlan) -> Section {
    let mut section = Section::new("limits", "Limits and scheduling of the program");
    let Some(program) = &plan.program else { return section };
    let attributes = &program.attributes;
    let number = |n: u64| if n == u64::MAX { "unlimited".to_owned() } else { n.to_string() };
    for (limit, name) in &attributes.rlimits {
        section.add(*name, format!("soft {}, hard {}", number(limit.soft), number(limit.hard)));
    }
    if let Some(value) = attributes.oom_score_adj {
        section.add("oom_score_adj", value.to_string());
    }
    if let Some(attr) = &attributes.scheduler {
        section.add("scheduler", format!("policy {}, nice {}, priority {}", attr.policy, attr.nice, attr.priority));
    }
    if let Some(value) = attributes.io_priority {
        section.add("I/O priority", format!("class {}, level {}", value >> 13, value & 7));
    }
    if let Some(persona) = attributes.personality {
        section.add("personality", if persona == 8 { "LINUX32" } else { "LINUX" });
    }
    if let Some((mode, nodes)) = &attributes.memory_policy {
        let nodes: Vec<_> = crate::cpulist::numbers(nodes).map(|node| node.to_string()).collect();
        section.add("memory policy", format!("{} on nodes {}", policy(*mode), nodes.join(",")));
    }
    section
}

fn policy(mode: i32) -> String {
    let flags: i32 = POLICY_FLAGS.iter().map(|(_, bit)| *bit).fold(0, |all, bit| all | bit);
    let name = POLICY_MODES.iter().find(|(_, number)| *number == mode & !flags).map_or("?", |(name, _)| *name);
    let flags = POLICY_FLAGS.iter().filter(|(_, bit)| mode & bit != 0).map(|(name, _)| format!(" {name}"));
    format!("{name}{}", flags.collect::<String>())
}
