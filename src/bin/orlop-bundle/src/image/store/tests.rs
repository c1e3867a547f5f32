//! The store, filled from image layouts that the tests write.

use super::super::layer::Owners;
use super::super::rights::Rights;
use super::super::source::{self, Platform, Source};
use super::Store;
use super::containers::{Owner, start_time, write_owner};
use super::pull::pull;
use oci_spec::image::Descriptor;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// A directory with an image layout and a store.
struct Scene(PathBuf);

impl Scene {
    fn new(name: &str) -> Scene {
        let at = std::env::temp_dir().join(format!("orlop-store-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&at);
        fs::create_dir_all(at.join("layout/blobs/sha256")).unwrap();
        fs::write(at.join("layout/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Scene(at)
    }

    fn blob(&self, bytes: &[u8]) -> String {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(self.0.join("layout/blobs/sha256").join(&hex), bytes).unwrap();
        format!("sha256:{hex}")
    }

    /// Writes an image with these layers: names and contents of files.
    fn image(&self, layers: &[&[(&str, &str)]]) {
        let architecture = Platform::host().architecture;
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for files in layers {
            let mut archive = tar::Builder::new(Vec::new());
            for (name, content) in *files {
                let mut header = tar::Header::new_ustar();
                header.set_size(content.len() as u64);
                header.set_mode(0o644);
                archive.append_data(&mut header, name, content.as_bytes()).unwrap();
            }
            let bytes = archive.into_inner().unwrap();
            let digest = self.blob(&bytes);
            let media_type = "application/vnd.oci.image.layer.v1.tar";
            rows.push(serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }));
            ids.push(digest);
        }
        let config = serde_json::json!({ "architecture": architecture, "os": "linux", "config": { "Cmd": ["sh"] },
            "rootfs": { "type": "layers", "diff_ids": ids } });
        let config = config.to_string();
        let manifest = serde_json::json!({ "schemaVersion": 2, "layers": rows, "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": self.blob(config.as_bytes()), "size": config.len() } });
        let manifest = manifest.to_string();
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": self.blob(manifest.as_bytes()), "size": manifest.len() }] });
        fs::write(self.0.join("layout/index.json"), index.to_string()).unwrap();
    }

    fn store(&self) -> Store {
        Store::open(&self.0.join("store")).unwrap()
    }

    /// Pulls the image; the error's text.
    fn pull(&self) -> Result<super::Record, String> {
        self.pull_from(&*self.source(), "image")
    }

    fn pull_from(&self, source: &dyn Source, name: &str) -> Result<super::Record, String> {
        let owners = if nix::unistd::geteuid().is_root() { Owners::Archive } else { Owners::Caller };
        let rights = Rights { owners, mappings: None };
        pull(&self.store(), source, name, &Platform::host(), &rights).map_err(|error| format!("{error:#}"))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const BASE: &[(&str, &str)] = &[("a", "one"), ("dir/b", "two")];

fn remove(store: &Store, name: &str) -> anyhow::Result<()> {
    store.remove(&[name.to_owned()])
}

#[test]
fn layers_are_shared_and_go_with_the_last_image() {
    let scene = Scene::new("shared");
    scene.image(&[BASE, &[("c", "three")]]);
    let record = scene.pull().unwrap();
    let inode = |name: &str| fs::metadata(scene.0.join("store/layers").join(name)).unwrap().ino();
    let before: Vec<u64> = record.layers.iter().map(|name| inode(name)).collect();
    assert_eq!(scene.pull().unwrap().layers.iter().map(|name| inode(name)).collect::<Vec<_>>(), before);
    let store = scene.store();
    let found = store.records().unwrap();
    assert_eq!(found.len(), 1);
    found[0].verify().unwrap();
    assert_eq!(store.collect().unwrap(), (0, 0));
    remove(&store, "image").unwrap();
    remove(&store, "image").unwrap_err();
    assert!(store.layers.entries().unwrap().is_empty());
}

#[test]
fn a_pull_that_was_killed_goes_on_and_a_wrong_layer_gets_no_name() {
    let scene = Scene::new("killed");
    scene.image(&[BASE, &[("c", "three")]]);
    let record = scene.pull().unwrap();
    let layers = scene.0.join("store/layers");
    // As if processes had been killed within the second layer, and within the trial of the file system.
    fs::create_dir_all(layers.join(".unfinished-probe/dir")).unwrap();
    fs::rename(layers.join(&record.layers[1]), layers.join(format!(".unfinished-{}", record.layers[1]))).unwrap();
    let first = fs::metadata(layers.join(&record.layers[0])).unwrap().ino();
    scene.pull().unwrap();
    assert_eq!(fs::metadata(layers.join(&record.layers[0])).unwrap().ino(), first);
    assert_eq!(scene.store().layers.entries().unwrap().len(), 2);

    scene.image(&[BASE, &[("d", "four")]]);
    let blobs = scene.0.join("layout/blobs/sha256");
    let wrong = |entry: fs::DirEntry| {
        let bytes = fs::read(entry.path()).unwrap();
        if bytes.starts_with(b"d\0") {
            fs::write(entry.path(), [&bytes[..600], &[1], &bytes[601..]].concat()).unwrap();
        }
    };
    fs::read_dir(blobs).unwrap().for_each(|entry| wrong(entry.unwrap()));
    let error = scene.pull().unwrap_err();
    assert!(error.contains("the content has the digest"), "{error}");
    assert_eq!(scene.store().layers.entries().unwrap().len(), 2);
}

#[test]
fn a_writable_layer_goes_when_its_container_is_gone_and_protects_its_layers_until_then() {
    let scene = Scene::new("containers");
    scene.image(&[BASE]);
    let layers = scene.pull().unwrap().layers;
    let pid = i32::try_from(std::process::id()).unwrap();
    let alive = start_time(pid).unwrap();
    for (id, start_time, keep) in [("alive", alive, false), ("gone", alive + 1, false), ("kept", alive + 1, true)] {
        let at = scene.0.join("store/containers").join(id);
        fs::create_dir_all(at.join("upper/dir")).unwrap();
        let root = scene.0.join("state");
        let lasts = Some(root.join(id));
        write_owner(
            &at,
            &Owner { id: id.into(), pid, start_time, lasts, keep, layers: layers.clone(), file_system: None },
        )
        .unwrap();
    }
    // One that was killed before its owner was written.
    fs::create_dir_all(scene.0.join("store/containers/half/upper")).unwrap();
    let store = scene.store();
    remove(&store, "image").unwrap();
    assert_eq!(store.collect().unwrap(), (0, 2));
    let mut left: Vec<_> = store.containers.entries().unwrap();
    left.sort();
    assert_eq!(left, [b"alive".to_vec(), b"kept".to_vec()]);
    remove(&store, "kept").unwrap();
    remove(&store, "alive").unwrap_err();
    assert_eq!(store.layers.entries().unwrap().len(), 1);
}

/// A source of which the layers wait until the test lets them go.
struct Slow {
    inner: Box<dyn Source>,
    begun: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Source for Slow {
    fn manifest(&self, platform: &Platform) -> anyhow::Result<source::Manifest> {
        self.inner.manifest(platform)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> anyhow::Result<Box<dyn Read + Send + '_>> {
        if descriptor.media_type().to_string().contains(".layer.") {
            self.begun.lock().unwrap().send(()).unwrap();
            self.go.lock().unwrap().recv().unwrap();
        }
        self.inner.blob(descriptor, offset)
    }
}

impl Scene {
    fn source(&self) -> Box<dyn Source> {
        source::open(&format!("oci:{}", self.0.join("layout").display()), &source::Options::default()).unwrap()
    }

    /// A source that waits, with the channel that says that it does, and the one that ends it.
    fn slow(&self) -> (Slow, Receiver<()>, Sender<()>) {
        let ((begun, has_begun), (go, may_go)) = (channel(), channel());
        (Slow { inner: self.source(), begun: Mutex::new(begun), go: Mutex::new(may_go) }, has_begun, go)
    }
}

#[test]
fn other_images_are_pulled_run_and_removed_beside_a_pull_that_stalls() {
    let scene = Scene::new("stalled");
    scene.image(&[&[("slow", "one")]]);
    let (slow, has_begun, go) = scene.slow();
    thread::scope(|scope| {
        let stalled = scope.spawn(|| scene.pull_from(&slow, "slow"));
        has_begun.recv().unwrap();
        scene.image(&[BASE]);
        let record = scene.pull().unwrap();
        let store = scene.store();
        assert!(store.find("image", &Platform::host().to_string()).unwrap().is_some());
        assert_eq!(store.stack(&record.layers).unwrap().len(), 1);
        remove(&store, "image").unwrap();
        // Not the unfinished layer, which is held, and not the reference of its pull.
        assert_eq!(store.layers.entries().unwrap().len(), 1);
        assert_eq!(store.collect().unwrap(), (0, 0));
        go.send(()).unwrap();
        stalled.join().unwrap().unwrap();
    });
    assert_eq!(scene.store().layers.entries().unwrap().len(), 1);
    assert!(scene.store().containers.entries().unwrap().is_empty(), "the reference of a pull went with it");
}

#[test]
fn of_two_pulls_of_one_layer_one_reads_it_and_the_other_waits() {
    let scene = Scene::new("twice");
    scene.image(&[BASE]);
    let (slow, has_begun, go) = scene.slow();
    thread::scope(|scope| {
        let first = scope.spawn(|| scene.pull_from(&slow, "first"));
        has_begun.recv().unwrap();
        let second = scope.spawn(|| scene.pull_from(&slow, "second"));
        go.send(()).unwrap();
        drop(go);
        let (first, second) = (first.join().unwrap().unwrap(), second.join().unwrap().unwrap());
        assert_eq!(first.layers, second.layers);
    });
    has_begun.try_recv().unwrap_err();
}

#[test]
fn layers_of_a_pull_that_is_under_way_stay_though_no_image_has_them_yet() {
    let scene = Scene::new("under-way");
    scene.image(&[BASE, &[("c", "three")]]);
    let (slow, has_begun, go) = scene.slow();
    thread::scope(|scope| {
        let pull = scope.spawn(|| scene.pull_from(&slow, "image"));
        has_begun.recv().unwrap();
        go.send(()).unwrap();
        has_begun.recv().unwrap();
        // The first layer is whole, the second one is not.
        assert_eq!(scene.store().collect().unwrap(), (0, 0));
        go.send(()).unwrap();
        let layers = pull.join().unwrap().unwrap().layers;
        assert_eq!(scene.store().stack(&layers).unwrap().len(), 2);
    });
}

/// A source over a network, of which layers end early the first time.
struct Cut {
    inner: Box<dyn Source>,
    /// The bytes of a layer that come the first time.
    first: u64,
    /// The offsets that layers were asked for from.
    asked: Mutex<Vec<u64>>,
}

/// An error in place of the end.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the network is gone"))
    }
}

impl Source for Cut {
    fn manifest(&self, platform: &Platform) -> anyhow::Result<source::Manifest> {
        self.inner.manifest(platform)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> anyhow::Result<Box<dyn Read + Send + '_>> {
        let blob = self.inner.blob(descriptor, offset)?;
        if !descriptor.media_type().to_string().contains(".layer.") {
            return Ok(blob);
        }
        self.asked.lock().unwrap().push(offset);
        let is_first = self.asked.lock().unwrap().len() == 1;
        if is_first { Ok(Box::new(blob.take(self.first).chain(Broken))) } else { Ok(blob) }
    }

    fn is_remote(&self) -> bool {
        true
    }
}

impl Scene {
    /// A pull of which the network was gone after 700 bytes.
    fn interrupted(name: &str) -> (Scene, Cut) {
        let scene = Scene::new(name);
        scene.image(&[BASE]);
        let source = Cut { inner: scene.source(), first: 700, asked: Mutex::default() };
        let error = scene.pull_from(&source, "image").unwrap_err();
        assert!(error.contains("the network is gone"), "{error}");
        (scene, source)
    }

    fn blobs(&self) -> Vec<PathBuf> {
        fs::read_dir(self.0.join("store/blobs")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn an_interrupted_pull_goes_on_within_its_layer() {
    let (scene, source) = Scene::interrupted("resumed");
    assert_eq!(fs::metadata(&scene.blobs()[0]).unwrap().len(), 700);
    let layers = scene.pull_from(&source, "image").unwrap().layers;
    assert_eq!(*source.asked.lock().unwrap(), [0, 700]);
    assert_eq!(fs::read(scene.0.join("store/layers").join(&layers[0]).join("dir/b")).unwrap(), b"two");
    assert!(scene.blobs().is_empty());
}

#[test]
fn what_an_interrupted_pull_left_is_verified_and_read_anew_where_it_is_wrong() {
    let (scene, source) = Scene::interrupted("wrong");
    // As after a power cut: the file has its length, but not its content.
    fs::write(&scene.blobs()[0], [0; 700]).unwrap();
    scene.pull_from(&source, "image").unwrap();
    assert_eq!(*source.asked.lock().unwrap(), [0, 700, 0]);
    assert!(scene.blobs().is_empty());
}

#[test]
fn an_image_that_is_removed_takes_nothing_of_an_interrupted_pull_of_another_one() {
    let (scene, source) = Scene::interrupted("beside");
    // A layer that a pull has left whole, without an image.
    fs::create_dir(scene.0.join("store/layers/whole")).unwrap();
    let other = Scene::new("beside-other");
    other.image(&[&[("other", "other")]]);
    scene.pull_from(&*other.source(), "other").unwrap();
    remove(&scene.store(), "other").unwrap();
    assert_eq!(scene.store().layers.entries().unwrap(), [b"whole"]);
    scene.pull_from(&source, "image").unwrap();
    assert_eq!(*source.asked.lock().unwrap(), [0, 700]);
}

#[test]
fn gc_removes_what_an_interrupted_pull_left() {
    let (scene, _) = Scene::interrupted("left");
    let store = scene.store();
    assert_eq!(store.remove_blobs(&store.lock().unwrap(), None).unwrap(), 1);
    assert!(scene.blobs().is_empty());
}

#[test]
fn blobs_that_are_kept_are_held_until_an_image_needs_them() {
    let scene = Scene::new("kept-blobs");
    // The same layer twice, as empty layers are.
    scene.image(&[BASE, BASE]);
    let (store, source) = (scene.store(), scene.source());
    let manifest = source.manifest(&Platform::host()).unwrap();
    let held = store.keep_blobs(&*source, &manifest).unwrap();
    let collected = || scene.store().remove_blobs(&store.lock().unwrap(), None).unwrap();
    assert_eq!((held.len(), collected()), (1, 0));
    assert_eq!(fs::metadata(&scene.blobs()[0]).unwrap().mode() & 0o777, 0o600);
    drop(held);
    assert_eq!(collected(), 1);
}
