//! Manifests and indexes, and archives of images.

use super::layout;
use super::{Hasher, Options, Platform, open, resolve, small};
use oci_spec::image::{Descriptor, MediaType};
use std::io::Read as _;

/// An index or a manifest, which every descriptor in it leads to again.
pub(crate) fn manifest(input: &[u8]) {
    for wanted in [None, Some("latest")] {
        let _ = layout::top(input, wanted);
    }
    let Ok(digest) = Hasher::digest(None, input) else { return };
    for media_type in [MediaType::ImageIndex, MediaType::ImageManifest] {
        let top = Descriptor::new(media_type, input.len() as u64, digest.clone());
        let Ok(manifest) = resolve(top, &Platform::host(), |_| Ok(input.to_vec())) else { continue };
        assert_eq!(manifest.bytes, input, "another manifest than the one that was read");
        assert_eq!(manifest.descriptor.size(), input.len() as u64);
    }
}

/// A file that is given as one of three forms of archives.
pub(crate) fn archive(input: &[u8]) {
    let path = std::env::temp_dir().join(format!("orlop-fuzz-archive-{}", std::process::id()));
    std::fs::write(&path, input).unwrap_or_else(|error| panic!("{error}"));
    for form in ["docker-archive", "oci-archive", "tar"] {
        let Ok(source) = open(&format!("{form}:{}", path.display()), &Options::default()) else { continue };
        let Ok(manifest) = source.manifest(&Platform::host()) else { continue };
        let _ = small(&*source, manifest.parsed.config());
        for layer in manifest.parsed.layers() {
            let Ok(blob) = source.blob(layer, 0) else { continue };
            // Nothing behind the layer's end is read.
            let read = std::io::copy(&mut blob.take(layer.size() + 1), &mut std::io::sink()).unwrap_or_default();
            assert!(form == "oci-archive" || read <= layer.size(), "{form}: {read} bytes of {}", layer.size());
        }
    }
}
