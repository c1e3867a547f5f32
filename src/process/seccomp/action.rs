//! What the kernel shall do with a call (seccomp(2), "SECCOMP_RET_*").

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

/// An action as a filter returns it: the action in the upper half, its datum in the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action(pub u32);

impl Action {
    pub(crate) const KILL_PROCESS: Action = Action(0x8000_0000);
    pub(crate) const KILL_THREAD: Action = Action(0);
    pub(crate) const TRAP: Action = Action(0x0003_0000);
    pub(crate) const NOTIFY: Action = Action(0x7fc0_0000);
    pub(crate) const LOG: Action = Action(0x7ffc_0000);
    pub(crate) const ALLOW: Action = Action(0x7fff_0000);
    /// What a kernel answers that does not know a call.
    pub(crate) const ENOSYS: Action = Action::errno(libc::ENOSYS as u16);

    const ERRNO: Action = Action::errno(0);
    const TRACE: Action = Action(0x7ff0_0000);

    /// The call fails with `errno`.
    pub(crate) const fn errno(errno: u16) -> Action {
        Action(0x0005_0000 | errno as u32)
    }

    /// The action `name` of the config's object at `path`, with the error number beside it.
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

    /// Whether the call goes on, or something outside decides that it may; none of these is a refusal to a program.
    pub(super) fn permits(self) -> bool {
        matches!(Action(self.0 & 0xffff_0000), Action::ALLOW | Action::LOG | Action::TRACE)
    }

    /// The kernel's own order, where several filters answer differently: the lowest wins (as signed numbers).
    pub(super) fn strictness(self) -> i32 {
        (self.0 & 0xffff_0000) as i32
    }
}

const EPERM: u32 = libc::EPERM as u32;
/// The kernel answers a larger one as this one (include/linux/err.h).
const MAX_ERRNO: u32 = 4095;
/// The lower half of what a filter returns.
const MAX_DATUM: u32 = u16::MAX as u32;

/// Where in the config an action stands, for errors.
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
