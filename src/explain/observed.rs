//! The parts of a container's state that no command prints.

use crate::container::Context;
use crate::container::request::ContainerId;
use crate::error::Result;
use crate::state::Store;
use crate::text;
use std::path::PathBuf;

/// A cgroup of a container in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CgroupDirectory {
    /// The controllers of a v1 hierarchy, or its `name=NAME`; none for the unified one.
    pub controllers: Vec<String>,
    /// Its directory on this host.
    pub directory: PathBuf,
}

/// The cgroups of a container; none where it has none of its own.
///
/// # Errors
/// `container does not exist`.
pub fn cgroups(context: &Context, id: &ContainerId) -> Result<Vec<CgroupDirectory>> {
    let cgroup = Store::at(&context.root).read(id.as_str())?.cgroup();
    let directories = cgroup
        .cgroups()
        .iter()
        .map(|found| CgroupDirectory { controllers: found.controllers.clone(), directory: found.directory().into() });
    Ok(directories.collect())
}

/// The text on one line, in which characters that act on a terminal are escaped, for example as `\n` or `\u{1b}`.
pub fn shown(text: &str) -> String {
    text::shown(text).into_owned()
}

/// The same JSON document, in which such characters are escaped as `\uXXXX`.
pub fn shown_json(json: String) -> String {
    text::shown_json(json)
}
