//! `pause` and `resume`. Both hold the container's lock: of two that come at once the second finds what the first did.

use super::Context;
use super::request::ContainerId;
use crate::error::{Error, Result};
use crate::state::{Status, Store};

/// `pause`: freezes every process of the container before it returns.
///
/// # Errors
/// `container not running` if it has stopped or is paused already; it has no cgroup to freeze; a
/// process does not freeze, and then all are thawed.
pub fn pause(context: &Context, id: &ContainerId) -> Result<()> {
    let store = Store::at(&context.root);
    let _locked = store.open(id.as_str())?;
    let record = store.read(id.as_str())?;
    match record.status()? {
        Status::Running | Status::Created => record.cgroup().freeze(),
        _ => Err(Error::state("container not running")),
    }
}

/// `resume`: thaws the processes of a paused container.
///
/// # Errors
/// `container not paused`.
pub fn resume(context: &Context, id: &ContainerId) -> Result<()> {
    let store = Store::at(&context.root);
    let _locked = store.open(id.as_str())?;
    let record = store.read(id.as_str())?;
    match record.status()? {
        Status::Paused => record.cgroup().thaw(),
        _ => Err(Error::state("container not paused")),
    }
}
