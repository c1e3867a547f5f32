//! `socketcall(2)` and `ipc(2)`: one number for many calls, told apart by the first argument. Where an architecture has
//! them beside the calls themselves, a rule for `socket` must hold for both ways, or it is none.

/// The calls, in the order of their names: by which multiplexer each can be made, and the first argument that selects it
/// (linux/net.h, linux/ipc.h).
const CALLS: &[(&str, &str, u32)] = &[
    ("accept", "socketcall", 5),
    ("accept4", "socketcall", 18),
    ("bind", "socketcall", 2),
    ("connect", "socketcall", 3),
    ("getpeername", "socketcall", 7),
    ("getsockname", "socketcall", 6),
    ("getsockopt", "socketcall", 15),
    ("listen", "socketcall", 4),
    ("msgctl", "ipc", 14),
    ("msgget", "ipc", 13),
    ("msgrcv", "ipc", 12),
    ("msgsnd", "ipc", 11),
    ("recv", "socketcall", 10),
    ("recvfrom", "socketcall", 12),
    ("recvmmsg", "socketcall", 19),
    ("recvmsg", "socketcall", 17),
    ("semctl", "ipc", 3),
    ("semget", "ipc", 2),
    ("semop", "ipc", 1),
    ("semtimedop", "ipc", 4),
    ("send", "socketcall", 9),
    ("sendmmsg", "socketcall", 20),
    ("sendmsg", "socketcall", 16),
    ("sendto", "socketcall", 11),
    ("setsockopt", "socketcall", 14),
    ("shmat", "ipc", 21),
    ("shmctl", "ipc", 24),
    ("shmdt", "ipc", 22),
    ("shmget", "ipc", 23),
    ("shutdown", "socketcall", 13),
    ("socket", "socketcall", 1),
    ("socketpair", "socketcall", 8),
];

/// The multiplexer through which `name` can be called, and the first argument that selects it.
pub(super) fn selector(name: &str) -> Option<(&'static str, u32)> {
    let found = CALLS.binary_search_by(|(call, _, _)| (*call).cmp(name)).ok()?;
    let (_, multiplexer, selector) = CALLS[found];
    Some((multiplexer, selector))
}

/// Whether `name` can be called through a multiplexer, for tables that are made when compiled.
pub(super) const fn has(name: &[u8]) -> bool {
    let mut n = 0;
    while n < CALLS.len() {
        let call = CALLS[n].0.as_bytes();
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
        for (name, multiplexer, argument) in CALLS {
            assert_eq!(selector(name), Some((*multiplexer, *argument)), "{name}");
            assert!(has(name.as_bytes()), "{name}");
        }
        assert_eq!(selector("read"), None);
        assert!(!has(b"accept5") && !has(b"accep") && !has(b""));
        assert_eq!(selector(""), None);
    }
}
