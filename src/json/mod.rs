//! A JSON reader that fills Rust structs directly, without a tree of values in between. It reads
//! the config and the state of a container.
//!
//! It accepts the documents that Go's `encoding/json` accepts, since engines write with that
//! package and other runtimes read with it: keys match exactly or else in any case, unknown keys
//! are ignored, `null` is absent, the last of equal keys wins (objects are merged), and invalid
//! UTF-8 becomes U+FFFD.

mod error;
mod float;
mod map;
mod node;
mod object;
mod reader;
mod shape;
#[cfg(any(test, fuzzing))]
pub(crate) mod tree;

pub(crate) use error::{Error, Result};
pub(crate) use float::float;
pub(crate) use map::Map;
pub use node::{Content, Node};
pub(crate) use object::{Name, Object, Value, objects, read, readable};
pub(crate) use reader::Reader;
pub use shape::Shape;
pub(crate) use shape::Shaped;

/// Reads a whole document as a `T`.
///
/// # Errors
/// A value has the wrong type or is out of range, the syntax is bad, or more than white space
/// follows the document.
pub(crate) fn document<'a, T: Value<'a> + Default>(json: &'a [u8]) -> Result<T> {
    let mut reader = Reader::new(json);
    let mut value = T::default();
    value.read(&mut reader).and_then(|()| reader.end()).map(|()| value)
}
