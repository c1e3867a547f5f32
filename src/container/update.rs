//! `update`: new limits for a container.

use super::Context;
use super::request::{ResourceChanges, ResourceSource, UpdateRequest};
use crate::cgroups::{Limits, resctrl};
use crate::config::{self, BlockIo, Cpu, Memory, Pids, Resources};
use crate::error::{Error, IoContext, Result};
use crate::log;
use crate::state::{Record, Status, Store};
use std::io::Read;

/// `update`: all of the new limits, or none of them.
///
/// # Errors
/// `container not running`; the first value that is wrong or that the kernel refuses.
pub fn update(context: &Context, request: &UpdateRequest) -> Result<()> {
    let record = Store::at(&context.root).read(request.id.as_str())?;
    if record.status()? == Status::Stopped {
        return Err(Error::state("container not running"));
    }
    let limits = limits(&request.resources)?;
    let cgroup = record.cgroup();
    if cgroup.branches().is_empty() && limits != Limits::default() {
        return Err(Error::state("the container has no cgroup of its own, which could be limited"));
    }
    let schemata = match &request.resources {
        ResourceSource::Changes(changes) => schemata(changes),
        _ => Vec::new(),
    };
    let Some(group) = resctrl_group(&record, &schemata)? else { return cgroup.update(&limits) };
    let before = group.schemata()?;
    group.update(&schemata)?;
    cgroup.update(&limits).map_err(|error| match group.update(&before.lines().collect::<Vec<_>>()) {
        Ok(()) => error,
        Err(left) => error.better_hint(&format!("the old schemata of Intel RDT are not back: {left}")),
    })
}

fn schemata(changes: &ResourceChanges) -> Vec<&str> {
    [&changes.l3_cache_schema, &changes.mem_bw_schema].into_iter().flatten().map(|s| &s[..]).collect()
}

/// The group that is changed; none where there is nothing to change.
fn resctrl_group<'a>(record: &'a Record, schemata: &[&str]) -> Result<Option<&'a resctrl::Record>> {
    match &record.resctrl {
        _ if schemata.is_empty() => Ok(None),
        Some(group) => Ok(Some(group)),
        None => Err(Error::state("the container has no group of Intel RDT").hint("set linux.intelRdt in config.json")),
    }
}

/// The limits that a request asks for, checked; what it does not name stays as it is.
///
/// # Errors
/// The file cannot be read, or a value is wrong.
fn limits(source: &ResourceSource) -> Result<Limits> {
    let text = match source {
        ResourceSource::Changes(changes) => return Limits::parse(&resources(changes)?, ""),
        ResourceSource::File(path) => super::document::read(path)?,
        ResourceSource::Stdin => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text).call(|| "read standard input".into())?;
            text
        }
    };
    Limits::parse(&config::parse_resources(&text)?, "")
}

/// The flags in the form of a document.
fn resources(changes: &ResourceChanges) -> Result<Resources<'_>> {
    if changes.kernel_memory.is_some() || changes.kernel_memory_tcp.is_some() {
        log::warning("limits of kernel memory are deprecated, and new kernels ignore them");
    }
    Ok(Resources {
        memory: Some(Memory {
            limit: changes.memory,
            reservation: changes.memory_reservation,
            swap: changes.memory_swap,
            kernel: changes.kernel_memory,
            kernel_tcp: changes.kernel_memory_tcp,
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: changes.cpu_shares,
            quota: changes.cpu_quota,
            burst: changes.cpu_burst,
            period: changes.cpu_period,
            realtime_runtime: changes.cpu_rt_runtime,
            realtime_period: changes.cpu_rt_period,
            cpus: changes.cpuset_cpus.as_deref().map(Into::into),
            mems: changes.cpuset_mems.as_deref().map(Into::into),
            idle: changes.cpu_idle,
        }),
        pids: Some(Pids { limit: changes.pids_limit }),
        block_io: Some(BlockIo { weight: changes.blkio_weight, ..BlockIo::default() }),
        ..Resources::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: ResourceChanges) -> Limits {
        limits(&ResourceSource::Changes(Box::new(changes))).unwrap()
    }

    #[test]
    fn what_is_not_given_is_left_alone() {
        assert_eq!(changed(ResourceChanges::default()), Limits::default());
    }

    #[test]
    fn flags_and_a_document_ask_for_the_same() {
        let flags = changed(ResourceChanges {
            memory: Some(1 << 20),
            memory_swap: Some(-1),
            cpu_quota: Some(5000),
            cpuset_cpus: Some("0-1".into()),
            pids_limit: Some(7),
            blkio_weight: Some(100),
            ..ResourceChanges::default()
        });
        let json = r#"{"memory":{"limit":1048576,"swap":-1},"cpu":{"quota":5000,"cpus":"0-1"},"pids":{"limit":7},"blockIO":{"weight":100}}"#;
        assert_eq!(flags, Limits::parse(&config::parse_resources(json).unwrap(), "").unwrap());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = limits(&ResourceSource::File("/nonexistent".into())).unwrap_err();
        assert_eq!(error.to_string(), "open /nonexistent: no such file or directory (ENOENT)");
    }
}
