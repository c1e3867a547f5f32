//! Full lists of what a runtime could leave behind, taken before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What belongs to the scene: other tests, and other people, may be busy on the same machine.
#[derive(Debug)]
pub struct Scope<'a> {
    /// Names below the root of each hierarchy that the engine uses.
    pub cgroups: &'a [&'a str],
    /// The directory of the scene; its processes have it on their command line or in their environment.
    pub work: &'a str,
}

/// Mounts, cgroup directories, processes and keys of the scope, as lines.
#[must_use]
pub fn lists(scope: &Scope<'_>) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for line in text("/proc/self/mountinfo").lines() {
        let target = line.split(' ').nth(4).unwrap_or(line);
        if target.contains(scope.work) || target.starts_with("/run/netns/") {
            all.insert(format!("mount {target}"));
        }
    }
    // The hierarchies of v1, or the root's own children.
    for name in scope.cgroups {
        directories(&Path::new("/sys/fs/cgroup").join(name), &mut all);
    }
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        for name in scope.cgroups {
            directories(&hierarchy.path().join(name), &mut all);
        }
    }
    for line in text("/proc/keys").lines() {
        let Some(at) = line.find("_ses.") else {
            continue;
        };
        let id = line[at + 5..].trim_end_matches(": empty");
        // Engines' ids have 64 digits.
        if id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit()) {
            all.insert(format!("key {id}"));
        }
    }
    processes(scope.work, &mut all);
    all
}

/// What is in `lists()` now and was not `before`, after the kernel had time to clean up; empty when nothing is left.
#[must_use]
pub fn since(before: &BTreeSet<String>, scope: &Scope<'_>) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left: Vec<String> = lists(scope).difference(before).cloned().collect();
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn directories(dir: &Path, all: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    all.insert(format!("cgroup {}", dir.display()));
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            directories(&entry.path(), all);
        }
    }
}

/// Processes with their command lines; kernel threads, zombies and this process left out.
fn processes(work: &str, all: &mut BTreeSet<String>) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<u32>() else {
            continue;
        };
        let command = text(&format!("/proc/{pid}/cmdline")).replace('\0', " ");
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        if pid != std::process::id() && (command.contains(work) || environment.contains(work)) {
            all.insert(format!("process {pid} {command}"));
        }
    }
}
