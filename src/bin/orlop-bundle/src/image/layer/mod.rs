//! From a layer's blob to files in a directory.

mod attributes;
#[cfg(any(test, fuzzing))]
#[path = "../../../../../../integration/fuzz/targets/layer.rs"]
pub(crate) mod fuzz;
#[cfg(test)]
mod hostile;
mod lower;
mod pax;
mod pipe;
mod remove;
mod sparse;
mod tar;
mod tree;
mod write;

pub(crate) use attributes::disinherit;
pub(crate) use lower::Lower;
pub(crate) use remove::remove_tree;
pub(crate) use tar::{Archive, Kind};
pub(crate) use tree::{Form, Owners, Tree};

use super::source::Source;
use anyhow::{Context as _, Result, ensure};
use oci_spec::image::{Descriptor, Digest};

/// Seconds and nanoseconds since 1970.
type Time = (i64, i64);

/// How many entries an image may have.
const MAX_ENTRIES: u64 = 4_000_000;

/// Unpacks one layer into the tree, over the layers that are there already.
///
/// The tree is incomplete after an error, and nothing in it is verified.
///
/// # Errors
/// The blob lacks its digest, its size or its `diff_id`, the archive is damaged or hostile, or a file cannot be written.
pub(crate) fn unpack(source: &dyn Source, descriptor: &Descriptor, diff_id: &Digest, tree: &mut Tree) -> Result<()> {
    let unpacked = pipe::inflated(source, descriptor, diff_id, |stream| {
        let mut archive = tar::Archive::new(stream);
        while let Some(entry) = archive.next()? {
            tree.entries += 1;
            ensure!(tree.entries <= MAX_ENTRIES, "the image has more than {MAX_ENTRIES} files");
            let shown = || orlop::explain::shown(&String::from_utf8_lossy(&entry.path)).to_string();
            tree.write(&entry, &mut archive).with_context(shown)?;
        }
        archive.finish()?;
        tree.finish_layer()
    });
    unpacked.with_context(|| format!("layer {}", descriptor.digest()))
}
