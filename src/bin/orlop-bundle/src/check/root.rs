//! The root filesystem and the files around it: the program, its interpreter and libraries, sources of mounts, hooks.
//!
//! Paths in the root are resolved as the runtime resolves them, confined to it. Nothing is executed.

use super::Bundle;
use crate::elf::{self, Program};
use crate::finding::{Finding, Severity};
use orlop::beneath::Directory;
use orlop::explain::Node;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The search path of the C library where the environment has none (exec(3)).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

pub(super) fn findings(bundle: &Bundle) -> Vec<Finding> {
    let mut findings = Vec::new();
    sources(bundle, &mut findings);
    hooks(bundle, &mut findings);
    terminal(bundle, &mut findings);
    let Some(node) = bundle.config.get("root").and_then(|root| root.get("path")) else { return findings };
    let Some(path) = node.text().filter(|path| !path.is_empty()) else { return findings };
    match Directory::open(&bundle.directory.join(path)) {
        Ok(directory) => {
            let root = Root { directory, mounts: mounts(bundle) };
            findings.extend(program(bundle, &root));
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

/// A root filesystem with the mounts that cover parts of it.
struct Root {
    directory: Directory,
    /// Destination, and the directory of the host for a bind mount.
    mounts: Vec<(String, Option<PathBuf>)>,
}

/// Where a file of the container is looked for.
enum Found {
    File(std::fs::File),
    /// On a file system that does not exist yet.
    Unknown,
    Missing(String),
}

impl Root {
    fn open(&self, path: &str) -> Found {
        let covering = self.mounts.iter().rev().find(|(at, _)| {
            let rest = path.strip_prefix(at.trim_end_matches('/'));
            at != "/" && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let opened = match covering {
            None => self.directory.open_file(path),
            Some((_, None)) => return Found::Unknown,
            Some((at, Some(source))) => {
                let rest = &path[at.trim_end_matches('/').len()..];
                match Directory::open(source) {
                    Ok(directory) => directory.open_file(rest),
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

fn mounts(bundle: &Bundle) -> Vec<(String, Option<PathBuf>)> {
    let of = |mount: &Node| {
        let at = mount.get("destination")?.text()?.to_owned();
        let options = mount.get("options").map_or(&[][..], Node::items);
        let bind = options.iter().any(|option| matches!(option.text(), Some("bind" | "rbind")))
            || mount.get("type").and_then(Node::text) == Some("bind");
        let source = mount.get("source").and_then(Node::text).filter(|_| bind);
        Some((format!("/{}", at.trim_start_matches('/')), source.map(|source| bundle.directory.join(source))))
    };
    bundle.config.get("mounts").map_or(&[][..], Node::items).iter().filter_map(of).collect()
}

fn sources(bundle: &Bundle, findings: &mut Vec<Finding>) {
    for (n, mount) in bundle.config.get("mounts").map_or(&[][..], Node::items).iter().enumerate() {
        let options: Vec<&str> =
            mount.get("options").map_or(&[][..], Node::items).iter().filter_map(Node::text).collect();
        let kind = mount.get("type").and_then(Node::text).unwrap_or_default();
        let Some(source) = mount.get("source") else { continue };
        let Some(text) = source.text().filter(|text| !text.is_empty()) else { continue };
        let field = format!("mounts[{n}].source");
        if kind == "bind" || options.iter().any(|option| matches!(*option, "bind" | "rbind")) {
            let path = bundle.directory.join(text);
            if let Err(error) = std::fs::metadata(&path) {
                let problem = format!("{}: {error}", path.display());
                findings.push(
                    Finding::new("mount.source", Severity::Error, field, problem)
                        .at(bundle.place(source))
                        .source("config.md, \"Mounts\"")
                        .remedy("create it, or name a source that is there; bind sources are never created")
                        .on_host(),
                );
            }
        } else if !kind.is_empty() && !file_systems().iter().any(|known| known == kind) {
            let node = mount.get("type").unwrap_or(mount);
            let problem = format!("the kernel does not know the file system {kind:?} (or its module is not loaded)");
            let finding = Finding::new("mount.type", Severity::Warning, format!("mounts[{n}].type"), problem)
                .at(bundle.place(node))
                .source("filesystems(5), /proc/filesystems")
                .on_host();
            let systems = file_systems();
            findings.push(match super::structure::nearest(kind, systems.iter().map(String::as_str)) {
                Some(near) => finding.remedy(format!("did you mean {near:?}?")),
                None => finding,
            });
        }
    }
}

/// The file systems that the kernel has; `cgroup` stands for both versions in a config.
fn file_systems() -> Vec<String> {
    let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let names = list.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned);
    names.chain(["cgroup".to_owned(), "none".to_owned()]).collect()
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

/// The program that `process.args` names.
fn program(bundle: &Bundle, root: &Root) -> Vec<Finding> {
    let Some(process) = bundle.config.get("process") else { return Vec::new() };
    let Some(node) = process.get("args").and_then(|args| args.items().first()) else { return Vec::new() };
    let Some(name) = node.text().filter(|name| !name.is_empty()) else { return Vec::new() };
    let error = |id, problem: String, remedy: &str| {
        vec![
            Finding::new(id, Severity::Error, "process.args[0]", problem)
                .at(bundle.place(node))
                .source("config.md, \"POSIX process\"; execve(2)")
                .remedy(remedy),
        ]
    };
    let environment: Vec<&str> =
        process.get("env").map_or(&[][..], Node::items).iter().filter_map(Node::text).collect();
    let cwd = process.get("cwd").and_then(Node::text).unwrap_or("/");
    let mut missing = String::new();
    for path in candidates(name, cwd, &environment) {
        let file = match root.open(&path) {
            Found::File(file) => file,
            Found::Unknown => return Vec::new(),
            Found::Missing(reason) => {
                missing = reason;
                continue;
            }
        };
        let Ok(metadata) = file.metadata() else { return Vec::new() };
        if metadata.mode() & 0o111 == 0 {
            let problem = format!("{path} is not executable (mode {:04o})", metadata.mode() & 0o7777);
            return error("program.mode", problem, "chmod +x in the root filesystem");
        }
        return match elf::read(file) {
            Ok(program) => kind(root, &path, &program, &environment, &error),
            Err(reason) => error("program.format", format!("{path}: {reason}"), "name a program for this machine"),
        };
    }
    let problem = match name.contains('/') {
        true => format!("{name}: {missing}"),
        false => format!("{name:?} is in no directory of PATH ({})", path_of(&environment)),
    };
    error("program.missing", problem, "name a program that the root filesystem has")
}

fn path_of<'a>(environment: &[&'a str]) -> &'a str {
    environment.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH)
}

fn candidates(name: &str, cwd: &str, environment: &[&str]) -> Vec<String> {
    let absolute = |path: &str| if path.starts_with('/') { path.to_owned() } else { format!("{cwd}/{path}") };
    match name.contains('/') {
        true => vec![absolute(name)],
        false => path_of(environment).split(':').map(|directory| absolute(&format!("{directory}/{name}"))).collect(),
    }
}

/// Whether the kernel and the loader can run the program.
fn kind(
    root: &Root,
    path: &str,
    program: &Program,
    environment: &[&str],
    error: &dyn Fn(&'static str, String, &str) -> Vec<Finding>,
) -> Vec<Finding> {
    match program {
        Program::Script { interpreter, carriage_return } => {
            if *carriage_return {
                let problem = format!(
                    "{path}: the first line ends with a carriage return, so the interpreter is \"{interpreter}\\r\""
                );
                return error("program.script", problem, "write the file with Unix line ends (dos2unix)");
            }
            match root.open(interpreter) {
                Found::Missing(reason) => {
                    let problem = format!("{path}: its interpreter {interpreter} is not there: {reason}");
                    error("program.interpreter", problem, "install the interpreter in the root filesystem")
                }
                _ => Vec::new(),
            }
        }
        Program::Elf(elf) => {
            if let Some(other) = elf.foreign() {
                let problem =
                    format!("{path} is a program for {other}, and this machine is {}", std::env::consts::ARCH);
                let found =
                    error("program.architecture", problem, "use a root filesystem for this machine's architecture");
                return found.into_iter().map(Finding::on_host).collect();
            }
            if let Some(loader) = &elf.interpreter
                && let Found::Missing(reason) = root.open(loader)
            {
                let problem = format!("{path}: its loader {loader} is not there: {reason}");
                return error("program.loader", problem, "install the C library that the program was linked with");
            }
            elf.needed
                .iter()
                .filter(|library| !has_library(root, elf, path, library, environment))
                .flat_map(|library| {
                    let problem = format!("{path} needs {library}, which is in no directory of libraries");
                    error("program.library", problem, "install the library in the root filesystem")
                        .into_iter()
                        .map(|finding| Finding { severity: Severity::Warning, ..finding })
                })
                .collect()
        }
    }
}

/// Whether the loader finds a library (ld.so(8)).
fn has_library(root: &Root, elf: &elf::Elf, path: &str, library: &str, environment: &[&str]) -> bool {
    if library.contains('/') {
        return !matches!(root.open(library), Found::Missing(_));
    }
    let origin = Path::new(path).parent().map_or("/".into(), |dir| dir.display().to_string());
    let own = elf.run_path.iter().map(|dir| dir.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin));
    let given = environment
        .iter()
        .filter_map(|entry| entry.strip_prefix("LD_LIBRARY_PATH="))
        .flat_map(|list| list.split([':', ';']));
    let configured = configured(root, "/etc/ld.so.conf", 0);
    let usual = ["/lib", "/usr/lib", "/usr/local/lib", "/lib64", "/usr/lib64"].map(str::to_owned);
    let multiarch = ["/lib", "/usr/lib"].map(|dir| format!("{dir}/{}-linux-gnu", std::env::consts::ARCH));
    let all = own.chain(given.map(str::to_owned)).chain(configured).chain(usual).chain(multiarch);
    all.into_iter().any(|dir| !matches!(root.open(&format!("{dir}/{library}")), Found::Missing(_)))
}

/// The directories of an ld.so.conf and of the files that it includes from ld.so.conf.d.
fn configured(root: &Root, file: &str, depth: usize) -> Vec<String> {
    let Found::File(opened) = root.open(file) else { return Vec::new() };
    let mut text = String::new();
    if depth > 4 || opened.take(1 << 20).read_to_string(&mut text).is_err() {
        return Vec::new();
    }
    let mut directories = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix("include ") {
            None => directories.push(line.to_owned()),
            Some(pattern) => {
                let Some((dir, _)) = pattern.trim().rsplit_once('/') else { continue };
                for name in root.directory.names(dir).unwrap_or_default() {
                    directories.extend(configured(root, &format!("{dir}/{name}"), depth + 1));
                }
            }
        }
    }
    directories
}
