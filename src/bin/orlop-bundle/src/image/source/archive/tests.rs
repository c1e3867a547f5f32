//! Archives as programs write them, and as attackers do.

use super::*;
use crate::image::reference::Choice;
use crate::image::source::{Hasher, Manifest, Source, Verified};
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use tar::{Builder, EntryType, Header};

/// An entry of an archive that is made: name, type, data or target.
type Made<'a> = (&'a str, EntryType, &'a [u8]);

fn archive(entries: &[Made<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, data) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        // The builder refuses names that lead out.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
        if is_link {
            header.as_old_mut().linkname[..data.len()].copy_from_slice(data);
        }
        let content = if is_link { b"" } else { *data };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A file that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(content: &[u8]) -> Scratch {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("orlop-archive-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn digest(bytes: &[u8]) -> String {
    Hasher::digest(None, bytes).unwrap().to_string()
}

fn problem<T>(result: Result<T>) -> String {
    format!("{:#}", result.err().expect("an error"))
}

/// The manifest and all its blobs, verified.
fn read(source: &dyn Source) -> (Manifest, Vec<Vec<u8>>) {
    let manifest = source.manifest(&"linux/amd64".parse().unwrap()).unwrap();
    let all = [manifest.parsed.config()].into_iter().chain(manifest.parsed.layers());
    let blobs = all.map(|descriptor| {
        let mut bytes = Vec::new();
        let blob = source.blob(descriptor, 0).unwrap();
        Verified::new(blob, descriptor).unwrap().read_to_end(&mut bytes).unwrap();
        let mut rest = Vec::new();
        source.blob(descriptor, 3).unwrap().read_to_end(&mut rest).unwrap();
        assert_eq!(bytes[3..], rest);
        bytes
    });
    let blobs = blobs.collect();
    (manifest, blobs)
}

fn config(layers: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let rootfs = json!({ "type": "layers", "diff_ids": ids });
    json!({ "os": "linux", "architecture": "amd64", "rootfs": rootfs }).to_string().into_bytes()
}

/// Two images: the first one's layers are a plain one, a link to it, and a compressed one.
fn saved() -> Vec<u8> {
    let (first, second) = (archive(&[("a", EntryType::Regular, b"1")]), archive(&[("b", EntryType::Regular, b"2")]));
    let (one, other) = (config(&[&first, &first, &second]), config(&[&second]));
    let list = json!([
        { "Config": "one.json", "RepoTags": ["app:1", "quay.io/app:2"], "Layers": ["x/layer.tar", "y/layer.tar", "z.tar"] },
        { "Config": "other.json", "RepoTags": null, "Layers": ["z.tar"] },
    ]);
    archive(&[
        ("one.json", EntryType::Regular, &one),
        ("./other.json", EntryType::Regular, &other),
        ("x/", EntryType::Directory, b""),
        ("y/layer.tar", EntryType::Symlink, b"../x/layer.tar"),
        ("x/layer.tar", EntryType::Regular, &first),
        ("z.tar", EntryType::Link, b"compressed"),
        ("compressed", EntryType::Regular, &gzip(&second)),
        ("manifest.json", EntryType::Regular, list.to_string().as_bytes()),
    ])
}

fn opened(bytes: &[u8], choice: &Choice) -> Result<DockerArchive> {
    let file = Scratch::new(bytes);
    DockerArchive::open(&file.0, choice)
}

#[test]
fn an_image_of_docker_save_is_chosen_and_read_through_its_links() {
    for bytes in [saved(), gzip(&saved()), zstd(&saved())] {
        for choice in
            [Choice::Index(0), Choice::Tag("docker.io/library/app:1".into()), Choice::Tag("quay.io/app:2".into())]
        {
            let (manifest, blobs) = read(&opened(&bytes, &choice).unwrap());
            assert_eq!(blobs.len(), 4);
            assert_eq!(blobs[1], blobs[2]);
            assert_eq!(
                manifest.parsed.layers()[2].media_type().to_string(),
                "application/vnd.oci.image.layer.v1.tar+gzip"
            );
        }
        assert_eq!(read(&opened(&bytes, &Choice::Index(1)).unwrap()).1.len(), 2);
        let text = problem(opened(&bytes, &Choice::Only));
        assert!(text.contains("2 images; name one of docker.io/library/app:1, quay.io/app:2, or @0 to @1"), "{text}");
        let text = problem(opened(&bytes, &Choice::Tag("quay.io/app:3".into())));
        assert!(text.contains("no image quay.io/app:3; it has docker.io"), "{text}");
        assert!(problem(opened(&bytes, &Choice::Index(2))).contains("no image @2"));
    }
}

#[test]
fn an_image_layout_is_read_from_an_archive() {
    let layer = archive(&[("a", EntryType::Regular, b"1")]);
    let config = config(&[&layer]);
    let described = |media_type: &str, bytes: &[u8]| json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2,
        "config": described("application/vnd.oci.image.config.v1+json", &config),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = manifest.to_string().into_bytes();
    let mut entry = described("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": "v1" });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
    let path = |bytes: &[u8]| format!("blobs/{}", digest(bytes).replace(':', "/"));
    let bytes = archive(&[
        ("oci-layout", EntryType::Regular, b"{}"),
        ("index.json", EntryType::Regular, index.as_bytes()),
        (&path(&config), EntryType::Regular, &config),
        (&path(&layer), EntryType::Regular, &layer),
        (&path(&manifest), EntryType::Regular, &manifest),
    ]);
    for bytes in [bytes.clone(), zstd(&bytes)] {
        let file = Scratch::new(&bytes);
        for tag in [None, Some("v1".to_owned())] {
            assert_eq!(read(&OciArchive::open(&file.0, tag).unwrap()).1, [config.clone(), layer.clone()]);
        }
        let other = OciArchive::open(&file.0, Some("v2".into())).unwrap();
        assert!(problem(other.manifest(&"linux/amd64".parse().unwrap())).contains("no tag v2; it has v1"));
    }
    let file = Scratch::new(&saved());
    assert!(problem(OciArchive::open(&file.0, None)).contains("oci-layout is missing"));
}

#[test]
fn a_root_file_system_is_an_image_of_one_layer() {
    let layer = archive(&[("a", EntryType::Regular, b"1")]);
    for (bytes, media_type) in [(layer.clone(), "tar"), (gzip(&layer), "tar+gzip"), (zstd(&layer), "tar+zstd")] {
        let file = Scratch::new(&bytes);
        let (manifest, blobs) = read(&PlainTar::open(&file.0).unwrap());
        assert_eq!(blobs[1], bytes);
        let config: serde_json::Value = serde_json::from_slice(&blobs[0]).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
        assert!(manifest.parsed.layers()[0].media_type().to_string().ends_with(media_type));
        let again = PlainTar::open(&file.0).unwrap().manifest(&"linux/amd64".parse().unwrap()).unwrap();
        assert_eq!(again.bytes, manifest.bytes);
    }
    assert!(problem(PlainTar::open(&Scratch::new(b"").0)).contains("is empty"));
}

#[test]
fn hostile_archives_are_refused_by_name() {
    let with = |entry: Made<'_>| {
        let list = br#"[{"Config": "c.json", "Layers": []}]"#;
        archive(&[("manifest.json", EntryType::Regular, list), entry])
    };
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    let many: Vec<Made<'_>> = many.iter().map(|name| (name.as_str(), EntryType::Regular, &b""[..])).collect();
    let mut truncated = with(("c.json", EntryType::Regular, &[b' '; 4000]));
    truncated.truncate(3000);
    let bomb = vec![0; 17 << 20];
    for (bytes, fault) in [
        (with(("../c.json", EntryType::Regular, b"{}")), "../c.json: leads out of the archive"),
        (with(("a/../../c.json", EntryType::Regular, b"{}")), "a/../../c.json: leads out"),
        (with(("/c.json", EntryType::Regular, b"{}")), "/c.json: leads out"),
        (with(("c.json", EntryType::Symlink, b"/etc/shadow")), "c.json: /etc/shadow: leads out"),
        (with(("c.json", EntryType::Symlink, b"../etc/shadow")), "c.json: ../etc/shadow: leads out"),
        (with(("c.json", EntryType::Link, b"/etc/shadow")), "c.json: /etc/shadow: leads out"),
        (with(("c.json", EntryType::Symlink, b"c.json")), "c.json: more than 8 links"),
        (with(("c.json", EntryType::Symlink, b"nothing")), "c.json is missing"),
        (with(("c.json", EntryType::Fifo, b"")), "c.json: neither a file nor a link"),
        (with(("c.json", EntryType::Regular, &[b' '; (4 << 20) + 1])), "c.json: 4194305 bytes are more than 4194304"),
        (with(("c.json", EntryType::Regular, b"{")), "c.json cannot be read"),
        (with(("other", EntryType::Regular, b"")), "c.json is missing"),
        (archive(&many), "more than 1000 entries"),
        (truncated, "the archive ends within the data"),
        (archive(&[("manifest.json", EntryType::Regular, b"[]")]), "holds no image"),
        (archive(&[("manifest.json", EntryType::Regular, b"{}")]), "manifest.json is no list"),
        (archive(&[("a", EntryType::Regular, b"")]), "the file manifest.json is missing"),
        (gzip(&bomb), "inflates to more than 16777216 bytes"),
        (zstd(&bomb), "inflates to more than 16777216 bytes"),
        (gzip(&saved())[..200].to_vec(), "inflate the archive"),
        (vec![1; 2048], "checksum"),
        (Vec::new(), "manifest.json is missing"),
    ] {
        let text = problem(opened(&bytes, &Choice::Only));
        assert!(text.contains(fault), "{fault}: {text}");
    }
    assert!(problem(DockerArchive::open(Path::new("/dev/zero"), &Choice::Only)).contains("not a regular file"));
    assert!(problem(DockerArchive::open(Path::new("/nonexistent"), &Choice::Only)).contains("/nonexistent"));
}

#[test]
fn layers_that_are_missing_or_wrong_are_said() {
    let layer = archive(&[("a", EntryType::Regular, b"1")]);
    let list = |layers: serde_json::Value| json!([{ "Config": "c", "Layers": layers }]).to_string();
    let of = |list: &str, config: &[u8], layer: &[u8]| {
        opened(
            &archive(&[
                ("manifest.json", EntryType::Regular, list.as_bytes()),
                ("c", EntryType::Regular, config),
                ("l", EntryType::Regular, layer),
            ]),
            &Choice::Only,
        )
    };
    let right = config(&[&layer]);
    assert_eq!(read(&of(&list(json!(["l"])), &right, &layer).unwrap()).1.len(), 2);
    assert!(problem(of(&list(json!(["x"])), &right, &layer)).contains("layer x is missing"));
    assert!(problem(of(&list(json!(["l", "l"])), &right, &layer)).contains("2 layers, its configuration 1 diff_ids"));
    assert!(problem(of(&list(json!(["../l"])), &right, &layer)).contains("leads out"));
    let wrong = of(&list(json!(["l"])), &config(&[b"other"]), &layer).unwrap();
    let manifest = wrong.manifest(&"linux/amd64".parse().unwrap()).unwrap();
    let descriptor = &manifest.parsed.layers()[0];
    let mut blob = Verified::new(wrong.blob(descriptor, 0).unwrap(), descriptor).unwrap();
    assert!(blob.read_to_end(&mut Vec::new()).unwrap_err().to_string().contains("the content has the digest"));
}
