//! The structs of config.json (runtime-spec 1.3, Linux), before any check of their values.
//!
//! Every field is an `Option`, strings borrow from the document where possible, and objects with
//! arbitrary keys are lists of pairs in the document's order. The `parse` function of the module
//! that applies a field checks its values.

mod linux;
mod process;
mod resources;
mod seccomp;
mod spec;

pub(crate) use linux::*;
pub(crate) use process::*;
pub(crate) use resources::*;
pub(crate) use seccomp::*;
pub(crate) use spec::*;

use crate::error::{Error, Result};
use crate::json::{self, Value};

/// Reads a config.json.
///
/// It accepts the documents that Go's `encoding/json` accepts: see [`json`].
///
/// # Errors
/// A value has the wrong type or is out of range (the error names its JSON path), the syntax is bad
/// (the error names line and column), or more than white space follows the document.
pub(crate) fn parse(json: &(impl AsRef<[u8]> + ?Sized)) -> Result<Spec<'_>> {
    document(json.as_ref())
}

/// Reads a document that is a `process` object, for `exec --process`.
///
/// # Errors
/// As [`parse`]; JSON paths begin at the process.
pub(crate) fn parse_process(json: &(impl AsRef<[u8]> + ?Sized)) -> Result<Process<'_>> {
    document(json.as_ref())
}

/// Reads a document that is a `linux.resources` object, for `update --resources`.
///
/// # Errors
/// As [`parse`]; JSON paths begin at the resources.
pub(crate) fn parse_resources(json: &(impl AsRef<[u8]> + ?Sized)) -> Result<Resources<'_>> {
    document(json.as_ref())
}

/// Reads a document that is an array of mounts, for `mounts`.
///
/// # Errors
/// As [`parse`]; JSON paths begin at the array.
pub(crate) fn parse_mounts(json: &(impl AsRef<[u8]> + ?Sized)) -> Result<Vec<Mount<'_>>> {
    document(json.as_ref())
}

fn document<'a, T: Value<'a> + Default>(json: &'a [u8]) -> Result<T> {
    json::document(json).map_err(|error| {
        let refusal = Error::config(error.place(json), error.located_problem(json));
        match error.advice() {
            "" => refusal,
            advice => refusal.hint(advice),
        }
    })
}

#[cfg(test)]
mod tests;
