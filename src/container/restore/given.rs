//! Descriptors that replace external resources of the images.

use crate::container::criu_images;
use crate::container::parts::Parts;
use crate::criu::{self, CriuOpts};
use crate::error::{Error, Kind, Result};
use crate::namespaces::{NamespaceKind as Ns, Place};
use crate::sys::fs::Stat;
use crate::sys::{file, fs, terminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Passes to CRIU the standard descriptors that were external, and the joined namespaces.
pub(super) fn inherit<'a>(
    options: &mut CriuOpts,
    parts: &'a Parts,
    given_again: &'a [(String, OwnedFd)],
    empty_network: bool,
) -> Result<Vec<BorrowedFd<'a>>> {
    let mut given: Vec<BorrowedFd<'a>> = Vec::new();
    let mut add = |options: &mut CriuOpts, key: &str, fd: BorrowedFd<'a>| {
        options.inherit(key, criu::inherited(criu_images::OPEN + given.len()));
        given.push(fd);
    };
    for (name, fd) in given_again {
        add(options, name, fd.as_fd());
    }
    let plan = &parts.plan;
    for (kind, name) in [(Ns::Network, criu_images::ROOT_NETWORK), (Ns::Pid, criu_images::ROOT_PIDS)] {
        if let Some(joined) = plan.joined.fd(kind).filter(|_| kind != Ns::Network || !empty_network) {
            add(options, name, joined.as_fd());
        }
    }
    if *plan.namespaces.place(Ns::Network) == Place::New || empty_network {
        options.empty_namespaces(Ns::Network.flag());
    }
    for (kind, name) in [(Ns::Ipc, "ipc"), (Ns::Uts, "uts"), (Ns::Time, "time")] {
        if let Place::Join(path) = plan.namespaces.place(kind) {
            options.join(name, path);
        }
    }
    Ok(given)
}

/// The external standard descriptors with their names. This caller's replace them; /dev/null
/// replaces itself if this caller has another file there.
///
/// # Errors
/// A regular file, which has a position, can be replaced by another one only.
pub(super) fn standard(descriptors: &[String]) -> Result<Vec<(String, OwnedFd)>> {
    let mut list = Vec::new();
    let ours = file::standard();
    for (number, name) in descriptors.iter().enumerate() {
        let fd = ours.get(number).filter(|fd| {
            let ordinary = |stat: Stat| matches!(stat.kind(), libc::S_IFREG | libc::S_IFCHR);
            name.starts_with("pipe:") || (fs::stat(fd).is_ok_and(ordinary) && !terminal::is_terminal(fd))
        });
        let (key, path) = match criu_images::external(name) {
            Some(external) => external,
            None if name.starts_with("pipe:") => (name.clone(), ""),
            None => continue,
        };
        let fd = match fd {
            Some(fd) => file::duplicate_above(fd, 3)?,
            None if path == criu_images::NULL => file::open(path, libc::O_RDWR)?,
            None if path.is_empty() => continue,
            None => {
                let text =
                    format!("descriptor {number} was a file ({path}) when the container was saved, and is none now");
                return Err(Error::new(Kind::Config, text).hint("redirect it to a file"));
            }
        };
        list.push((key, fd));
    }
    Ok(list)
}
