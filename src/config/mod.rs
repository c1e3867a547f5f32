//! config.json as it is written: runtime-spec 1.3 for Linux, without judgement.
//!
//! Every field is an `Option`, strings borrow from the document where they can, and objects with free keys are lists of
//! pairs in the document's order. What a field may hold is judged by the `parse` function of the part that carries it
//! out; nothing else above this floor reads these types.

mod fault;
mod linux;
mod process;
mod reader;
mod record;
mod resources;
mod seccomp;
mod spec;

pub use linux::*;
pub use process::*;
pub use resources::*;
pub use seccomp::*;
pub use spec::*;

use fault::Fault;
use reader::Reader;
use record::Value;

use crate::error::{Error, Result};

/// Reads a config.json.
///
/// It takes what Go's `encoding/json` takes, since the callers write with it and were read by it: keys match exactly or
/// else in any case, unknown keys are passed over, `null` is absent, of equal keys the last one wins (objects are
/// merged), and bytes that are no UTF-8 become U+FFFD.
///
/// # Errors
/// A value of the wrong type or out of its range, with its JSON path; bad syntax, with its line and column; anything but
/// white space after the document.
pub fn parse(json: &(impl AsRef<[u8]> + ?Sized)) -> Result<Spec<'_>> {
    document(json.as_ref())
}

/// Reads the `process` object alone, as `exec --process` takes it.
///
/// # Errors
/// As [`parse`], with paths from the process.
pub fn parse_process(json: &(impl AsRef<[u8]> + ?Sized)) -> Result<Process<'_>> {
    document(json.as_ref())
}

/// Reads the `linux.resources` object alone, as `update --resources` takes it.
///
/// # Errors
/// As [`parse`], with paths from the resources.
pub fn parse_resources(json: &(impl AsRef<[u8]> + ?Sized)) -> Result<Resources<'_>> {
    document(json.as_ref())
}

fn document<'a, T: Value<'a> + Default>(json: &'a [u8]) -> Result<T> {
    let mut reader = Reader::new(json);
    let mut value = T::default();
    let read = value.read(&mut reader).and_then(|()| reader.end());
    match read {
        Ok(()) => Ok(value),
        Err(fault) => Err(refusal(&fault, json)),
    }
}

fn refusal(fault: &Fault, json: &[u8]) -> Error {
    Error::config(fault.place(json), fault.what())
}

#[cfg(test)]
mod tests;
