//! The status of a container, computed from its first process.

use super::process::{ProcessId, look_at};
use crate::error::Result;

/// The status of a container (runtime.md, "State").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    /// The word for output.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// The prefix of init's name while it builds the container.
const BUILDING: &str = "orlop;";

/// The prefix of init's name while it waits to execute the program.
pub(crate) const WAITING: &str = "orlop:";

/// The status without `paused`, which only the freezer knows.
fn status_of_process(init: Option<ProcessId>, creator: Option<ProcessId>, waiting: &str) -> Result<Status> {
    let Some(init) = init else {
        let creating = creator.is_some_and(ProcessId::lives);
        return Ok(if creating { Status::Creating } else { Status::Stopped });
    };
    Ok(match look_at(init.pid)? {
        Some(stat) if stat.start == init.start && !stat.dead => match stat.name.split_at_checked(6) {
            Some((BUILDING, random)) if random == waiting => Status::Creating,
            Some((WAITING, random)) if random == waiting => Status::Created,
            // Only `restore` records both: CRIU's process has the program's name before it is
            // complete.
            _ if creator.is_some_and(ProcessId::lives) => Status::Creating,
            _ => Status::Running,
        },
        _ => Status::Stopped,
    })
}

pub(super) fn status(
    init: Option<ProcessId>,
    creator: Option<ProcessId>,
    waiting: &str,
    frozen: impl FnOnce() -> Result<bool>,
) -> Result<Status> {
    let status = status_of_process(init, creator, waiting)?;
    let is_paused = matches!(status, Status::Running | Status::Created) && frozen()?;
    Ok(if is_paused { Status::Paused } else { status })
}
