//! `socketcall(2)` and `ipc(2)`: one number for many calls, told apart by the first argument. Where an architecture has
//! them beside the calls themselves, a rule for `socket` must hold for both ways, or it is none.

/// Of `socketcall` (linux/net.h), from 1.
const SOCKET_CALLS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// Of `ipc` (linux/ipc.h).
const IPC_CALLS: [(&str, u32); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The multiplexer through which `name` can be called, and the first argument that selects it.
pub(super) fn selector(name: &str) -> Option<(&'static str, u32)> {
    if let Some(index) = SOCKET_CALLS.iter().position(|&call| call == name) {
        return Some(("socketcall", index as u32 + 1));
    }
    IPC_CALLS.iter().find(|&&(call, _)| call == name).map(|&(_, selector)| ("ipc", selector))
}
