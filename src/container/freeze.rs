//! `pause` and `resume`.

use super::Context;
use super::request::ContainerId;
use crate::error::{Error, Result};
use crate::state::{Status, Store};

/// `pause`: every process of the container stands still when this returns.
///
/// # Errors
/// `container not running` if it has stopped or is paused already; it has no cgroup that could be frozen; a process does
/// not stand still, and then all of them go on.
pub fn pause(context: &Context, id: &ContainerId) -> Result<()> {
    let record = Store::at(&context.root).read(id.as_str())?;
    match record.status()? {
        Status::Running | Status::Created => record.cgroup().freeze(),
        _ => Err(Error::state("container not running")),
    }
}

/// `resume`: the processes of a paused container go on.
///
/// # Errors
/// `container not paused`.
pub fn resume(context: &Context, id: &ContainerId) -> Result<()> {
    let record = Store::at(&context.root).read(id.as_str())?;
    match record.status()? {
        Status::Paused => record.cgroup().thaw(),
        _ => Err(Error::state("container not paused")),
    }
}
