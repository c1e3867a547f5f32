//! What is kept of a container between two commands: a directory below the state root.
//!
//! `state.json` holds facts, never the status, which is computed. It is replaced atomically. Beside it lie the copy of
//! config.json that `create` took, the gate, and a link that names the first process once more. `state` and `list` take no lock; whoever changes or removes a container holds
//! its [`ContainerDir`], an open and locked directory, and never while a hook or the container's code runs.

mod container_dir;
mod process;
mod record;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod witness;

pub(crate) use container_dir::ContainerDir;
pub(crate) use process::{ProcessId, Stat, has_left, look_at};
pub(crate) use record::Record;
pub(crate) use status::{Status, WAITING};
pub(crate) use store::{Store, without_record};

use crate::calendar;

/// The time now, RFC 3339 in UTC with nanoseconds, as Go prints it.
pub(crate) fn now() -> String {
    let time = calendar::now();
    format!("{}.{:09}Z", calendar::utc(time), time.subsec_nanos())
}
