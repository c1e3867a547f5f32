//! `socketcall(2)` and `ipc(2)`, which multiplex many system calls by their first argument. If an
//! architecture has them beside the system calls themselves, a rule for `socket` must cover both
//! ways, or a program could bypass it.

use Multiplexer::{Ipc, Socketcall};

#[derive(Clone, Copy)]
enum Multiplexer {
    Socketcall,
    Ipc,
}

impl Multiplexer {
    fn name(self) -> &'static str {
        match self {
            Socketcall => "socketcall",
            Ipc => "ipc",
        }
    }
}

/// The multiplexed system calls, sorted by name, with their multiplexer and the first argument that
/// selects them (linux/net.h, linux/ipc.h).
const ROWS: [(&str, (Multiplexer, u32)); 32] = [
    ("accept", (Socketcall, 5)),
    ("accept4", (Socketcall, 18)),
    ("bind", (Socketcall, 2)),
    ("connect", (Socketcall, 3)),
    ("getpeername", (Socketcall, 7)),
    ("getsockname", (Socketcall, 6)),
    ("getsockopt", (Socketcall, 15)),
    ("listen", (Socketcall, 4)),
    ("msgctl", (Ipc, 14)),
    ("msgget", (Ipc, 13)),
    ("msgrcv", (Ipc, 12)),
    ("msgsnd", (Ipc, 11)),
    ("recv", (Socketcall, 10)),
    ("recvfrom", (Socketcall, 12)),
    ("recvmmsg", (Socketcall, 19)),
    ("recvmsg", (Socketcall, 17)),
    ("semctl", (Ipc, 3)),
    ("semget", (Ipc, 2)),
    ("semop", (Ipc, 1)),
    ("semtimedop", (Ipc, 4)),
    ("send", (Socketcall, 9)),
    ("sendmmsg", (Socketcall, 20)),
    ("sendmsg", (Socketcall, 16)),
    ("sendto", (Socketcall, 11)),
    ("setsockopt", (Socketcall, 14)),
    ("shmat", (Ipc, 21)),
    ("shmctl", (Ipc, 24)),
    ("shmdt", (Ipc, 22)),
    ("shmget", (Ipc, 23)),
    ("shutdown", (Socketcall, 13)),
    ("socket", (Socketcall, 1)),
    ("socketpair", (Socketcall, 8)),
];

/// The multiplexer of the system call `name`, and the first argument that selects it.
pub(super) fn selector(name: &str) -> Option<(&'static str, u32)> {
    let found = ROWS.binary_search_by(|(call, _)| call.as_bytes().cmp(name.as_bytes())).ok()?;
    let (_, (multiplexer, selector)) = ROWS[found];
    Some((multiplexer.name(), selector))
}

/// Whether the system call `name` has a multiplexer; a `const fn` for tables that are built at
/// compile time.
pub(super) const fn has(name: &[u8]) -> bool {
    let mut n = 0;
    while n < ROWS.len() {
        let call = ROWS[n].0.as_bytes();
        let mut same = 0;
        while same < call.len() && same < name.len() && call[same] == name[same] {
            same += 1;
        }
        if same == call.len() && same == name.len() {
            return true;
        }
        n += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_found_by_its_name() {
        for (name, (multiplexer, argument)) in ROWS {
            assert_eq!(selector(name), Some((multiplexer.name(), argument)), "{name}");
            assert!(has(name.as_bytes()), "{name}");
        }
        assert_eq!(selector("read"), None);
        assert!(!has(b"accept5") && !has(b"accep") && !has(b""));
        assert_eq!(selector(""), None);
    }
}
