//! The seccomp filter of a plan, summed up.

use super::Section;
use crate::config::Spec;
use crate::container;
use crate::error::Result;
use crate::process::seccomp::{Action, ArchitectureSummary, Filter, Verdict};

/// System calls that decide about isolation, or that programs commonly miss.
const NOTABLE: &[&str] = &[
    "execve",
    "execveat",
    "clone",
    "clone3",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "pivot_root",
    "chroot",
    "mknod",
    "ptrace",
    "process_vm_readv",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "keyctl",
    "add_key",
    "init_module",
    "kexec_load",
    "reboot",
    "open_by_handle_at",
    "personality",
    "socket",
    "setuid",
    "prctl",
    "seccomp",
];

pub(super) fn summary(spec: &Spec<'_>, filter: Option<&Filter>) -> Result<Section> {
    let mut section = Section::new("seccomp", "System calls (seccomp)");
    let Some(filter) = filter else {
        section.add("filter", "none: every system call is allowed");
        return Ok(section);
    };
    section.add("filter", format!("{} BPF instructions, flags {:#x}", filter.program.len(), filter.flags));
    if let Some(listener) = &filter.notify {
        section.add("listener", format!("{} answers", listener.path));
    }
    let summaries = match container::asked_profile(spec) {
        Some(profile) => ArchitectureSummary::all(profile)?,
        None => Vec::new(),
    };
    let Some(native) = summaries.first() else {
        section.add("source", "an annotation gives the program itself");
        return Ok(section);
    };
    let names: Vec<_> = summaries.iter().map(|summary| summary.name).collect();
    section.add("architectures", format!("{}; system calls of others kill the thread", names.join(", ")));
    section.add("newer system calls", native.newer.words());
    counts(native, &mut section);
    calls(&summaries, &mut section);
    Ok(section)
}

/// Every system call of the native architecture, the notable and conditional ones to be shown; of other architectures those
/// that have another verdict there.
fn calls(summaries: &[ArchitectureSummary], section: &mut Section) {
    let Some((native, others)) = summaries.split_first() else { return };
    let is_shown = |name: &str, verdict: &Verdict| NOTABLE.contains(&name) || matches!(verdict, Verdict::If(..));
    for (name, verdict) in native.calls.iter().filter(|(name, verdict)| is_shown(name, verdict)) {
        section.add(*name, in_words(verdict));
    }
    for (name, verdict) in native.calls.iter().filter(|(name, verdict)| !is_shown(name, verdict)) {
        section.detail(*name, in_words(verdict));
    }
    for summary in others {
        for (name, verdict) in summary.calls.iter().filter(|(name, verdict)| native.of(name) != Some(verdict)) {
            section.detail(format!("{name} ({})", summary.name), in_words(verdict));
        }
    }
}

/// How many system calls of the native architecture have each action.
fn counts(summary: &ArchitectureSummary, section: &mut Section) {
    let mut counts: Vec<(Action, usize)> = Vec::new();
    let mut conditional = 0;
    for (_, verdict) in &summary.calls {
        match verdict {
            Verdict::If(..) => conditional += 1,
            Verdict::Always(action) => match counts.iter_mut().find(|(known, _)| known == action) {
                Some((_, count)) => *count += 1,
                None => counts.push((*action, 1)),
            },
        }
    }
    for (action, count) in counts {
        section.add(action.words(), format!("{count} system calls of {}", summary.name));
    }
    section.add("by arguments", format!("{conditional} system calls of {}", summary.name));
}

fn in_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Always(action) => action.words(),
        Verdict::If(list, last) => {
            let mut cases: Vec<String> = Vec::with_capacity(list.len());
            for (conditions, action) in list {
                let case = format!("{} if {conditions}", action.words());
                if !cases.contains(&case) {
                    cases.push(case);
                }
            }
            format!("{}, else {}", cases.join("; "), last.words())
        }
    }
}
