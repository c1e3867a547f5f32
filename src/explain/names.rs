//! Names that a config may hold, and the width of the terminal that shows them.

use crate::process::capability;
use crate::rootfs::options::{self, Options};
use crate::sys;
use std::os::fd::AsFd;

/// How many columns a terminal has; `None` for anything else, and where it does not say.
pub fn columns(terminal: impl AsFd) -> Option<usize> {
    let size = sys::terminal::size(terminal).ok()?;
    Some(usize::from(size.width)).filter(|width| *width > 0)
}

/// The names of the capabilities, in the order of their numbers.
pub fn capabilities() -> impl Iterator<Item = String> {
    (0..64).map(capability::name).filter(|name| name.starts_with("CAP_"))
}

/// The options that every mount may have.
pub fn mount_options() -> impl Iterator<Item = &'static str> {
    options::names()
}

/// The options of a mount that are parameters of its file system: the index of each, its name, and its value.
pub fn parameters(options: &[&str]) -> Vec<(usize, String, Option<String>)> {
    let parsed = Options::parse(options, "options").unwrap_or_default();
    parsed.data.into_iter().map(|parameter| (parameter.option, parameter.key, parameter.value)).collect()
}
