//! An image and a store for the companion's commands.

use crate::kills::scene::Scene;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Brings image and store to where a command has work to do.
pub(super) fn prepare(scene: &Scene<'_>, words: &[&str]) -> Result<()> {
    if !is_about_images(words) {
        return Ok(());
    }
    let dir = &scene.dir;
    if !dir.join("image").exists() {
        layout(dir)?;
    }
    let store = dir.join("store");
    match words[1] {
        "pull" if store.exists() => fs::remove_dir_all(&store)?,
        "unpack" if dir.join("unpacked").exists() => fs::remove_dir_all(dir.join("unpacked"))?,
        "pull" | "unpack" => {}
        "gc" => {
            pull(scene)?;
            // Layers without an image.
            for record in fs::read_dir(store.join("images"))? {
                fs::remove_file(record?.path())?;
            }
        }
        _ if store.exists() => {}
        _ => pull(scene)?,
    }
    Ok(())
}

pub(super) fn is_about_images(words: &[&str]) -> bool {
    words[0] == "image" || words.contains(&"--image")
}

fn pull(scene: &Scene<'_>) -> Result<()> {
    scene.orlop(&["image", "pull", "--quiet", "--store", "{dir}/store", "oci:{dir}/image"])
}

/// The names of all that the commands have made, without the files of the image.
pub(super) fn listing(scene: &Scene<'_>) -> Result<String> {
    let found = Command::new("find")
        .args(["store", "unpacked", "(", "-path", "store/layers/*/*/*", "-prune", "-o", "-printf", "%p %y %m\\n", ")"])
        .current_dir(&scene.dir)
        .output()?;
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    Ok(lines.join("\n") + "\n")
}

/// After a command that failed or not: it works, the store is whole, and nothing is left that `gc` does not remove. Returns
/// the names then.
pub(super) fn settle(scene: &Scene<'_>, words: &[&str], has_failed: bool) -> Result<String> {
    if words[0] == "image" && has_failed {
        scene.orlop(words).context("the next run")?;
    }
    if scene.dir.join("store").exists() {
        scene.orlop(&["image", "verify", "--store", "{dir}/store"]).context("the store after it")?;
        scene.orlop(&["image", "gc", "--store", "{dir}/store"]).context("gc after it")?;
    }
    listing(scene)
}

/// Writes an image layout with the root file system as its only layer (image specification, image-layout.md).
fn layout(dir: &Path) -> Result<()> {
    let image = dir.join("image");
    fs::create_dir_all(image.join("blobs/sha256"))?;
    fs::write(image.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let layer =
        output(Command::new("tar").args(["--owner=0", "--group=0", "-c", "."]).current_dir(dir.join("rootfs")))?;
    let layer = blob(&image, "layer.v1.tar", &layer)?;
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let config = json!({"architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}});
    let config = blob(&image, "config.v1+json", config.to_string().as_bytes())?;
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer]});
    let manifest = blob(&image, "manifest.v1+json", manifest.to_string().as_bytes())?;
    Ok(fs::write(image.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())?)
}

/// Writes a blob; its descriptor.
fn blob(image: &Path, kind: &str, bytes: &[u8]) -> Result<Value> {
    let new = image.join("new");
    fs::write(&new, bytes)?;
    let sum = output(Command::new("sha256sum").arg(&new))?;
    let digest = String::from_utf8_lossy(&sum[..64]).into_owned();
    fs::rename(&new, image.join("blobs/sha256").join(&digest))?;
    Ok(json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": format!("sha256:{digest}"),
        "size": bytes.len()}))
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
