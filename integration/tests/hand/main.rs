//! The runtime by hand, without an engine: what runc cannot do, or does in another way, so that the scenes of
//! `engines/operations/hand.sh` have nothing to compare with.
//!
//! `RUNTIME` names another program than `out/orlop`.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

mod config;
mod exec;
mod filters;
mod init;
mod launch;
mod memory;
mod nested;
mod program;
mod removal;
mod terminal;
mod trace;
mod user;
