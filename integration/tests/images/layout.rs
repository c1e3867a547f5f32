//! Image layouts that tests write (image specification, image-layout.md).

use crate::archive::{Entry, archive, dir, file, symlink};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the layers' blobs are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Gzip,
    Zstd,
}

/// This machine's architecture by Go's name.
pub(crate) fn architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

/// A layer with a busybox and the mount points of a container.
pub(crate) fn base() -> Vec<Entry> {
    let mut entries: Vec<_> = [".", "bin", "proc", "dev", "sys", "etc", "tmp"].map(dir).into();
    entries.push(file("bin/busybox", fs::read("/bin/busybox").unwrap()).mode(0o755));
    let applets = [
        "sh", "cat", "ls", "sleep", "id", "env", "pwd", "hostname", "stat", "echo", "kill", "touch", "tty", "ps",
        "mount",
    ];
    entries.extend(applets.map(|applet| symlink(&format!("bin/{applet}"), "busybox")));
    entries.push(file("etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n"));
    entries.push(file("etc/group", "root:x:0:\nweb:x:34:\nlog:x:4:web\n"));
    entries
}

/// An image layout below a directory.
pub(crate) struct Layout(PathBuf);

impl Layout {
    pub(crate) fn new(at: &Path) -> Layout {
        fs::create_dir_all(at.join("blobs/sha256")).unwrap();
        fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Layout(at.to_owned())
    }

    fn descriptor(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = sha256(&self.0.join("new"), bytes);
        fs::write(self.0.join("blobs/sha256").join(&digest), bytes).unwrap();
        json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": format!("sha256:{digest}"),
            "size": bytes.len() })
    }

    /// Writes an image; the descriptor of its manifest. `config` is the object of that name in its configuration.
    pub(crate) fn image(&self, layers: &[Vec<Entry>], form: Form, config: &Value, architecture: &str) -> Value {
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for entries in layers {
            let bytes = archive(entries);
            let plain = self.0.join("layer");
            ids.push(format!("sha256:{}", sha256(&plain, &bytes)));
            let (kind, blob) = match form {
                Form::Plain => ("layer.v1.tar", bytes),
                Form::Gzip => ("layer.v1.tar+gzip", output("gzip", &["-nc1"], &plain)),
                Form::Zstd => ("layer.v1.tar+zstd", output("zstd", &["-qc1"], &plain)),
            };
            rows.push(self.descriptor(kind, &blob));
        }
        let config = json!({ "architecture": architecture, "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": ids } });
        let config = self.descriptor("config.v1+json", config.to_string().as_bytes());
        let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": rows });
        self.descriptor("manifest.v1+json", manifest.to_string().as_bytes())
    }

    /// An index of manifests for platforms, as a descriptor.
    pub(crate) fn index_of(&self, manifests: &[(Value, &str)]) -> Value {
        let row = |(descriptor, architecture): &(Value, &str)| {
            let mut row = descriptor.clone();
            row["platform"] = json!({ "os": "linux", "architecture": architecture });
            row
        };
        let rows: Vec<Value> = manifests.iter().map(row).collect();
        let index =
            json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": rows });
        self.descriptor("index.v1+json", index.to_string().as_bytes())
    }

    /// Writes index.json, with a tag for each descriptor.
    pub(crate) fn tag(&self, tagged: &[(&str, &Value)]) {
        let row = |(tag, descriptor): &(&str, &Value)| {
            let mut row = (*descriptor).clone();
            row["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
            row
        };
        let rows: Vec<Value> = tagged.iter().map(row).collect();
        fs::write(self.0.join("index.json"), json!({ "schemaVersion": 2, "manifests": rows }).to_string()).unwrap();
    }
}

/// The sha256 of bytes, which are written to a file for it.
fn sha256(at: &Path, bytes: &[u8]) -> String {
    fs::write(at, bytes).unwrap();
    String::from_utf8(output("sha256sum", &[], at)).unwrap()[..64].to_owned()
}

fn output(program: &str, arguments: &[&str], file: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).arg(file).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
