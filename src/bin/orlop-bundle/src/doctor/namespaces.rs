//! Namespaces and mounts in them, tried in processes of their own: with their end everything is gone.

use super::Line;
use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The hidden word of the process that unshares.
pub(crate) const WORD: &str = "doctor-namespaces";
/// The hidden word of its child, the first process of the pid namespace.
pub(crate) const INNER: &str = "doctor-proc";

/// Names as in a config.json, with the flag of each.
const KINDS: [(&str, CloneFlags); 7] = [
    ("mount", CloneFlags::CLONE_NEWNS),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("network", CloneFlags::CLONE_NEWNET),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    // CLONE_NEWTIME, which nix has no name for.
    ("time", CloneFlags::from_bits_retain(0x80)),
];

/// Results by name: none is success.
type Results = Map<String, Value>;

/// The process of the hidden word: prints an object with the error, or null, of each thing that it tried.
pub(crate) fn probe(user: bool) -> Result<ExitCode> {
    let mut results = Results::new();
    let mut keep = |name: &str, result: Result<(), String>| {
        let is_done = result.is_ok();
        results.insert(name.into(), result.err().map_or(Value::Null, Value::from));
        is_done
    };
    let mut made = Vec::new();
    if !user || keep("user", user_namespace()) {
        for (name, flag) in KINDS {
            if keep(name, unshare(flag).map_err(|errno| said("unshare", errno))) {
                made.push(name);
            }
        }
        // Without a mount namespace of its own this process would mount on the host.
        let own = |name: &str| made.contains(&name).then_some(()).ok_or(format!("no {name} namespace to try it in"));
        if keep("private", own("mount").and_then(|()| private())) {
            keep("overlay", overlay());
            keep("proc", own("pid").and_then(|()| inner()));
        }
    }
    println!("{}", Value::Object(results));
    Ok(ExitCode::SUCCESS)
}

fn said(call: &str, errno: Errno) -> String {
    format!("{call}: {} ({errno:?})", errno.desc())
}

fn written(path: &str, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("write to {path}: {error}"))
}

fn user_namespace() -> Result<(), String> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| said("unshare(CLONE_NEWUSER)", errno))?;
    written("/proc/self/setgroups", "deny")?;
    written("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    written("/proc/self/gid_map", &format!("0 {gid} 1"))
}

/// A place for mounts that only this process sees.
fn private() -> Result<(), String> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(|e| said("mount(MS_PRIVATE)", e))?;
    let place = std::env::temp_dir();
    mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), none).map_err(|e| said("mount(tmpfs)", e))
}

fn overlay() -> Result<(), String> {
    let place = std::env::temp_dir();
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(place.join(name)).map_err(|error| format!("mkdir: {error}"))?;
    }
    let at = |name: &str| place.join(name).display().to_string();
    let options = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    mount(Some("overlay"), &place.join("merged"), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .map_err(|e| said("mount(overlay)", e))
}

/// Children of this process are in the new pid namespace; only they can mount its procfs.
fn inner() -> Result<(), String> {
    let place = std::env::temp_dir().join("proc");
    fs::create_dir(&place).map_err(|error| format!("mkdir: {error}"))?;
    let output = Command::new("/proc/self/exe").arg(INNER).arg(&place).output().map_err(|e| format!("execve: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(text) }
}

/// The process of the other hidden word.
pub(crate) fn probe_proc(directory: &Path) -> Result<ExitCode> {
    match mount(Some("proc"), directory, Some("proc"), MsFlags::empty(), None::<&str>) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(errno) => {
            println!("{}", said("mount(proc)", errno));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Runs the process of the hidden word and reads its results.
fn tried(user: bool) -> Result<Results> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(WORD).args(user.then_some("--user")).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().context("execute /proc/self/exe")?;
    serde_json::from_slice(&output.stdout).context("the probe of namespaces has no result")
}

pub(super) fn lines(is_root: bool) -> Vec<Line> {
    let with_user = tried(true).unwrap_or_else(failed);
    let mut lines = user_lines(&with_user, is_root);
    // Root's containers need no user namespace.
    let results = if is_root { tried(false).unwrap_or_else(failed) } else { with_user };
    if results.len() > 1 {
        lines.extend(KINDS.iter().map(|(name, _)| kind(name, error(&results, name))));
        lines.extend(mounts(&results));
    }
    lines
}

fn failed(error: anyhow::Error) -> Results {
    Results::from_iter([("user".to_owned(), format!("{error:#}").into())])
}

/// The error of something that was tried; an error, too, where it was not.
fn error<'a>(results: &'a Results, name: &str) -> Option<&'a str> {
    match results.get(name) {
        Some(Value::Null) => None,
        Some(value) => value.as_str(),
        None => Some("not tried, since an earlier step failed"),
    }
}

fn kind(name: &str, error: Option<&str>) -> Line {
    let id = format!("namespace.{name}");
    let title = format!("{name} namespaces");
    let Some(error) = error else { return Line::yes(id, title) };
    let consequence = format!("a config with a namespace of type \"{name}\" is an error");
    let remedy = "needs a kernel with this kind of namespaces, and CAP_SYS_ADMIN (in a container: `--privileged`)";
    let line = Line::no(id, format!("{title}: {error}"), consequence, remedy);
    if matches!(name, "time" | "cgroup") { line } else { line.hindering() }
}

fn mounts(results: &Results) -> Vec<Line> {
    let mut lines = Vec::new();
    let private = error(results, "private");
    lines.push(match private {
        None => Line::yes("mount.tmpfs", "mounts in a mount namespace of its own"),
        Some(error) => {
            let remedy = "needs CAP_SYS_ADMIN, and a security module that allows mounts";
            Line::no("mount.tmpfs", error, "no root filesystem can be made", remedy).hindering()
        }
    });
    if private.is_some() {
        return lines;
    }
    lines.push(match error(results, "overlay") {
        None => Line::yes("mount.overlay", "overlay file systems"),
        Some(error) => {
            let consequence = "engines fall back to slow storage drivers (vfs, fuse-overlayfs)";
            Line::limited("mount.overlay", error, consequence, "modprobe overlay, or Linux 5.11 without root")
        }
    });
    lines.push(match error(results, "proc") {
        None => Line::yes("mount.proc", "a procfs in a pid namespace of its own"),
        Some(error) => {
            let consequence = "a container with a pid namespace of its own and a /proc fails";
            let remedy =
                "/proc here is masked: start the container around with `--security-opt systempaths=unconfined`";
            Line::no("mount.proc", error, consequence, remedy).hindering()
        }
    });
    lines
}

/// User namespaces, and each switch that keeps them off.
fn user_lines(results: &Results, is_root: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    let consequence = match is_root {
        true => "a config with a user namespace is an error",
        false => "this user cannot run containers",
    };
    let (cause, remedy) = switches(&mut lines, is_root, consequence);
    let denied = error(results, "user").or_else(|| if is_root { None } else { error(results, "private") });
    let title = "user namespaces";
    let line = match denied {
        None => Line::yes("userns.create", title),
        Some(error) => {
            let about = format!("{title}: {error}{cause}");
            let line = Line::no("userns.create", about, consequence, remedy);
            if is_root { line } else { line.hindering() }
        }
    };
    lines.insert(0, line);
    lines
}

/// A line for each switch that this kernel has; the last one that is off, and how it is turned on.
fn switches(lines: &mut Vec<Line>, is_root: bool, consequence: &str) -> (String, String) {
    let mut cause = String::new();
    let mut remedy = "enable user namespaces in the kernel, or ask the engine around for them".to_owned();
    // The value that is off, the value that is on, and whether root is bound, too.
    let rows = [
        ("userns.max", "user.max_user_namespaces", 0, "28633", true),
        ("userns.clone-switch", "kernel.unprivileged_userns_clone", 0, "1", false),
        ("userns.apparmor", "kernel.apparmor_restrict_unprivileged_userns", 1, "0", false),
    ];
    for (id, name, off, good, binds_root) in rows {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        let Some(value) = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok()) else {
            continue;
        };
        let about = format!("{name} is {value}");
        if value != off || (is_root && !binds_root) {
            lines.push(Line::yes(id, about));
            continue;
        }
        cause = format!(" ({about})");
        remedy = match id {
            "userns.apparmor" => {
                "install packaging/apparmor.d/orlop in /etc/apparmor.d and load it with apparmor_parser -r".into()
            }
            _ => format!("sysctl -w {name}={good}"),
        };
        lines.push(match id {
            "userns.apparmor" => {
                let consequence = "programs without a profile get no rights in a user namespace";
                Line::limited(id, about, consequence, remedy.clone())
            }
            _ => Line::no(id, about, consequence, remedy.clone()),
        });
    }
    (cause, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_pid_namespace_hinders_and_a_missing_time_namespace_does_not() {
        assert!(kind("pid", Some("EPERM")).hinders);
        assert!(!kind("time", Some("EINVAL")).hinders);
        assert!(kind("pid", None).consequence.is_empty());
    }

    #[test]
    fn a_masked_proc_is_told_apart() {
        let value = |text: &str| Value::from(text);
        let results = Results::from_iter([
            ("private".into(), Value::Null),
            ("overlay".into(), Value::Null),
            ("proc".into(), value("mount(proc): EPERM")),
        ]);
        let lines = mounts(&results);
        let ids: Vec<_> = lines.iter().filter(|line| line.hinders).map(|line| line.id.as_str()).collect();
        assert_eq!(ids, ["mount.proc"]);
    }
}
