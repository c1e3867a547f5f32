//! The recipe for entering a container's namespaces: the clone, join, unshare and fork steps as
//! data.
//!
//! The rules, each a row of the test:
//! - Without joined namespaces, one `clone3` creates all new namespaces.
//! - A namespace that the runtime's user namespace owns is joined before the process enters the
//!   container's user namespace; one that the joined user namespace owns is joined after it. Only
//!   there has the process the capabilities.
//! - So if the user namespace is new and others are joined, the process unshares the user namespace
//!   after the joins, together with all other new namespaces, so that the new user namespace owns
//!   them.
//! - A new ipc namespace beside a new user namespace is unshared once the process is root in the
//!   user namespace: the process that creates it owns its mqueue file system.
//! - Clock offsets are written between the `unshare` of the time namespace and the first fork;
//!   `clone3` with CLONE_NEWTIME would freeze them at zero.
//! - A joined or unshared pid namespace and a new time namespace take effect for children only,
//!   which needs one more fork. It uses CLONE_PARENT, so that init is always a child of the
//!   runtime. CLONE_PARENT fails with EINVAL in pid 1 of a new pid namespace, so a new pid
//!   namespace is created by the last fork.
//! - The init stub does the fork into a *joined* pid namespace, when the process is confined: no
//!   process with the runtime's capabilities ever appears among the container's processes.
//! - The root of a new cgroup namespace is the current cgroup. It is a clone flag only if `clone3`
//!   puts the child into its cgroup; otherwise it is unshared after the child has joined the
//!   cgroup.

use super::{NamespaceKind, Namespaces, Place};

/// The user namespace that owns a joined namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The runtime's user namespace, or one of its ancestors.
    Runtime,
    /// The user namespace that the container joins.
    JoinedUser,
}

/// How the process enters its user namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum User {
    /// It stays in the runtime's user namespace.
    #[default]
    Stays,
    /// The `clone3` creates a new one.
    Cloned,
    /// The process unshares a new one after the joins.
    Unshared,
    /// The process joins one between the other joins.
    Joined,
}

/// The last fork, if one is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fork {
    /// No further fork: the cloned process is the container's.
    #[default]
    None,
    /// A fork before the container is built, with these CLONE_* flags: the child is pid 1 of a new
    /// pid namespace.
    Early(i32),
    /// A fork by the init stub, when the process is confined.
    Late,
}

/// The steps of entering the namespaces, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// CLONE_NEW* flags of the `clone3`.
    pub clone: i32,
    /// Namespaces to join before the user namespace is entered.
    pub join_first: Vec<NamespaceKind>,
    /// The way into the user namespace.
    pub user: User,
    /// Namespaces to join after the user namespace is entered.
    pub join_then: Vec<NamespaceKind>,
    /// CLONE_NEW* flags of the `unshare` after the joins, without CLONE_NEWUSER.
    pub unshare: i32,
    /// Whether clock offsets are written after the `unshare`.
    pub offsets: bool,
    /// The last fork.
    pub fork: Fork,
    /// Whether the cgroup namespace is unshared after the process has joined its cgroup.
    pub late_cgroup: bool,
}

/// The flags to unshare only as root of the user namespace: CLONE_NEWTIME and CLONE_NEWIPC.
pub(crate) const LATE: i32 = 0x80 | libc::CLONE_NEWIPC;

/// The recipe for the namespaces `all`. `owner` returns the owner of a joined namespace;
/// `born_in_cgroup` is set if CLONE_INTO_CGROUP puts the child into all of its cgroups.
pub(crate) fn recipe(all: &Namespaces, owner: impl Fn(NamespaceKind) -> Owner, born_in_cgroup: bool) -> Recipe {
    let is_new = |kind: NamespaceKind| *all.place(kind) == Place::New;
    let is_joined = |kind: NamespaceKind| matches!(all.place(kind), Place::Join(_));
    let joined: Vec<NamespaceKind> =
        NamespaceKind::ALL.into_iter().filter(|k| *k != NamespaceKind::User && is_joined(*k)).collect();
    let mut recipe = Recipe { late_cgroup: is_new(NamespaceKind::Cgroup), ..Recipe::default() };
    recipe.user = match all.place(NamespaceKind::User) {
        Place::Runtime => User::Stays,
        Place::Join(_) => User::Joined,
        Place::New if joined.is_empty() => User::Cloned,
        Place::New => User::Unshared,
    };
    (recipe.join_first, recipe.join_then) =
        joined.into_iter().partition(|kind| recipe.user != User::Joined || owner(*kind) == Owner::Runtime);

    let in_one_clone = matches!(recipe.user, User::Stays | User::Cloned);
    let forks =
        is_joined(NamespaceKind::Pid) || is_new(NamespaceKind::Time) || (is_new(NamespaceKind::Pid) && !in_one_clone);
    let mut flags = 0;
    for kind in NamespaceKind::ALL {
        let elsewhere = match kind {
            NamespaceKind::User => recipe.user != User::Cloned,
            NamespaceKind::Pid => forks,
            NamespaceKind::Time => true,
            NamespaceKind::Cgroup => !(born_in_cgroup && in_one_clone),
            _ => false,
        };
        if is_new(kind) && !elsewhere {
            flags |= kind.flag();
        }
    }
    recipe.late_cgroup &= flags & NamespaceKind::Cgroup.flag() == 0;
    *(if in_one_clone { &mut recipe.clone } else { &mut recipe.unshare }) = flags;
    if recipe.user == User::Cloned && flags & libc::CLONE_NEWIPC != 0 {
        recipe.clone &= !libc::CLONE_NEWIPC;
        recipe.unshare |= libc::CLONE_NEWIPC;
    }
    if is_new(NamespaceKind::Time) {
        recipe.unshare |= NamespaceKind::Time.flag();
        recipe.offsets = !all.offsets.is_empty();
    }
    recipe.fork = match (forks, is_new(NamespaceKind::Pid)) {
        (false, _) => Fork::None,
        (true, true) => Fork::Early(NamespaceKind::Pid.flag()),
        (true, false) => Fork::Late,
    };
    recipe
}
