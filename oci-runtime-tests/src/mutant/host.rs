//! Runtimes that touch what is not the container's: the host's files, mounts, settings, descriptors. What they do stays in the
//! suite's own mount and network namespaces, or is put back by the case that looks at it.

use super::config::create;
use super::{Act, Defect, Real};
use anyhow::Result;
use nix::mount::{MsFlags, mount};
use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Does something on the host before `create`; what fails there is no matter.
fn before_create(real: &Real<'_>, act: impl FnOnce(&Path, &mut Value)) -> Result<i32> {
    if real.operation() == "create" { create(real, act) } else { real.run() }
}

fn texts<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().into_iter().flatten().filter_map(|entry| entry[key].as_str()).collect()
}

fn has_namespace(config: &Value, kind: &str) -> bool {
    texts(&config["linux"]["namespaces"], "type").contains(&kind)
}

/// Where the host's rules lead for a path of the container.
fn followed_outside(bundle: &Path, path: &str) -> Option<PathBuf> {
    let inside = bundle.join("rootfs").join(path.trim_start_matches('/'));
    let outside = inside.canonicalize().ok()?;
    (!outside.starts_with(bundle.canonicalize().ok()?)).then_some(outside)
}

fn mount_tmpfs(place: &Path) {
    let _ = mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), None::<&str>);
}

fn bind_readonly(place: &Path) {
    let _ = mount(Some(place), place, None::<&str>, MsFlags::MS_BIND, None::<&str>);
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let _ = mount(None::<&str>, place, None::<&str>, flags, None::<&str>);
}

/// Another root with nothing but the probe and the directories.
fn bare_root(bundle: &Path) -> std::io::Result<()> {
    let (from, to) = (bundle.join("rootfs"), bundle.join("bare"));
    for entry in std::fs::read_dir(&from)?.flatten() {
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(place)?;
        } else if entry.file_name() == "probe" {
            std::fs::create_dir_all(&to)?;
            std::fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

fn write_settings(config: &Value) {
    for (name, value) in config["linux"]["sysctl"].as_object().into_iter().flatten() {
        let _ = std::fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value.as_str().unwrap_or_default());
    }
}

fn give_sources_away(config: &Value) {
    for entry in config["mounts"].as_array().into_iter().flatten().filter(|entry| entry["uidMappings"].is_array()) {
        let files = std::fs::read_dir(entry["source"].as_str().unwrap_or_default()).into_iter().flatten().flatten();
        for file in files {
            let _ = std::os::unix::fs::chown(file.path(), Some(7000), Some(7000));
        }
    }
}

/// The runtime with a descriptor of this file more than it was given, which it is told to pass on.
fn with_descriptor(real: &Real<'_>, file: &str) -> Result<i32> {
    let at = real.words().iter().position(|word| word == "create").unwrap_or(0) + 1;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("exec \"$0\" \"$@\" 3<{file}")]).arg(real.path);
    command.args(&real.args[..at]).args(["--preserve-fds", "1"]).args(&real.args[at..]);
    Ok(command.status()?.code().unwrap_or(1))
}

/// The runtime without a word of its command line and the one after it.
fn without_option(real: &Real<'_>, name: &str) -> Result<i32> {
    let Some(at) = real.words().iter().position(|word| word == name) else { return real.run() };
    let mut command = Command::new(real.path);
    command.args(&real.args[..at]).args(real.args.get(at + 2..).unwrap_or_default());
    Ok(command.status()?.code().unwrap_or(1))
}

/// `create` with a terminal as its standard input: one that lasts longer than this process, the master of a pair.
fn on_a_terminal(real: &Real<'_>) -> Result<i32> {
    let master = std::fs::OpenOptions::new().read(true).write(true).open("/dev/ptmx")?;
    Ok(real.command().stdin(master).status()?.code().unwrap_or(1))
}

/// After `create` root's group is another user's, and another user's is root's.
fn exchange_owners(real: &Real<'_>) -> Result<i32> {
    let mut path = String::new();
    let status = create(real, |_, c| c["linux"]["cgroupsPath"].as_str().unwrap_or_default().clone_into(&mut path))?;
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    for mount in hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]) {
        let group = mount.join(path.trim_start_matches('/'));
        if let Ok(facts) = std::fs::metadata(&group) {
            std::os::unix::fs::chown(&group, Some(if facts.uid() == 0 { 1000 } else { 0 }), None)?;
        }
    }
    Ok(status)
}

macro_rules! defects {
    ($($name:ident $groups:expr, |$real:ident| $act:expr;)*) => {
        pub(super) fn defects() -> Vec<Defect> {
            vec![$(Defect { name: stringify!($name), groups: $groups, act: Act::Operation(|$real: &Real<'_>| $act) }),*]
        }
    };
}

defects! {
    what_the_program_writes_is_lost &["process"], |r| {
        if r.operation() != "create" { return r.run(); }
        Ok(r.command().stdout(Stdio::null()).status()?.code().unwrap_or(1))
    };
    the_standard_input_is_a_terminal &["terminal"], |r| if r.operation() == "create" { on_a_terminal(r) } else { r.run() };
    a_descriptor_too_many_is_passed_on &["descriptors"], |r| if r.operation() == "create" { with_descriptor(r, "/dev/null") } else { r.run() };
    a_directory_of_the_host_is_passed_on &["process", "descriptors"], |r| if r.operation() == "create" { with_descriptor(r, "/usr/bin") } else { r.run() };
    no_descriptor_is_passed_on &["descriptors"], |r| without_option(r, "--preserve-fds");
    the_root_is_another_with_the_program_alone &["root"], |r| before_create(r, |bundle, c| {
        if c["root"]["path"] == "rootfs" && bare_root(bundle).is_ok() { c["root"]["path"] = "bare".into(); }
    });
    a_readonly_root_is_readonly_for_the_host &["root"], |r| before_create(r, |bundle, c| {
        if c["root"]["readonly"] == true { bind_readonly(&bundle.join("rootfs")); }
    });
    mounts_are_made_on_the_host_too &["namespaces"], |r| before_create(r, |bundle, c| {
        if texts(&c["mounts"], "destination").contains(&"/data") {
            let place = bundle.join("rootfs/data");
            let _ = std::fs::create_dir(&place);
            mount_tmpfs(&place);
        }
    });
    destinations_are_followed_out_of_the_root &["mounts"], |r| before_create(r, |bundle, c| {
        texts(&c["mounts"], "destination").into_iter().filter_map(|path| followed_outside(bundle, path)).for_each(|place| mount_tmpfs(&place));
    });
    devices_are_made_out_of_the_root &["devices"], |r| before_create(r, |bundle, c| {
        for path in texts(&c["linux"]["devices"], "path") {
            let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
            if let Some(place) = followed_outside(bundle, parent) { let _ = std::fs::write(place.join("device"), ""); }
        }
    });
    the_owners_of_idmapped_files_change &["idmap"], |r| before_create(r, |_, c| give_sources_away(c));
    settings_are_those_of_the_host &["sysctl"], |r| before_create(r, |_, c| write_settings(c));
    the_hostname_is_that_of_the_host &["namespaces"], |r| before_create(r, |_, c| {
        if let Some(name) = c["hostname"].as_str().filter(|_| !has_namespace(c, "uts")) { let _ = nix::unistd::sethostname(name); }
    });
    masked_paths_are_there_beside_a_foreign_null_device &["paths"], |r| before_create(r, |bundle, c| {
        if std::fs::remove_file(bundle.join("rootfs/dev/null")).is_ok() { c["linux"]["maskedPaths"] = Value::Null; }
    });
    a_strict_filter_is_a_trap &["seccomp"], |r| before_create(r, |_, c| {
        if c["linux"]["seccomp"].to_string().contains("\"setresuid\"") { std::thread::sleep(std::time::Duration::from_secs(60)); }
    });
    cgroup_paths_climb_out_of_the_hierarchy &["cgroups"], |r| before_create(r, |_, c| {
        if let Some((_, path)) = c["linux"]["cgroupsPath"].as_str().and_then(|path| path.rsplit_once("../")) {
            let _ = std::fs::create_dir_all(format!("/{path}"));
        }
    });
    groups_belong_to_others &["cgroups"], |r| if r.operation() == "create" { exchange_owners(r) } else { r.run() };
    groups_stay_after_delete &["cgroups"], |r| if r.operation() == "delete" { Ok(0) } else { r.run() };
}
