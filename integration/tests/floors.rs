//! The floors of the house: a module imports only from lower floors, or from its own folder.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module at the top of `src/` with its floor; siblings on a floor never import one another unless the floor is shared.
const FLOORS: &[(&str, u8)] = &[
    ("sys", 0),
    ("skip", 0),
    ("config", 1),
    ("json", 1),
    ("path", 1),
    ("procfs", 1),
    ("mountinfo", 1),
    ("error", 1),
    ("beneath", 1),
    ("log", 1),
    ("nearest", 1),
    ("text", 1),
    ("calendar", 1),
    ("cpulist", 1),
    ("idmap", 1),
    ("host_program", 1),
    ("namespaces", 2),
    ("cgroups", 2),
    ("rootfs", 2),
    ("criu", 2),
    ("hooks", 2),
    ("process", 3),
    ("init", 3),
    ("container", 4),
    ("state", 4),
    ("features", 4),
    ("explain", 4),
    ("cli", 5),
    ("bin", 6),
];

/// Floors on which siblings may not import one another.
const STRICT: &[u8] = &[2];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../src")
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// All files of `src/` as (path below src, text without comments).
fn sources() -> Vec<(PathBuf, String)> {
    let root = src();
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(!files.is_empty(), "no sources below {}", root.display());
    files
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let below = path.strip_prefix(&root).unwrap().to_path_buf();
            (below, without_comments(&text))
        })
        .collect()
}

fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| match line.find("//") {
            // A "//" inside a string, as in a URL, is no comment.
            Some(at) if !line[..at].contains('"') => &line[..at],
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The module at the top of `src/` that a file belongs to: `sys/clone.rs` and `sys.rs` belong to `sys`.
fn module_of(below: &Path) -> String {
    let first = below.components().next().unwrap().as_os_str();
    let name = Path::new(first).file_stem().unwrap().to_string_lossy().into_owned();
    if name == "main" { "bin".into() } else { name }
}

/// The first segments of every path through the crate's root: `crate::a::b`, `crate::{a::b, c}`, `orlop::a`.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for root in ["crate::", "orlop::"] {
        for (at, _) in text.match_indices(root) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '/') {
                continue;
            }
            let rest = &text[at + root.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                found.extend(group_heads(group));
            } else {
                found.extend(head(rest));
            }
        }
    }
    found
}

fn head(text: &str) -> Option<String> {
    let name: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The heads of the members of `{a::b, c::{d, e}, f}`, given the text after the first brace.
fn group_heads(text: &str) -> Vec<String> {
    let mut heads: Vec<String> = head(text).into_iter().collect();
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => heads.extend(head(&text[at + 1..])),
            _ => {}
        }
    }
    heads
}

#[test]
fn every_import_goes_to_a_lower_floor() {
    let mut upward = Vec::new();
    for (path, text) in sources() {
        let own = module_of(&path);
        let Some(here) = floor(&own) else { continue };
        for module in imports(&text) {
            // Names at the crate's root, such as macros, have no floor.
            let Some(there) = floor(&module) else {
                continue;
            };
            let sibling = there == here && module != own && STRICT.contains(&here);
            if there > here || sibling {
                upward.push(format!("{}: {own} (floor {here}) imports {module} (floor {there})", path.display()));
            }
        }
    }
    assert!(upward.is_empty(), "imports that do not go down:\n{}", upward.join("\n"));
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        // src/init is the init stub, a program of its own without a libc, with its own system calls; the heap is the binary's.
        if matches!(module_of(&path).as_str(), "sys" | "init") || path.ends_with("bin/orlop/heap.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if line.contains("forbid(unsafe_code)") {
                continue;
            }
            let code = line.split('"').step_by(2).collect::<Vec<_>>().join(" ");
            let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.clone().any(|w| w == "unsafe" || w == "unsafe_code") {
                found.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "unsafe outside src/sys:\n{}", found.join("\n"));
}

#[test]
fn every_file_of_src_has_a_floor() {
    let lost: Vec<String> = sources()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path != Path::new("lib.rs") && floor(&module_of(path)).is_none())
        .map(|path| path.display().to_string())
        .collect();
    assert!(lost.is_empty(), "files on no floor; add their module to FLOORS or move them:\n{}", lost.join("\n"));
}

#[test]
fn names_are_nouns_of_the_domain() {
    const BANNED: &[&str] = &["utils", "util", "helpers", "helper", "manager", "common", "misc"];
    let found: Vec<String> = sources()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            path.components().any(|part| {
                let part = Path::new(part.as_os_str());
                let stem = part.file_stem().unwrap().to_string_lossy();
                BANNED.contains(&stem.as_ref())
            })
        })
        .map(|path| path.display().to_string())
        .collect();
    assert!(found.is_empty(), "names that say nothing: {found:?}");
}

#[test]
fn an_import_is_found_in_every_form() {
    let text = "use crate::{sys, error::{Error, Result}, config::Spec};\nlet x = crate::path::Root::new();";
    let names: Vec<String> = imports(text).into_iter().collect();
    assert_eq!(names, ["config", "error", "path", "sys"]);
}
