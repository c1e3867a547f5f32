//! From a checked plan to a process that executes the user's program.

pub(crate) mod attributes;
pub(crate) mod capability;
mod early;
pub(crate) mod keyring;
pub(crate) mod launch;
pub(crate) mod plan;
mod procfs;
pub(crate) mod program;
pub(crate) mod protocol;
pub(crate) mod refusal;
pub(crate) mod report;
pub(crate) mod seccomp;
pub(crate) mod sequence;
mod stage;
pub(crate) mod stub;
