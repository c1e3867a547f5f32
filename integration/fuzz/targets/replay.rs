//! The kept inputs of each target, and long ones made of them, without a fuzzer.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use super::{CORPUS, TARGETS};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// The stack of a replay: an eighth of the one that the program has.
const STACK: usize = 1 << 20;
/// The length of the long inputs.
const LONG: usize = 1 << 16;
/// What parsers take apart: brackets, separators, escapes and words, each repeated to a long input.
const REPEATED: &[&[u8]] = &[
    b"[",
    b"{",
    b"{\"a\":",
    b"{\"linux\":",
    b"(",
    b"<",
    b"([<",
    b"\"",
    b"\\",
    b"\\\"",
    b",",
    b":",
    b"=",
    b"/",
    b"../",
    b" ",
    b"\n",
    b"\0",
    b"\xff",
    b"\x80",
    b"0",
    b"9",
    b"-",
    b"1,",
    b"0-1,",
    b"a",
    b"a=b\n",
    b"uint32 ",
    b"@a",
    b"\xc3\xa9",
    b"\x0a\x01",
];

fn kept(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(CORPUS).join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Gives each input to each target, and names those at which a target panics.
fn survives(inputs: impl Fn(&str) -> Vec<(String, Vec<u8>)> + Send + Sync + 'static) {
    let replay = move || {
        let mut bad = Vec::new();
        let mut count = 0;
        for (name, target) in TARGETS {
            for (of, input) in inputs(name) {
                count += 1;
                if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
                    bad.push(format!("{name}: {of}"));
                }
            }
        }
        (count, bad)
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(replay).unwrap();
    let (count, bad) = thread.join().unwrap();
    assert!(count >= 2 * TARGETS.len(), "only {count} inputs");
    assert!(bad.is_empty(), "inputs at which a target panics:\n{}", bad.join("\n"));
}

#[test]
fn the_kept_inputs_are_read_as_they_should_be() {
    survives(|target| {
        let read = |path: PathBuf| (path.display().to_string(), fs::read(path).unwrap());
        kept(target).into_iter().map(read).collect()
    });
}

#[test]
fn long_inputs_take_neither_the_stack_nor_time_that_grows_faster_than_they_do() {
    survives(|target| {
        let repeated = |part: &[u8]| part.iter().copied().cycle().take(LONG).collect::<Vec<u8>>();
        let plain =
            REPEATED.iter().map(|part| (format!("{:?} repeated", part.escape_ascii().to_string()), repeated(part)));
        // Behind a kept input's beginning, so that it is taken for what it is.
        let first = kept(target).into_iter().next().map(|path| fs::read(path).unwrap()).unwrap_or_default();
        let half = first.len() / 2;
        let behind = REPEATED.iter().map(|part| {
            let name = format!("half of the first input, then {:?} repeated", part.escape_ascii().to_string());
            (name, [&first[..half], &repeated(part), &first[half..]].concat())
        });
        plain.chain(behind).collect()
    });
}

#[test]
fn each_target_has_inputs_and_each_folder_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(CORPUS);
    let mut folders: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    folders.sort();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(folders, names);
}
