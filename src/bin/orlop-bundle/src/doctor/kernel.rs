//! The kernel: features that the runtime calls for, and the sysctls that switch them off.

use super::Line;
use orlop::explain::host::{Answer, Feature, features};

/// A row of ARCHITECTURE.md's table: the id, the features that it needs, its title, the consequence, whether nothing works
/// without it.
struct Row {
    id: &'static str,
    needs: &'static [&'static str],
    title: &'static str,
    consequence: &'static str,
    since: &'static str,
    required: bool,
}

const fn row(
    id: &'static str,
    needs: &'static [&'static str],
    title: &'static str,
    consequence: &'static str,
    since: &'static str,
    required: bool,
) -> Row {
    Row { id, needs, title, consequence, since, required }
}

const ROWS: &[Row] = &[
    row("kernel.clone3", &["clone3"], "clone3", "orlop does not run", "5.3", true),
    row(
        "kernel.pidfd",
        &["pidfd_open", "pidfd_getfd", "pidfd_send_signal"],
        "pidfds",
        "orlop does not run",
        "5.6",
        true,
    ),
    row("kernel.openat2", &["openat2"], "openat2", "orlop does not run", "5.6", true),
    row(
        "kernel.mount-api",
        &["fsopen", "fsconfig", "fsmount", "open_tree", "move_mount"],
        "the mount API (fsopen, open_tree, move_mount)",
        "orlop does not run",
        "5.2",
        true,
    ),
    row(
        "kernel.clone-into-cgroup",
        &["clone-into-cgroup"],
        "CLONE_INTO_CGROUP",
        "no container on cgroup v2",
        "5.7",
        false,
    ),
    row("kernel.setns-pidfd", &["setns-pidfd"], "setns with a pidfd", "`exec` fails", "5.8", true),
    row(
        "kernel.statx-mount",
        &["statx", "statx-mount"],
        "statx with mount ids",
        "shared propagation is an error",
        "5.8",
        false,
    ),
    row(
        "kernel.close-range",
        &["close_range", "close-range-cloexec"],
        "close_range with CLOEXEC",
        "descriptors are marked one by one",
        "5.11",
        false,
    ),
    row(
        "kernel.mount-setattr",
        &["mount_setattr"],
        "mount_setattr",
        "recursive mount attributes and id-mapped mounts are an error",
        "5.12",
        false,
    ),
    row(
        "kernel.procfs-pidns",
        &["procfs-pidns"],
        "the option pidns of a procfs",
        "a procfs of a joined pid namespace needs user namespaces and seccomp",
        "6.17",
        false,
    ),
];

pub(super) fn lines() -> Vec<Line> {
    let features = features();
    let mut lines: Vec<Line> = ROWS.iter().map(|row| line(row, &features)).collect();
    lines.push(memfd(&features));
    lines.extend(device_filter(&features));
    lines
}

fn answer<'a>(features: &'a [Feature], name: &str) -> &'a Answer {
    features.iter().find(|feature| feature.name == name).map_or(&Answer::No, |feature| &feature.answer)
}

fn line(row: &Row, features: &[Feature]) -> Line {
    let missing = row.needs.iter().find(|name| *answer(features, name) != Answer::Yes);
    let Some(name) = missing else { return Line::yes(row.id, row.title) };
    let of_kernel = format!("boot Linux {} or newer", row.since);
    let found = match answer(features, name) {
        Answer::Yes => return Line::yes(row.id, row.title),
        Answer::No => Line::no(row.id, format!("{}: not in this kernel", row.title), row.consequence, of_kernel),
        Answer::Filtered => Line::no(
            row.id,
            format!("{}: {name} is refused by the seccomp filter around this process", row.title),
            row.consequence,
            "update the engine around this container, or run it with `--security-opt seccomp=unconfined`",
        ),
        Answer::Failed(error) => {
            // The probe needs rights that a user gets in a user namespace only.
            let about = format!("{}: not known ({error})", row.title);
            return Line::limited(row.id, about, format!("if it is missing, {}", row.consequence), "ask as root");
        }
    };
    if row.required { found.hindering() } else { found }
}

/// vm.memfd_noexec is of the pid namespace: the call tells, not the file.
fn memfd(features: &[Feature]) -> Line {
    let id = "kernel.memfd-noexec";
    let setting = std::fs::read_to_string("/proc/sys/vm/memfd_noexec").map(|text| text.trim().to_owned());
    match (answer(features, "memfd-exec"), setting) {
        (Answer::Yes, setting) => {
            let value = setting.map_or(String::new(), |value| format!(" (vm.memfd_noexec is {value})"));
            Line::yes(id, format!("memory files can be executed{value}"))
        }
        (Answer::No, _) => Line::yes(id, "memory files can be executed (the kernel has no MFD_EXEC)"),
        (other, setting) => {
            let reason = match other {
                Answer::Failed(error) => error.clone(),
                _ => "refused by a seccomp filter".into(),
            };
            let value = setting.unwrap_or_else(|_| "unknown".into());
            let about = format!("memory files cannot be executed: {reason}; vm.memfd_noexec is {value}");
            Line::no(id, about, "every `create`, `run` and `exec` fails", "sysctl -w vm.memfd_noexec=1").hindering()
        }
    }
}

/// On v1 a controller does it.
fn device_filter(features: &[Feature]) -> Option<Line> {
    let is_v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let id = "kernel.device-filter";
    let title = "BPF programs that filter devices (CONFIG_CGROUP_BPF)";
    is_v2.then(|| match answer(features, "device-filter") {
        Answer::Yes => Line::yes(id, title),
        Answer::Failed(error) if super::user::uid() != 0 => {
            let consequence = "device rules of a config are not enforced; the user namespace still keeps devices out";
            Line::limited(id, format!("{title}: {error}"), consequence, "run as root where devices must be limited")
        }
        other => {
            let about = format!("{title}: {}", if let Answer::Failed(error) = other { error } else { "not there" });
            let remedy = "give CAP_BPF and CAP_SYS_ADMIN, or boot a kernel with CONFIG_CGROUP_BPF";
            Line::no(id, about, "`create` fails where the config has device rules", remedy).hindering()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_names_features_that_are_probed() {
        let features = features();
        for name in ROWS.iter().flat_map(|row| row.needs).chain(&["memfd-exec", "device-filter"]) {
            assert!(features.iter().any(|feature| feature.name == *name), "{name}");
        }
    }
}
