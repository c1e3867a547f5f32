//! Tables of the kernel: mountinfo and /proc/PID/cgroup, and the messages of programs.

use crate::cgroups::membership::{HierarchyMount, Membership, locate};
use crate::mountinfo;

pub(super) fn tables(input: &[u8]) {
    mounts(input);
    let text = String::from_utf8_lossy(input);
    let memberships = Membership::parse_all(&text);
    let lines = text.lines().filter(|line| line.matches(':').count() >= 2).count();
    assert_eq!(memberships.len(), lines, "lines of /proc/PID/cgroup");
    for mount in HierarchyMount::parse_all(input) {
        for membership in &memberships {
            let _ = mount.holds(&membership.controllers);
            if let Some(below) = locate(&mount.root, &membership.path) {
                assert!(below.starts_with('/') && !below.split('/').any(|part| part == ".."), "{below:?}");
            }
        }
    }
}

/// proc_pid_mountinfo(5), in the plainest way.
fn mounts(table: &[u8]) {
    let mut read = mountinfo::mounts(table);
    for line in table.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let separator = fields.iter().skip(6).position(|field| *field == b"-").map(|at| at + 6);
        let Some(at) = separator.filter(|at| fields.len() >= at + 4) else { continue };
        let Some(mount) = read.next() else { panic!("a line is lost: {}", line.escape_ascii()) };
        assert_eq!((mount.id, mount.device), (fields[0], fields[2]), "{}", line.escape_ascii());
        assert_eq!(mount.point(), plain(fields[4]), "{}", line.escape_ascii());
        assert_eq!(mount.root(), plain(fields[3]), "{}", line.escape_ascii());
        assert_eq!((mount.attributes, mount.kind, mount.options), (fields[5], fields[at + 1], fields[at + 3]));
    }
    assert_eq!(read.count(), 0, "more mounts than lines");
}

/// Octal escapes, in a loop over indices.
fn plain(field: &[u8]) -> Vec<u8> {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while at < field.len() {
        let digits = field.get(at + 1..at + 4).filter(|digits| digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        let value = digits.and_then(|d| u8::from_str_radix(&String::from_utf8_lossy(d), 8).ok());
        match value.filter(|_| field[at] == b'\\') {
            Some(value) => {
                bytes.push(value);
                at += 4;
            }
            None => {
                bytes.push(field[at]);
                at += 1;
            }
        }
    }
    bytes
}
