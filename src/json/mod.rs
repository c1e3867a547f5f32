//! JSON documents that are read into Rust types without a tree between: the config, and the record of a container.
//!
//! What is read is what Go's `encoding/json` reads, since the callers write with it and were read by it: keys match exactly
//! or else in any case, unknown keys are passed over, `null` is absent, of equal keys the last one wins (objects are merged),
//! and bytes that are no UTF-8 become U+FFFD.

mod fault;
mod reader;
mod record;
#[cfg(test)]
pub(crate) mod tree;

pub(crate) use fault::{Fault, Read};
pub(crate) use reader::Reader;
pub(crate) use record::{Name, Record, Value, read, readable, records};

/// Reads a whole document as a `T`.
///
/// # Errors
/// A value of the wrong type or out of its range; bad syntax; anything but white space after the document.
pub(crate) fn document<'a, T: Value<'a> + Default>(json: &'a [u8]) -> Read<T> {
    let mut reader = Reader::new(json);
    let mut value = T::default();
    value.read(&mut reader).and_then(|()| reader.end()).map(|()| value)
}
