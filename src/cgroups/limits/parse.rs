//! Checks `linux.resources`.

use super::{Cpu, Io, Limits, Memory, Rdma};
use crate::cgroups::devices;
use crate::config::{self, Resources};
use crate::cpulist;
use crate::error::{Error, Result};
use crate::text;

impl Limits {
    /// Checks the resources at the JSON path `at`: `linux.resources`, or empty for a document that
    /// contains only resources.
    ///
    /// A zero means "unchanged" for limits of memory, shares, times and weights, where engines
    /// write it so and the kernel has no such limit. It is a limit for `pids.limit`, rates and huge
    /// pages.
    ///
    /// # Errors
    /// The first invalid field, with its path.
    pub(crate) fn parse(resources: &Resources<'_>, at: &str) -> Result<Limits> {
        let at = if at.is_empty() { String::new() } else { format!("{at}.") };
        let (at, r) = (at.as_str(), resources);
        let network = r.network.clone().unwrap_or_default();
        Ok(Limits {
            devices: match &r.devices {
                Some(rules) => Some(devices::parse(rules, &format!("{at}devices"))?),
                None => None,
            },
            memory: r.memory.as_ref().map(|m| memory(m, at)).transpose()?.unwrap_or_default(),
            cpu: r.cpu.as_ref().map(|c| cpu(c, at)).transpose()?.unwrap_or_default(),
            pids: at_least_minus_one(r.pids.as_ref().and_then(|p| p.limit), at, "pids.limit")?,
            io: match &r.block_io {
                Some(io) => Io::parse(io, &format!("{at}blockIO"))?,
                None => Io::default(),
            },
            hugepages: hugepages(r, at)?,
            class_id: network.class_id.filter(|id| *id != 0),
            priorities: priorities(&network, at)?,
            rdma: rdma(r, at)?,
            unified: unified(r, at)?,
        })
    }
}

/// The error for a field of the resources at the JSON path `at`.
fn wrong(at: &str, field: &str, problem: impl Into<String>) -> Error {
    Error::config(format!("{at}{field}"), problem.into())
}

fn at_least_minus_one(value: Option<i64>, at: &str, field: &str) -> Result<Option<i64>> {
    match value {
        Some(n) if n < -1 => Err(wrong(at, field, format!("{n} is neither -1 (unlimited) nor a number from 0"))),
        other => Ok(other),
    }
}

/// A limit for which 0 means "unchanged".
fn limit(value: Option<i64>, at: &str, field: &str) -> Result<Option<i64>> {
    Ok(at_least_minus_one(value, at, field)?.filter(|n| *n != 0))
}

fn memory(m: &config::Memory, at: &str) -> Result<Memory> {
    if let Some(swappiness) = m.swappiness.filter(|s| *s > 100) {
        let problem = format!("invalid memory swappiness value: {swappiness} (valid range is 0-100)");
        return Err(wrong(at, "memory.swappiness", problem));
    }
    let memory = Memory {
        limit: limit(m.limit, at, "memory.limit")?,
        reservation: limit(m.reservation, at, "memory.reservation")?,
        swap: limit(m.swap, at, "memory.swap")?,
        kernel: limit(m.kernel, at, "memory.kernel")?,
        kernel_tcp: limit(m.kernel_tcp, at, "memory.kernelTCP")?,
        swappiness: m.swappiness,
        disable_oom_killer: m.disable_oom_killer,
        use_hierarchy: m.use_hierarchy,
        check_before_update: m.check_before_update == Some(true),
    };
    match (memory.limit, memory.swap) {
        (Some(limit), Some(swap)) if limit > 0 && swap > 0 && swap < limit => {
            Err(wrong(at, "memory.swap", "memory+swap limit should be >= memory limit"))
        }
        _ => Ok(memory),
    }
}

fn cpu(c: &config::Cpu<'_>, at: &str) -> Result<Cpu> {
    let quota = limit(c.quota, at, "cpu.quota")?;
    // An explicit 0 resets an earlier burst.
    let burst = c.burst;
    if let (Some(quota), Some(burst)) = (quota.filter(|q| *q > 0), burst)
        && burst > quota.unsigned_abs()
    {
        return Err(wrong(at, "cpu.burst", format!("{burst} is larger than the quota, {quota}")));
    }
    let idle = match c.idle {
        None => None,
        Some(0) => Some(false),
        Some(1) => Some(true),
        Some(other) => return Err(wrong(at, "cpu.idle", format!("{other} is neither 0 nor 1"))),
    };
    Ok(Cpu {
        shares: c.shares.filter(|n| *n != 0),
        quota,
        burst,
        period: c.period.filter(|n| *n != 0),
        realtime_runtime: c.realtime_runtime.filter(|n| *n != 0),
        realtime_period: c.realtime_period.filter(|n| *n != 0),
        cpus: list(c.cpus.as_deref(), at, "cpu.cpus")?,
        mems: list(c.mems.as_deref(), at, "cpu.mems")?,
        idle,
    })
}

/// A list of CPUs or nodes, which is passed to the kernel unchanged.
fn list(value: Option<&str>, at: &str, field: &str) -> Result<Option<String>> {
    let Some(value) = value.map(str::trim).filter(|v| !v.is_empty()) else { return Ok(None) };
    match cpulist::parse(value, Limits::HIGHEST_IN_LIST) {
        Some(_) => Ok(Some(value.to_owned())),
        None => Err(wrong(at, field, format!("{:?} is not a list such as 0-3,7", text::excerpt(value, 200)))),
    }
}

fn hugepages(r: &Resources<'_>, at: &str) -> Result<Vec<(String, u64)>> {
    let mut limits = Vec::new();
    for (n, entry) in r.hugepage_limits.iter().flatten().enumerate() {
        let wrong = |field: &str, problem: String| wrong(at, &format!("hugepageLimits[{n}].{field}"), problem);
        let size = entry.page_size.as_deref().ok_or_else(|| wrong("pageSize", "missing".into()))?;
        let digits = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit));
        if digits.is_none_or(|d| d.parse::<u32>().is_err()) {
            return Err(wrong("pageSize", format!("{size:?} is not a size such as 2MB")));
        }
        let limit = entry.limit.ok_or_else(|| wrong("limit", "missing".into()))?;
        limits.push((size.to_owned(), limit));
    }
    Ok(limits)
}

fn priorities(network: &config::Network<'_>, at: &str) -> Result<Vec<(String, u32)>> {
    let mut list = Vec::new();
    for (n, entry) in network.priorities.iter().flatten().enumerate() {
        let wrong = |field: &str, problem: String| wrong(at, &format!("network.priorities[{n}].{field}"), problem);
        let name = entry.name.as_deref().unwrap_or_default();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong("name", format!("{name:?} is not an interface name")));
        }
        let priority = entry.priority.ok_or_else(|| wrong("priority", "missing".into()))?;
        list.push((name.to_owned(), priority));
    }
    Ok(list)
}

fn rdma(r: &Resources<'_>, at: &str) -> Result<Vec<Rdma>> {
    let mut list = Vec::new();
    for (device, entry) in r.rdma.iter().flatten() {
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(wrong(at, "rdma", format!("{device:?} is not a device name")));
        }
        let (handles, objects) = (entry.hca_handles, entry.hca_objects);
        if handles.or(objects).is_none() {
            return Err(wrong(at, &format!("rdma.{device}"), "neither hcaHandles nor hcaObjects is given"));
        }
        list.push(Rdma { device: device.clone().into_owned(), handles, objects });
    }
    Ok(list)
}

fn unified(r: &Resources<'_>, at: &str) -> Result<Vec<(String, String)>> {
    let mut list = Vec::new();
    for (file, value) in r.unified.iter().flatten() {
        if file.contains('/') || file.is_empty() {
            let problem = format!("unified resource {file:?} must be a file name (no slashes)");
            return Err(wrong(at, "unified", problem));
        }
        if !file.contains('.') {
            let problem = format!("unified resource {file:?} must be in the form CONTROLLER.PARAMETER");
            return Err(wrong(at, "unified", problem));
        }
        list.push((file.clone().into_owned(), value.clone().into_owned()));
    }
    Ok(list)
}
