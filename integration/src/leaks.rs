//! Full lists of what a runtime could leave behind, taken before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Mounts, cgroup directories, processes, namespaces and keys of the machine, as lines.
#[must_use]
pub fn lists() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for line in text("/proc/self/mountinfo").lines() {
        let target = line.split(' ').nth(4).unwrap_or(line);
        all.insert(format!("mount {target}"));
    }
    directories(Path::new("/sys/fs/cgroup"), &mut all);
    for line in text("/proc/keys").lines() {
        if let Some(at) = line.find("_ses") {
            all.insert(format!("key {}", &line[at..]));
        }
    }
    processes(&mut all);
    all
}

/// What is in `lists()` now and was not `before`, after the kernel had time to clean up; empty when nothing is left.
#[must_use]
pub fn since(before: &BTreeSet<String>) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left: Vec<String> = lists().difference(before).cloned().collect();
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
    for entry in entries.flatten() {
        // The conformance suite may run at the same time, and has a leak check of its own.
        let other = entry.file_name().to_string_lossy().starts_with("oci-runtime-tests");
        if entry.file_type().is_ok_and(|t| t.is_dir()) && !other {
            all.insert(format!("cgroup {}", entry.path().display()));
            directories(&entry.path(), all);
        }
    }
}

/// Processes with their names, and the namespaces that they are in; kernel threads and zombies left out.
fn processes(all: &mut BTreeSet<String>) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<u32>() else {
            continue;
        };
        let command = text(&format!("/proc/{pid}/cmdline")).replace('\0', " ");
        if command.is_empty() || !ours(pid) {
            continue;
        }
        all.insert(format!("process {pid} {command}"));
    }
}

/// Others work on the machine too: a process counts when it is in a namespace or cgroup other than ours.
fn ours(pid: u32) -> bool {
    let elsewhere = ["mnt", "pid"].iter().any(|ns| {
        let theirs = fs::read_link(format!("/proc/{pid}/ns/{ns}"));
        let mine = fs::read_link(format!("/proc/self/ns/{ns}"));
        matches!((theirs, mine), (Ok(theirs), Ok(mine)) if theirs != mine)
    });
    elsewhere || text(&format!("/proc/{pid}/comm")).contains("orlop")
}
