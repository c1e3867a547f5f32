//! The actions of the attacker, each with its inverse.

use super::ground::{outside, work};
use super::neighbour;
use crate::kills::paths;
use anyhow::{Context, Result};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// An action on a path below the directory of the run, where it is about one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) place: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The entry is exchanged with another one.
    Exchange(Lure),
    /// A file changes in place.
    Truncate,
    Grow,
    /// In the mount namespace of a process; the runtime's when there is none.
    Mount(Over, Space),
    Unmount(Space),
    /// In the cgroups of the container.
    Cgroup(Cgroup),
    /// A process in a joined pid namespace reads or kills every process that it sees.
    Look,
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Lure {
    /// A link to the host's.
    Outside,
    /// A link to something in the root.
    Inside,
    Directory,
    File,
    /// A file of 64 MB.
    Big,
    Fifo,
    /// The device /dev/zero.
    Zero,
    Socket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Tmpfs,
    Outside,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Host,
    /// The one that the container joins.
    Neighbour,
    /// The one of the running container.
    Container,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cgroup {
    Freeze,
    MoveOut,
    MoveIn,
    Remove,
    Child,
    NoProcesses,
}

/// How far the container of a command that succeeds may differ from the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leeway {
    None,
    /// Entries of the root may have other names.
    Moved,
    /// The attacker has rights over its mounts.
    Mounts,
    /// The attacker has rights over its cgroup, or has killed it.
    Any,
}

impl Action {
    fn new(place: &str, kind: Kind) -> Self {
        Self { place: place.to_owned(), kind }
    }

    pub(super) fn leeway(&self) -> Leeway {
        match self.kind {
            Kind::Exchange(_) if self.place.contains("rootfs") || self.place.contains("volume") => Leeway::Moved,
            // The caller's own source of a mount.
            Kind::Exchange(_) if self.place == "hosts" => Leeway::Mounts,
            Kind::Exchange(_) | Kind::Truncate | Kind::Grow | Kind::Look => Leeway::None,
            Kind::Mount(..) | Kind::Unmount(_) => Leeway::Mounts,
            Kind::Cgroup(_) | Kind::Kill => Leeway::Any,
        }
    }

    /// Whether the entry is one of a /dev that is in the root itself.
    pub(super) fn is_of_dev(&self) -> bool {
        matches!(self.kind, Kind::Exchange(_)) && self.place.starts_with("kills/rootfs/dev/")
    }

    /// Whether the records of containers are in another directory after the action.
    pub(super) fn moves_state(&self) -> bool {
        matches!(self.kind, Kind::Exchange(_)) && matches!(&*self.place, "kills" | "kills/state")
    }

    /// Whether the action is another one before this call than before the next: the call sees it, or is changed by it.
    pub(super) fn matters(&self, number: u64, named: &str) -> bool {
        let is = |calls: &[i64]| calls.iter().any(|call| u64::try_from(*call) == Ok(number));
        match self.kind {
            Kind::Look | Kind::Kill => !crate::faults::errors::is_memory(number),
            Kind::Cgroup(_) => {
                let calls = [libc::SYS_write, libc::SYS_clone3, libc::SYS_clone, libc::SYS_unshare, libc::SYS_kill];
                is(&calls) || ["cgroup", "box", "tasks", "freezer", "pids"].iter().any(|name| named.contains(name))
            }
            Kind::Truncate | Kind::Grow => {
                is(&[libc::SYS_read, libc::SYS_pread64, libc::SYS_fstat]) || self.names(number, named)
            }
            Kind::Mount(..) | Kind::Unmount(_) => {
                let calls = [
                    libc::SYS_open_tree,
                    libc::SYS_move_mount,
                    libc::SYS_mount_setattr,
                    libc::SYS_mount,
                    libc::SYS_umount2,
                    libc::SYS_pivot_root,
                    libc::SYS_setns,
                    libc::SYS_chroot,
                ];
                is(&calls) || self.names(number, named)
            }
            Kind::Exchange(_) => paths::takes_paths(number) && self.names(number, named),
        }
    }

    /// Whether these paths, each with a space behind it, have the name that the action gives to something else, or the
    /// call asks for names of what is open.
    fn names(&self, number: u64, named: &str) -> bool {
        let name = self.place.rsplit('/').next().unwrap_or_default();
        let reads_link = crate::faults::errors::call(number).is_some_and(|call| call.name.starts_with("readlink"));
        named.split(' ').any(|path| {
            let own = path.starts_with("/proc/") || path.starts_with("/sys/");
            let asks_names = path.contains("mountinfo") || reads_link && path.contains("fd/");
            asks_names || !own && path.split('/').any(|part| part == name)
        })
    }

    fn path(&self) -> PathBuf {
        work().join(&self.place)
    }

    /// The inode of the entry; 0 where there is none.
    fn inode(&self) -> u64 {
        fs::symlink_metadata(self.path()).map_or(0, |meta| meta.ino())
    }

    /// The other entry of an exchange: on the same mount, and in the root for an entry of it.
    fn lure(&self) -> PathBuf {
        let dir = ["volume/", "kills/rootfs/"].into_iter().find(|dir| self.place.starts_with(dir));
        work().join(dir.unwrap_or_default()).join(".lure")
    }

    /// Before the command.
    pub(super) fn prepare(&self) -> Result<()> {
        let Kind::Exchange(lure) = self.kind else { return Ok(()) };
        let (path, is_dir) = (self.lure(), fs::metadata(self.path()).map_or(true, |meta| meta.is_dir()));
        let (target, inside) = match is_dir {
            true => (outside().join("dir"), "/elsewhere"),
            false => (outside().join("file"), "/elsewhere/file"),
        };
        let node = |kind, device| mknod(&path, kind, Mode::from_bits_truncate(0o666), device).context("make a lure");
        match lure {
            Lure::Outside => symlink(target, &path)?,
            Lure::Inside => symlink(inside, &path)?,
            Lure::Directory => fs::create_dir(&path)?,
            Lure::File => fs::write(&path, "")?,
            Lure::Big => fs::File::create(&path)?.set_len(64 << 20)?,
            Lure::Fifo => node(SFlag::S_IFIFO, 0)?,
            Lure::Zero => node(SFlag::S_IFCHR, makedev(1, 5))?,
            Lure::Socket => node(SFlag::S_IFSOCK, 0)?,
        }
        Ok(())
    }

    /// Acts. An action that is not possible now, since a file is not there, is none.
    pub(super) fn act(&self, turn: &mut Turn) -> Result<()> {
        match self.kind {
            Kind::Exchange(_) => {
                turn.lure = fs::symlink_metadata(self.lure())?.ino();
                self.exchange()
            }
            Kind::Truncate | Kind::Grow => {
                let Ok(text) = fs::read(self.path()) else { return Ok(()) };
                let length = if self.kind == Kind::Truncate { text.len() as u64 / 2 } else { 64 << 20 };
                fs::OpenOptions::new().write(true).open(self.path())?.set_len(length)?;
                turn.text = Some(text);
                turn.lure = self.inode();
                Ok(())
            }
            Kind::Mount(over, space) => self.within(space, turn, &|path| over.mount(path)),
            Kind::Unmount(space) => self.within(space, turn, &|path| Ok(umount2(path, MntFlags::MNT_DETACH)?)),
            Kind::Cgroup(action) => {
                action.act(turn);
                Ok(())
            }
            Kind::Look => {
                turn.found.extend(neighbour::look()?);
                Ok(())
            }
            Kind::Kill => neighbour::kill(),
        }
    }

    /// The inverse, where `act` was done.
    pub(super) fn undo(&self, turn: &mut Turn) -> Result<()> {
        match self.kind {
            Kind::Exchange(_) => self.exchange_back(turn),
            Kind::Truncate | Kind::Grow => match turn.text.take() {
                // Not what the runtime has put in the place meanwhile.
                Some(text) if self.inode() == turn.lure => Ok(fs::write(self.path(), text)?),
                _ => Ok(()),
            },
            Kind::Mount(_, space) => self.within(space, turn, &|path| Ok(umount2(path, MntFlags::MNT_DETACH)?)),
            Kind::Unmount(space) => self.within(space, turn, &|path| Over::Tmpfs.mount(path)),
            Kind::Cgroup(action) => {
                action.undo(turn);
                Ok(())
            }
            Kind::Look | Kind::Kill => Ok(()),
        }
    }

    /// After the command and the inverse: nothing of the action is left.
    pub(super) fn clean(&self) {
        if matches!(self.kind, Kind::Exchange(_)) {
            let lure = self.lure();
            let _ = fs::remove_file(&lure).or_else(|_| fs::remove_dir_all(&lure));
        }
    }

    /// Back, unless the runtime has put something else in the place meanwhile.
    fn exchange_back(&self, turn: &Turn) -> Result<()> {
        let is = self.inode();
        if is == turn.lure || is == 0 { self.exchange() } else { Ok(()) }
    }

    fn exchange(&self) -> Result<()> {
        let (one, other) = (self.path(), self.lure());
        let rename = |one: &Path, other: &Path, flags| renameat2(AT_FDCWD, one, AT_FDCWD, other, flags);
        if rename(&one, &other, RenameFlags::RENAME_EXCHANGE).is_err() {
            // One of the two is not there: the other one gets its name.
            let _ = rename(&other, &one, RenameFlags::RENAME_NOREPLACE)
                .or_else(|_| rename(&one, &other, RenameFlags::RENAME_NOREPLACE));
        }
        Ok(())
    }

    /// Does something in a mount namespace; without effect where its path is not there.
    fn within(&self, space: Space, turn: &Turn, does: &(dyn Fn(&Path) -> Result<()> + Sync)) -> Result<()> {
        let pid = match space {
            Space::Host => return does(&self.path()).or(Ok(())),
            Space::Neighbour => neighbour::pid(),
            Space::Container => turn.init,
        };
        let path = if space == Space::Container { Path::new("/").join(&self.place) } else { self.path() };
        let Ok(namespace) = fs::File::open(format!("/proc/{pid}/ns/mnt")) else { return Ok(()) };
        // A thread of its own: its root and working directory become those of the namespace.
        std::thread::scope(|scope| {
            let act = scope.spawn(|| {
                unshare(CloneFlags::CLONE_FS)?;
                setns(&namespace, CloneFlags::CLONE_NEWNS)?;
                let _ = does(&path);
                Ok(())
            });
            act.join().unwrap_or_else(|_| anyhow::bail!("the attacker's thread panicked"))
        })
    }
}

/// What an action keeps for its inverse.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub(super) text: Option<Vec<u8>>,
    /// The inode of the entry that came in the place, or of the file that was changed.
    pub(super) lure: u64,
    /// The container's first process, where it runs.
    pub(super) init: i32,
    /// The name of the container's cgroup.
    pub(super) id: String,
    /// A process that the attacker may put into the cgroup.
    pub(super) stranger: u32,
    /// What a neighbour has found.
    pub(super) found: Vec<String>,
}

impl Over {
    fn mount(self, path: &Path) -> Result<()> {
        match self {
            Self::Tmpfs => mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), None::<&str>)?,
            Self::Outside => mount(Some(&outside().join("dir")), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?,
        }
        Ok(())
    }
}

impl Cgroup {
    fn act(self, turn: &Turn) {
        let put = |dir: &Path, file: &str, text: &str| {
            let _ = fs::write(dir.join(file), text);
        };
        for (hierarchy, dir) in cgroups(&turn.id) {
            match self {
                Self::Freeze => put(&dir, "freezer.state", "FROZEN"),
                Self::NoProcesses => put(&dir, "pids.max", "0"),
                Self::MoveIn => put(&dir, "cgroup.procs", &turn.stranger.to_string()),
                Self::MoveOut if hierarchy.ends_with("pids") => {
                    for pid in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
                        put(&hierarchy, "cgroup.procs", pid);
                    }
                }
                Self::MoveOut => {}
                Self::Remove => drop(fs::remove_dir(&dir)),
                Self::Child => drop(fs::create_dir(dir.join("child"))),
            }
        }
    }

    fn undo(self, turn: &Turn) {
        for (hierarchy, dir) in cgroups(&turn.id) {
            let _ = match self {
                Self::Freeze => fs::write(dir.join("freezer.state"), "THAWED"),
                Self::NoProcesses => fs::write(dir.join("pids.max"), "max"),
                Self::MoveIn => fs::write(hierarchy.join("cgroup.procs"), turn.stranger.to_string()),
                Self::Child => fs::remove_dir(dir.join("child")),
                Self::MoveOut | Self::Remove => Ok(()),
            };
        }
    }
}

/// The cgroups of the container: the hierarchy, and the directory in it.
fn cgroups(id: &str) -> Vec<(PathBuf, PathBuf)> {
    let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let roots = roots.filter(|root| fs::symlink_metadata(root).is_ok_and(|meta| meta.is_dir()));
    let all = roots.chain([PathBuf::from("/sys/fs/cgroup")]).map(|root| (root.clone(), root.join(id).join("box")));
    all.filter(|(_, dir)| dir.is_dir()).collect()
}

/// The actions that are tried on each command.
pub(super) fn all(command: &super::Command, id: &str) -> Vec<Action> {
    let mut all = Vec::new();
    let in_root = |name: &&str| format!("kills/rootfs/{name}");
    let directories = ["proc", "sys", "dev", "data", "etc", "work", "secret", "fixed", "bin", "made"];
    for place in directories.iter().map(in_root).chain(["volume/inner".to_owned()]) {
        for lure in [Lure::Outside, Lure::Inside, Lure::Directory, Lure::File] {
            all.push(Action::new(&place, Kind::Exchange(lure)));
        }
    }
    all.push(Action::new("kills/rootfs", Kind::Exchange(Lure::Directory)));
    for place in ["kills", "kills/state"] {
        // A link there is the caller's own way to them.
        for lure in [Lure::Directory, Lure::File] {
            all.push(Action::new(place, Kind::Exchange(lure)));
        }
    }
    let mut files = vec!["etc/hosts", "etc/passwd", "etc/group", "bin/busybox", "etc/shadow", "etc/fixed"];
    if command.has_devices {
        files.extend(["dev/null", "dev/box", "dev/ptmx", "dev/fd", "dev/console"]);
    }
    let record = ["state.json", "config.json"].map(|name| format!("kills/state/{id}/{name}"));
    let others = ["kills/config.json", "kills/pid", "hook", "hosts"].map(ToOwned::to_owned);
    let contents = ["etc/passwd", "etc/group"].iter().map(in_root).chain(record.clone()).chain(others.clone());
    for place in contents {
        all.extend([Kind::Truncate, Kind::Grow].map(|kind| Action::new(&place, kind)));
    }
    for place in files.iter().map(in_root).chain(record).chain(others) {
        let kinds = [Lure::Outside, Lure::Inside, Lure::File, Lure::Big, Lure::Fifo, Lure::Zero, Lure::Socket];
        // The caller's own paths may be links.
        let kinds = kinds.into_iter().filter(|lure| place.contains("rootfs") || *lure > Lure::Inside);
        all.extend(kinds.chain([Lure::Directory]).map(|lure| Action::new(&place, Kind::Exchange(lure))));
    }
    mounts(command, &mut all);
    let cgroup = [Cgroup::Freeze, Cgroup::MoveOut, Cgroup::MoveIn, Cgroup::Remove, Cgroup::Child, Cgroup::NoProcesses];
    all.extend(cgroup.map(|action| Action::new("", Kind::Cgroup(action))));
    if command.neighbour.contains(&"pid") {
        all.extend([Kind::Look, Kind::Kill].map(|kind| Action::new("", kind)));
    }
    all
}

fn mounts(command: &super::Command, all: &mut Vec<Action>) {
    let mut add = |place: &str, kind| all.push(Action::new(place, kind));
    for over in [Over::Tmpfs, Over::Outside] {
        add("volume/inner", Kind::Mount(over, Space::Host));
    }
    add("volume/below", Kind::Unmount(Space::Host));
    if command.neighbour.contains(&"mount") {
        for place in ["kills/rootfs/proc", "kills/rootfs/dev", "kills/rootfs", "kills/rootfs/data"] {
            add(place, Kind::Mount(Over::Tmpfs, Space::Neighbour));
            add(place, Kind::Unmount(Space::Neighbour));
        }
    }
    if command.runs {
        for place in ["proc", "dev", "work", "etc", "bin"] {
            add(place, Kind::Mount(Over::Tmpfs, Space::Container));
            add(place, Kind::Unmount(Space::Container));
        }
    }
}
