//! Hostile archives: nothing outside of the tree changes, and each is refused with its message or confined.

use super::super::source::{Manifest, Platform, Source};
use super::lower::Lower;
use super::{Form, Owners, Tree};
use anyhow::{Context as _, Result};
use oci_spec::image::{Descriptor, MediaType};
use orlop::beneath::Directory;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use tar::{EntryType, Header};

/// A source of one blob.
struct Blob(Vec<u8>);

impl Source for Blob {
    fn manifest(&self, _: &Platform) -> Result<Manifest> {
        anyhow::bail!("a blob has no manifest")
    }

    fn blob(&self, _: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.0.get(offset as usize..).context("offset")?))
    }
}

const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// An archive that is written entry by entry.
#[derive(Default)]
struct Written(Vec<u8>);

impl Written {
    fn header(mut self, change: impl FnOnce(&mut Header), data: &[u8]) -> Written {
        let mut header = Header::new_ustar();
        header.set_mode(0o644);
        header.set_uid(nix::unistd::geteuid().as_raw().into());
        header.set_gid(nix::unistd::getegid().as_raw().into());
        header.set_mtime(7);
        header.set_size(data.len() as u64);
        change(&mut header);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn add(self, kind: EntryType, name: &str, link: &str, data: &[u8]) -> Written {
        let set = |header: &mut Header| {
            let old = header.as_old_mut();
            old.name[..name.len()].copy_from_slice(name.as_bytes());
            old.linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_entry_type(kind);
            if kind == EntryType::Directory {
                header.set_mode(0o755);
            }
        };
        self.header(set, data)
    }

    fn file(self, name: &str, data: &str) -> Written {
        self.add(EntryType::Regular, name, "", data.as_bytes())
    }

    fn dir(self, name: &str) -> Written {
        self.add(EntryType::Directory, name, "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Written {
        self.add(EntryType::Symlink, name, target, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Written {
        self.add(EntryType::Link, name, target, b"")
    }

    fn pax(self, records: &[(&str, &str)]) -> Written {
        let record = |(key, value): &(&str, &str)| {
            let rest = key.len() + value.len() + 3;
            let length = (1..).find(|n: &usize| (rest + n).to_string().len() == *n).unwrap() + rest;
            format!("{length} {key}={value}\n")
        };
        let data: String = records.iter().map(record).collect();
        self.add(EntryType::XHeader, "pax", "", data.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// A directory with a tree in it, beside files that must stay as they are.
struct Scene {
    outer: PathBuf,
    tree: Tree,
}

impl Scene {
    fn new(name: &str, form: Form) -> Scene {
        let outer = std::env::temp_dir().join(format!("orlop-hostile-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&outer);
        fs::create_dir_all(outer.join("root")).unwrap();
        fs::create_dir_all(outer.join("dir")).unwrap();
        fs::write(outer.join("shadow"), "secret").unwrap();
        fs::set_permissions(outer.join("shadow"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(outer.join("dir/file"), "kept").unwrap();
        let owners = if nix::unistd::geteuid().is_root() { Owners::Archive } else { Owners::Caller };
        let tree = Tree::new(Directory::open(&outer).unwrap().entry_dir(b"root").unwrap(), form, owners);
        Scene { outer, tree }
    }

    fn apply(&mut self, archive: Vec<u8>) -> std::result::Result<(), String> {
        let descriptor = descriptor(PLAIN, &archive, archive.len() as u64);
        let diff_id = digest(&archive).parse().unwrap();
        super::unpack(&Blob(archive), &descriptor, &diff_id, &mut self.tree).map_err(|error| format!("{error:#}"))
    }

    fn root(&self, path: &str) -> PathBuf {
        self.outer.join("root").join(path)
    }

    /// Names, modes, links and contents of everything but the tree.
    fn outside(&self) -> Vec<(PathBuf, u32, u64, i64, Vec<u8>)> {
        let mut found = Vec::new();
        let mut todo = vec![self.outer.clone()];
        while let Some(path) = todo.pop() {
            let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            for name in names.into_iter().filter(|name| *name != self.outer.join("root")) {
                let of = fs::symlink_metadata(&name).unwrap();
                let content = if of.is_file() { fs::read(&name).unwrap() } else { Vec::new() };
                found.push((name.clone(), of.mode(), of.nlink(), of.mtime_nsec(), content));
                if of.is_dir() {
                    todo.push(name);
                }
            }
        }
        found
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.outer);
    }
}

fn descriptor(media_type: &str, blob: &[u8], size: u64) -> Descriptor {
    Descriptor::new(MediaType::from(media_type), size, digest(blob).parse::<oci_spec::image::Digest>().unwrap())
}

fn big_pax() -> Written {
    Written::default().header(
        |header| {
            header.set_entry_type(EntryType::XHeader);
            header.set_size(1 << 40);
        },
        b"",
    )
}

fn raw_name(kind: EntryType, name: &[u8]) -> Written {
    Written::default().header(
        |header| {
            header.as_old_mut().name[..name.len()].copy_from_slice(name);
            header.set_entry_type(kind);
        },
        b"",
    )
}

fn device(major: u32, minor: u32) -> Written {
    Written::default().header(
        |header| {
            header.as_old_mut().name[..3].copy_from_slice(b"dev");
            header.set_entry_type(EntryType::Char);
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        },
        b"",
    )
}

/// Archives that are refused, each with a part of its message.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let new = Written::default;
    let mut damaged = new().file("a", "x").0;
    damaged[0] ^= 1;
    let short = new().file("a", "text").0[..700].to_vec();
    vec![
        ("a name with ..", new().file("../shadow", "x").end(), "the name has the component \"..\""),
        ("a name with .. within", new().dir("a").file("a/../../shadow", "x").end(), "the component \"..\""),
        ("a hard link to ..", new().hard_link("x", "../shadow").end(), "the component \"..\""),
        ("an absolute hard link", new().hard_link("x", "/etc/shadow").end(), "does not exist in the image"),
        ("a hard link through a link", new().symlink("up", "..").hard_link("x", "up/shadow").end(), "does not exist"),
        ("a hard link to a directory", new().dir("d").hard_link("x", "d").end(), "is a directory"),
        ("a hard link to the root", new().hard_link("x", "/").end(), "is the root"),
        ("a hard link to nothing", new().hard_link("x", "").end(), "is the root"),
        ("a whiteout of the parent", new().file(".wh...", "").end(), "a whiteout has the name \"..\""),
        ("a whiteout of .", new().file("a/.wh..", "").end(), "a whiteout has the name \".\""),
        ("a whiteout of no name", new().file(".wh.", "").end(), "a whiteout has the name \"\""),
        ("a whiteout above", new().file("../.wh.shadow", "").end(), "the component \"..\""),
        ("a NUL in a name", new().pax(&[("path", "a\0b")]).file("a", "").end(), "a name holds a NUL"),
        ("a NUL in a target", new().pax(&[("linkpath", "a\0b")]).symlink("a", "").end(), "a name holds a NUL"),
        ("a name that is too long", new().pax(&[("path", &"a".repeat(256))]).file("a", "").end(), "ENAMETOOLONG"),
        ("a path that is too long", new().pax(&[("path", &"a/".repeat(2100))]).file("a", "").end(), "longer than 4096"),
        ("a size beyond the archive", new().pax(&[("size", "1000000")]).file("a", "x").end(), "ends within the data"),
        ("a size that is no number", new().pax(&[("size", "-1")]).file("a", "x").end(), "is no number"),
        ("a PAX header of 1 TiB", big_pax().end(), "is larger than"),
        ("a PAX header at the end", new().pax(&[("path", "x")]).end(), "ends behind a PAX or GNU header"),
        ("a PAX record that is too long", new().add(EntryType::XHeader, "p", "", b"99 a=b\n").end(), "wrong length"),
        ("a user beyond 32 bits", new().pax(&[("uid", "4294967296")]).file("a", "").end(), "no user or group id"),
        ("a whiteout device", device(0, 0).end(), "0:0 is a whiteout of overlayfs"),
        ("a file as a parent", new().file("a", "").file("a/b", "").end(), "the parent \"a\""),
        ("a dangling parent", new().symlink("a", "nowhere").file("a/b", "").end(), "leads nowhere"),
        ("a loop of links", new().symlink("a", "b").symlink("b", "a").file("a/x", "").end(), "the parent \"a\""),
        ("a file as the root", raw_name(EntryType::Regular, b"./").end(), "the root of the image is no directory"),
        ("an unknown type", raw_name(EntryType::new(b'M'), b"a").end(), "the type 'M' of an entry is not supported"),
        ("a wrong checksum", damaged, "wrong checksum"),
        ("an early end", short, "ends within"),
        ("a sparse file beyond its size", sparse("0,10,5,10", "12"), "overlap"),
        ("a sparse file without data", sparse("0,10", "12"), "the archive 1"),
    ]
}

fn sparse(map: &str, size: &str) -> Vec<u8> {
    Written::default().pax(&[("GNU.sparse.map", map), ("GNU.sparse.size", size)]).file("a", "x").end()
}

fn overlay() -> Form {
    let opaque = if nix::unistd::geteuid().is_root() { "trusted.overlay.opaque" } else { "user.overlay.opaque" };
    Form::Overlay { opaque: opaque.as_bytes(), lower: Lower(Vec::new()) }
}

#[test]
fn hostile_archives_are_refused_and_nothing_outside_changes() {
    for (n, (name, archive, message)) in refused().into_iter().enumerate() {
        for form in [Form::Flat, overlay()] {
            let mut scene = Scene::new(&format!("refused-{n}"), form);
            let before = scene.outside();
            let error = scene.apply(archive.clone()).expect_err(name);
            assert!(error.contains(message), "{name}: {error}");
            assert!(error.starts_with("layer sha256:"), "{name}: {error}");
            assert_eq!(scene.outside(), before, "{name}");
        }
    }
}

#[test]
fn links_lead_nowhere_but_into_the_tree() {
    let new = Written::default;
    for (n, (name, archive, there)) in [
        ("an absolute name", new().file("/shadow", "x").end(), "shadow"),
        ("a write through a link to ..", new().symlink("up", "..").file("up/shadow", "x").end(), "shadow"),
        ("a write through deep links", new().dir("a").symlink("a/b", "../../..").file("a/b/new", "x").end(), "new"),
        ("a write through an absolute link", new().dir("dir").symlink("l", "/dir").file("l/f", "x").end(), "dir/f"),
        ("a link that a file replaces", new().symlink("f", "../shadow").file("f", "x").end(), "f"),
        ("a link that a directory replaces", new().symlink("d", "../dir").dir("d").file("d/x", "x").end(), "d/x"),
        ("a whiteout through a link", new().symlink("l", "../dir").dir("dir").file("l/.wh.file", "").end(), "dir"),
        ("a whiteout of nothing", new().file("none/.wh.nothing", "").file("x", "").end(), "x"),
        ("an opaque mark through a link", new().symlink("l", "..").file("l/.wh..wh..opq", "").end(), "l"),
        ("a hard link to a link", new().symlink("l", "../shadow").hard_link("h", "l").end(), "h"),
        ("a hard link to itself", new().file("a", "x").hard_link("a", "a").end(), "a"),
        ("a file where a directory was", new().dir("d").file("d/x", "").file("d", "x").end(), "d"),
        ("a directory where a file was", new().file("d", "x").dir("d").file("d/x", "").end(), "d/x"),
        ("a link with a size", new().pax(&[("size", "512")]).symlink("l", "x").file("x", "").end(), "x"),
    ]
    .into_iter()
    .enumerate()
    {
        for form in [Form::Flat, overlay()] {
            let mut scene = Scene::new(&format!("confined-{n}"), form);
            let before = scene.outside();
            scene.apply(archive.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scene.outside(), before, "{name}");
            assert!(fs::symlink_metadata(scene.root(there)).is_ok(), "{name}: {there} is missing");
        }
    }
}

#[test]
fn a_later_layer_writes_through_no_link_of_an_earlier_one() {
    let mut scene = Scene::new("layers", Form::Flat);
    let before = scene.outside();
    let outside = scene.outer.join("shadow").display().to_string();
    scene.apply(Written::default().symlink("f", "../shadow").symlink("g", &outside).symlink("d", "..").end()).unwrap();
    scene.apply(Written::default().file("f", "x").file("g", "x").file("d/shadow", "x").end()).unwrap();
    scene.apply(Written::default().hard_link("h", "d/shadow").file("d/.wh.dir", "").end()).unwrap();
    assert_eq!(scene.outside(), before);
    assert_eq!(fs::metadata(scene.root("h")).unwrap().nlink(), 2);
}

#[test]
fn attributes_that_would_change_the_union_are_left_out() {
    let mut scene = Scene::new("attributes", Form::Flat);
    let records = [("SCHILY.xattr.trusted.overlay.redirect", "/etc"), ("SCHILY.xattr.security.selinux", "x")];
    scene.apply(Written::default().pax(&records).dir("d").end()).unwrap();
    assert_eq!(scene.tree.dropped.attributes, 2);
    assert!(
        Directory::open(&scene.outer)
            .unwrap()
            .open_dir("root")
            .unwrap()
            .entry_dir(b"d")
            .unwrap()
            .attributes()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_device_is_made_as_rights_allow_and_never_opened() {
    let mut scene = Scene::new("device", Form::Flat);
    scene.apply(device(1, 3).file("dev", "x").end()).unwrap();
    assert!(fs::symlink_metadata(scene.root("dev")).unwrap().is_file());
    scene.apply(device(1, 3).end()).unwrap();
    let made = fs::symlink_metadata(scene.root("dev")).is_ok_and(|of| of.file_type().is_char_device());
    assert!(made || scene.tree.dropped.devices == 2);
}

/// Unpacks a blob with a media type and a `diff_id`, and gives the error.
fn error_of(blob: &[u8], descriptor: &Descriptor, diff_id: &str) -> String {
    let mut scene = Scene::new("blob", Form::Flat);
    let unpacked = super::unpack(&Blob(blob.to_vec()), descriptor, &diff_id.parse().unwrap(), &mut scene.tree);
    unpacked.map_or_else(|error| format!("{error:#}"), |()| String::new())
}

#[test]
fn digests_sizes_and_media_types_must_be_right() {
    let archive = Written::default().file("a", "x").end();
    let (right, size) = (digest(&archive), archive.len() as u64);
    let other = digest(b"other");
    let plain = |size| descriptor(PLAIN, &archive, size);
    assert_eq!(error_of(&archive, &plain(size), &right), "");
    let lying = Descriptor::new(MediaType::from(PLAIN), size, other.parse::<oci_spec::image::Digest>().unwrap());
    let typed = |name: &str| descriptor(name, &archive, size);
    for (error, message) in [
        (error_of(&archive, &lying, &right), "the content has the digest"),
        (error_of(&archive, &plain(size), &other), "the diff_id is"),
        (error_of(&archive, &plain(size + 1), &right), "ends after"),
        (error_of(&archive, &plain(size - 1), &right), "more bytes than"),
        (error_of(&archive, &typed("application/vnd.oci.image.layer.v1.tar+gzip"), &right), "not what the media type"),
        (error_of(&archive, &typed("application/vnd.oci.image.layer.v1.tar+zstd"), &right), "not what the media type"),
        (error_of(&archive, &typed("application/json"), &right), "is not of a layer"),
    ] {
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_bomb_ends_before_it_fills_the_disk() {
    let mut blob = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let megabyte = vec![0; 1 << 20];
    // An archive that has ended: what follows is read for the digest alone.
    for _ in 0..20 {
        blob.write_all(&megabyte).unwrap();
    }
    let blob = blob.finish().unwrap();
    let descriptor = descriptor("application/vnd.oci.image.layer.v1.tar+zstd", &blob, blob.len() as u64);
    let error = error_of(&blob, &descriptor, &digest(b""));
    assert!(error.contains("inflates to more than"), "{error}");
}
