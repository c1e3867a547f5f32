//! Actions: the return values of a filter (seccomp(2), "SECCOMP_RET_*").

use crate::error::{Error, Result};

/// Every action that a config may name.
pub(crate) static ACTIONS: [(&str, Action); 9] = [
    ("SCMP_ACT_KILL", Action::KILL_THREAD),
    ("SCMP_ACT_KILL_PROCESS", Action::KILL_PROCESS),
    ("SCMP_ACT_KILL_THREAD", Action::KILL_THREAD),
    ("SCMP_ACT_TRAP", Action::TRAP),
    ("SCMP_ACT_ERRNO", Action::ERRNO),
    ("SCMP_ACT_TRACE", Action::TRACE),
    ("SCMP_ACT_ALLOW", Action::ALLOW),
    ("SCMP_ACT_LOG", Action::LOG),
    ("SCMP_ACT_NOTIFY", Action::NOTIFY),
];

/// The return value of a filter: the action in the upper 16 bits, its data in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action(pub u32);

impl Action {
    pub(crate) const KILL_PROCESS: Action = Action(0x8000_0000);
    pub(crate) const KILL_THREAD: Action = Action(0);
    pub(crate) const TRAP: Action = Action(0x0003_0000);
    pub(crate) const NOTIFY: Action = Action(0x7fc0_0000);
    pub(crate) const LOG: Action = Action(0x7ffc_0000);
    pub(crate) const ALLOW: Action = Action(0x7fff_0000);
    /// The answer of a kernel that does not have the system call.
    pub(crate) const ENOSYS: Action = Action::errno(libc::ENOSYS as u16);

    const ERRNO: Action = Action::errno(0);
    const TRACE: Action = Action(0x7ff0_0000);

    /// The call fails with `errno`.
    pub(crate) const fn errno(errno: u16) -> Action {
        Action(0x0005_0000 | errno as u32)
    }

    /// Parses the action `name` and its error number `errno`; `path` is their position in the
    /// config.
    pub(super) fn parse(name: &str, errno: Option<u32>, path: &Place) -> Result<Action> {
        let Some(&(_, action)) = ACTIONS.iter().find(|(known, _)| *known == name) else {
            let problem = if name.is_empty() { "missing".into() } else { format!("unknown action {name}") };
            return Err(Error::config(path.action(), problem));
        };
        let (unset, most) = match action {
            Action::ERRNO => (EPERM, MAX_ERRNO),
            Action::TRACE => (EPERM, MAX_DATUM),
            // The kernel puts it into si_errno of the signal.
            Action::TRAP => (0, MAX_DATUM),
            _ if errno.is_none() => return Ok(action),
            _ => return Err(Error::config(path.errno(), format!("{name} takes no error number"))),
        };
        match errno.unwrap_or(unset) {
            value if value <= most => Ok(Action(action.0 | value)),
            value => Err(Error::config(path.errno(), format!("{value} is more than {most}"))),
        }
    }

    /// Whether the action is ALLOW, LOG or TRACE, so that the kernel or a tracer may execute the
    /// system call.
    pub(super) fn permits(self) -> bool {
        matches!(Action(self.0 & 0xffff_0000), Action::ALLOW | Action::LOG | Action::TRACE)
    }

    /// The order by which the kernel chooses among the answers of several filters: the lowest
    /// signed number wins.
    pub(super) fn strictness(self) -> i32 {
        (self.0 & 0xffff_0000) as i32
    }
}

const EPERM: u32 = libc::EPERM as u32;
/// The largest errno of an action; the kernel reduces a larger one to it (include/linux/err.h).
const MAX_ERRNO: u32 = 4095;
/// The lower half of a filter's return value.
const MAX_DATUM: u32 = u16::MAX as u32;

/// The position of an action in the config, for errors.
pub(super) enum Place {
    Default,
    Syscall(usize),
}

impl Place {
    fn action(&self) -> String {
        match self {
            Place::Default => "linux.seccomp.defaultAction".into(),
            Place::Syscall(index) => format!("linux.seccomp.syscalls[{index}].action"),
        }
    }

    fn errno(&self) -> String {
        match self {
            Place::Default => "linux.seccomp.defaultErrnoRet".into(),
            Place::Syscall(index) => format!("linux.seccomp.syscalls[{index}].errnoRet"),
        }
    }
}
