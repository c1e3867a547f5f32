//! The operations on containers: one short function each.

mod context;
mod events;
mod ps;
pub mod request;
mod spec;
mod update;

pub use context::Context;
pub use spec::spec;
