//! Bundles of images whose root is an overlay: `run --image --bundle` and `image unpack --overlay`; and pulls from a registry
//! that stalls.
//!
//! `ORLOP` names another program than `out/orlop`, whose `orlop-bundle` must stand beside it.

#![allow(clippy::unwrap_used)] // The whole file is a test.

use integration::{runtime::find, skip};
use serde_json::Value;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Makes the layout of an image of a busybox and a file.
const LAYOUT: &str = r#"
rm -rf root; mkdir -p root/bin root/proc root/sys root/dev layout/blobs/sha256; cp /bin/busybox root/bin/busybox
ln -s busybox root/bin/sh; echo image > root/file; tar -C root -cf layer.tar .
blob() {
    digest=$(sha256sum < "$2" | cut -d' ' -f1); cp "$2" layout/blobs/sha256/$digest
    echo "{\"mediaType\":\"application/vnd.oci.image.$1\",\"digest\":\"sha256:$digest\",\"size\":$(stat -c %s "$2")}"
}
echo "{\"os\":\"linux\",\"architecture\":\"ARCH\",\"config\":{\"Cmd\":[\"/bin/sh\",\"-c\",\"/bin/busybox cat /file\"]}, \
    \"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$(sha256sum < layer.tar | cut -d' ' -f1)\"]}}" > config
echo "{\"schemaVersion\":2,\"config\":$(blob config.v1+json config),\"layers\":[$(blob layer.v1.tar layer.tar)]}" > manifest
echo "{\"schemaVersion\":2,\"manifests\":[$(blob manifest.v1+json manifest)]}" > layout/index.json
echo '{"imageLayoutVersion":"1.0.0"}' > layout/oci-layout
"#;

/// A directory with an image, a store and a state root.
struct Scene {
    dir: PathBuf,
    runtime: PathBuf,
}

impl Scene {
    fn new() -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !skip::is_root() {
            return None;
        }
        let Ok(runtime) = find("orlop", &std::env::temp_dir()) else {
            skip::skip("no runtime; run `make` or set ORLOP");
            return None;
        };
        if !runtime.path.with_file_name("orlop-bundle").exists() {
            skip::skip("no orlop-bundle beside the runtime");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("image-bundle-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let scene = Scene { dir, runtime: runtime.path };
        scene.image("layout", "image");
        Some(scene)
    }

    /// Makes an image layout with this text in the file.
    fn image(&self, layout: &str, content: &str) {
        let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let script = LAYOUT.replace("ARCH", architecture).replace("layout/", &format!("{layout}/"));
        let script = script.replace("echo image", &format!("echo {content}"));
        let made = Command::new("sh").args(["-ec", &script]).current_dir(&self.dir).output().unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.dir.join("state")).args(arguments).current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    fn orlop(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The output of a command that succeeds.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.orlop(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn layers(&self) -> usize {
        fs::read_dir(self.dir.join("store/layers")).unwrap().count()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

fn change(config: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
    change(&mut value);
    fs::write(config, value.to_string()).unwrap();
}

#[test]
fn run_image_writes_the_bundle_where_the_flag_says_and_keeps_it_with_its_layers() {
    let Some(scene) = Scene::new() else { return };
    let run = ["run", "--store", "store", "--bundle", "kept", "--image", "oci:layout"];
    let script = ["sh", "-c", "echo written > /new; read line < /file; echo $line"];
    assert_eq!(scene.says(&[&run[..], &script].concat()), "image");
    assert_eq!(fs::read_to_string(scene.dir.join("kept/upper/new")).unwrap(), "written\n");
    let again = scene.orlop(&run);
    assert!(!again.status.success() && text(&again.stderr).contains("already"), "{}", text(&again.stderr));

    // The layer stays for the bundle, not for the image, and goes after the bundle.
    scene.says(&["image", "rm", "--store", "store", "oci:layout"]);
    assert_eq!(scene.layers(), 1);
    assert!(scene.says(&["image", "list", "--store", "store"]).contains("bundle /"), "the list shows the bundle");
    assert_eq!(scene.says(&["run", "--bundle", "kept", "again"]), "image");
    fs::remove_dir_all(scene.dir.join("kept")).unwrap();
    scene.says(&["image", "gc", "--store", "store"]);
    assert_eq!(scene.layers(), 0);
}

#[test]
fn a_bundle_with_a_config_is_refused_and_stays_as_it_is() {
    let Some(scene) = Scene::new() else { return };
    fs::create_dir(scene.dir.join("mine")).unwrap();
    fs::write(scene.dir.join("mine/config.json"), "{}").unwrap();
    let flag = ["run", "--store", "store", "--bundle", "mine", "--image", "oci:layout"];
    for arguments in [&flag[..], &["image", "unpack", "--store", "store", "--overlay", "oci:layout", "mine"]] {
        let output = scene.orlop(arguments);
        assert!(text(&output.stderr).contains("has a config.json already"), "{}", text(&output.stderr));
        assert_eq!(fs::read_dir(scene.dir.join("mine")).unwrap().count(), 1);
    }
}

#[test]
fn an_overlay_that_is_unpacked_runs_also_after_it_was_moved_and_with_a_user_namespace() {
    let Some(scene) = Scene::new() else { return };
    scene.says(&["image", "unpack", "--store", "store", "--overlay", "oci:layout", "bundle"]);
    fs::rename(scene.dir.join("bundle"), scene.dir.join("moved")).unwrap();
    assert_eq!(scene.says(&["run", "--bundle", "moved", "moved"]), "image");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let version: Vec<u32> = release.split(['.', '-']).take(2).map(|n| n.parse().unwrap_or(0)).collect();
    if version < vec![5, 19] {
        return skip::skip("id-mapped layers need Linux 5.19");
    }
    let ids = serde_json::json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    change(&scene.dir.join("moved/config.json"), |config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(serde_json::json!({ "type": "user" }));
        (config["linux"]["uidMappings"], config["linux"]["gidMappings"]) = (ids.clone(), ids.clone());
        let script = "/bin/busybox stat -c %u:%g /file; /bin/busybox touch /mine";
        config["process"]["args"] = serde_json::json!(["/bin/sh", "-c", script]);
        config["mounts"][0]["options"].as_array_mut().unwrap().push("idmap".into());
    });
    // The writable layer belongs to the container's root on the host.
    for name in ["upper", "work"] {
        chown(scene.dir.join("moved").join(name), Some(100_000), Some(100_000)).unwrap();
    }
    assert_eq!(scene.says(&["run", "--bundle", "moved", "mapped"]), "0:0");
    assert!(scene.dir.join("moved/upper/mine").exists());
}

#[test]
fn on_overlayfs_each_container_has_a_copy_and_a_line_says_why() {
    let Some(scene) = Scene::new() else { return };
    scene.says(&["image", "unpack", "oci:layout", "flat"]);
    let script = r#"mkdir low up work mnt; mount -t overlay overlay -o lowerdir=low,upperdir=up,workdir=work mnt
        run() { "$0" --root state run --store mnt/store --image oci:layout "$@"; }
        run 2> first; run sh -c 'echo > /new; read line < /file; echo $line' 2> second
        grep -c 'on overlayfs or NFS' first second || true
        "$0" image unpack --overlay --store mnt/store oci:layout bundle 2>&1 || true
        "$0" image rm --store mnt/store oci:layout; "$0" image gc --store mnt/store; ls mnt/store/blobs mnt/store/containers"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", script]).arg(&scene.runtime).current_dir(&scene.dir);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}: {}", text(&output.stderr));
    assert!(said.starts_with("image\nimage\nfirst:1\nsecond:0\norlop: --overlay: the store is on overlayfs"), "{said}");
    assert!(said.ends_with("mnt/store/blobs:\n\nmnt/store/containers:"), "blobs and copies are gone: {said}");
}

#[test]
fn a_container_of_an_image_has_the_callers_umask_and_limits_and_its_store_is_out_of_reach() {
    let Some(scene) = Scene::new() else { return };
    let script = "umask 027; ulimit -Sn 1000; \"$0\" --root state run --store store --image oci:layout \
        sh -c 'umask; ulimit -Sn'";
    let mut command = Command::new("sh");
    let output = command.args(["-ec", script]).arg(&scene.runtime).current_dir(&scene.dir).output().unwrap();
    assert_eq!(text(&output.stdout), "0027\n1000", "{}", text(&output.stderr));
    let mode = |path: &str| fs::metadata(scene.dir.join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("store"), mode("store/lock")), (0o700, 0o600), "other users do not reach the store");
}

/// A registry on loopback with the image of the layout.
struct Registry {
    host: String,
    /// The Range headers of requests for the layer.
    asked: Arc<Mutex<Vec<Option<String>>>>,
    stalls: Arc<AtomicBool>,
}

/// The bytes of the layer that come before the registry stalls.
const BEGINNING: usize = 100_000;

impl Registry {
    fn serve(layout: &Path, has_ranges: bool) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let registry = Registry { host, asked: Arc::default(), stalls: Arc::new(AtomicBool::new(true)) };
        let (asked, stalls, layout) = (registry.asked.clone(), registry.stalls.clone(), layout.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, stalls, layout) = (asked.clone(), stalls.clone(), layout.clone());
                thread::spawn(move || answer(stream, &layout, has_ranges, &asked, &stalls));
            }
        });
        registry
    }
}

/// Answers one request. A client that speaks TLS is left.
fn answer(
    mut stream: TcpStream,
    layout: &Path,
    has_ranges: bool,
    asked: &Mutex<Vec<Option<String>>>,
    stalls: &AtomicBool,
) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines().map_while(Result::ok);
    let first = lines.next()?;
    let path = first.strip_prefix("GET ")?.split(' ').next()?.to_owned();
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let range = head.iter().find_map(|line| line.to_lowercase().strip_prefix("range: ").map(str::to_owned));
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).ok()?).ok()?;
    let manifest = index["manifests"][0]["digest"].as_str()?.to_owned();
    let digest = if path.contains("/manifests/") { manifest } else { path.rsplit('/').next()?.to_owned() };
    let Ok(bytes) = fs::read(layout.join("blobs").join(digest.replace(':', "/"))) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").ok();
    };
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let mut head = format!("Connection: close\r\nContent-Type: {kind}\r\n");
    let (mut from, mut status) = (0, "200 OK");
    if let Some(offset) = range.as_ref().filter(|_| has_ranges) {
        from = offset.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()?;
        status = "206 Partial Content";
        head += &format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
    }
    let is_layer = bytes.len() > BEGINNING;
    if is_layer {
        asked.lock().unwrap().push(range);
    }
    write!(stream, "HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\n\r\n", bytes.len() - from).ok()?;
    if !is_layer || !stalls.load(Ordering::Relaxed) {
        return stream.write_all(&bytes[from..]).ok();
    }
    stream.write_all(&bytes[from..BEGINNING]).ok()?;
    // Until the client is gone.
    stream.read(&mut [0]).ok().map(drop)
}

#[test]
fn beside_a_registry_that_stalls_other_images_run_and_a_killed_pull_goes_on_within_the_layer() {
    for has_ranges in [true, false] {
        let Some(scene) = Scene::new() else { return };
        scene.image("other", "other");
        let registry = Registry::serve(&scene.dir.join("layout"), has_ranges);
        let image = format!("{}/app:v1", registry.host);
        let pull = ["image", "pull", "--store", "store", "--insecure", &image];
        let mut stalled = scene.command(&pull).stderr(Stdio::null()).spawn().unwrap();
        let blobs = scene.dir.join("store/blobs");
        let length = || {
            let entry = fs::read_dir(&blobs).ok()?.next()?.ok()?;
            Some(entry.metadata().ok()?.len())
        };
        while length() != Some(BEGINNING as u64) {
            assert!(stalled.try_wait().unwrap().is_none(), "the pull ended");
            thread::yield_now();
        }
        for _ in 0..2 {
            assert_eq!(scene.says(&["run", "--store", "store", "--image", "oci:other"]), "other");
        }
        scene.says(&["image", "gc", "--store", "store"]);
        assert!(stalled.try_wait().unwrap().is_none(), "the pull ended");
        stalled.kill().unwrap();
        stalled.wait().unwrap();
        registry.stalls.store(false, Ordering::Relaxed);
        scene.says(&pull);
        assert_eq!(*registry.asked.lock().unwrap(), [None, Some(format!("bytes={BEGINNING}-"))]);
        assert_eq!(scene.says(&["run", "--store", "store", "--image", &image]), "image");
        assert_eq!(fs::read_dir(&blobs).unwrap().count(), 0);
    }
}
