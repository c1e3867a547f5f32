//! Debian's docker-registry on loopback, filled by skopeo or Podman.

use crate::peers::podman;
use crate::{Scene, says};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

fn has_skopeo() -> bool {
    Command::new("skopeo").arg("--version").output().is_ok()
}

/// A registry, which goes with the test.
pub(crate) struct Registry {
    child: Child,
    pub(crate) host: String,
}

impl Registry {
    /// Starts one; `None` where it, or a program that fills it, is not installed.
    pub(crate) fn new(scene: &Scene) -> Option<Registry> {
        if !has_skopeo() {
            Command::new("podman").arg("--version").output().ok()?;
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let data = scene.at("data");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {data}}}}}\nhttp: {{addr: {free}}}\n"
        );
        fs::write(scene.path("registry.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(scene.path("registry.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        while TcpStream::connect(free).is_err() {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "docker-registry ended: {ended:?}");
            std::thread::yield_now();
        }
        Some(Registry { child, host: free.to_string() })
    }

    /// Copies an image, named as skopeo has it, into the registry.
    pub(crate) fn push(&self, scene: &Scene, image: &str, name: &str) {
        if !has_skopeo() {
            let pulled = says(podman(scene).args(["pull", "--quiet", image]).current_dir(&scene.dir));
            let to = format!("docker://{}/{name}", self.host);
            says(podman(scene).args(["push", "--quiet", "--tls-verify=false", &pulled, &to]));
            return;
        }
        let mut copy = Command::new("skopeo");
        copy.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", image]);
        says(copy.arg(format!("docker://{}/{name}", self.host)).current_dir(&scene.dir));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
