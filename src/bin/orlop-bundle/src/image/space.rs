//! Errors of a file system that is full, over its quota or read-only.

use anyhow::{Result, anyhow};
use std::path::Path;

/// The error numbers, their texts in errors of std, and their names.
const ERRORS: [(&str, &str); 3] =
    [("(os error 28)", "(ENOSPC)"), ("(os error 122)", "(EDQUOT)"), ("(os error 30)", "(EROFS)")];

/// Names the place that could not be written to in an error, and what to do, where the file system is the reason.
///
/// # Errors
/// As `done` has it.
pub(crate) fn explained<T>(place: &str, path: &Path, done: Result<T>) -> Result<T> {
    done.map_err(|error| {
        let mut text = format!("{error:#}");
        ERRORS.iter().for_each(|(number, name)| text = text.replace(number, name));
        let path = path.display();
        let is = |name: &str| text.contains(&format!("({name})"));
        let remedy = match () {
            () if is("ENOSPC") => format!("free space or inodes on the file system of {path}"),
            () if is("EDQUOT") => format!("free space of the user's quota on the file system of {path}"),
            () if is("EROFS") => format!("mount the file system of {path} for writing"),
            () => return error,
        };
        let gc = if place == "store" { ", also by `orlop image rm` and `orlop image gc`" } else { "" };
        let gc = if is("EROFS") { "" } else { gc };
        let named = format!("{place} {path}: ");
        let front = if text.starts_with(&named) { "" } else { &named };
        anyhow!("{front}{text} (hint: {remedy}{gc})")
    })
}

/// Whether a full file system is the reason of an error.
pub(crate) fn is_full(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    text.contains("(os error 28)") || text.contains("(ENOSPC)")
}
