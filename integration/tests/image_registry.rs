//! `orlop image` against Debian's docker-registry on loopback, to which skopeo pushes, and skopeo's archives.
//!
//! `RUNTIME` names another program than `out/orlop`, whose `orlop-bundle` must stand beside it. Without docker-registry or
//! skopeo a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// `user:geheim`, by bcrypt as docker-registry wants it.
const HTPASSWD: &str = "user:$2y$05$UuYegSvJRSK9VEoPl5Odj.41y7BNaNKEgNNOIcpFTnNMiWcoSgtOq\n";
/// Base64 of `user:geheim` and of `user:wrong`.
const RIGHT: &str = "dXNlcjpnZWhlaW0=";
const WRONG: &str = "dXNlcjp3cm9uZw==";

/// Makes the layout of an image of two layers, with tag v1.
const LAYOUT: &str = r#"
mkdir -p root/dir layout/blobs/sha256; echo one > root/dir/file; ln -s file root/dir/link
tar -C root -cf one.tar .; echo two > root/dir/file; tar -C root -cf two.tar dir/file; gzip -n < one.tar > one.gz
blob() {
    digest=$(sha256sum < "$2" | cut -d' ' -f1); cp "$2" layout/blobs/sha256/$digest
    echo "{\"mediaType\":\"application/vnd.oci.image.$1\",\"digest\":\"sha256:$digest\",\"size\":$(stat -c %s "$2")"
}
id() { echo "\"sha256:$(sha256sum < $1 | cut -d' ' -f1)\""; }
echo "{\"os\":\"linux\",\"architecture\":\"ARCH\",\"config\":{\"Cmd\":[\"/bin/sh\"]}, \
    \"rootfs\":{\"type\":\"layers\",\"diff_ids\":[$(id one.tar),$(id two.tar)]}}" > config
layers="$(blob layer.v1.tar+gzip one.gz)},$(blob layer.v1.tar two.tar)}"
echo "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\", \
    \"config\":$(blob config.v1+json config)},\"layers\":[$layers]}" > manifest
echo "{\"schemaVersion\":2,\"manifests\":[$(blob manifest.v1+json manifest), \
    \"annotations\":{\"org.opencontainers.image.ref.name\":\"v1\"}}]}" > layout/index.json
echo '{"imageLayoutVersion":"1.0.0"}' > layout/oci-layout
"#;

/// Makes an authority, and a certificate for 127.0.0.1 by it.
const CERTIFICATES: &str = r#"
mkdir -p certs
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=authority -days 2 \
    -keyout ca.key -out certs/ca.crt
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=registry -keyout server.key -out server.csr
printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > extensions
openssl x509 -req -in server.csr -CA certs/ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.crt
"#;

/// A directory, an image in it, and perhaps a registry, which go with the test.
struct Scene {
    directory: PathBuf,
    registry: Option<Child>,
    host: String,
}

fn companion() -> PathBuf {
    let runtime = std::env::var_os("RUNTIME").map(PathBuf::from);
    let runtime = runtime.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/orlop"));
    runtime.with_file_name("orlop-bundle")
}

impl Scene {
    fn new() -> Option<Scene> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
        for program in ["docker-registry", "skopeo"] {
            if !is_there(program) {
                eprintln!("skipped: no {program}");
                return None;
            }
        }
        if !companion().exists() {
            eprintln!("skipped: no {}", companion().display());
            return None;
        }
        let name = format!("orlop-image-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let scene = Scene { directory, registry: None, host: String::new() };
        let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        scene.shell(&LAYOUT.replace("ARCH", architecture));
        fs::write(scene.path("none.json"), "{}").unwrap();
        Some(scene)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn shell(&self, script: &str) {
        let output = Command::new("sh").args(["-ec", script]).current_dir(&self.directory).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts a registry, with TLS and a password or without.
    fn serve(&mut self, guarded: bool) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: {free}\n",
            self.path("data").display()
        );
        if guarded {
            self.shell(CERTIFICATES);
            fs::write(self.path("htpasswd"), HTPASSWD).unwrap();
            let path = |name| self.path(name).display().to_string();
            config += &format!("  tls: {{certificate: {}, key: {}}}\n", path("server.crt"), path("server.key"));
            config += &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path("htpasswd"));
        }
        fs::write(self.path("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(self.path("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        self.registry = Some(command.spawn().unwrap());
        self.host = free.to_string();
        while TcpStream::connect(free).is_err() {
            let ended = self.registry.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "docker-registry ended: {ended:?}");
            std::thread::yield_now();
        }
    }

    fn skopeo(&self, arguments: &[&str]) {
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "copy", "--dest-tls-verify=false"]).args(arguments);
        let output = command.current_dir(&self.directory).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn image(&self, word: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(companion());
        command.args(["image", word]).args(arguments).current_dir(&self.directory);
        command.env("REGISTRY_AUTH_FILE", self.path("none.json")).output().unwrap()
    }

    /// Unpacks an image, and compares its files with those of the layout.
    fn same_files(&self, reference: &str, options: &[&str]) {
        for (image, options, bundle) in [("oci:layout:v1", &[][..], "expected"), (reference, options, "found")] {
            let _ = fs::remove_dir_all(self.path(bundle));
            let output = self.image("unpack", &[options, &[image, bundle]].concat());
            assert!(output.status.success(), "{image}: {}", String::from_utf8_lossy(&output.stderr));
        }
        self.shell("diff -r --no-dereference expected/rootfs found/rootfs");
        assert_eq!(fs::read_to_string(self.path("found/rootfs/dir/file")).unwrap(), "two\n");
    }

    fn refused(&self, options: &[&str], fault: &str) {
        let name = format!("{}/app:v1", self.host);
        let output = self.image("verify", &[options, &[&name]].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && text.contains(fault), "{options:?}: {fault}: {text}");
        assert!(!text.contains("geheim") && !text.contains(RIGHT) && !text.contains(WRONG), "{text}");
    }

    fn authfile(&self, name: &str, auth: &str) -> String {
        let text = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, self.host);
        fs::write(self.path(name), text).unwrap();
        name.to_owned()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(registry) = &mut self.registry {
            let _ = registry.kill();
            let _ = registry.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn an_image_of_a_plain_registry_has_the_files_that_were_pushed() {
    let Some(mut scene) = Scene::new() else { return };
    scene.serve(false);
    let name = format!("{}/app", scene.host);
    scene.skopeo(&["oci:layout:v1", &format!("docker://{name}:v1")]);
    scene.skopeo(&["--format", "v2s2", "oci:layout:v1", &format!("docker://{name}:docker")]);
    for tag in ["v1", "docker"] {
        scene.same_files(&format!("docker://{name}:{tag}"), &["--insecure"]);
        scene.same_files(&format!("{name}:{tag}"), &["--insecure", "--mirror", &scene.host]);
    }
    let raw = format!("skopeo inspect --raw --tls-verify=false docker://{name}:v1");
    scene.shell(&format!("{raw} | sha256sum | cut -d' ' -f1 > digest"));
    let digest = fs::read_to_string(scene.path("digest")).unwrap();
    scene.same_files(&format!("{name}@sha256:{}", digest.trim()), &["--insecure"]);
    scene.refused(&[], "--insecure allows plain http on loopback");
    let output = scene.image("verify", &["--insecure", &format!("{name}:v2")]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("MANIFEST_UNKNOWN"), "{output:?}");
}

#[test]
fn a_registry_with_tls_and_a_password_wants_both() {
    let Some(mut scene) = Scene::new() else { return };
    scene.serve(true);
    let name = format!("{}/app:v1", scene.host);
    scene.skopeo(&["--dest-creds", "user:geheim", "oci:layout:v1", &format!("docker://{name}")]);
    let (right, wrong) = (scene.authfile("right.json", RIGHT), scene.authfile("wrong.json", WRONG));
    let trusted = ["--cert-dir", "certs"];
    scene.refused(&["--authfile", &right], "the certificate is not trusted");
    scene.refused(&trusted, "without credentials");
    scene.refused(&["--cert-dir", "certs", "--authfile", &wrong], "with the credentials of the user user");
    scene.same_files(&name, &["--cert-dir", "certs", "--authfile", &right]);
    scene.same_files(&name, &["--insecure", "--authfile", &right]);
    let mut command = Command::new(companion());
    command.args(["image", "verify", &name]).env("SSL_CERT_FILE", scene.path("certs/ca.crt"));
    let output = command.env("REGISTRY_AUTH_FILE", scene.path("right.json")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn archives_that_skopeo_writes_have_the_same_files() {
    let Some(scene) = Scene::new() else { return };
    scene.skopeo(&["oci:layout:v1", "oci-archive:image.tar:v1"]);
    scene.skopeo(&["oci:layout:v1", "docker-archive:saved.tar:quay.io/app:v1"]);
    scene.shell("gzip -k saved.tar; zstd -q image.tar -o image.tar.zst || cp image.tar image.tar.zst");
    scene.same_files("oci-archive:image.tar", &[]);
    scene.same_files("oci-archive:image.tar.zst:v1", &[]);
    scene.same_files("docker-archive:saved.tar", &[]);
    scene.same_files("docker-archive:saved.tar.gz:quay.io/app:v1", &[]);
    scene.shell("tar -C expected/rootfs -cf flat.tar .");
    scene.same_files("tar:flat.tar", &[]);
}

#[test]
fn progress_goes_to_standard_error_alone() {
    let Some(scene) = Scene::new() else { return };
    let verify = |options: &[&str]| {
        let output = scene.image("verify", &[options, &["oci:layout:v1"]].concat());
        let lines = String::from_utf8(output.stdout).unwrap().lines().count();
        assert_eq!(lines, 1, "the result alone is on standard output");
        String::from_utf8(output.stderr).unwrap()
    };
    let text = verify(&[]);
    assert!(text.lines().count() == 2 && text.lines().all(|line| line.starts_with("layer ")), "{text}");
    assert_eq!(verify(&["--quiet"]), "");
    let text = verify(&["--progress", "json"]);
    assert_eq!(text.lines().filter(|line| line.contains(r#""event":"done""#)).count(), 2, "{text}");
}
