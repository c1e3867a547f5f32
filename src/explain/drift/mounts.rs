//! The mounts of a container, as its mountinfo shows them.

use super::Comparison;
use crate::error::Result;
use crate::mountinfo::{self, Mounted};
use crate::path::{Handle, InRoot, Root};
use crate::rootfs::options::ATTRIBUTES;
use crate::rootfs::{MountEntry, MountKind, Rootfs};
use crate::sys::{file, fs};

/// A mount as the kernel shows it.
struct Shown {
    /// Whether the path is the root of the mount.
    is_root: bool,
    attributes: Vec<String>,
    kind: String,
}

/// The container's root and the table of its mounts.
struct Tree {
    root: Root,
    table: Vec<u8>,
}

impl Tree {
    fn of(pid: i32) -> Result<Tree> {
        let root = file::open(format!("/proc/{pid}/root"), libc::O_PATH | libc::O_DIRECTORY)?;
        Ok(Tree { root: root.into(), table: mountinfo::table(&pid.to_string())? })
    }

    /// The mount that is seen at a path; none if there is no such path, or no such mount in the table.
    fn at(&self, path: &InRoot) -> Result<Option<Shown>> {
        self.root.find_if_there(path)?.map_or(Ok(None), |handle| self.on(&handle))
    }

    fn on(&self, handle: &Handle) -> Result<Option<Shown>> {
        let id = fs::mount_id(handle)?.to_string();
        let is_it = |mounted: &Mounted<'_>| mounted.id == id.as_bytes();
        let Some(mounted) = mountinfo::mounts(&self.table).find(is_it) else { return Ok(None) };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Some(Shown {
            is_root: fs::is_mount_root(handle).unwrap_or(true),
            attributes: text(mounted.attributes).split(',').map(str::to_owned).collect(),
            kind: text(mounted.kind),
        }))
    }
}

impl Shown {
    fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|known| known == attribute)
    }
}

impl Comparison<'_> {
    pub(super) fn mounts(&mut self) -> Result<()> {
        let parts = self.parts;
        let Some(rootfs) = &parts.plan.rootfs else { return Ok(()) };
        let tree = Tree::of(self.pid)?;
        if rootfs.readonly && !tree.at(&InRoot::new("/"))?.is_some_and(|root| root.has("ro")) {
            self.add("root", "access", "read-only", "writable");
        }
        for (n, mount) in rootfs.mounts.iter().enumerate() {
            let is_covered = rootfs.mounts[n + 1..]
                .iter()
                .any(|later| later.kind != MountKind::Remount && mount.destination.is_within(&later.destination));
            let is_masked = rootfs.masked.iter().any(|path| mount.destination.is_within(path));
            if !is_covered && !is_masked {
                self.mount(rootfs, n, &tree)?;
            }
        }
        for path in &rootfs.masked {
            self.mask(path, &tree)?;
        }
        for path in &rootfs.readonly_paths {
            let is_masked = rootfs.masked.iter().any(|masked| path.is_within(masked));
            if !is_masked && tree.at(path)?.is_some_and(|shown| !shown.has("ro")) {
                self.add("read-only", path.as_str(), "read-only", "writable");
            }
        }
        Ok(())
    }

    fn mount(&mut self, rootfs: &Rootfs, n: usize, tree: &Tree) -> Result<()> {
        let mount = &rootfs.mounts[n];
        let subject = mount.destination.as_str();
        let shown = match tree.at(&mount.destination)? {
            Some(shown) if shown.is_root => shown,
            _ => {
                self.add("mounts", subject, "a mount", "none");
                return Ok(());
            }
        };
        let planned = match &mount.kind {
            MountKind::Filesystem { kind, .. } if *kind != shown.kind => Some(kind.clone()),
            MountKind::Cgroup if !matches!(shown.kind.as_str(), "tmpfs" | "cgroup2" | "cgroup") => {
                Some("cgroup".into())
            }
            _ => None,
        };
        if let Some(planned) = planned {
            self.add("mounts", subject, planned, shown.kind);
            return Ok(());
        }
        let is_changed_later = rootfs.mounts[n + 1..].iter().any(|later| later.destination == mount.destination);
        if !is_changed_later {
            let is_protected = rootfs.readonly_paths.iter().any(|path| mount.destination.is_within(path))
                || mount.is_new_root() && rootfs.readonly;
            self.attributes(mount, &shown, is_protected);
        }
        Ok(())
    }

    /// A new filesystem has the attributes that the options set and no others; any other mount those of its source besides.
    fn attributes(&mut self, mount: &MountEntry, shown: &Shown, is_protected: bool) {
        let (set, cleared) = mount.options.own().words();
        let is_new = matches!(mount.kind, MountKind::Filesystem { .. } | MountKind::Cgroup);
        let has = |name: &str| match name {
            "strictatime" => !shown.has("noatime") && !shown.has("relatime"),
            name => shown.has(name),
        };
        let missing = set.iter().filter(|name| !has(name)).map(|name| format!("no {name}"));
        // A user namespace locks the attributes of the mounts that it takes over.
        let is_locked = self.has_user_namespace();
        let surplus = ATTRIBUTES.iter().filter(|(name, opposite, _)| {
            let is_excluded = !set.contains(name) && (is_new || cleared.contains(opposite));
            is_excluded && !is_locked && !(is_protected && *name == "ro") && shown.has(name)
        });
        let differences: Vec<String> = missing.chain(surplus.map(|(name, ..)| (*name).to_owned())).collect();
        if !differences.is_empty() {
            let planned = if set.is_empty() { "no attributes".to_owned() } else { set.join(",") };
            let found = format!("{} ({})", shown.attributes.join(","), differences.join(", "));
            self.add("mounts", mount.destination.as_str(), planned, found);
        }
    }

    /// A masked file is /dev/null, a masked directory an empty read-only tmpfs.
    fn mask(&mut self, path: &InRoot, tree: &Tree) -> Result<()> {
        let Some(handle) = tree.root.find_if_there(path)? else { return Ok(()) };
        let stat = handle.stat()?;
        let is_masked = match stat.is_dir() {
            true => tree.on(&handle)?.is_some_and(|shown| shown.is_root && shown.kind == "tmpfs" && shown.has("ro")),
            false => stat.kind() == libc::S_IFCHR && stat.rdev == fs::device_number(1, 3),
        };
        // A directory below a masked one cannot be there, but one on a mount of its own.
        if !is_masked {
            self.add("masked", path.as_str(), "masked", "visible");
        }
        Ok(())
    }
}
