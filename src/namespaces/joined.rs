//! Namespaces that the config joins by path.
//!
//! A path may lead to the runtime's own namespace. Such an entry has the same meaning as a missing
//! one: the container shares the runtime's namespace. It is removed from the parsed config, so that
//! every check that protects the host treats the namespace as the host's. Namespaces are compared
//! by device and inode of the opened file, never by path.

use super::{NamespaceKind, Owner, Place, places};
use crate::config::Spec;
use crate::error::{Context, Error, Kind as ErrorKind, Result};
use crate::sys::{self, Failure};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

/// Device and inode of a namespace's file.
type Identity = (u64, u64);

/// Descriptors of the namespaces to join.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    fds: Vec<(NamespaceKind, OwnedFd)>,
    /// The namespaces that the joined user namespace owns.
    of_joined_user: Vec<NamespaceKind>,
    /// Paths that lead to one of the runtime's own namespaces.
    own: Vec<(NamespaceKind, String)>,
}

impl Joined {
    /// Opens every namespace that the config names by path, checks its type and determines the user
    /// namespace that owns it. Entries that lead to one of the runtime's own namespaces are removed
    /// from the config.
    ///
    /// # Errors
    /// A path cannot be opened or is not a namespace of its type; the mount namespace is the
    /// runtime's own or that of process 1, where `pivot_root(2)` would change the root directory of
    /// every process.
    pub(crate) fn open(spec: &mut Spec<'_>) -> Result<Joined> {
        let mut joined = Joined::default();
        let Some(linux) = &mut spec.linux else { return Ok(joined) };
        let places = places(linux)?;
        for kind in NamespaceKind::ALL {
            let Place::Join(path) = &places[kind as usize] else { continue };
            let n = linux.namespaces.iter().flatten().position(|entry| entry.type_.as_deref() == Some(kind.word()));
            let n = n.unwrap_or_default();
            let what = || format!("linux.namespaces[{n}].path: {} {path:?}", kind.word());
            let fd = sys::file::open(path, libc::O_RDONLY | libc::O_NONBLOCK).map_err(|e| {
                let error = Error::from(Failure::new("open()", e.errno())).context(what());
                error.hint("the namespace must be there at create; an entry without a path creates a new one")
            })?;
            let found = match sys::namespace::kind_of(&fd) {
                // Files of other filesystems have no such ioctl.
                Err(e) if [libc::ENOTTY, libc::EINVAL, libc::EOPNOTSUPP].iter().any(|errno| e.is(*errno)) => None,
                found => Some(found.map_err(|e| Error::from(e).context(what()))?),
            };
            if found != Some(kind.flag()) {
                return Err(Error::new(ErrorKind::Config, format!("{}: is not a namespace of that type", what())));
            }
            let identity = sys::namespace::identity(&fd).with_context(what)?;
            let own = identity == runtimes_own(kind).with_context(what)?;
            if kind == NamespaceKind::Mount && (own || is_of_first_process(identity)) {
                let field = format!("linux.namespaces[{n}].path");
                let owner = if own { "the runtime" } else { "process 1" };
                let problem = format_args!("{path:?} is the mount namespace of {owner}, where pivot_root is not safe");
                return Err(Error::config(field, problem).hint("an entry without a path creates a new namespace"));
            }
            match own {
                true => joined.own.push((kind, path.clone())),
                false => joined.fds.push((kind, fd)),
            }
        }
        let own = |word: Option<&str>| joined.own.iter().any(|(kind, _)| Some(kind.word()) == word);
        linux.namespaces.iter_mut().for_each(|list| list.retain(|entry| !own(entry.type_.as_deref())));
        joined.find_owners()?;
        Ok(joined)
    }

    fn find_owners(&mut self) -> Result<()> {
        let Some(user) = self.fd(NamespaceKind::User) else { return Ok(()) };
        let user = sys::namespace::identity(user)?;
        let owned = |fd: &OwnedFd| {
            let owner = sys::namespace::owner_of(fd).and_then(sys::namespace::identity);
            owner.is_ok_and(|owner| owner == user)
        };
        self.of_joined_user = self.fds.iter().filter(|(_, fd)| owned(fd)).map(|(kind, _)| *kind).collect();
        Ok(())
    }

    /// The descriptor of the namespace of this kind, if one is to be joined.
    pub(crate) fn fd(&self, kind: NamespaceKind) -> Option<&OwnedFd> {
        self.fds.iter().find(|(k, _)| *k == kind).map(|(_, fd)| fd)
    }

    /// The user namespace that owns the joined namespace of this kind.
    pub(crate) fn owner(&self, kind: NamespaceKind) -> Owner {
        if self.of_joined_user.contains(&kind) { Owner::JoinedUser } else { Owner::Runtime }
    }

    /// Adds a hint to `error` that lists the paths of the runtime's own namespaces, if there are
    /// any: such an entry may be the reason why a required namespace is missing.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let hint =
            |(kind, path): &(NamespaceKind, String)| format!("{path:?} is the runtime's own {} namespace", kind.word());
        match self.own.iter().map(hint).collect::<Vec<_>>() {
            list if list.is_empty() => error,
            list => error.hint(list.join(", ")),
        }
    }
}

/// The namespace that a new child of the runtime starts in.
fn runtimes_own(kind: NamespaceKind) -> Result<Identity> {
    let file = match kind {
        NamespaceKind::Pid => "pid_for_children",
        NamespaceKind::Time => "time_for_children",
        _ => kind.file(),
    };
    identity_at(&format!("/proc/self/ns/{file}"))
}

/// Whether it is the mount namespace of process 1; false if the runtime may not inspect that
/// process.
fn is_of_first_process(identity: Identity) -> bool {
    identity_at("/proc/1/ns/mnt").is_ok_and(|first| first == identity)
}

fn identity_at(path: &str) -> Result<Identity> {
    let file = std::fs::metadata(path).map_err(|e| Failure::new(format!("stat({path:?})"), e.into()))?;
    Ok((file.dev(), file.ino()))
}

/// Whether the process `init` is in another namespace of this kind than the runtime's children.
/// False if the kernel has no such namespaces.
///
/// # Errors
/// The process `init` is gone.
pub(crate) fn is_elsewhere(init: i32, kind: NamespaceKind) -> Result<bool> {
    match runtimes_own(kind) {
        Ok(own) => Ok(identity_at(&format!("/proc/{init}/ns/{}", kind.file()))? != own),
        Err(_) => Ok(false),
    }
}

/// Removes entries of these kinds from a running container's config if they have a path and the
/// runtime is in the container's namespace: `create` ran in that namespace too and removed them.
///
/// # Errors
/// The container's init process is gone.
pub(crate) fn disregard_shared(spec: &mut Spec<'_>, init: i32, kinds: &[NamespaceKind]) -> Result<()> {
    let Some(list) = spec.linux.as_mut().and_then(|linux| linux.namespaces.as_mut()) else { return Ok(()) };
    for kind in kinds {
        let is_given = list.iter().any(|entry| entry.type_.as_deref() == Some(kind.word()) && !entry.is_new());
        if is_given && identity_at(&format!("/proc/{init}/ns/{}", kind.file()))? == runtimes_own(*kind)? {
            list.retain(|entry| entry.type_.as_deref() != Some(kind.word()));
        }
    }
    Ok(())
}
