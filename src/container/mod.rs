//! The operations on containers: one short function each.

mod annotations;
mod checkpoint;
mod clues;
mod console;
mod context;
mod create;
mod delete;
mod document;
mod events;
mod exec;
mod files;
mod filter;
mod freeze;
mod idmap;
mod images;
mod inherited;
mod kill;
mod listener;
mod notify;
mod output;
mod ps;
mod query;
mod remains;
pub mod request;
mod restore;
mod rootless;
mod run;
mod security;
mod shim;
mod spec;
mod start;
mod terminal;
mod update;

pub use checkpoint::checkpoint;
pub use context::Context;
pub use create::create;
pub use delete::delete;
pub use events::events;
pub use exec::exec;
pub use freeze::{pause, resume};
pub use kill::kill;
pub use ps::ps;
pub use query::{list, state};
pub use restore::restore;
pub use run::run;
pub use spec::spec;
pub use start::start;
pub use update::update;

/// The largest config.json that is read, in bytes.
pub(crate) const LARGEST_CONFIG: usize = 64 << 20;
