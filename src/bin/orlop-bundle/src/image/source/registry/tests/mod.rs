//! Registries that stall, lie, cut the connection and ask for secrets.

mod hostile;
mod polite;
mod server;

use super::*;
use crate::image::source::Verified;
use serde_json::json;
use server::{Asked, Server, respond};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The size of the layer.
const SIZE: usize = 300_000;
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// `user:geheim`.
const BASIC: &str = "Basic dXNlcjpnZWhlaW0=";

fn digest(bytes: &[u8]) -> String {
    crate::image::source::Hasher::digest(None, bytes).unwrap().to_string()
}

fn described(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": digest(bytes), "size": bytes.len() })
}

/// An image of one layer.
struct Image {
    config: Vec<u8>,
    layer: Vec<u8>,
    manifest: Vec<u8>,
    /// Of the manifest, the configuration, the layer.
    digests: [String; 3],
}

fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| image_for("amd64"))
}

fn image_for(architecture: &str) -> Image {
    let config = json!({ "os": "linux", "architecture": architecture }).to_string().into_bytes();
    let layer: Vec<u8> = (0..SIZE as u32).map(|n| (n / 7) as u8).collect();
    let layers = [described(LAYER, &layer)];
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": described(CONFIG, &config), "layers": layers
    });
    let manifest = manifest.to_string().into_bytes();
    let digests = [&manifest, &config, &layer].map(|bytes| digest(bytes));
    Image { config, layer, manifest, digests }
}

impl Image {
    /// Answers as a registry should.
    fn answer(&self, asked: &Asked, stream: &mut TcpStream) {
        let documents = [(&self.manifest, MANIFEST), (&self.config, CONFIG), (&self.layer, LAYER)];
        for ((bytes, media_type), digest) in documents.into_iter().zip(&self.digests) {
            let by_tag = media_type == MANIFEST && asked.path.ends_with("/manifests/v1");
            if by_tag || asked.path.ends_with(digest) {
                let kind = format!("Content-Type: {media_type}\r\n");
                return match asked.offset() {
                    0 => respond(stream, "200 OK", &kind, bytes),
                    n => {
                        let range = format!("{kind}Content-Range: bytes {n}-{}/{}\r\n", bytes.len() - 1, bytes.len());
                        respond(stream, "206 Partial Content", &range, &bytes[n..]);
                    }
                };
            }
        }
        let unknown = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        respond(stream, "404 Not Found", "", unknown);
    }

    fn layer_descriptor(&self) -> Descriptor {
        serde_json::from_value(described(LAYER, &self.layer)).unwrap()
    }
}

/// Whether it is the layer that is asked for.
fn is_layer(asked: &Asked) -> bool {
    asked.path.ends_with(&image().digests[2])
}

/// A directory that goes with the test, also where it fails: with the thread that runs it.
struct Scratch(PathBuf);

thread_local! {
    static SCRATCH: Scratch = {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("orlop-registry-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    };
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file of credentials for servers on loopback: the user's for `host`, none for others.
fn authfile(host: Option<&str>) -> PathBuf {
    let auths = host.map_or(json!({}), |host| json!({ host: { "auth": BASIC.trim_start_matches("Basic ") } }));
    let file = SCRATCH.with(|scratch| scratch.0.join(host.unwrap_or("none").replace(':', "-")));
    std::fs::write(&file, json!({ "auths": auths }).to_string()).unwrap();
    file
}

fn options(host: Option<&str>) -> RegistryOptions {
    RegistryOptions { insecure: true, timeout: 30, authfile: Some(authfile(host)), ..RegistryOptions::default() }
}

/// Without credentials, and with no patience.
fn hasty() -> RegistryOptions {
    RegistryOptions { timeout: 1, ..options(None) }
}

fn open(server: &Server, name: &str, options: &RegistryOptions) -> Registry {
    Registry::new(format!("{}/{name}", server.host).parse().unwrap(), options).unwrap()
}

fn platform() -> Platform {
    "linux/amd64".parse().unwrap()
}

/// The manifest, without credentials.
fn manifest(server: &Server) -> Result<Manifest> {
    open(server, "app:v1", &options(None)).manifest(&platform())
}

fn problem<T>(result: Result<T>) -> String {
    format!("{:#}", result.err().expect("an error"))
}

/// The layer, verified as the store does it.
fn layer(server: &Server, options: &RegistryOptions, offset: u64) -> Result<Vec<u8>> {
    let registry = open(server, "app:v1", options);
    let descriptor = image().layer_descriptor();
    let mut bytes = image().layer[..usize::try_from(offset)?].to_vec();
    registry.blob(&descriptor, offset)?.read_to_end(&mut bytes)?;
    let mut all = Vec::new();
    Verified::new(&bytes[..], &descriptor)?.read_to_end(&mut all)?;
    Ok(all)
}
