//! From a checked plan to a process that executes the user's program.

pub mod attributes;
pub mod capability;
mod early;
pub mod image;
pub mod keyring;
pub mod launch;
pub mod plan;
mod procfs;
pub mod program;
pub mod protocol;
pub mod report;
pub mod seccomp;
mod sequence;
mod stage;
