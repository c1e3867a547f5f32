//! Shapes of images: the tree that orlop gives, flat and as an overlay, is the one that umoci and Podman give.

use crate::archive::{Entry, device, dir, fifo, file, hard_link, opaque, symlink, whiteout};
use crate::layout::{Form, Layout, architecture, base};
use crate::peers::{Peer, Unpacked};
use crate::walk::{Difference, Seen, differences, walk};
use crate::{Scene, says};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// `CAP_NET_RAW` in the permitted and effective sets, as version 2 of the attribute.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Differences that are argued, with the reason: orlop follows layer.md of the image specification, which says of a layer that
/// it has what changed, so that a directory without an entry is unchanged.
fn argued(other: &str, found: &Difference) -> Option<&'static str> {
    let Difference { path, key, one, other: theirs } = found;
    match (other, key.as_str()) {
        ("podman", "mode" | "mtime") if path == "." => Some("Podman makes the root directory by itself"),
        ("podman", "mtime") if theirs == "now" => {
            Some("Podman makes the directory anew in a layer that writes into it")
        }
        ("podman", "mtime") if one.starts_with('-') && theirs == "0.000000000" => {
            Some("Podman knows no time before 1970")
        }
        ("podman", _) if path == "changed" && one == "-" => {
            Some("layer.md: the entry's attributes replace the directory's")
        }
        ("podman", _) if key.starts_with("attribute ") && theirs == "-" => {
            Some("its driver vfs copies not all attributes")
        }
        ("podman", "same as") => Some("its driver vfs copies links of other files than regular ones"),
        ("umoci", "mtime") if theirs == "now" => Some("umoci writes into a directory and leaves it the new time"),
        ("overlay", "same as") => Some("overlayfs copies one name up, so that a link across layers is to a copy"),
        _ => None,
    }
}

type Tree = BTreeMap<String, Seen>;

/// The image's tree as a flat directory.
fn flat(scene: &Scene, image: &str) -> Tree {
    says(&mut scene.image(&["unpack", "--quiet", image, &scene.at("bundle")]));
    walk(&scene.path("bundle/rootfs"))
}

/// The image's tree in a running container.
fn overlay(scene: &Scene, image: &str) -> Tree {
    let pid = scene.at("pid");
    let options = ["--quiet", "--detach", "--id", scene.id(), "--pid-file", &pid];
    let log = fs::File::create(scene.path("log")).unwrap();
    let started = scene.run(&options, image, &["sleep", "1000"]).stdout(log.try_clone().unwrap()).stderr(log).status();
    let said = || fs::read_to_string(scene.path("log")).unwrap();
    assert!(started.unwrap().success(), "{}", said());
    let pid = fs::read_to_string(pid).unwrap();
    assert!(fs::metadata(format!("/proc/{pid}/root/bin")).is_ok(), "{}", said());
    let tree = walk(format!("/proc/{pid}/root").as_ref());
    says(&mut scene.orlop(&["delete", "--force", scene.id()]));
    tree
}

/// Compares all trees of an image. `image` is the name for orlop; for the others it is the tag `one` of the layout.
fn compare(scene: &Scene, image: &str, peers: &[Peer]) {
    let flat = flat(scene, image);
    let mut all = Vec::new();
    let mut note = |other: &str, tree: &Tree| {
        let differ = differences(&flat, tree);
        all.extend(
            differ.into_iter().filter(|found| argued(other, found).is_none()).map(|found| (other.to_owned(), found)),
        );
    };
    note("overlay", &overlay(scene, image));
    for peer in peers {
        if peer.is_there() {
            note(peer.name(), &walk(&Unpacked::new(scene, *peer, "layout", "one").root));
        }
    }
    assert!(all.is_empty(), "flat and others differ: {all:#?}");
}

const ALL: [Peer; 2] = [Peer::Umoci, Peer::Podman];

/// Compares an image of layers above the base.
fn shape(name: &str, layers: &[Vec<Entry>], form: Form, peers: &[Peer]) {
    let Some(scene) = Scene::new(name) else { return };
    let layout = Layout::new(&scene.path("layout"));
    // The largest layer is the topmost: Podman copies the layers below into each one.
    let layers = [layers, &[base()]].concat();
    layout.tag(&[("one", &layout.image(&layers, form, &json!({ "Cmd": ["sh"] }), architecture()))]);
    compare(&scene, &format!("oci:{}:one", scene.at("layout")), peers);
}

#[test]
fn many_layers_replace_files_by_files_of_other_types() {
    let first = vec![
        dir("a").mode(0o2750).owner(7, 8).time(1_500_000_000, 123_456_789),
        file("a/file", "one").mode(0o4755).owner(1, 2).time(1_400_000_000, 999_999_999),
        file("a/old", "before 1970").time(-1_000, 0),
        dir("a/deep"),
        file("a/deep/file", "x"),
        symlink("a/link", "file").owner(3, 4).time(1_450_000_000, 5),
        fifo("a/fifo").mode(0o620).owner(5, 6),
        device("a/null", 1, 3).mode(0o666).owner(0, 7),
        dir("to-file"),
        file("to-file/x", "x"),
        file("to-dir", "file"),
        dir("to-link"),
        file("to-link/x", "x"),
        symlink("from-link", "a"),
        file("missing/parents/file", "x"),
    ];
    let second = vec![
        file("a/file", "two").mode(0o600),
        file("to-file", "now a file"),
        dir("to-dir"),
        file("to-dir/x", "x"),
        symlink("to-link", "a"),
        file("from-link", "now a file"),
        file("a/deep/more", "y"),
    ];
    let third = vec![dir("to-file"), file("to-file/y", "y"), file("to-dir", "file again"), dir("a").mode(0o700)];
    let more = (0..17).map(|n| vec![file(&format!("many/{n}"), format!("{n}")), file("many/same", format!("{n}"))]);
    let layers: Vec<_> = [first, second, third].into_iter().chain(more).collect();
    shape("many", &layers, Form::Gzip, &ALL);
}

#[test]
fn whiteouts_remove_what_the_layers_below_have() {
    let first = vec![
        dir("d"),
        file("d/a", "a"),
        file("d/b", "b"),
        dir("d/sub"),
        file("d/sub/x", "x"),
        dir("again"),
        file("again/old", "old"),
        file("file", "x"),
        dir("gone"),
        file("gone/x", "x"),
        dir("without-entry").mode(0o700),
        file("without-entry/old", "old"),
    ];
    let second = vec![
        whiteout("d/a"),
        whiteout("d/sub"),
        whiteout("again"),
        dir("again"),
        file("again/new", "new"),
        whiteout("file"),
        file("file", "new"),
        whiteout("nothing"),
        whiteout("gone"),
        whiteout("without-entry"),
        file("without-entry/new/file", "new"),
        whiteout("without-entry/old"),
        dir("fresh"),
        whiteout("fresh/nothing"),
    ];
    let third = vec![file("gone/y", "back"), whiteout("again/new"), file("d/a", "back")];
    shape("whiteouts", &[first, second, third], Form::Gzip, &ALL);
}

#[test]
fn whiteouts_concern_no_file_of_their_own_layer_wherever_they_stand() {
    let names = ["entry", "no-entry", "opaque", "behind"];
    let first = names.iter().flat_map(|name| {
        let file = |path: &str| file(&format!("{name}/{path}"), "old");
        [dir(name), file("old"), dir(&format!("{name}/sub")), file("sub/old")]
    });
    let second = vec![
        dir("entry"),
        file("entry/new", "new"),
        whiteout("entry"),
        file("no-entry/new", "new"),
        whiteout("no-entry"),
        opaque("opaque"),
        whiteout("opaque/old"),
        whiteout("opaque/sub/old"),
        whiteout("behind/sub/old"),
        opaque("behind"),
        whiteout("no/such/parent"),
    ];
    // Podman makes the parents, and applies whiteouts in the order of the archive.
    shape("order", &[first.collect(), second], Form::Gzip, &[Peer::Umoci]);
}

#[test]
fn opaque_directories_hide_what_the_layers_below_have() {
    let old = |name: &str| {
        [
            dir(name),
            file(&format!("{name}/old"), "old"),
            dir(&format!("{name}/sub")),
            file(&format!("{name}/sub/x"), "x"),
        ]
    };
    let first = ["before", "behind", "empty", "deep", "without-entry", "and-whiteouts", "whiteouts-and"]
        .iter()
        .flat_map(|name| old(name))
        .collect();
    let second = vec![
        dir("before"),
        opaque("before"),
        file("before/new", "new"),
        file("before/sub/x", "without an entry of its parent"),
        dir("behind"),
        file("behind/new", "new"),
        dir("behind/sub"),
        file("behind/sub/new", "new"),
        opaque("behind"),
        dir("empty"),
        opaque("empty"),
        dir("deep"),
        dir("deep/sub"),
        opaque("deep/sub"),
        file("deep/sub/y", "y"),
        opaque("without-entry"),
        opaque("and-whiteouts"),
        whiteout("and-whiteouts/old"),
        whiteout("whiteouts-and/old"),
        whiteout("whiteouts-and/sub/x"),
        opaque("whiteouts-and"),
        dir("fresh"),
        opaque("fresh"),
        file("fresh/x", "x"),
    ];
    let third = vec![file("before/third", "third"), whiteout("before/new"), file("empty/third", "third")];
    shape("opaque", &[first, second, third], Form::Gzip, &ALL);
}

#[test]
fn hard_links_are_kept_within_and_across_layers() {
    let first = vec![
        dir("d"),
        file("d/one", "content").owner(5, 6),
        hard_link("d/two", "d/one").owner(5, 6),
        hard_link("three", "d/two").owner(5, 6),
        symlink("d/link", "one"),
        hard_link("d/link2", "d/link"),
        file("alone", "alone").mode(0o600),
        fifo("fifo"),
        hard_link("fifo2", "fifo").mode(0o600),
    ];
    let second = vec![file("new/one", "new"), hard_link("new/two", "new/one"), file("d/one", "replaced")];
    shape("links", &[first.clone(), second.clone()], Form::Gzip, &ALL);
    // Podman looks for the target in the layer alone, and refuses the image.
    let across = vec![hard_link("across", "alone"), hard_link("d/from-link", "d/link"), hard_link("fifo3", "fifo")];
    shape("across", &[first, [second, across].concat()], Form::Gzip, &[Peer::Umoci]);
}

#[test]
fn attributes_and_capabilities_are_kept_and_go_with_their_file() {
    let acl = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 33, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4,
        0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255,
    ];
    let first = vec![
        dir("d").attribute("user.dir", b"d").attribute("trusted.dir", b"t"),
        file("d/cap", "cap").mode(0o755).owner(1, 1).attribute("security.capability", &CAPABILITY),
        file("d/user", "x").attribute("user.a", b"1").attribute("user.b", b"\0\xff"),
        file("d/replaced", "x").attribute("user.a", b"1"),
        file("d/acl", "x").attribute("system.posix_acl_access", &acl),
        symlink("d/link", "user").attribute("trusted.link", b"l"),
        dir("changed").attribute("user.old", b"old"),
        dir("kept").attribute("user.kept", b"kept"),
        file("d/capgone", "cap").mode(0o755).attribute("security.capability", &CAPABILITY),
    ];
    let second = vec![
        file("d/replaced", "y").attribute("user.b", b"2"),
        file("d/capgone", "cap").mode(0o755),
        dir("changed").attribute("user.new", b"new"),
        file("kept/x", "x"),
    ];
    shape("attributes", &[first, second], Form::Gzip, &ALL);
}

#[test]
fn files_have_the_access_control_lists_of_the_archive_and_inherit_none() {
    let list = |group: u8| {
        let row = |tag: u8, mode: u8| [tag, 0, mode, 0, 255, 255, 255, 255];
        [&[2, 0, 0, 0][..], &row(1, 7), &[2, 0, 7, 0, 33, 0, 0, 0], &row(4, group), &row(16, 7), &row(32, 0)].concat()
    };
    let inherited = |name: &str| dir(name).attribute("system.posix_acl_default", &list(5));
    let first = vec![
        inherited("d"),
        file("d/file", "x").mode(0o664),
        dir("d/sub").mode(0o2775),
        file("d/sub/file", "x"),
        fifo("d/fifo").mode(0o666),
        symlink("d/link", "file"),
        file("d/own", "x").mode(0o670).attribute("system.posix_acl_access", &list(4)),
        inherited("d/again"),
        file("alone", "x"),
    ];
    let second =
        vec![file("d/second", "x").mode(0o646), dir("d/new"), hard_link("d/across", "alone"), file("d/again/x", "x")];
    shape("lists", &[first, second], Form::Gzip, &ALL);
}

#[test]
fn sparse_files_have_their_size_and_content() {
    let first = vec![
        file("sparse", "data").sparse(1 << 20, 4 << 20),
        file("end", vec![7; 5000]).sparse(100, 5100),
        file("hole", "").sparse(1 << 16, 1 << 16),
    ];
    shape("sparse", &[first, vec![file("end", "plain")]], Form::Gzip, &ALL);
}

#[test]
fn layers_by_zstd_and_layers_that_are_plain_are_the_same() {
    // The umoci of Debian 12 does not know zstd.
    for (name, form, peers) in [("zstd", Form::Zstd, &[Peer::Podman][..]), ("plain", Form::Plain, &ALL)] {
        shape(
            name,
            &[vec![dir("d"), file("d/a", vec![b'x'; 300_000])], vec![whiteout("d/a"), file("d/b", "b")]],
            form,
            peers,
        );
    }
}

#[test]
fn a_hundred_and_twenty_layers_are_one_root() {
    let layer = |n: usize| {
        let mut entries = vec![file(&format!("d/{n}"), format!("{n}")), file("last", format!("{n}"))];
        entries.extend((n % 7 == 6).then(|| whiteout(&format!("d/{}", n - 1))));
        entries
    };
    let layers: Vec<_> =
        (0..119).map(|n| if n == 0 { [vec![dir("d")], layer(n)].concat() } else { layer(n) }).collect();
    shape("hundred", &layers, Form::Gzip, &ALL);
}

#[test]
fn a_docker_archive_has_the_tree_of_its_layout() {
    let Some(scene) = Scene::new("docker") else { return };
    let layout = Layout::new(&scene.path("layout"));
    let layers = [base(), vec![dir("d"), file("d/a", "a")], vec![whiteout("d/a"), file("d/b", "b").owner(9, 9)]];
    layout.tag(&[("one", &layout.image(&layers, Form::Gzip, &json!({ "Cmd": ["sh"] }), architecture()))]);
    let mut copy = Command::new("skopeo");
    copy.args(["--insecure-policy", "copy", "--quiet", "oci:layout:one", "docker-archive:saved.tar:app:one"]);
    let Ok(output) = copy.current_dir(&scene.dir).output() else {
        return integration::skip::skip("no skopeo on this machine");
    };
    assert!(output.status.success(), "{output:?}");
    compare(&scene, &format!("docker-archive:{}", scene.at("saved.tar")), &ALL);
}

#[test]
fn an_index_gives_the_image_of_the_platform() {
    let Some(scene) = Scene::new("index") else { return };
    let layout = Layout::new(&scene.path("layout"));
    let layers = [base(), vec![file("architecture", "this")]];
    let this = layout.image(&layers, Form::Gzip, &json!({ "Cmd": ["sh"] }), architecture());
    let other = layout.image(&[vec![file("architecture", "other")]], Form::Gzip, &json!({ "Cmd": ["x"] }), "s390x");
    let index = layout.index_of(&[(other, "s390x"), (this.clone(), architecture())]);
    layout.tag(&[("all", &index), ("one", &this)]);
    let image = format!("oci:{}:all", scene.at("layout"));
    compare(&scene, &image, &ALL);
    says(&mut scene.image(&["unpack", "--quiet", "--platform", "linux/s390x", &image, &scene.at("other")]));
    assert_eq!(fs::read_to_string(scene.path("other/rootfs/architecture")).unwrap(), "other");
}

#[test]
fn ids_above_65535_are_kept() {
    let first = vec![
        dir("d").owner(65_536, 70_000),
        file("d/file", "x").owner(2_000_000, 3_000_000),
        symlink("d/link", "file").owner(4_000_000_000, 4_294_967_294),
        file("d/octal", "x").owner(0o7_777_777, 0o7_777_776),
    ];
    shape("ids", &[first], Form::Gzip, &ALL);
}

#[test]
fn empty_layers_change_nothing() {
    let first = vec![dir("d").time(1_300_000_000, 1), file("d/x", "x")];
    shape("empty", &[vec![], first, vec![], vec![]], Form::Gzip, &ALL);
}

#[test]
fn names_and_paths_may_be_as_long_as_the_kernel_takes_them() {
    let long = "n".repeat(255);
    let umlauts = "ä".repeat(127);
    let deep = vec!["p".repeat(200); 15].join("/");
    let first = vec![
        dir(&long),
        file(&format!("{long}/{long}"), "x"),
        file(&umlauts, "x"),
        hard_link("link", &format!("{long}/{long}")),
        symlink("symlink", &deep),
        file(&format!("{deep}/file"), "deep"),
        file("with space\nand newline", "x"),
        file(&format!("{}/x", "m".repeat(251)), "x"),
    ];
    let second = vec![whiteout(&"m".repeat(251)), file(&format!("{deep}/more"), "more")];
    shape("names", &[first, second], Form::Gzip, &ALL);
}
