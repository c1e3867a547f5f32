//! The state of a container between commands: a directory below the state root.
//!
//! `state.json` holds facts; the status is computed. It is replaced atomically. The directory also
//! has the copy of config.json that `create` saved, the gate, and a link that names the first
//! process once more. `state` and `list` take no lock. A command that changes or removes a
//! container holds its [`ContainerDir`], an open and locked directory, but never while a hook or
//! the container's code runs.

mod container_dir;
mod foreign;
#[cfg(any(test, fuzzing))]
#[path = "../integration/fuzz/targets/record.rs"]
pub(crate) mod fuzz;
mod process;
mod record;
mod runc_fields;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod witness;

pub(crate) use container_dir::ContainerDir;
pub(crate) use foreign::{FIFO, Foreign};
pub(crate) use process::{ProcessId, Stat, has_left, look_at};
pub(crate) use record::Record;
pub(crate) use runc_fields::RuncConfig;
pub(crate) use status::{Status, WAITING};
pub(crate) use store::{Store, without_record};

use crate::calendar;

/// The name of the file in which the reaping init records the end of the program.
const END_NAME: &str = "ended";

/// The current time, RFC 3339 in UTC with nanoseconds, as Go prints it.
pub(crate) fn now() -> String {
    rfc3339(calendar::now())
}

/// A time since 1970, RFC 3339 in UTC with nanoseconds.
pub(crate) fn rfc3339(time: std::time::Duration) -> String {
    format!("{}.{:09}Z", calendar::utc(time), time.subsec_nanos())
}
