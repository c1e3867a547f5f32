//! End-to-end tests of orlop: what its users do, done by hand and under engines.
//!
//! Every test is a short script in `engines/operations/` that is run with orlop, runc and crun in the same scene; what it prints
//! under runc is what it must print under the others, so that a difference is the runtime's and not the machine's.

pub mod bundle;
pub mod leaks;
pub mod mount_options;
pub mod operation;
pub mod other_runtime;
pub mod report;
pub mod runtime;
pub mod scene;
pub mod skip;
pub mod tmux;
