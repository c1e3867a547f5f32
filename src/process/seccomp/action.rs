//! What the kernel shall do with a call (seccomp(2), "SECCOMP_RET_*").

use crate::error::{Error, Result};

/// Every action that a config may name.
pub(crate) static ACTIONS: [&str; 9] = [
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
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

    const TRACE: u32 = 0x7ff0_0000;

    /// The call fails with `errno`.
    pub(crate) const fn errno(errno: u16) -> Action {
        Action(0x0005_0000 | errno as u32)
    }

    /// The action `name` of the config's object at `path`, with the error number beside it.
    pub(super) fn parse(name: &str, errno: Option<u32>, path: &Place) -> Result<Action> {
        let plain = match name {
            "SCMP_ACT_ERRNO" => return Ok(Action::errno(datum(errno.unwrap_or(EPERM), MAX_ERRNO, path)?)),
            "SCMP_ACT_TRACE" => {
                let datum = datum(errno.unwrap_or(EPERM), u32::from(u16::MAX), path)?;
                return Ok(Action(Action::TRACE | u32::from(datum)));
            }
            // The kernel puts it into si_errno of the signal.
            "SCMP_ACT_TRAP" => {
                let datum = datum(errno.unwrap_or(0), u32::from(u16::MAX), path)?;
                return Ok(Action(Action::TRAP.0 | u32::from(datum)));
            }
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Action::KILL_THREAD,
            "SCMP_ACT_KILL_PROCESS" => Action::KILL_PROCESS,
            "SCMP_ACT_ALLOW" => Action::ALLOW,
            "SCMP_ACT_LOG" => Action::LOG,
            "SCMP_ACT_NOTIFY" => Action::NOTIFY,
            "" => return Err(Error::config(path.action(), "missing")),
            _ => return Err(Error::config(path.action(), format!("unknown action {name}"))),
        };
        match errno {
            None => Ok(plain),
            Some(_) => Err(Error::config(path.errno(), format!("{name} takes no error number"))),
        }
    }

    /// Whether the call goes on, or something outside decides that it may; none of these is a refusal to a program.
    pub(super) fn permits(self) -> bool {
        matches!(self.0 & 0xffff_0000, 0x7fff_0000 | 0x7ffc_0000 | Action::TRACE)
    }

    /// The kernel's own order, where several filters answer differently: the lowest wins (as signed numbers).
    pub(super) fn strictness(self) -> i32 {
        (self.0 & 0xffff_0000) as i32
    }
}

const EPERM: u32 = libc::EPERM as u32;
/// The kernel answers a larger one as this one (include/linux/err.h).
const MAX_ERRNO: u32 = 4095;

fn datum(value: u32, max: u32, path: &Place) -> Result<u16> {
    match u16::try_from(value) {
        Ok(datum) if value <= max => Ok(datum),
        _ => Err(Error::config(path.errno(), format!("{value} is more than {max}"))),
    }
}

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
