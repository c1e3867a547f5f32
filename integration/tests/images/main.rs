//! Images from outside: the files of images that the tests write, containers of them, and a store that survives kills, full
//! disks and power cuts.
//!
//! `ORLOP` names another program than `out/orlop`, whose `orlop-bundle` must stand beside it. Without root, or without a
//! program that a test compares with, it says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

mod archive;
mod bundles;
mod full;
mod kills;
mod layout;
mod peers;
mod power;
mod registry;
mod rootless;
mod run;
mod shapes;
mod verify;
mod walk;

use integration::runtime::find;
use integration::skip::{is_root, skip};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory with a store and the state of containers, which go with the test.
pub(crate) struct Scene {
    pub(crate) dir: PathBuf,
    pub(crate) runtime: PathBuf,
}

impl Scene {
    pub(crate) fn new(name: &str) -> Option<Scene> {
        Scene::below(&std::env::temp_dir(), name)
    }

    /// A scene on a file system.
    pub(crate) fn below(parent: &Path, name: &str) -> Option<Scene> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            return None;
        }
        let Ok(runtime) = find("orlop", &std::env::temp_dir()) else {
            skip("no runtime; run `make` or set ORLOP");
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = parent.join(format!("images-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Some(Scene { dir, runtime: runtime.path })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// An id for a container, which no other test has: cgroups are shared.
    pub(crate) fn id(&self) -> &str {
        self.dir.file_name().unwrap().to_str().unwrap()
    }

    /// A path as a text.
    pub(crate) fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// `orlop` with a state directory of its own.
    pub(crate) fn orlop(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.path("state")).args(arguments).current_dir(&self.dir);
        command.stdin(Stdio::null());
        command
    }

    /// `orlop image` with the scene's store.
    pub(crate) fn image(&self, arguments: &[&str]) -> Command {
        let mut command = self.orlop(&["image"]);
        command.args(arguments);
        if arguments[0] != "unpack" && arguments[0] != "inspect" {
            command.arg("--store").arg(self.path("store"));
        }
        command
    }

    /// `orlop run` of an image in the scene's store, with more options in front of the name.
    pub(crate) fn run(&self, options: &[&str], image: &str, command: &[&str]) -> Command {
        let mut run = self.orlop(&["run", "--store", &self.at("store")]);
        run.args(options).args(["--image", image]).args(command);
        run
    }
}

/// What a command that succeeds prints.
pub(crate) fn says(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}

impl Drop for Scene {
    fn drop(&mut self) {
        let containers = fs::read_dir(self.path("state")).into_iter().flatten().flatten();
        for id in containers.filter_map(|entry| entry.file_name().into_string().ok()) {
            let _ = self.orlop(&["delete", "--force", &id]).output();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
