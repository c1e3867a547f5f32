//! The same image by umoci and by Podman.

use crate::{Scene, says};
use integration::skip::skip;
use std::path::PathBuf;
use std::process::Command;

/// Another program that unpacks images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Umoci,
    Podman,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Umoci => "umoci",
            Peer::Podman => "podman",
        }
    }

    /// Whether it is installed; else the test is reported as skipped.
    pub(crate) fn is_there(self) -> bool {
        let is_there = Command::new(self.name()).arg("--version").output().is_ok_and(|output| output.status.success());
        if !is_there {
            skip(&format!("no {} on this machine", self.name()));
        }
        is_there
    }
}

/// An image that a peer has unpacked, until it is dropped.
pub(crate) struct Unpacked<'a> {
    scene: &'a Scene,
    peer: Peer,
    image: String,
    pub(crate) root: PathBuf,
}

/// The driver `overlay` shows names of whiteouts in directories that overlayfs does not merge.
pub(crate) fn podman(scene: &Scene) -> Command {
    let mut command = Command::new("podman");
    command.arg("--root").arg(scene.path("podman")).arg("--runroot").arg(scene.path("podman-run"));
    command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
    command
}

impl Unpacked<'_> {
    /// Unpacks the tag of a layout in the scene.
    pub(crate) fn new<'a>(scene: &'a Scene, peer: Peer, layout: &str, tag: &str) -> Unpacked<'a> {
        let source = format!("{}:{tag}", scene.at(layout));
        let (image, root) = match peer {
            Peer::Umoci => {
                let root = scene.path("umoci");
                says(Command::new("umoci").args(["raw", "unpack", "--image", &source]).arg(&root));
                (String::new(), root)
            }
            Peer::Podman => {
                let image = says(podman(scene).args(["pull", "--quiet", &format!("oci:{source}")]));
                let root = says(podman(scene).args(["image", "mount", &image]));
                (image, root.into())
            }
        };
        Unpacked { scene, peer, image, root }
    }
}

impl Drop for Unpacked<'_> {
    fn drop(&mut self) {
        if self.peer == Peer::Podman {
            let _ = podman(self.scene).args(["image", "unmount", &self.image]).output();
            let _ = podman(self.scene).args(["rmi", "--force", &self.image]).output();
        }
    }
}
