//! `make uninstall` leaves a prefix as it was before `make install`.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A source folder with programs that stand in for the built ones, and an empty prefix.
struct Folders {
    dir: PathBuf,
}

impl Folders {
    fn new(name: &str) -> Folders {
        let dir = std::env::temp_dir().join(format!("orlop-install-{name}-{}", std::process::id()));
        fs::create_dir_all(dir.join("source/out")).unwrap();
        fs::create_dir_all(dir.join("prefix/share/man/man8")).unwrap();
        fs::write(dir.join("prefix/share/man/man8/other.8"), "of another package").unwrap();
        let pages = "#!/bin/sh\nmkdir -p $2/man/man8 $2/fish && touch $2/man/man8/orlop.8 $2/fish/orlop.fish\n";
        for program in ["orlop", "orlop-bundle"] {
            let path = dir.join("source/out").join(program);
            fs::write(&path, pages).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Folders { dir }
    }

    fn call(&self, words: &[&str]) -> Output {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/install-tree");
        let mut command = Command::new(tool);
        command.args(words).arg(self.dir.join("prefix")).current_dir(self.dir.join("source")).env_remove("PAGES");
        command.output().unwrap()
    }

    fn succeeds(&self, words: &[&str]) {
        let output = self.call(words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn listing(&self) -> BTreeSet<PathBuf> {
        let output = Command::new("find").arg(self.dir.join("prefix")).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect()
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).ok();
    }
}

#[test]
fn uninstall_leaves_the_listing_that_was_there_before_install() {
    let folders = Folders::new("exact");
    let before = folders.listing();
    folders.succeeds(&[]);
    let installed = folders.listing();
    for file in ["sbin/orlop", "sbin/orlop-bundle", "share/man/man8/orlop.8", "share/fish/orlop.fish"] {
        assert!(installed.contains(&folders.dir.join("prefix").join(file)), "{file}");
    }
    folders.succeeds(&[]);
    assert_eq!(folders.listing(), installed, "a second installation adds nothing");
    folders.succeeds(&["--remove"]);
    assert_eq!(folders.listing(), before);
}

#[test]
fn uninstall_keeps_a_folder_with_a_file_of_another_package() {
    let folders = Folders::new("kept");
    folders.succeeds(&[]);
    let other = folders.dir.join("prefix/share/fish/other.fish");
    fs::write(&other, "").unwrap();
    folders.succeeds(&["--remove"]);
    assert!(other.exists());
    assert!(!folders.dir.join("prefix/share/fish/orlop.fish").exists());
}

#[test]
fn uninstall_without_an_installation_is_an_error_and_removes_nothing() {
    let folders = Folders::new("none");
    let before = folders.listing();
    let output = folders.call(&["--remove"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was installed"));
    assert_eq!(folders.listing(), before);
}

#[test]
fn a_list_that_leads_out_of_the_prefix_removes_nothing() {
    let folders = Folders::new("outside");
    folders.succeeds(&[]);
    let outside = folders.dir.join("outside");
    fs::write(&outside, "").unwrap();
    for line in ["f ../outside\n".to_owned(), format!("f {}\n", outside.display()), "x sbin/orlop\n".to_owned()] {
        let list = folders.dir.join("prefix/share/orlop/installed");
        let whole = fs::read_to_string(&list).unwrap();
        fs::write(&list, format!("{whole}{line}")).unwrap();
        assert_eq!(folders.call(&["--remove"]).status.code(), Some(1), "{line}");
        assert!(outside.exists() && folders.dir.join("prefix/sbin/orlop").exists(), "{line}");
        fs::write(&list, whole).unwrap();
    }
}
