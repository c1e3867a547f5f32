//! The runtime's own program in memory.

use integration::bundle::{Scene, eventually};
use integration::skip::skip;
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// A number at `at` of a little-endian file.
fn number(file: &[u8], at: u64, size: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes[..size].copy_from_slice(&file[at as usize..at as usize + size]);
    u64::from_le_bytes(bytes)
}

/// A program header of ELF.
struct Header {
    kind: u64,
    flags: u64,
    address: u64,
    size: u64,
}

/// The kind of an ELF file that a position-independent program has.
const SHARED_OBJECT: u64 = 3;
const LOAD: u64 = 1;
const INTERPRETER: u64 = 3;
const RELRO: u64 = 0x6474_e552;
const WRITE_EXECUTE: u64 = 3;
const READ: u64 = 4;

fn headers(file: &[u8]) -> Vec<Header> {
    let (table, size, count) = (number(file, 0x20, 8), number(file, 0x36, 2), number(file, 0x38, 2));
    let header = |n: u64| {
        let at = table + n * size;
        let [kind, flags] = [0, 4].map(|offset| number(file, at + offset, 4));
        let [address, size] = [16, 40].map(|offset| number(file, at + offset, 8));
        Header { kind, flags, address, size }
    };
    (0..count).map(header).collect()
}

/// The areas of a process: first address, end, rights, offset and file.
fn areas(pid: u32) -> Vec<(u64, u64, String, String, String)> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let area = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (low, high) = words[0].split_once('-').unwrap();
        let [low, high] = [low, high].map(|text| u64::from_str_radix(text, 16).unwrap());
        (low, high, words[1].to_owned(), words[2].to_owned(), (*words.last().unwrap()).to_owned())
    };
    maps.lines().map(area).collect()
}

/// Whether the runtime needs nothing else to run; else the test is reported as skipped.
pub(crate) fn is_static(runtime: &Path) -> bool {
    let is_static = headers(&fs::read(runtime).unwrap()).iter().all(|header| header.kind != INTERPRETER);
    if !is_static {
        skip("the runtime is no static program");
    }
    is_static
}

#[test]
fn the_program_has_a_random_address_read_only_relocated_data_and_no_segment_to_write_and_execute() {
    let Some(mut scene) = Scene::of_spec() else { return };
    if !is_static(&scene.runtime) {
        return;
    }
    let file = fs::read(&scene.runtime).unwrap();
    assert_eq!(number(&file, 0x10, 2), SHARED_OBJECT, "the kernel chooses the address of a shared object alone");
    let headers = headers(&file);
    let loads: Vec<&Header> = headers.iter().filter(|header| header.kind == LOAD).collect();
    assert!(loads.iter().all(|header| header.flags & WRITE_EXECUTE != WRITE_EXECUTE));
    assert_eq!(loads.iter().filter(|header| header.flags == READ).count(), 2);
    scene.args(&["cat"]);
    let mut run = scene.command(&["run"], &[]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    eventually("a running container", || scene.state()["status"] == "running");
    let areas = areas(run.id());
    let base = areas.iter().find(|area| area.4 == scene.runtime.to_str().unwrap() && area.3 == "00000000").unwrap().0;
    let data = headers.iter().find(|header| header.kind == RELRO).unwrap();
    let (first, end) = ((base + data.address) & !4095, (base + data.address + data.size) & !4095);
    assert!(first < end);
    for page in (first..end).step_by(4096) {
        let area = areas.iter().find(|area| area.0 <= page && page < area.1).unwrap();
        assert!(!area.2.contains('w'), "{area:?}");
    }
    drop(run.stdin.take());
    assert!(run.wait().unwrap().success());
    scene.nothing_left();
}
