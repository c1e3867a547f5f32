//! `update`: changes the limits of a container.

use super::Context;
use super::request::{ResourceSource, UpdateRequest};
use crate::cgroups::{Limits, resctrl};
use crate::config;
use crate::error::{Error, IoContext, Result};
use crate::log;
use crate::state::{Record, Status, Store};
use std::borrow::Cow;
use std::io::Read;

/// `update`: sets all of the new limits, or none of them.
///
/// # Errors
/// `container not running`; the first value that is invalid or refused by the kernel.
pub fn update(context: &Context, request: &UpdateRequest) -> Result<()> {
    let record = Store::at(&context.root).read(request.id.as_str())?;
    if record.status()? == Status::Stopped {
        return Err(Error::state("container not running"));
    }
    let limits = limits(&request.resources)?;
    let cgroup = record.cgroup();
    if cgroup.cgroups().is_empty() && limits != Limits::default() {
        return Err(Error::state("the container has no cgroup of its own, which could be limited"));
    }
    let schemata: Vec<&str> = request.schemata.iter().map(String::as_str).collect();
    let Some(group) = resctrl_group(&record, &schemata)? else { return cgroup.update(&limits) };
    let before = group.schemata()?;
    group.update(&schemata)?;
    cgroup.update(&limits).map_err(|error| match group.update(&before.lines().collect::<Vec<_>>()) {
        Ok(()) => error,
        Err(left) => error.better_hint(&format!("the old schemata of Intel RDT are not back: {left}")),
    })
}

/// The resctrl group to change; `None` if there is nothing to change.
fn resctrl_group<'a>(record: &'a Record, schemata: &[&str]) -> Result<Option<&'a resctrl::ResctrlRecord>> {
    match &record.resctrl {
        _ if schemata.is_empty() => Ok(None),
        Some(group) => Ok(Some(group)),
        None => Err(Error::state("the container has no group of Intel RDT").hint("set linux.intelRdt in config.json")),
    }
}

/// The limits of a request, checked; limits that it does not name stay.
///
/// # Errors
/// The file cannot be read, or a value is invalid.
fn limits(source: &ResourceSource) -> Result<Limits> {
    let text = match source {
        ResourceSource::Json(text) => Cow::Borrowed(text.as_bytes()),
        ResourceSource::File(path) => super::document::read(path)?.into(),
        ResourceSource::Stdin => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).io_context(|| "read standard input".into())?;
            text.into()
        }
    };
    let resources = config::parse_resources(&text)?;
    let has_kernel_limit =
        resources.memory.as_ref().is_some_and(|memory| memory.kernel.or(memory.kernel_tcp).is_some());
    if has_kernel_limit && matches!(source, ResourceSource::Json(_)) {
        log::warning("limits of kernel memory are deprecated, and new kernels ignore them");
    }
    Limits::parse(&resources, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_left_alone() {
        assert_eq!(limits(&ResourceSource::Json("{}".into())).unwrap(), Limits::default());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = limits(&ResourceSource::File("/nonexistent".into())).unwrap_err();
        assert_eq!(error.to_string(), "open /nonexistent: no such file or directory (ENOENT)");
    }
}
