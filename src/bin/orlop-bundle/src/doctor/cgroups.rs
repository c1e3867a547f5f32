//! Control groups: which version, which controllers, and whether this user may make cgroups.

use super::{Line, user};
use std::fs;
use std::path::{Path, PathBuf};

/// Controllers with the resources of a config that need them.
const CONTROLLERS: [(&str, &str, bool); 6] = [
    ("memory", "memory limits and the OOM killer's scope", true),
    ("pids", "the limit of processes", true),
    ("cpu", "CPU shares and quotas", true),
    ("cpuset", "CPU and memory node sets", false),
    ("io", "limits of block devices", false),
    ("hugetlb", "limits of huge pages", false),
];

/// The mounted hierarchies, as mountinfo has them.
struct Hierarchies {
    unified: Option<PathBuf>,
    /// Controllers or `name=NAME`, with the mount.
    v1: Vec<(Vec<String>, PathBuf)>,
}

impl Hierarchies {
    fn read() -> Hierarchies {
        let mounts = procfs::process::Process::myself().and_then(|own| own.mountinfo());
        let mut found = Hierarchies { unified: None, v1: Vec::new() };
        for mount in mounts.map(|mounts| mounts.0).unwrap_or_default() {
            match mount.fs_type.as_str() {
                "cgroup2" if found.unified.is_none() => found.unified = Some(mount.mount_point),
                "cgroup" => {
                    let names = mount.super_options.into_iter().map(|(key, value)| match value {
                        Some(value) => format!("{key}={value}"),
                        None => key,
                    });
                    found.v1.push((names.collect(), mount.mount_point));
                }
                _ => {}
            }
        }
        found
    }

    fn v1_mount(&self, controller: &str) -> Option<&Path> {
        let row = self.v1.iter().find(|(names, _)| names.iter().any(|name| name == controller));
        row.map(|(_, mount)| mount.as_path())
    }

    fn is_unified(&self) -> bool {
        self.unified.is_some() && self.v1.is_empty()
    }

    /// The cgroup of this process as a directory: of a controller, or of the unified hierarchy for an empty name.
    fn own(&self, controller: &str) -> Option<PathBuf> {
        let mount = if controller.is_empty() { self.unified.as_deref()? } else { self.v1_mount(controller)? };
        let text = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path = text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let names = fields.nth(1)?;
            let is_it =
                if controller.is_empty() { names.is_empty() } else { names.split(',').any(|n| n == controller) };
            fields.next().filter(|_| is_it)
        })?;
        let directory = mount.join(path.trim_start_matches('/'));
        // In a cgroup namespace, or a container without one, the path is not below the mount.
        Some(if directory.is_dir() { directory } else { mount.to_owned() })
    }
}

/// Whether a hierarchy of cgroup v1 has the controller.
pub(crate) fn is_v1(controller: &str) -> bool {
    Hierarchies::read().v1_mount(controller).is_some()
}

/// Whether this user may make cgroups that have the controller.
pub(crate) fn is_delegated(controller: &str) -> bool {
    let found = Hierarchies::read();
    let own = found.own(controller).or_else(|| found.own(""));
    own.is_some_and(|directory| rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok())
}

pub(super) fn lines(is_root: bool) -> Vec<Line> {
    let found = Hierarchies::read();
    let mut lines = vec![version(&found)];
    if found.unified.is_none() && found.v1.is_empty() {
        return lines;
    }
    let available = available(&found);
    lines.extend(CONTROLLERS.iter().map(|row| controller(row, &available, found.is_unified())));
    lines.push(delegation(&found, is_root));
    if let Some(pressure) = pressure() {
        lines.push(pressure);
    }
    lines
}

fn version(found: &Hierarchies) -> Line {
    let id = "cgroup.version";
    match (&found.unified, found.v1.is_empty()) {
        (Some(mount), true) => Line::yes(id, format!("cgroup v2 at {}", mount.display())),
        (None, true) => {
            let remedy = "mount -t cgroup2 cgroup2 /sys/fs/cgroup";
            Line::no(id, "no cgroup file system is mounted", "no limits, no `pause`, no `events`", remedy).hindering()
        }
        (unified, false) => {
            let about = if unified.is_some() { "cgroup v1 with v2 beside it (hybrid)" } else { "cgroup v1" };
            let consequence = "no `unified` limits, no `memory.high`, no limits for rootless containers";
            Line::limited(id, about, consequence, "boot with systemd.unified_cgroup_hierarchy=1")
        }
    }
}

/// The controllers that containers can have.
fn available(found: &Hierarchies) -> Vec<String> {
    let mut names: Vec<String> = found.v1.iter().flat_map(|(names, _)| names.clone()).collect();
    if let Some(mount) = &found.unified {
        let file = fs::read_to_string(mount.join("cgroup.controllers"));
        names.extend(file.unwrap_or_default().split_whitespace().map(str::to_owned));
    }
    names
}

fn controller(row: &(&str, &str, bool), available: &[String], is_unified: bool) -> Line {
    let (name, purpose, hinders) = *row;
    let id = format!("cgroup.{name}");
    let file_name = if name == "io" && !is_unified { "blkio" } else { name };
    if available.iter().any(|known| known == file_name) {
        return Line::yes(id, format!("the controller {file_name}: {purpose}"));
    }
    let about = format!("the controller {file_name} is not there");
    let remedy = match name {
        "memory" => "boot with cgroup_enable=memory".to_owned(),
        _ if is_unified => {
            format!("echo +{name} > cgroup.subtree_control of the cgroup above, or a kernel that has it")
        }
        _ => format!("mount the v1 hierarchy {file_name}, or boot a kernel that has it"),
    };
    let line = Line::no(id, about, format!("a config that asks for {purpose} is an error"), remedy);
    if hinders { line.hindering() } else { line }
}

/// Makes a cgroup and removes it.
fn try_in(directory: &Path) -> std::io::Result<()> {
    let probe = directory.join(format!("orlop-doctor-{}", std::process::id()));
    fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe))
}

fn delegation(found: &Hierarchies, is_root: bool) -> Line {
    let id = "cgroup.delegation";
    let names: &[&str] = if found.is_unified() { &[""] } else { &["memory", "pids", "cpu"] };
    let directories: Vec<PathBuf> = match (is_root, &found.unified) {
        (true, Some(mount)) if found.is_unified() => vec![mount.clone()],
        _ => names.iter().filter_map(|name| found.own(name)).collect(),
    };
    let refused = directories.iter().find_map(|place| try_in(place).err().map(|error| (place, error)));
    let Some((place, error)) = refused else { return Line::yes(id, "this user can make cgroups") };
    let about = format!("no cgroup can be made in {}: {error}", place.display());
    if is_root {
        let remedy =
            "in a container: `--privileged`, or cgroups that are mounted writable with a private cgroup namespace";
        return Line::no(id, about, "`create` fails unless --rootless=true", remedy).hindering();
    }
    if let Some(line) = by_systemd(id, found) {
        return line;
    }
    let consequence = "containers of this user have no cgroup: no limits, no `pause`";
    let remedy = match found.is_unified() {
        true => "systemd-run --user --scope -p Delegate=yes COMMAND, or run with --systemd-cgroup",
        false => "boot with systemd.unified_cgroup_hierarchy=1: v1 is not delegated",
    };
    Line::limited(id, about, consequence, remedy)
}

/// The user's own systemd makes scopes with the controllers that it was given.
fn by_systemd(id: &str, found: &Hierarchies) -> Option<Line> {
    let mount = found.unified.as_deref().filter(|_| found.is_unified())?;
    let uid = user::uid();
    let service = mount.join(format!("user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"));
    let given = fs::read_to_string(service).ok()?;
    let given: Vec<&str> = given.split_whitespace().collect();
    let missing: Vec<&str> =
        ["cpu", "cpuset", "io", "memory", "pids"].into_iter().filter(|n| !given.contains(n)).collect();
    let about = format!("systemd delegates {} to this user (with --systemd-cgroup)", given.join(", "));
    if missing.is_empty() {
        return Some(Line::yes(id, about));
    }
    let remedy = "Delegate=cpu cpuset io memory pids in /etc/systemd/system/user@.service.d/delegate.conf";
    Some(Line::limited(id, about, format!("no limits of {}", missing.join(", ")), remedy))
}

fn pressure() -> Option<Line> {
    let id = "cgroup.pressure";
    match fs::read_to_string("/proc/pressure/cpu") {
        Ok(_) => Some(Line::yes(id, "pressure stall information")),
        Err(error) => {
            let consequence = "`events`, `inspect` and `top` show no pressure";
            Some(Line::no(id, format!("/proc/pressure: {error}"), consequence, "boot with psi=1"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_of_block_devices_has_another_name_on_v1() {
        let names = ["blkio".to_owned()];
        assert!(controller(&CONTROLLERS[4], &names, false).consequence.is_empty());
        assert!(!controller(&CONTROLLERS[4], &names, true).consequence.is_empty());
        assert!(controller(&CONTROLLERS[0], &names, true).hinders);
    }
}
