//! Records of containers: our own state.json, runc's, and crun's status; and /proc/PID/stat.

use super::record::Record;
use std::fs;
use std::path::PathBuf;

/// Our own record: what is read is written so that it is read again as the same.
pub(crate) fn record(input: &[u8]) {
    let changed = Record::parse_changed(input);
    let Ok(record) = Record::parse(input) else { return };
    assert!(changed.is_ok(), "a whole record that a changed one could not be");
    let written = record.to_json().unwrap_or_else(|error| panic!("{error}"));
    let again = Record::parse(&written).unwrap_or_else(|error| panic!("{}: {error}", written.escape_ascii()));
    assert_eq!(again, record, "a record that is not read as it was written");
    let mut damaged = written.clone();
    let at = input.len() % damaged.len();
    damaged[at] ^= 1;
    assert!(Record::parse(&damaged).is_err(), "byte {at} of {} was changed", written.escape_ascii());
}

/// A directory with crun's copy of config.json, for the life of the process.
fn directory() -> PathBuf {
    let path = std::env::temp_dir().join(format!("orlop-fuzz-record-{}", std::process::id()));
    if !path.exists() {
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{error}"));
    }
    path
}

/// Another runtime's record: runc's or crun's, with crun's config.json behind a NUL byte. No
/// command acts on a process or a cgroup here, so a record that is believed is one of a process
/// that does not exist.
pub(crate) fn foreign(input: &[u8]) {
    let (status, config) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &b"{}"[..]),
    };
    let directory = directory();
    fs::write(directory.join("config.json"), config).unwrap_or_else(|error| panic!("{error}"));
    let Ok(record) = Record::parse_in(status, &directory) else { return };
    if record.foreign.is_some() {
        let id = directory.file_name().map(|name| name.to_string_lossy().into_owned());
        assert_eq!(Some(&record.id), id.as_ref(), "the id is the directory's");
        assert!(record.init.is_some_and(|init| init.pid > 0), "a record without a process");
    }
}

/// /proc/PID/stat, of which a process chooses the name.
pub(crate) fn stat(input: &[u8]) {
    let _ = super::process::fields(input);
    // The kernel's own line, with a name of 15 bytes at most.
    let name: Vec<u8> = input.iter().copied().filter(|byte| *byte != 0).take(15).collect();
    let line = [b"4711 (", &name[..], b") S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 99 20\n"].concat();
    let Some(seen) = super::process::fields(&line) else { panic!("{} is not read", line.escape_ascii()) };
    assert_eq!((seen.name.as_str(), seen.dead, seen.start), (&*String::from_utf8_lossy(&name), false, 99));
}
