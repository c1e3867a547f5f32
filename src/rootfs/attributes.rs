//! Changing attributes and propagation of a mount by its descriptor.
//!
//! `mount_setattr(2)` (Linux 5.12) changes a detached mount, before other processes can see it. On
//! older kernels the mount is changed after it is attached, with `mount(2)` on the path of its
//! descriptor in a private procfs, never on a path of the container.

use super::mount::MountEntry;
use super::options::{ATTRIBUTES, Attributes, Options, Propagation};
use crate::error::{Context, Error, Ignore as _, Result};
use crate::log;
use crate::procfs::ProcFd;
use crate::sys::mount::{
    self, MOUNT_ATTR_ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME, MountAttr,
};
use crate::sys::{self, file, fs, refused};
use libc::{
    MS_BIND, MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_NOSYMFOLLOW, MS_RDONLY, MS_REC, MS_REMOUNT,
    MS_STRICTATIME, c_ulong,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::OnceLock;

/// A change of a mount or, if recursive, of a mount and all mounts beneath it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) recursive: bool,
    pub(crate) attributes: Attributes,
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, or 0 for none.
    pub(crate) propagation: c_ulong,
    /// The index in `mounts` of the entry with the option, for the log.
    pub(crate) entry: Option<usize>,
}

impl Change {
    /// A change that sets attributes of one mount.
    pub(crate) fn setting(set: u64) -> Change {
        Change { attributes: Attributes::setting(set), ..Change::default() }
    }

    /// Whether the change has no effect.
    fn is_none(&self) -> bool {
        self.attributes.is_empty() && self.propagation == 0
    }

    /// A change of propagation alone.
    pub(crate) fn propagating(propagation: Propagation) -> Change {
        Change { recursive: propagation.recursive, propagation: propagation.kind, ..Change::default() }
    }
}

/// The changes for an entry of `mounts`, as few as possible.
pub(crate) fn of(mount: &MountEntry) -> Vec<Change> {
    let entry = Some(mount.index);
    of_options(&mount.options).into_iter().map(|change| Change { entry, ..change }).collect()
}

fn of_options(options: &Options) -> Vec<Change> {
    let mut changes = Vec::new();
    if !options.recursive.is_empty() {
        changes.push(Change { recursive: true, attributes: options.recursive, ..Change::default() });
    }
    if !options.attributes.is_empty() {
        changes.push(Change { attributes: options.attributes, ..Change::default() });
    }
    for propagation in &options.propagation {
        match changes.last_mut() {
            Some(last) if last.propagation == 0 && last.recursive == propagation.recursive => {
                last.propagation = propagation.kind;
            }
            _ => changes.push(Change::propagating(*propagation)),
        }
    }
    changes
}

/// The changes for a new mount. It has no mounts beneath, so no change is recursive, which older
/// kernels do not support.
pub(crate) fn of_new(options: &Options) -> Vec<Change> {
    let propagation = options.propagation.iter().copied().map(Change::propagating);
    std::iter::once(Change { attributes: options.own(), ..Change::default() }).chain(propagation).collect()
}

/// Adds changes that give a copy of another mount the state of a new one: no attributes, private.
pub(crate) fn as_of_new_mount(changes: &mut Vec<Change>) {
    let all = ATTRIBUTES.iter().fold(MOUNT_ATTR_ATIME, |all, (_, _, bit)| all | bit);
    let attributes = Attributes { set: 0, clear: all };
    let new = Change { attributes, propagation: libc::MS_PRIVATE, ..Change::default() };
    match changes.first_mut() {
        // In one call the kernel clears attributes before it sets others.
        Some(first) if !first.recursive && first.propagation == 0 => {
            first.attributes.clear |= all;
            first.propagation = libc::MS_PRIVATE;
        }
        _ => changes.insert(0, new),
    }
}

/// Makes changes to a mount that may be detached. If the kernel has no `mount_setattr`, or a
/// seccomp filter refuses it, returns the changes, which must wait until the mount is attached.
pub(crate) fn apply(tree: BorrowedFd<'_>, changes: Vec<Change>) -> Result<Vec<Change>> {
    for change in changes.iter().filter(|change| !change.is_none()) {
        match set(tree, change) {
            // The first change fails already, so none has been made.
            Err(e) if e.errno() == libc::ENOSYS => return Ok(changes),
            Err(e) if e.errno() == libc::EPERM && refused::is_refused(libc::SYS_mount_setattr) => return Ok(changes),
            Err(e) if e.errno() == libc::EPERM => keep_locked(change, e, |part| set(tree, part))?,
            other => other?,
        }
    }
    Ok(Vec::new())
}

/// Makes a change with `mount_setattr(2)`.
fn set(tree: BorrowedFd<'_>, change: &Change) -> Result<()> {
    let Change { recursive, attributes: Attributes { set, clear }, propagation, .. } = *change;
    Ok(mount::mount_setattr(tree, recursive, &MountAttr { set, clear, propagation, userns: 0 })?)
}

/// Repeats a change that the kernel refused with `refused`, without clearing locked attributes.
/// `make` makes a part of the change. An attribute that an option sets must be set, but one that an
/// option clears may stay if it is locked.
///
/// In a mount namespace of another user namespace, read-only, nosuid, nodev, noexec and the atime
/// mode of inherited mounts are locked (mount_namespaces(7)): the kernel refuses `rw` on a bind
/// mount of such a mount.
fn keep_locked(change: &Change, refused: Error, make: impl Fn(&Change) -> Result<()>) -> Result<()> {
    let Attributes { set, clear } = change.attributes;
    // mount_setattr(2) requires that the atime field is cleared in order to set it.
    let needed = clear & if set & MOUNT_ATTR_ATIME != 0 { MOUNT_ATTR_ATIME } else { 0 };
    // An attribute that is cleared only to be set stays set.
    let dropped = clear & !needed & !set;
    if dropped == 0 {
        return Err(refused);
    }
    let required = Change { attributes: Attributes { set, clear: needed }, ..*change };
    if !required.is_none() {
        make(&required)?;
    }
    let all = ATTRIBUTES.iter().map(|(name, _, bit)| (*name, *bit)).chain([("the atime mode", MOUNT_ATTR_ATIME)]);
    for (name, bit) in all.filter(|(_, bit)| dropped & bit != 0) {
        let attributes = Attributes { set: 0, clear: bit };
        let part = |recursive| Change { recursive, attributes, ..Change::default() };
        // One locked mount makes the kernel refuse the change of the whole tree.
        let cleared =
            make(&part(change.recursive)).or_else(|e| if change.recursive { make(&part(false)) } else { Err(e) });
        let entry = change.entry.map_or_else(String::new, |n| format!("mounts[{n}].options: "));
        match cleared {
            Err(e) if e.errno() != libc::EPERM => return Err(e),
            Ok(()) if !change.recursive => {}
            _ => log::debug(|| format!("{entry}{name} stays on mounts where the user namespace locks it")),
        }
    }
    Ok(())
}

/// Makes changes to an attached mount.
pub(crate) fn apply_attached(tree: impl AsFd, changes: Vec<Change>) -> Result<()> {
    attach(tree.as_fd(), changes, &|| Ok(()))
}

/// Makes changes to a detached mount and attaches it with `put`, so that the unchanged mount is never visible; an older kernel
/// makes them once it is attached.
pub(super) fn attach(tree: BorrowedFd<'_>, changes: Vec<Change>, put: &dyn Fn() -> Result<()>) -> Result<()> {
    let waiting = apply(tree, changes)?;
    put()?;
    waiting.iter().try_for_each(|change| match apply_old(tree, change) {
        Err(e) if e.errno() == libc::EPERM => keep_locked(change, e, |part| apply_old(tree, part)),
        other => other,
    })
}

/// Makes a change with `mount(2)`.
fn apply_old(tree: BorrowedFd<'_>, change: &Change) -> Result<()> {
    if !change.attributes.is_empty() {
        if change.recursive {
            return Err(Error::system("recursive mount attributes need mount_setattr(2) of Linux 5.12"));
        }
        let flags = flags_after(fs::mount_flags(tree)?, change.attributes);
        mount_by_number(tree, &mount::MountArgs { flags: MS_REMOUNT | MS_BIND | flags, ..Default::default() })?;
    }
    if change.propagation != 0 {
        let depth = if change.recursive { MS_REC } else { 0 };
        mount_by_number(tree, &mount::MountArgs { flags: change.propagation | depth, ..Default::default() })?;
    }
    Ok(())
}

/// The procfs of the runtime's own pid namespace, for a process that can neither mount one nor find itself in the container's.
static HELD: OnceLock<ProcFd> = OnceLock::new();

/// Opens the procfs of the runtime's pid namespace before the pivot, for [`mount_by_number`].
///
/// In a user namespace without a pid namespace of its own the kernel refuses a procfs of the runtime's pid namespace, and after
/// the pivot /proc shows the joined pid namespace, where this process has no number: `self` leads to nothing. Closed by
/// `execve`, before the process enters that namespace.
pub(crate) fn hold_procfs() -> Result<()> {
    HELD.set(ProcFd::open()?).ignore("one that is held already serves as well");
    Ok(())
}

/// Calls `mount(2)` on the file of a descriptor, through a private procfs.
pub(crate) fn mount_by_number(target: impl AsFd, how: &mount::MountArgs<'_>) -> Result<()> {
    by_number(target.as_fd(), &|path| mount::mount(path, how))
}

/// Detaches the mount of a descriptor from its mount point, with the mounts in it.
pub(crate) fn detach_by_number(mounted: impl AsFd) -> Result<()> {
    by_number(mounted.as_fd(), &|path| mount::detach(path, 0))
}

fn by_number(target: BorrowedFd<'_>, act: &dyn Fn(&str) -> sys::Result<()>) -> Result<()> {
    let here = file::open(".", libc::O_PATH | libc::O_DIRECTORY)?;
    match HELD.get() {
        Some(held) => fs::change_dir_to(held)?,
        None => fs::change_dir_to(ProcFd::open()?)?,
    }
    let done = act(&format!("self/fd/{}", target.as_raw_fd()));
    fs::change_dir_to(&here)?;
    done.with_context(|| format!("fd {}", target.as_raw_fd()))
}

const FLAGS: [(u64, c_ulong); 8] = [
    (MOUNT_ATTR_RDONLY, MS_RDONLY),
    (MOUNT_ATTR_NOSUID, MS_NOSUID),
    (MOUNT_ATTR_NODEV, MS_NODEV),
    (MOUNT_ATTR_NOEXEC, MS_NOEXEC),
    (MOUNT_ATTR_NODIRATIME, MS_NODIRATIME),
    (MOUNT_ATTR_NOATIME, MS_NOATIME),
    (MOUNT_ATTR_STRICTATIME, MS_STRICTATIME),
    (MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW),
];

/// The `mount(2)` flags that change the attributes of a mount with the `statfs(2)` flags `now`.
fn flags_after(now: c_ulong, attributes: Attributes) -> c_ulong {
    const ST_RELATIME: c_ulong = 4096;
    // These bits are the same in both calls; ST_NOSYMFOLLOW is not.
    let mut flags = now & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NODIRATIME | MS_NOATIME);
    if now & (ST_RELATIME | MS_NOATIME) == 0 {
        flags |= MS_STRICTATIME;
    }
    for (attribute, flag) in FLAGS {
        let field = if MOUNT_ATTR_ATIME & attribute != 0 { MOUNT_ATTR_ATIME } else { attribute };
        if attributes.clear & field != 0 {
            flags &= !flag;
        }
        if attributes.set & attribute != 0 {
            flags |= flag;
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_sets_attributes_and_propagation_where_the_depth_agrees() {
        let options = Options::parse(&["ro", "private"], "").unwrap();
        let expected = Change { propagation: libc::MS_PRIVATE, ..Change::setting(MOUNT_ATTR_RDONLY) };
        assert_eq!(of_options(&options), [expected]);
        let options = Options::parse(&["rro", "rprivate"], "").unwrap();
        assert_eq!(of_options(&options).len(), 1);
        let options = Options::parse(&["ro", "rprivate"], "").unwrap();
        assert_eq!(of_options(&options).len(), 2);
    }

    #[test]
    fn an_attribute_that_is_set_is_not_cleared_again_where_others_are_locked() {
        let attributes = Attributes { set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, clear: 0xff };
        let change = Change { attributes, ..Change::default() };
        let made = std::cell::RefCell::new(Vec::new());
        let record = |part: &Change| {
            made.borrow_mut().push(part.attributes);
            Ok(())
        };
        keep_locked(&change, Error::system("EPERM"), record).unwrap();
        let made = made.into_inner();
        assert_eq!((made[0].set, made[0].clear), (attributes.set, 0));
        assert!(made[1..].iter().all(|part| part.clear & attributes.set == 0) && made.len() > 2);
    }

    #[test]
    fn the_old_call_keeps_what_is_neither_set_nor_cleared() {
        let nosuid_relatime = MS_NOSUID | 4096;
        assert_eq!(flags_after(nosuid_relatime, Attributes::setting(MOUNT_ATTR_RDONLY)), MS_NOSUID | MS_RDONLY);
        let clear = Attributes { set: 0, clear: MOUNT_ATTR_NOSUID };
        assert_eq!(flags_after(nosuid_relatime, clear), 0);
        assert_eq!(flags_after(MS_RDONLY, Attributes::default()), MS_RDONLY | MS_STRICTATIME);
        let noatime = Attributes { set: MOUNT_ATTR_NOATIME, clear: MOUNT_ATTR_ATIME };
        assert_eq!(flags_after(0, noatime), MS_NOATIME);
    }
}
