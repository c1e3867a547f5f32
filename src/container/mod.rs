//! The operations on containers: one short function each.

pub mod request;
