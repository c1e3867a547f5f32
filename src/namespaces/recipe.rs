//! How a process gets into the namespaces that a container has: what to clone, join, unshare and fork, as data.
//!
//! The rules, each a row of the test:
//! - Without joined namespaces everything new comes in one `clone3`.
//! - A namespace owned by the runtime's user namespace is joined before the container's user namespace is entered, one owned by
//!   the joined user namespace after it: only there does the process have the rights for it.
//! - So where others are joined and the user namespace is new, it is unshared after the joins, and everything new with it,
//!   so that the new user namespace owns it.
//! - A new ipc namespace beside a new user namespace is unshared once its user is root there: its message queues' file system
//!   belongs to whoever makes it.
//! - New clocks' offsets are written between the `unshare` of the time namespace and the first fork; a `clone3` with
//!   CLONE_NEWTIME would freeze them at zero.
//! - Only children are born into a joined or unshared pid namespace, and into a new time namespace: one more fork. With
//!   CLONE_PARENT, so that init is always a child of the runtime. From pid 1 of a new pid namespace that is EINVAL, so a new
//!   pid namespace comes with the last fork.
//! - The fork into a *joined* pid namespace is left to the init image, when the process is confined: nothing with the
//!   runtime's rights ever appears among the container's processes.
//! - A new cgroup namespace has the cgroup at its birth for its root: a clone flag only if the child is born in its cgroup,
//!   else unshared after it has joined.

use super::{Kind, Namespaces, Place};

/// Who owns a namespace that is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The runtime's user namespace (or one above it).
    Runtime,
    /// The user namespace that is joined too.
    JoinedUser,
}

/// When the user namespace is entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum User {
    /// Not at all.
    #[default]
    Stays,
    /// Born in a new one.
    Cloned,
    /// Unshared, after the joins.
    Unshared,
    /// Joined, between the joins.
    Joined,
}

/// The last fork, if one is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fork {
    /// The process that was cloned is the container's.
    #[default]
    None,
    /// Before the container is built, with these CLONE_* flags: it becomes pid 1 of a new pid namespace.
    Early(i32),
    /// By the init image, when it is confined.
    Late,
}

/// The steps, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// CLONE_NEW* flags of the `clone3`.
    pub clone: i32,
    /// To join first.
    pub join_first: Vec<Kind>,
    /// The user namespace.
    pub user: User,
    /// To join then.
    pub join_then: Vec<Kind>,
    /// CLONE_NEW* flags to unshare then, without CLONE_NEWUSER.
    pub unshare: i32,
    /// Whether the time namespace's offsets are to be written.
    pub offsets: bool,
    /// One more fork.
    pub fork: Fork,
    /// Whether the cgroup namespace is unshared once the process is in its cgroup.
    pub late_cgroup: bool,
}

/// What is unshared only as root of the user namespace: CLONE_NEWTIME and CLONE_NEWIPC.
pub(crate) const LATE: i32 = 0x80 | libc::CLONE_NEWIPC;

/// The recipe for these namespaces. `owner` tells who owns a joined one; `born_in_cgroup`, whether CLONE_INTO_CGROUP puts the
/// child into all its cgroups.
pub(crate) fn recipe(all: &Namespaces, owner: impl Fn(Kind) -> Owner, born_in_cgroup: bool) -> Recipe {
    let is_new = |kind: Kind| *all.place(kind) == Place::New;
    let is_joined = |kind: Kind| matches!(all.place(kind), Place::Join(_));
    let joined: Vec<Kind> = Kind::ALL.into_iter().filter(|k| *k != Kind::User && is_joined(*k)).collect();
    let mut recipe = Recipe { late_cgroup: is_new(Kind::Cgroup), ..Recipe::default() };
    recipe.user = match all.place(Kind::User) {
        Place::Runtime => User::Stays,
        Place::Join(_) => User::Joined,
        Place::New if joined.is_empty() => User::Cloned,
        Place::New => User::Unshared,
    };
    (recipe.join_first, recipe.join_then) =
        joined.into_iter().partition(|kind| recipe.user != User::Joined || owner(*kind) == Owner::Runtime);

    let in_one_clone = matches!(recipe.user, User::Stays | User::Cloned);
    let forks = is_joined(Kind::Pid) || is_new(Kind::Time) || (is_new(Kind::Pid) && !in_one_clone);
    let mut flags = 0;
    for kind in Kind::ALL {
        let elsewhere = match kind {
            Kind::User => recipe.user != User::Cloned,
            Kind::Pid => forks,
            Kind::Time => true,
            Kind::Cgroup => !(born_in_cgroup && in_one_clone),
            _ => false,
        };
        if is_new(kind) && !elsewhere {
            flags |= kind.flag();
        }
    }
    recipe.late_cgroup &= flags & Kind::Cgroup.flag() == 0;
    *(if in_one_clone { &mut recipe.clone } else { &mut recipe.unshare }) = flags;
    if recipe.user == User::Cloned && flags & libc::CLONE_NEWIPC != 0 {
        recipe.clone &= !libc::CLONE_NEWIPC;
        recipe.unshare |= libc::CLONE_NEWIPC;
    }
    if is_new(Kind::Time) {
        recipe.unshare |= Kind::Time.flag();
        recipe.offsets = !all.offsets.text().is_empty();
    }
    recipe.fork = match (forks, is_new(Kind::Pid)) {
        (false, _) => Fork::None,
        (true, true) => Fork::Early(Kind::Pid.flag()),
        (true, false) => Fork::Late,
    };
    recipe
}
