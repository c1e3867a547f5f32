//! Whether a container gets the reaping init.

use crate::cgroups::Limits;
use crate::config::Spec;
use crate::error::{Error, Result};

/// The grace time of the reaping init in milliseconds, if `--init` or the annotation `orlop.init`
/// asks for it.
///
/// # Errors
/// An annotation that is neither true nor false, or no duration.
pub(super) fn asked(flag: bool, spec: &Spec<'_>) -> Result<Option<u32>> {
    let wanted = match spec.annotation("orlop.init") {
        None | Some("false") => flag,
        Some("true") => true,
        Some(other) => {
            return Err(Error::config(
                "annotations[\"orlop.init\"]",
                format_args!("{other:?} is neither true nor false"),
            ));
        }
    };
    let grace = match spec.annotation("orlop.init.grace") {
        None => 0,
        Some(text) => super::request::size::duration(text)
            .ok()
            .and_then(|time| u32::try_from(time.as_millis()).ok())
            .ok_or_else(|| {
            Error::config("annotations[\"orlop.init.grace\"]", format_args!("{text:?} is no duration such as 5s"))
        })?,
    };
    Ok(wanted.then_some(grace))
}

/// Refuses a `pids.limit` that leaves no room for the program beside the reaping init.
pub(super) fn check_room(limits: &Limits) -> Result<()> {
    let unified = limits.unified.iter().find(|(file, _)| file == "pids.max");
    let unified =
        unified.and_then(|(_, value)| Some(("linux.resources.unified[\"pids.max\"]", value.trim().parse().ok()?)));
    let limit = limits.pids.map(|limit| ("linux.resources.pids.limit", limit));
    match unified.or(limit) {
        Some((field, limit @ 0..2)) => {
            let problem = format_args!("{limit} has no room for the program beside the reaping init (--init)");
            Err(Error::config(field, problem).hint("2 is the least"))
        }
        _ => Ok(()),
    }
}
