//! Whether `process.user` may execute a file of the root filesystem and search the directories on the way.

use super::Bundle;
use orlop::beneath::Directory;
use orlop::explain::{Content, Node};
use std::fs::Metadata;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

/// Whose rights are asked about.
pub(super) struct User {
    uid: u32,
    groups: Vec<u32>,
    /// CAP_DAC_OVERRIDE, or not known.
    overrides: bool,
}

impl User {
    /// `process.user`. In a user namespace the owners of files are not known before its mappings are made.
    pub(super) fn of(bundle: &Bundle) -> User {
        let process = bundle.config.get("process");
        let user = process.and_then(|process| process.get("user"));
        let of_user = |key: &str| user.and_then(|user| user.get(key));
        let more = of_user("additionalGids").map_or(&[][..], Node::items).iter();
        let gid = of_user("gid").and_then(number).unwrap_or_default();
        let namespaces = bundle.config.get("linux").and_then(|linux| linux.get("namespaces"));
        let kinds =
            namespaces.map_or(&[][..], Node::items).iter().filter_map(|namespace| namespace.get("type")?.text());
        let effective = process.and_then(|process| process.get("capabilities")?.get("effective"));
        let mut held = effective.map_or(&[][..], Node::items).iter().filter_map(Node::text);
        let uid = of_user("uid").and_then(number).unwrap_or_default();
        let mut kinds = kinds;
        let overrides = uid == 0 || held.any(|name| name == "CAP_DAC_OVERRIDE") || kinds.any(|kind| kind == "user");
        User { uid, groups: [gid].into_iter().chain(more.filter_map(number)).collect(), overrides }
    }

    /// Whether the bit `x` is set for this user.
    pub(super) fn may_execute(&self, file: &Metadata) -> bool {
        let shift = match () {
            () if self.overrides => return file.is_dir() || file.mode() & 0o111 != 0,
            () if file.uid() == self.uid => 6,
            () if self.groups.contains(&file.gid()) => 3,
            () => 0,
        };
        file.mode() >> shift & 1 != 0
    }

    /// The first directory on the way to `path` that this user may not search, with its mode.
    pub(super) fn barrier(&self, root: &Directory, path: &str) -> Option<(String, u32)> {
        let ends = path.match_indices('/').map(|(at, _)| at.max(1));
        ends.map(|end| &path[..end]).find_map(|directory| {
            let metadata = of_directory(&root.open_dir(directory).ok()?)?;
            (!self.may_execute(&metadata)).then(|| (directory.to_owned(), metadata.mode() & 0o7777))
        })
    }
}

fn number(node: &Node) -> Option<u32> {
    match &node.content {
        Content::Literal(literal) => literal.parse().ok(),
        _ => None,
    }
}

fn of_directory(directory: &Directory) -> Option<Metadata> {
    std::fs::File::from(directory.as_fd().try_clone_to_owned().ok()?).metadata().ok()
}
