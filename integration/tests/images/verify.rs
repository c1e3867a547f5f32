//! `image verify`: each change of a file in the store is found.

use crate::archive::{dir, file, hard_link, symlink};
use crate::layout::{Form, Layout, architecture, base};
use crate::{Scene, says, text};
use rustix::fs::{XattrFlags, lsetxattr};
use serde_json::json;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink as make_symlink};
use std::path::Path;
use std::process::Command;

/// A scene with an image in its store, and the image's upper layer.
fn scene(name: &str) -> Option<(Scene, String)> {
    let scene = Scene::new(name)?;
    let layout = Layout::new(&scene.path("layout"));
    let files = vec![
        dir("d"),
        file("d/file", "content").attribute("user.a", b"1").time(1_500_000_000, 7),
        file("d/other", vec![7; 300_000]),
        file("d/sparse", "data").sparse(1 << 20, 4 << 20),
        hard_link("d/second", "d/file"),
        symlink("d/link", "file"),
        file("d/tab\tand\nnewline", "x"),
        dir("e"),
    ];
    layout.tag(&[("one", &layout.image(&[base(), files], Form::Gzip, &json!({ "Cmd": ["sh"] }), architecture()))]);
    let image = format!("oci:{}:one", scene.at("layout"));
    Some((scene, image))
}

/// The directory `d` of the image's upper layer.
fn directory(scene: &Scene) -> String {
    let layers = fs::read_dir(scene.path("store/layers")).unwrap().map(|entry| entry.unwrap().path());
    layers.map(|layer| layer.join("d")).find(|path| path.exists()).unwrap().to_str().unwrap().to_owned()
}

/// Gives a file its modification time back, as a fault of the disk leaves it.
fn keep_time(path: &Path, change: impl FnOnce()) {
    let before = fs::symlink_metadata(path).unwrap().modified().unwrap();
    change();
    File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
}

#[test]
fn each_change_of_a_file_in_the_store_is_found_by_its_name() {
    type Change = (&'static str, &'static str, fn(&Path));
    let changes: [Change; 14] = [
        ("file", "content", |path| {
            keep_time(path, || File::options().write(true).open(path).unwrap().write_all_at(b"C", 0).unwrap());
        }),
        ("other", "content", |path| {
            keep_time(path, || File::options().write(true).open(path).unwrap().write_all_at(&[8], 299_999).unwrap());
        }),
        ("sparse", "content", |path| {
            keep_time(path, || File::options().write(true).open(path).unwrap().write_all_at(&[1], 3 << 20).unwrap());
        }),
        ("other", "size", |path| {
            keep_time(path, || File::options().write(true).open(path).unwrap().set_len(299_999).unwrap())
        }),
        ("file", "mode 600", |path| fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap()),
        ("link", "owner 5:6", |path| lchown(path, Some(5), Some(6)).unwrap()),
        ("file", "user.a 2", |path| lsetxattr(path, "user.a", b"2", XattrFlags::empty()).unwrap()),
        ("other", "user.b", |path| lsetxattr(path, "user.b", b"", XattrFlags::empty()).unwrap()),
        ("other", "mtime", |path| {
            File::options().write(true).open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap()
        }),
        ("second", "is missing", |path| fs::remove_file(path).unwrap()),
        ("added", "is not of the image", |path| fs::write(path, "").unwrap()),
        ("link", "target other", |path| {
            fs::remove_file(path).unwrap();
            make_symlink("other", path).unwrap();
        }),
        ("file", "directory", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("tab\tand\nnewline", "is missing", |path| fs::remove_file(path).unwrap()),
    ];
    let Some((scene, image)) = scene("verify") else { return };
    for (name, wanted, change) in changes {
        says(&mut scene.image(&["pull", "--quiet", &image]));
        let said = says(&mut scene.image(&["verify"]));
        assert!(said.contains("files of 2 layers are as they were unpacked"), "{said}");
        change(&Path::new(&directory(&scene)).join(name));
        let ended = scene.image(&["verify"]).output().unwrap();
        let said = text(&ended.stderr);
        let is_named = said.contains(&format!("d/{}: ", name.escape_default())) && said.contains(wanted);
        assert!(!ended.status.success() && is_named, "{name}, {wanted}: {said}");
        says(&mut scene.image(&["rm", &image]));
        for directory in ["layers", "files"] {
            assert_eq!(fs::read_dir(scene.path("store").join(directory)).unwrap().count(), 0, "{directory}");
        }
    }
}

#[test]
fn neither_containers_nor_a_verification_change_a_layer() {
    let Some((scene, image)) = scene("verify-used") else { return };
    says(&mut scene.image(&["pull", "--quiet", &image]));
    let file = Path::new(&directory(&scene)).join("file");
    let before = fs::metadata(&file).unwrap();
    let script = "cat /d/file; echo x > /d/file; rm /d/other; mkdir /e/new; mv /d/link /d/moved";
    says(&mut scene.run(&["--quiet", "--id", scene.id()], &image, &["sh", "-c", script]));
    says(&mut scene.image(&["verify"]));
    let after = fs::metadata(&file).unwrap();
    assert_eq!((before.atime(), before.mtime()), (after.atime(), after.mtime()));
}

#[test]
fn a_damaged_list_or_record_is_an_error() {
    let Some((scene, image)) = scene("verify-list") else { return };
    let faults: [fn(&Path); 3] = [
        |list| fs::write(list, "").unwrap(),
        |list| fs::remove_file(list).unwrap(),
        |list| {
            let text = fs::read_to_string(list).unwrap();
            fs::write(list, text.replacen("directory", "file", 1)).unwrap();
        },
    ];
    for damage in faults {
        says(&mut scene.image(&["pull", "--quiet", &image]));
        let list = fs::read_dir(scene.path("store/files")).unwrap().next().unwrap().unwrap().path();
        damage(&list);
        let ended = scene.image(&["verify"]).output().unwrap();
        assert!(!ended.status.success(), "{}", text(&ended.stdout));
        says(&mut scene.image(&["rm", &image]));
    }
    says(&mut scene.image(&["pull", "--quiet", &image]));
    let record = fs::read_dir(scene.path("store/images")).unwrap().next().unwrap().unwrap().path();
    says(Command::new("sed").args(["-i", "s/diff_ids/diff_idz/"]).arg(&record));
    let said = text(&scene.image(&["verify"]).output().unwrap().stderr);
    assert!(said.contains("the content has the digest"), "{said}");
}
