//! A walk over a tree: all that stat(2) and xattr(7) tell of each file, and its content.

use rustix::fs::{lgetxattr, llistxattr};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, FileType};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// The attributes of a file, of which each is a text.
pub(crate) type Seen = BTreeMap<String, String>;

/// Mount points of a container, whose content is not the image's.
const MOUNT_POINTS: [&str; 3] = ["proc", "dev", "sys"];

/// The archives of the tests have no time behind this one, in seconds since 1970.
const LAST_TIME: i64 = 1_700_000_000;

/// All files below a root, by their paths.
pub(crate) fn walk(root: &Path) -> BTreeMap<String, Seen> {
    let mut found = BTreeMap::new();
    let mut first = BTreeMap::new();
    visit(root, ".", &mut found, &mut first);
    found
}

fn visit(root: &Path, name: &str, found: &mut BTreeMap<String, Seen>, first: &mut BTreeMap<(u64, u64), String>) {
    let path = root.join(name);
    // The root of a process's root is a magic link.
    let path = if name == "." { root.join("./.") } else { path };
    let status = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut seen = Seen::new();
    let mut set = |key: &str, value: String| {
        seen.insert(key.into(), value);
    };
    set("type", kind(status.file_type()).into());
    if MOUNT_POINTS.contains(&name) {
        found.insert(name.to_owned(), seen);
        return;
    }
    set("mode", format!("{:o}", status.mode() & 0o7777));
    set("owner", format!("{}:{}", status.uid(), status.gid()));
    let is_new = status.mtime() > LAST_TIME;
    set("mtime", if is_new { "now".into() } else { format!("{}.{:09}", status.mtime(), status.mtime_nsec()) });
    if status.is_symlink() {
        set("target", fs::read_link(&path).unwrap().display().to_string());
    }
    if status.is_file() {
        let mut hasher = DefaultHasher::new();
        fs::read(&path).unwrap().hash(&mut hasher);
        set("size", status.len().to_string());
        set("content", format!("{:x}", hasher.finish()));
    }
    if status.rdev() != 0 {
        set("device", format!("{:x}", status.rdev()));
    }
    if !status.is_dir() && status.nlink() > 1 {
        let same = first.entry((status.dev(), status.ino())).or_insert_with(|| name.to_owned());
        set("same as", same.clone());
    }
    for (key, value) in attributes(&path) {
        set(&format!("attribute {key}"), value);
    }
    found.insert(name.to_owned(), seen);
    if !status.is_dir() {
        return;
    }
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    for child in names {
        let child = if name == "." { child } else { format!("{name}/{child}") };
        visit(root, &child, found, first);
    }
}

fn kind(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "directory",
        kind if kind.is_symlink() => "symlink",
        kind if kind.is_fifo() => "fifo",
        kind if kind.is_char_device() => "character device",
        kind if kind.is_block_device() => "block device",
        _ => "file",
    }
}

fn attributes(path: &Path) -> Vec<(String, String)> {
    let mut names = vec![0; 64 << 10];
    let length = llistxattr(path, &mut names[..]).unwrap();
    let names = String::from_utf8(names[..length].to_vec()).unwrap();
    let value = |name: &str| {
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(path, name, &mut value[..]).unwrap();
        value[..length].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let labels = ["security.selinux", "security.apparmor"];
    let names = names.split('\0').filter(|name| !name.is_empty() && !labels.contains(name));
    names.map(|name| (name.to_owned(), value(name))).collect()
}

/// An attribute of a file that differs between two trees; a file that only one has differs in its `name`.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) path: String,
    pub(crate) key: String,
    pub(crate) one: String,
    pub(crate) other: String,
}

/// The differences between two trees.
pub(crate) fn differences(one: &BTreeMap<String, Seen>, other: &BTreeMap<String, Seen>) -> Vec<Difference> {
    let mut found = Vec::new();
    for path in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
        let mut add = |key: &str, one: &str, other: &str| {
            found.push(Difference { path: path.clone(), key: key.into(), one: one.into(), other: other.into() });
        };
        match (one.get(path), other.get(path)) {
            (Some(one), Some(other)) => {
                let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
                for key in keys.into_iter().filter(|key| one.get(*key) != other.get(*key)) {
                    let of = |seen: &Seen| seen.get(key).map_or("-", String::as_str).to_owned();
                    add(key, &of(one), &of(other));
                }
            }
            (Some(_), None) => add("name", "there", "missing"),
            _ => add("name", "missing", "there"),
        }
    }
    found
}
