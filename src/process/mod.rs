//! From a checked plan to a process that executes the user's program.

pub mod attributes;
pub mod capability;
pub mod image;
pub mod program;
