//! config.json as it is written: runtime-spec 1.3 for Linux, without judgement.
//!
//! Every field is an `Option`, strings borrow from the document where they can, and objects with free keys are lists of
//! pairs in the document's order. What a field may hold is judged by the `parse` function of the part that carries it
//! out; nothing else above this floor reads these types.

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
use crate::json::{self, Fault, Value};

/// Reads a config.json.
///
/// It takes what Go's `encoding/json` takes: see [`json`].
///
/// # Errors
/// A value of the wrong type or out of its range, with its JSON path; bad syntax, with its line and column; anything but
/// white space after the document.
pub(crate) fn parse(json: &(impl AsRef<[u8]> + ?Sized)) -> Result<Spec<'_>> {
    document(json.as_ref())
}

/// Reads the `process` object alone, as `exec --process` takes it.
///
/// # Errors
/// As [`parse`], with paths from the process.
pub(crate) fn parse_process(json: &(impl AsRef<[u8]> + ?Sized)) -> Result<Process<'_>> {
    document(json.as_ref())
}

/// Reads the `linux.resources` object alone, as `update --resources` takes it.
///
/// # Errors
/// As [`parse`], with paths from the resources.
pub(crate) fn parse_resources(json: &(impl AsRef<[u8]> + ?Sized)) -> Result<Resources<'_>> {
    document(json.as_ref())
}

fn document<'a, T: Value<'a> + Default>(json: &'a [u8]) -> Result<T> {
    json::document(json).map_err(|fault| refusal(&fault, json))
}

fn refusal(fault: &Fault, json: &[u8]) -> Error {
    Error::config(fault.place(json), fault.what())
}

#[cfg(test)]
mod tests;
