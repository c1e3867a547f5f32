//! What the style of the sources and scripts is held to, as far as a program can count it.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest function outside tests, in lines.
const LONGEST_FUNCTION: usize = 80;
/// How many lines of 1,000 in doc comments may hold a word that stands for a missing noun.
const VAGUE_LINES: usize = 5;
/// The most items (functions, types, modules, re-exports) that the library offers to other crates; `unreachable_pub` makes
/// sure that a plain `pub` is such an offer.
const PUBLIC_ITEMS: usize = 220;
/// The longest line of a script, in columns.
const LONGEST_SCRIPT_LINE: usize = 120;
/// Words that stand where the field has a noun: "the path", "the caller", "an unprivileged user".
const VAGUE: &[&str] = &["what", "whoever", "whom", "whose", "somebody", "nobody", "anybody"];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let mut files = Vec::new();
    let mut left = vec![root];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let is_test = path.file_stem().is_some_and(|name| name == "tests");
            match path.is_dir() {
                true if !is_test => left.push(path),
                false if path.extension().is_some_and(|e| e == "rs") && !is_test => {
                    files.push((path.clone(), fs::read_to_string(path).unwrap()));
                }
                _ => {}
            }
        }
    }
    assert!(files.len() > 100);
    files
}

fn is_function(line: &str) -> bool {
    let text = line.trim_start();
    let text = match text.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or("", |(_, rest)| rest),
        Some(rest) => rest,
        None => text,
    };
    let mut words = text.split_whitespace();
    words.find(|word| !matches!(*word, "const" | "unsafe" | "extern" | "\"C\"")) == Some("fn")
}

/// The functions of `text` with their first line and length. rustfmt closes a function at its own indentation.
fn functions(text: &str) -> Vec<(usize, usize, String)> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        if !is_function(line) || line.trim_end().ends_with(';') {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let close = format!("{}}}", " ".repeat(indent));
        let length = lines[at..].iter().position(|l| **l == close).unwrap_or(0) + 1;
        found.push((at + 1, length, line.trim().to_owned()));
    }
    found
}

#[test]
fn no_function_is_too_long_to_be_read_at_once() {
    let mut long = Vec::new();
    let mut count = 0;
    for (path, text) in sources() {
        // A table has a row for each thing, however many there are.
        if path.components().any(|part| part.as_os_str() == "table") {
            continue;
        }
        for (line, length, name) in functions(&text) {
            count += 1;
            if length > LONGEST_FUNCTION {
                long.push(format!("{}:{line}: {length} lines: {name}", path.display()));
            }
        }
    }
    assert!(count > 1000, "only {count} functions were found");
    assert!(long.is_empty(), "functions above {LONGEST_FUNCTION} lines:\n{}", long.join("\n"));
}

#[test]
fn the_library_offers_little() {
    let offers = |line: &&str| {
        let mut words = line.split_whitespace();
        words.next() == Some("pub")
            && words.next().is_some_and(|word| {
                matches!(
                    word,
                    "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "mod" | "use" | "unsafe"
                )
            })
    };
    let items: usize = sources().iter().map(|(_, text)| text.lines().filter(offers).count()).sum();
    assert!((50..=PUBLIC_ITEMS).contains(&items), "{items} public items");
}

#[test]
fn doc_comments_name_their_nouns() {
    let (mut lines, mut vague) = (0, 0);
    for (_, text) in sources() {
        for line in text.lines().map(str::trim_start).filter(|line| line.starts_with("///") || line.starts_with("//!"))
        {
            lines += 1;
            let lower = line.to_lowercase();
            let mut words = lower.split(|c: char| !c.is_alphanumeric());
            vague += usize::from(words.any(|word| VAGUE.contains(&word)));
        }
    }
    assert!(lines > 2000, "only {lines} lines of doc comments were found");
    let rate = vague * 1000 / lines;
    assert!(rate <= VAGUE_LINES, "{vague} of {lines} lines say {VAGUE:?}: {rate} of 1,000, at most {VAGUE_LINES}");
}

#[test]
fn a_function_is_measured_from_its_first_line_to_its_brace() {
    let text = "impl X {\n    pub(crate) fn a() {\n        b();\n    }\n}\n\nfn c();\nconst fn d() -> u8 {\n    1\n}\n\
                pub(in crate::x) const fn e() {\n}\n";
    let found: Vec<_> = functions(text).into_iter().map(|(line, length, _)| (line, length)).collect();
    assert_eq!(found, [(2, 3), (8, 3), (11, 2)]);
}

/// The scripts of the repository: files that begin as a shell's do, and those that such files read.
fn scripts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut left: Vec<PathBuf> = [".ci", "integration", "oci-runtime-tests/mutants"].map(|dir| root.join(dir)).into();
    let mut found = Vec::new();
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match fs::read_to_string(&path) {
                _ if path.is_dir() => left.push(path),
                Ok(text) if is_script(&path, &text) => found.push((path, text)),
                _ => {}
            }
        }
    }
    assert!(found.len() > 50, "only {} scripts were found", found.len());
    found
}

fn is_script(path: &Path, text: &str) -> bool {
    if let Some(program) = text.strip_prefix("#!") {
        return program.lines().next().is_some_and(|line| line.ends_with("sh"));
    }
    let is_read = |dir: &str| path.parent().is_some_and(|parent| parent.ends_with(dir));
    match path.extension() {
        Some(extension) => extension == "sh",
        None => ["vm/sets", "engines/fixtures", "engines/captures", "integration/tools"].iter().any(|dir| is_read(dir)),
    }
}

#[test]
fn no_line_of_a_script_is_too_long() {
    let mut long = Vec::new();
    for (path, text) in scripts() {
        // The recipe of machines that are kept until its bytes change.
        if path.ends_with("vm/build") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if line.chars().count() > LONGEST_SCRIPT_LINE {
                long.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(long.is_empty(), "lines above {LONGEST_SCRIPT_LINE} columns:\n{}", long.join("\n"));
}
