//! The root filesystem and the files around it: sources of mounts, hooks, devices, and the program in [`program`].
//!
//! Paths in the root are resolved as the runtime resolves them, confined to it. Nothing is executed.

mod program;

use super::Bundle;
use super::access::User;
use crate::finding::{Finding, Severity};
use orlop::beneath::Directory;
use orlop::explain::{Content, Node};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

pub(super) fn findings(bundle: &Bundle) -> Vec<Finding> {
    let mut findings = Vec::new();
    sources(bundle, &mut findings);
    hooks(bundle, &mut findings);
    terminal(bundle, &mut findings);
    let Some(node) = bundle.config.get("root").and_then(|root| root.get("path")) else { return findings };
    let Some(path) = node.text().filter(|path| !path.is_empty()) else { return findings };
    match Directory::open(&bundle.directory.join(path)) {
        Ok(directory) => {
            let mounts = mounts(bundle);
            let Some(directory) = in_effect(bundle, directory, &mounts, &mut findings) else { return findings };
            let root = Root { directory, mounts };
            findings.extend(program::program(bundle, &root));
            findings.extend(working_directory(bundle, &root));
            inner_hooks(bundle, &root, &mut findings);
            devices(bundle, &root, &mut findings);
        }
        Err(error) => {
            let finding = Finding::new("root.missing", Severity::Error, "root.path", error.to_string())
                .at(bundle.place(node))
                .source("config.md, \"Root\"")
                .remedy("unpack a root filesystem there, or name the directory that holds it");
            // A relative path is the bundle's own.
            findings.push(if path.starts_with('/') { finding.on_host() } else { finding });
        }
    }
    findings
}

/// The directory with the container's files: `root.path`, or the source of a first mount at `/`. A new filesystem there can
/// be seen only once it is mounted, and nothing is mounted here.
fn in_effect(
    bundle: &Bundle,
    directory: Directory,
    mounts: &[BundleMount],
    findings: &mut Vec<Finding>,
) -> Option<Directory> {
    let first = bundle.config.get("mounts").and_then(|mounts| mounts.items().first());
    // A destination that is missing is none; the config is refused.
    let is_at_root = first.and_then(|node| node.get("destination")?.text()).is_some_and(|text| !text.is_empty());
    let mount = mounts.first().filter(|mount| is_at_root && mount.at.is_empty() && !mount.is_remount);
    let Some(mount) = mount else { return Some(directory) };
    // A source that is missing has its own finding.
    if let Some(source) = &mount.source {
        return Directory::open(source).ok().filter(|_| !of_kernel(source));
    }
    let problem = format!(
        "the root will be a new {}, which is not mounted here: the program, its libraries and its directory were not looked at",
        mount.kind
    );
    let finding = Finding::new("root.mount", Severity::Note, "mounts[0]", problem);
    findings.push(finding.at(first.and_then(|node| bundle.place(node))).source("config.md, \"Mounts\""));
    None
}

/// A root filesystem with the mounts that cover parts of it.
struct Root {
    directory: Directory,
    /// Destination, and the directory of the host for a bind mount.
    mounts: Vec<BundleMount>,
}

/// A mount that covers a part of the root filesystem.
struct BundleMount {
    /// The destination, with a leading slash and none at the end.
    at: String,
    kind: String,
    /// The file or directory of the host for a bind mount.
    source: Option<PathBuf>,
    read_only: bool,
    no_exec: bool,
    is_remount: bool,
}

impl BundleMount {
    /// The rest of a path that is on this mount.
    fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&self.at).filter(|rest| !self.at.is_empty() && (rest.is_empty() || rest.starts_with('/')))
    }
}

/// Where a file of the container is looked for.
enum Found {
    File(std::fs::File),
    /// On a file system that does not exist yet.
    Unknown,
    Missing(String),
}

impl Root {
    /// The last mount that covers a path.
    fn covering(&self, path: &str) -> Option<&BundleMount> {
        self.mounts.iter().rev().find(|mount| mount.rest(path).is_some())
    }

    fn open(&self, path: &str) -> Found {
        let opened = match self.covering(path) {
            None => self.directory.open_file(path),
            Some(BundleMount { source: None, .. }) => return Found::Unknown,
            Some(mount @ BundleMount { source: Some(source), .. }) => {
                let rest = mount.rest(path).unwrap_or_default();
                // Reading a file of the kernel's may block, or do something.
                if of_kernel(source) {
                    return Found::Unknown;
                }
                match Directory::open(source) {
                    Ok(directory) => directory.open_file(rest),
                    // A file that is bound over a file.
                    Err(_) if rest.is_empty() => match file_of_host(source) {
                        Ok(file) => Ok(file),
                        Err(error) => return Found::Missing(error.to_string()),
                    },
                    Err(error) => Err(error),
                }
            }
        };
        match opened {
            Ok(file) => Found::File(file),
            Err(error) => Found::Missing(error.to_string()),
        }
    }
}

/// Whether a path of the host is on procfs, sysfs or another file system without stored data.
fn of_kernel(path: &Path) -> bool {
    const OF_KERNEL: &[i64] = &[
        0x9fa0,      // proc
        0x6265_6572, // sysfs
        0x7472_6163, // tracefs
        0x6462_6720, // debugfs
        0x0027_e0eb, // cgroup
        0x6367_7270, // cgroup2
        0x7363_6673, // securityfs
        0xcafe_4a11, // bpf
    ];
    #[allow(clippy::unnecessary_cast, reason = "the C libraries have different types")]
    let kind = |found: nix::sys::statfs::Statfs| found.filesystem_type().0 as i64;
    nix::sys::statfs::statfs(path).is_ok_and(|found| OF_KERNEL.contains(&kind(found)))
}

/// A regular file of the host; a FIFO or a device is never opened for reading.
fn file_of_host(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(super::O_NONBLOCK).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other("not a regular file")),
    }
}

fn mounts(bundle: &Bundle) -> Vec<BundleMount> {
    let of = |mount: &Node| {
        let at = mount.get("destination").and_then(Node::text).unwrap_or_default();
        let options = mount.get("options").map_or(&[][..], Node::items);
        let has = |names: &[&str]| options.iter().any(|option| option.text().is_some_and(|text| names.contains(&text)));
        let kind = mount.get("type").and_then(Node::text).unwrap_or_default();
        let bind = kind == "bind" || has(&["bind", "rbind"]);
        let source = mount.get("source").and_then(Node::text).filter(|source| bind && !source.is_empty());
        let parts: Vec<&str> = at.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        BundleMount {
            at: parts.iter().map(|part| format!("/{part}")).collect(),
            kind: if bind { "bind".to_owned() } else { kind.to_owned() },
            source: source.map(|source| bundle.directory.join(source)),
            read_only: has(&["ro", "rro"]),
            no_exec: has(&["noexec", "rnoexec"]),
            is_remount: has(&["remount"]),
        }
    };
    bundle.config.get("mounts").map_or(&[][..], Node::items).iter().map(of).collect()
}

fn sources(bundle: &Bundle, findings: &mut Vec<Finding>) {
    let systems = file_systems();
    let all = mounts(bundle);
    for (n, node) in bundle.config.get("mounts").map_or(&[][..], Node::items).iter().enumerate() {
        let mount = &all[n];
        findings.extend(destination(&all[..n], mount).map(|problem| {
            Finding::new("mount.destination", Severity::Error, format!("mounts[{n}].destination"), problem)
                .at(node.get("destination").and_then(|node| bundle.place(node)))
                .source("config.md, \"Mounts\"")
                .remedy("make the directory beforehand, or mount it elsewhere")
                .on_host()
        }));
        match (&mount.source, node.get("source"), node.get("type")) {
            (Some(path), Some(source), _) => {
                let Err(error) = std::fs::metadata(path) else { continue };
                let problem = format!("{}: {error}", path.display());
                findings.push(
                    Finding::new("mount.source", Severity::Error, format!("mounts[{n}].source"), problem)
                        .at(bundle.place(source))
                        .source("config.md, \"Mounts\"")
                        .remedy("create it, or name a source that is there; bind sources are never created")
                        .on_host(),
                );
            }
            (None, _, Some(kind)) if !mount.kind.is_empty() && !systems.contains(&mount.kind) => {
                let problem = format!("this machine's kernel has no file system {:?}", mount.kind);
                let finding = Finding::new("mount.type", Severity::Error, format!("mounts[{n}].type"), problem)
                    .at(bundle.place(kind))
                    .source("filesystems(5), /proc/filesystems")
                    .on_host();
                findings.push(match super::structure::nearest(&mount.kind, systems.iter().map(String::as_str)) {
                    Some(near) => finding.remedy(format!("did you mean {near:?}?")),
                    None => finding.remedy("load its module, or mount another file system"),
                });
            }
            _ => {}
        }
    }
}

/// Why a mount's destination can neither be found nor made on the earlier mounts.
fn destination(before: &[BundleMount], mount: &BundleMount) -> Option<String> {
    let (below, rest) = before.iter().rev().find_map(|below| Some((below, below.rest(&mount.at)?)))?;
    if below.kind == "proc" && below.at != "/proc" && mount.kind != "proc" {
        return Some(format!("it is inside the procfs at {}", below.at));
    }
    let nothing = || Some(format!("it is on the {} at {}, where nothing can be made", below.kind, below.at));
    let there = match (&below.source, below.kind.as_str()) {
        (None, "devpts") if !matches!(rest, "" | "/ptmx") => return nothing(),
        // A bind mount of a file has a mount point that is a message queue.
        (None, "mqueue") if !rest.is_empty() && (below.read_only || mount.kind != "bind") => return nothing(),
        (Some(source), _) if below.read_only => source.clone(),
        (None, "sysfs") => PathBuf::from("/sys"),
        _ => return None,
    };
    let missing = !rest.is_empty() && there.is_dir() && !there.join(&rest[1..]).exists();
    missing.then(|| format!("it is not there on the mount at {}, where nothing can be made", below.at))
}

/// The file systems that the kernel has or has modules for; `cgroup` stands for both versions in a config.
fn file_systems() -> Vec<String> {
    let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let mut names: Vec<String> =
        list.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let modules = std::fs::read_to_string(format!("/lib/modules/{}/modules.alias", release.trim())).unwrap_or_default();
    let of_modules = modules.lines().filter_map(|line| line.strip_prefix("alias fs-")?.split(' ').next());
    names.extend(of_modules.map(str::to_owned));
    names.extend(["cgroup".to_owned(), "none".to_owned()]);
    names
}

fn hooks(bundle: &Bundle, findings: &mut Vec<Finding>) {
    // startContainer hooks are resolved in the container.
    for moment in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let list = bundle.config.get("hooks").and_then(|hooks| hooks.get(moment));
        for (n, hook) in list.map_or(&[][..], Node::items).iter().enumerate() {
            let Some(node) = hook.get("path") else { continue };
            let Some(path) = node.text().filter(|path| path.starts_with('/')) else { continue };
            let problem = match std::fs::metadata(path) {
                Err(error) => format!("{path}: {error}"),
                Ok(file) if !file.is_file() => format!("{path} is not a regular file"),
                Ok(file) if file.mode() & 0o111 == 0 => {
                    format!("{path} is not executable (mode {:04o})", file.mode() & 0o7777)
                }
                Ok(_) => continue,
            };
            findings.push(
                Finding::new("hook.program", Severity::Error, format!("hooks.{moment}[{n}].path"), problem)
                    .at(bundle.place(node))
                    .source("config.md, \"POSIX-platform Hooks\"")
                    .remedy("install the program, or make it executable (chmod +x)")
                    .on_host(),
            );
        }
    }
}

/// Hooks that are executed in the container.
fn inner_hooks(bundle: &Bundle, root: &Root, findings: &mut Vec<Finding>) {
    let list = bundle.config.get("hooks").and_then(|hooks| hooks.get("startContainer"));
    for (n, hook) in list.map_or(&[][..], Node::items).iter().enumerate() {
        let Some(node) = hook.get("path") else { continue };
        let Some(path) = node.text().filter(|path| path.starts_with('/')) else { continue };
        let problem = match root.open(path) {
            Found::Unknown => continue,
            Found::Missing(reason) => format!("{path}: {reason}"),
            Found::File(file) => match file.metadata() {
                Ok(file) if file.mode() & 0o111 == 0 => {
                    format!("{path} is not executable (mode {:04o})", file.mode() & 0o7777)
                }
                _ => continue,
            },
        };
        findings.push(
            Finding::new("hook.program", Severity::Error, format!("hooks.startContainer[{n}].path"), problem)
                .at(bundle.place(node))
                .source("config.md, \"POSIX-platform Hooks\"")
                .remedy("the path is in the container: name a program of the root filesystem"),
        );
    }
}

/// Device nodes with another file in their place.
fn devices(bundle: &Bundle, root: &Root, findings: &mut Vec<Finding>) {
    let list = bundle.config.get("linux").and_then(|linux| linux.get("devices"));
    for (n, device) in list.map_or(&[][..], Node::items).iter().enumerate() {
        let Some(node) = device.get("path") else { continue };
        let Some(path) = node.text().filter(|path| !path.is_empty()) else { continue };
        let path = format!("/{}", path.trim_matches('/'));
        let is_there = match root.covering(&path) {
            // Nothing can be made on these.
            Some(mount) => mount.at == path || matches!(mount.kind.as_str(), "proc" | "sysfs"),
            None => root.directory.open_dir(&path).is_ok() || root.directory.open_file(&path).is_ok(),
        };
        let earlier = list.map_or(&[][..], Node::items).iter().take(n).find(|other| is_other_device(other, device));
        if is_there || earlier.is_some() {
            let problem = format!("no device can be made at {path}: something else is there");
            findings.push(
                Finding::new("device.exists", Severity::Error, format!("linux.devices[{n}].path"), problem)
                    .at(bundle.place(node))
                    .source("config-linux.md, \"Devices\"")
                    .remedy("give the device another path, or take away what is there"),
            );
        }
    }
}

/// Whether two entries make different devices at one path.
fn is_other_device(one: &Node, other: &Node) -> bool {
    let path = |device: &Node| Some(device.get("path")?.text()?.trim_matches('/').to_owned());
    let kind = |device: &Node| {
        device.get("type").and_then(Node::text).map(|kind| if kind == "u" { "c" } else { kind }.to_owned())
    };
    let number = |device: &Node| {
        let part = |key: &str| match &device.get(key)?.content {
            Content::Literal(literal) => Some(literal.clone()),
            _ => None,
        };
        (kind(device).as_deref() != Some("p")).then(|| (part("major"), part("minor")))
    };
    path(one) == path(other) && (kind(one), number(one)) != (kind(other), number(other))
}

/// The directory of the host's procfs or sysfs that a path in a new one of the container shows; none for a process's own.
fn shown_by_kernel(mount: &BundleMount, path: &str) -> Option<PathBuf> {
    let rest = mount.rest(path)?.trim_start_matches('/');
    let first = rest.split('/').next().filter(|first| !first.is_empty())?;
    let is_process = matches!(first, "self" | "thread-self") || first.bytes().all(|byte| byte.is_ascii_digit());
    match (mount.source.is_some(), mount.kind.as_str()) {
        (false, "proc") if !is_process => Some(Path::new("/proc").join(rest)),
        (false, "sysfs") => Some(Path::new("/sys").join(rest)),
        _ => None,
    }
}

/// `process.cwd` is made where it is missing; nothing can be made in the place of a file.
fn working_directory(bundle: &Bundle, root: &Root) -> Option<Finding> {
    let node = bundle.config.get("process")?.get("cwd")?;
    let path = node.text().filter(|path| path.starts_with('/'))?;
    let finding = |severity, problem: String| {
        Finding::new("process.cwd", severity, "process.cwd", problem)
            .at(bundle.place(node))
            .source("config.md, \"Process\"; chdir(2)")
            .remedy("name a directory that process.user may search")
    };
    if let Some(mount) = root.covering(path) {
        let shown = shown_by_kernel(mount, path).filter(|shown| !shown.is_dir())?;
        let problem = format!("{} is no directory, and none can be made in a {}", shown.display(), mount.kind);
        return Some(finding(Severity::Error, problem).on_host());
    }
    // A part of the path may be the file.
    let parts = path.match_indices('/').map(|(at, _)| at).chain([path.len()]).filter(|at| *at > 0);
    if let Some(end) = parts.into_iter().find(|end| root.directory.open_file(&path[..*end]).is_ok()) {
        return Some(finding(Severity::Error, format!("{} is a file and no directory", &path[..end])));
    }
    let (barrier, mode) = User::of(bundle).barrier(&root.directory, &format!("{}/", path.trim_end_matches('/')))?;
    Some(finding(Severity::Warning, format!("process.user may not search {barrier} (mode {mode:04o})")))
}

fn terminal(bundle: &Bundle, findings: &mut Vec<Finding>) {
    let Some(node) = bundle.config.get("process").and_then(|process| process.get("terminal")) else { return };
    if matches!(&node.content, orlop::explain::Content::Literal(literal) if literal == "true") {
        findings.push(
            Finding::new(
                "process.terminal",
                Severity::Note,
                "process.terminal",
                "true: `create` and `run --detach` need --console-socket, and `run` a terminal of its own",
            )
            .at(bundle.place(node))
            .remedy("set it to false for a program without a terminal"),
        );
    }
}
