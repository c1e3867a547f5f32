//! The operations on containers: one short function each.

mod context;
pub mod request;
mod spec;

pub use context::Context;
pub use spec::spec;
