//! Names that the runtime passes over: system calls of a profile that no architecture has, capabilities that no kernel has.

use super::Bundle;
use super::structure::nearest;
use crate::finding::{Finding, Severity};
use orlop::explain;

pub(super) fn findings(bundle: &Bundle) -> Vec<Finding> {
    let mut findings = capabilities(bundle);
    findings.extend(calls(bundle));
    findings
}

fn capabilities(bundle: &Bundle) -> Vec<Finding> {
    let known: Vec<String> = explain::capabilities().collect();
    let sets = bundle.config.get("process").and_then(|process| process.get("capabilities"));
    let mut findings = Vec::new();
    for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
        let names = sets.and_then(|sets| sets.get(set)).map_or(&[][..], |names| names.items());
        for (n, name) in names.iter().enumerate() {
            let Some(text) = name.text().filter(|text| !known.iter().any(|known| known == text)) else { continue };
            let field = format!("process.capabilities.{set}[{n}]");
            let problem = format!("{text:?} is no capability; the container does not get it");
            let finding = Finding::new("capability.unknown", Severity::Warning, field, problem)
                .at(bundle.place(name))
                .source("config.md, \"POSIX process\"; capabilities(7)");
            findings.push(
                match nearest(&format!("CAP_{}", text.trim_start_matches("CAP_")), known.iter().map(String::as_str)) {
                    Some(near) => finding.remedy(format!("did you mean {near:?}?")),
                    None => finding.remedy("leave it out, or look the name up"),
                },
            );
        }
    }
    findings
}

fn calls(bundle: &Bundle) -> Vec<Finding> {
    let profile = bundle.config.get("linux").and_then(|linux| linux.get("seccomp"));
    let rules = profile.and_then(|profile| profile.get("syscalls")).map_or(&[][..], |rules| rules.items());
    let known = explain::system_calls();
    let mut findings = Vec::new();
    for (n, rule) in rules.iter().enumerate() {
        for (m, name) in rule.get("names").map_or(&[][..], |names| names.items()).iter().enumerate() {
            let Some(text) = name.text().filter(|text| known.binary_search(text).is_err()) else { continue };
            let field = format!("linux.seccomp.syscalls[{n}].names[{m}]");
            let problem = format!("{text:?} is a system call of no architecture; the rule has no effect on it");
            let finding = Finding::new("seccomp.unknown-call", Severity::Warning, field, problem)
                .at(bundle.place(name))
                .source("config-linux.md, \"Seccomp\"; syscalls(2)");
            findings.push(match nearest(text, known.iter().copied()) {
                Some(near) => finding.remedy(format!("did you mean {near:?}?")),
                None => {
                    finding.remedy("a profile for newer kernels may name calls that this release does not know yet")
                }
            });
        }
    }
    findings
}
