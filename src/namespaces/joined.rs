//! Namespaces that a config gives by path.
//!
//! A path may lead to the runtime's own namespace. Such an entry means what no entry means, that the container is in the
//! runtime's namespace: it is taken out of the config as it was read, so that every check which protects the host sees the
//! namespace for the host's. Namespaces are told apart by device and inode of the opened file, never by the path's text.

use super::{Kind, Owner, Place, places};
use crate::config::Spec;
use crate::error::{Context, Error, Kind as ErrorKind, Result};
use crate::sys;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

type Identity = (u64, u64);

/// The namespaces that are joined, open.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    fds: Vec<(Kind, OwnedFd)>,
    of_joined_user: Vec<Kind>,
    /// Paths that led to a namespace of the runtime's own.
    own: Vec<(Kind, String)>,
}

impl Joined {
    /// Opens every namespace that the config gives by path, checks that each file is one of its kind, and finds out who owns
    /// it. Entries that lead to a namespace of the runtime's own are taken out of the config.
    ///
    /// # Errors
    /// A path cannot be opened or is no namespace of the kind; the mount namespace is the runtime's own or that of the
    /// machine's first process, whose root `pivot_root(2)` would change for every process in it.
    pub(crate) fn open(spec: &mut Spec<'_>) -> Result<Joined> {
        let mut joined = Joined::default();
        let Some(linux) = &mut spec.linux else { return Ok(joined) };
        let places = places(linux)?;
        for kind in Kind::ALL {
            let Place::Join(path) = &places[kind as usize] else { continue };
            let what = || format!("linux.namespaces: {} {path:?}", kind.word());
            let fd = sys::file::open(path, libc::O_RDONLY | libc::O_NONBLOCK).map_err(|e| Error::from(e).at(what()))?;
            if !sys::namespace::kind_of(&fd).is_ok_and(|found| found == kind.flag()) {
                return Err(Error::new(ErrorKind::Config, format!("{}: is not a namespace of that kind", what())));
            }
            let identity = sys::namespace::identity(&fd).with(what)?;
            let own = identity == runtimes_own(kind).with(what)?;
            if kind == Kind::Mount && (own || is_of_first_process(identity)) {
                let n = linux.namespaces.iter().flatten().position(|entry| entry.type_.as_deref() == Some("mount"));
                let field = format!("linux.namespaces[{}].path", n.unwrap_or_default());
                let whose = if own { "the runtime's own" } else { "the machine's first" };
                let problem = format_args!("{path:?} is {whose} mount namespace, whose root would be changed");
                return Err(Error::config(field, problem).hint("an entry without a path makes a new one"));
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
        let Some(user) = self.fd(Kind::User) else { return Ok(()) };
        let user = sys::namespace::identity(user)?;
        let owned = |fd: &OwnedFd| {
            let owner = sys::namespace::owner_of(fd).and_then(sys::namespace::identity);
            owner.is_ok_and(|owner| owner == user)
        };
        self.of_joined_user = self.fds.iter().filter(|(_, fd)| owned(fd)).map(|(kind, _)| *kind).collect();
        Ok(())
    }

    /// The descriptor of the joined namespace of this kind.
    pub(crate) fn fd(&self, kind: Kind) -> Option<&OwnedFd> {
        self.fds.iter().find(|(k, _)| *k == kind).map(|(_, fd)| fd)
    }

    /// Who owns the joined namespace of this kind.
    pub(crate) fn owner(&self, kind: Kind) -> Owner {
        if self.of_joined_user.contains(&kind) { Owner::JoinedUser } else { Owner::Runtime }
    }

    /// With a hint at the paths that led to a namespace of the runtime's own, for an error about what needs another one.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let hint = |(kind, path): &(Kind, String)| format!("{path:?} is the runtime's own {} namespace", kind.word());
        match self.own.iter().map(hint).collect::<Vec<_>>() {
            list if list.is_empty() => error,
            list => error.hint(list.join(", ")),
        }
    }
}

/// The namespace that a child of the runtime is born into.
fn runtimes_own(kind: Kind) -> Result<Identity> {
    let file = match kind {
        Kind::Pid => "pid_for_children",
        Kind::Time => "time_for_children",
        _ => kind.file(),
    };
    identity_at(&format!("/proc/self/ns/{file}"))
}

/// Where the runtime may not look at the first process, this says no.
fn is_of_first_process(identity: Identity) -> bool {
    identity_at("/proc/1/ns/mnt").is_ok_and(|first| first == identity)
}

fn identity_at(path: &str) -> Result<Identity> {
    let file = std::fs::metadata(path).map_err(|e| Error::system(format!("stat({path:?}): {e}")))?;
    Ok((file.dev(), file.ino()))
}

/// Whether the process `init` is in another namespace of this kind than this process. Where the kernel has none, it is not.
///
/// # Errors
/// The process is gone.
pub(crate) fn is_elsewhere(init: i32, kind: Kind) -> Result<bool> {
    match runtimes_own(kind) {
        Ok(own) => Ok(identity_at(&format!("/proc/{init}/ns/{}", kind.file()))? != own),
        Err(_) => Ok(false),
    }
}

/// Takes entries of these kinds out of a running container's config whose namespace the runtime is in as well: `create`, which
/// was given it by path, was there too.
///
/// # Errors
/// The container's process is gone.
pub(crate) fn disregard_shared(spec: &mut Spec<'_>, init: i32, kinds: &[Kind]) -> Result<()> {
    let Some(list) = spec.linux.as_mut().and_then(|linux| linux.namespaces.as_mut()) else { return Ok(()) };
    for kind in kinds {
        let is_given = list.iter().any(|entry| {
            entry.type_.as_deref() == Some(kind.word()) && !entry.path.as_deref().unwrap_or_default().is_empty()
        });
        if is_given && identity_at(&format!("/proc/{init}/ns/{}", kind.file()))? == runtimes_own(*kind)? {
            list.retain(|entry| entry.type_.as_deref() != Some(kind.word()));
        }
    }
    Ok(())
}
