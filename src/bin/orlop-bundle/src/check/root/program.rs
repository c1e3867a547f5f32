//! The program in the root filesystem, its interpreter, its loader and its libraries.

use super::super::Bundle;
use super::super::access::User;
use super::{Found, Root};
use crate::elf::{self, Program};
use crate::finding::{Finding, Severity};
use orlop::explain::Node;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The search path of the C library where the environment has none (exec(3)).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The program that `process.args` names.
pub(super) fn program(bundle: &Bundle, root: &Root) -> Vec<Finding> {
    let Some(process) = bundle.config.get("process") else { return Vec::new() };
    let Some(node) = process.get("args").and_then(|args| args.items().first()) else { return Vec::new() };
    let Some(name) = node.text().filter(|name| !name.is_empty() && !name.contains('\0')) else { return Vec::new() };
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
        if let Some(mask) = mask(bundle, &path) {
            let problem = format!("{path} is masked by linux.maskedPaths ({mask})");
            return error("program.masked", problem, "take the path out of linux.maskedPaths, or name another program");
        }
        if root.covering(&path).is_some_and(|mount| mount.no_exec) {
            let problem = format!("{path} is on a mount with the option noexec");
            return error("program.noexec", problem, "take the option out, or name a program elsewhere");
        }
        let file = match root.open(&path) {
            Found::File(file) => file,
            Found::Unknown => return Vec::new(),
            Found::Missing(reason) => {
                missing = reason;
                continue;
            }
        };
        let Ok(metadata) = file.metadata() else { return Vec::new() };
        let user = User::of(bundle);
        if !user.may_execute(&metadata) {
            let whom = if metadata.mode() & 0o111 == 0 { "" } else { " by process.user" };
            let problem = format!("{path} is not executable{whom} (mode {:04o})", metadata.mode() & 0o7777);
            return error("program.mode", problem, "chmod +x in the root filesystem");
        }
        let barrier = user.barrier(&root.directory, &path).filter(|_| root.covering(&path).is_none());
        if let Some((directory, mode)) = barrier {
            let problem =
                format!("process.user may not search {directory} (mode {mode:04o}), so that {path} is not found");
            return error("program.directory", problem, "chmod +x the directory in the root filesystem");
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

/// The masked path that covers a path.
fn mask<'a>(bundle: &'a Bundle, path: &str) -> Option<&'a str> {
    let list = bundle.config.get("linux").and_then(|linux| linux.get("maskedPaths")).map_or(&[][..], Node::items);
    list.iter().filter_map(Node::text).find(|mask| {
        let rest = path.strip_prefix(mask.trim_end_matches('/'));
        mask.len() > 1 && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
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
            let configured = Configured::read(root);
            elf.needed
                .iter()
                .filter(|library| !has_library(root, elf, path, library, environment, &configured.directories))
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
fn has_library(
    root: &Root,
    elf: &elf::Elf,
    path: &str,
    library: &str,
    environment: &[&str],
    configured: &[String],
) -> bool {
    if library.contains('/') {
        return !matches!(root.open(library), Found::Missing(_));
    }
    let origin = Path::new(path).parent().map_or("/".into(), |dir| dir.display().to_string());
    let own = elf.run_path.iter().map(|dir| dir.replace("$ORIGIN", &origin).replace("${ORIGIN}", &origin));
    let given = environment
        .iter()
        .filter_map(|entry| entry.strip_prefix("LD_LIBRARY_PATH="))
        .flat_map(|list| list.split([':', ';']));
    let usual = ["/lib", "/usr/lib", "/usr/local/lib", "/lib64", "/usr/lib64"].map(str::to_owned);
    let multiarch = ["/lib", "/usr/lib"].map(|dir| format!("{dir}/{}-linux-gnu", std::env::consts::ARCH));
    let all = own.chain(given.map(str::to_owned)).chain(configured.iter().cloned()).chain(usual).chain(multiarch);
    all.into_iter().any(|dir| !matches!(root.open(&format!("{dir}/{library}")), Found::Missing(_)))
}

/// The directories of /etc/ld.so.conf and of the files that it includes, each read once.
#[derive(Default)]
struct Configured {
    directories: Vec<String>,
    files: BTreeSet<String>,
}

impl Configured {
    /// The most files and directories.
    const MOST: usize = 1000;

    fn read(root: &Root) -> Configured {
        let mut configured = Configured::default();
        configured.add(root, "/etc/ld.so.conf".to_owned());
        configured
    }

    fn add(&mut self, root: &Root, first: String) {
        let mut left = vec![first];
        while let Some(file) = left.pop() {
            if self.files.len() >= Self::MOST || !self.files.insert(file.clone()) {
                continue;
            }
            let Found::File(opened) = root.open(&file) else { continue };
            let mut text = String::new();
            if opened.take(1 << 20).read_to_string(&mut text).is_err() {
                continue;
            }
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
                match line.strip_prefix("include ").and_then(|pattern| pattern.trim().rsplit_once('/')) {
                    Some((dir, _)) if left.len() < Self::MOST => {
                        let names = root.directory.names(dir).unwrap_or_default();
                        left.extend(names.iter().take(Self::MOST).map(|name| format!("{dir}/{name}")));
                    }
                    None if self.directories.len() < Self::MOST && !line.starts_with("include ") => {
                        self.directories.push(line.to_owned());
                    }
                    _ => {}
                }
            }
        }
    }
}
