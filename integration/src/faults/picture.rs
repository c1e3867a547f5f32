//! What protects and limits a process, as text: a failed system call may change nothing of it without an error.

use std::fs;
use std::path::Path;

/// Prints the picture from inside, as the container's program.
pub(super) const INSIDE: &[&str] =
    &["/bin/sh", "-c", "cd /proc/self; cat status limits mountinfo oom_score_adj; cat /proc/keys"];

/// The picture of a process of the host's.
pub(super) fn of(pid: i32) -> String {
    let dir = Path::new("/proc").join(pid.to_string());
    let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let all = ["status", "limits", "mountinfo", "oom_score_adj", "uid_map", "gid_map", "cgroup"].map(text).concat();
    let own = |kind: &&&str| {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
        of(&pid.to_string()) != of("self")
    };
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    let separate: Vec<&&str> = kinds.iter().filter(own).collect();
    format!("{}own namespaces {separate:?}\n{}", protecting(&all), limits(&text("cgroup")))
}

/// The lines of these files of `proc(5)` that tell of protections, without numbers that differ from one container to the next.
pub(super) fn protecting(text: &str) -> String {
    let mut picture = String::new();
    let kept = ["Uid:", "Gid:", "Groups:", "SigBlk:", "SigIgn:", "Cap", "NoNewPrivs:", "Seccomp:", "Seccomp_filters:"];
    let status = ["Name:", "Umask:", "State:", "Vm", "Threads:", "Cpus_allowed:", "Mems_allowed:"];
    for line in text.lines() {
        let mut fields = line.split(' ');
        let is_mount = line.contains(" - ") && fields.next().is_some_and(|id| id.parse::<u32>().is_ok());
        if is_mount {
            let (before, after) = line.split_once(" - ").unwrap_or((line, ""));
            let before: Vec<&str> = before.split(' ').skip(3).take(3).collect();
            // The layers of an overlay have new names in each container.
            let after = after.split(",lowerdir").next().unwrap_or(after);
            picture += &format!("mount {} {after}\n", before.join(" "));
        } else if line.contains(":\t") {
            if kept.iter().any(|start| line.starts_with(start)) || status[5..].iter().any(|s| line.starts_with(s)) {
                picture += &format!("{line}\n");
            }
        } else {
            picture += &format!("{line}\n");
        }
    }
    picture
}

/// The lines of a command for people, without numbers, which differ from one moment to the next.
pub(super) fn without_moment(output: &str) -> String {
    let words = |line: &str| {
        line.split_whitespace()
            .filter(|word| !word.contains(|c: char| c.is_ascii_digit()))
            .collect::<Vec<_>>()
            .join(" ")
    };
    output.lines().map(words).collect::<Vec<_>>().join("\n") + "\n"
}

/// The values of the cgroups in a /proc/PID/cgroup.
pub(crate) fn limits(cgroup: &str) -> String {
    let mut found = String::new();
    for line in cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let path = path.trim_start_matches('/');
        let (dir, names): (_, &[&str]) = match controllers {
            "" => ("", &["memory.max", "pids.max", "cpu.weight"]),
            "memory" => ("memory", &["memory.limit_in_bytes"]),
            "pids" => ("pids", &["pids.max"]),
            "devices" => ("devices", &["devices.list"]),
            "cpu" => ("cpu", &["cpu.shares"]),
            _ => continue,
        };
        for name in names {
            let value = fs::read_to_string(Path::new("/sys/fs/cgroup").join(dir).join(path).join(name));
            found += &format!("{name} {}\n", value.unwrap_or_default().trim());
        }
    }
    found
}
