//! The companion's words about real hosts and containers: doctor, explain, inspect and top.
//!
//! `RUNTIME` names another program than `out/orlop`, whose `orlop-bundle` must stand beside it; `FLAGS` has global options.
//! Without them a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

mod doctor;
mod explain;
mod inspect;
mod top;
