//! Layers: an archive, plain or compressed, is unpacked into a directory, and nothing beside that
//! changes.

use super::{Form, Owners, Tree, unpack};
use crate::image::source::{Manifest, Platform, Source};
use anyhow::{Context as _, Result};
use oci_spec::image::{Descriptor, Digest, MediaType};
use orlop::beneath::Directory;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

struct Blob<'a>(&'a [u8]);

impl Source for Blob<'_> {
    fn manifest(&self, _: &Platform) -> Result<Manifest> {
        anyhow::bail!("a blob has no manifest")
    }

    fn blob(&self, _: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.0.get(offset as usize..).context("offset")?))
    }
}

const ZEROES: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

pub(crate) fn layer(input: &[u8]) {
    let outer = std::env::temp_dir().join(format!("orlop-fuzz-layer-{}", std::process::id()));
    let _ = fs::remove_dir_all(&outer);
    prepare(&outer).unwrap_or_else(|error| panic!("{}: {error}", outer.display()));
    let before = beside(&outer);
    let done = into(&outer, &checked(input));
    assert!(beside(&outer) == before, "a file beside the tree was changed: {done:?}");
    let _ = fs::remove_dir_all(&outer);
}

fn prepare(outer: &Path) -> std::io::Result<()> {
    fs::create_dir_all(outer.join("root"))?;
    fs::create_dir_all(outer.join("dir"))?;
    fs::write(outer.join("dir/file"), "kept")?;
    fs::write(outer.join("file"), "kept")
}

/// The names beside the tree with their modes, sizes, owners and contents.
fn beside(outer: &Path) -> Vec<(String, u32, u32, u64, Option<String>)> {
    let mut names: Vec<String> = fs::read_dir(outer)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "root")
        .collect();
    names.push("dir/file".into());
    names.sort();
    let row = |name: String| {
        let found = fs::symlink_metadata(outer.join(&name)).ok()?;
        let text = fs::read_to_string(outer.join(&name)).ok();
        Some((name, found.mode(), found.uid(), found.ino(), text))
    };
    names.into_iter().filter_map(row).collect()
}

fn into(outer: &Path, blob: &[u8]) -> Result<()> {
    let owners = if rustix::process::geteuid().is_root() { Owners::Archive } else { Owners::Caller };
    let root = Directory::open(outer)?.entry_dir(b"root")?;
    let mut tree = Tree::new(root, Form::Flat, owners);
    let kind = match blob {
        [0x1f, 0x8b, ..] => "+gzip",
        [0x28, 0xb5, ..] => "+zstd",
        _ => "",
    };
    let media_type = MediaType::from(format!("application/vnd.oci.image.layer.v1.tar{kind}").as_str());
    // The digest is looked at behind the last byte.
    let digest: Digest = ZEROES.parse()?;
    unpack(&Blob(blob), &Descriptor::new(media_type, blob.len() as u64, digest.clone()), &digest, &mut tree)
}

/// The archive with right checksums, which no mutation would find.
fn checked(input: &[u8]) -> Vec<u8> {
    let mut archive = input.to_vec();
    if archive.starts_with(&[0x1f, 0x8b]) || archive.starts_with(&[0x28, 0xb5]) {
        return archive;
    }
    for block in archive.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    archive
}
