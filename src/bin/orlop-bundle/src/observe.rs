//! Containers as they are now: their state, and their use of resources against the limits.

use anyhow::{Context as _, Result};
use orlop::container::request::{ContainerId, EventsRequest, Format, PsRequest};
use orlop::container::{self, Context};
use orlop::explain::{self, CgroupDirectory};
use serde_json::{Value, json};
use std::fs;

/// A container at one moment.
pub(crate) struct Observed {
    /// The document of `orlop state`.
    pub(crate) state: Value,
    pub(crate) pids: Vec<i32>,
    pub(crate) cgroups: Vec<CgroupDirectory>,
    /// None where the container is stopped.
    pub(crate) usage: Option<Usage>,
    /// Why there is no usage of a container that runs.
    pub(crate) unknown: Option<anyhow::Error>,
}

/// Use against limits; a limit that is not set is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) memory: Option<u64>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) memory_peak: Option<u64>,
    pub(crate) swap: Option<u64>,
    pub(crate) oom_kills: Option<u64>,
    /// Nanoseconds.
    pub(crate) cpu_time: Option<u64>,
    /// In processors.
    pub(crate) cpu_quota: Option<f64>,
    pub(crate) periods: u64,
    pub(crate) throttled_periods: u64,
    /// Nanoseconds.
    pub(crate) throttled_time: u64,
    pub(crate) tasks: Option<u64>,
    pub(crate) tasks_limit: Option<u64>,
    /// Pressure of cpu, memory and io: percentages and microseconds as the kernel counts them.
    pub(crate) pressure: [Option<Value>; 3],
}

/// The names of [`Usage::pressure`].
pub(crate) const PRESSURES: [&str; 3] = ["cpu", "memory", "io"];

impl Observed {
    /// Looks at a container.
    ///
    /// # Errors
    /// There is no such container, or its state cannot be read.
    pub(crate) fn look(context: &Context, id: &str) -> Result<Observed> {
        let parsed = ContainerId::parse(id)?;
        let state: Value = serde_json::from_str(&container::state(context, &parsed)?).context("read the state")?;
        let cgroups = explain::cgroups(context, &parsed)?;
        let mut request = PsRequest::new(parsed.clone());
        request.format = Format::Json;
        let pids = serde_json::from_str::<Option<Vec<i32>>>(&container::ps(context, &request)?)?.unwrap_or_default();
        let mut observed = Observed { state, pids, cgroups, usage: None, unknown: None };
        if observed.status() != "stopped" {
            // It may end in the meantime.
            match stats(context, parsed) {
                Ok(stats) => observed.usage = Some(observed.usage_of(&stats)),
                Err(error) => observed.unknown = Some(error),
            }
        }
        Ok(observed)
    }

    pub(crate) fn status(&self) -> &str {
        self.state["status"].as_str().unwrap_or("unknown")
    }

    /// The first process, while it lives.
    pub(crate) fn init(&self) -> Option<i32> {
        self.state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0)
    }

    /// A file of the cgroup that has a controller; on v2 of its one cgroup.
    fn file(&self, controller: &str, name: &str) -> Option<String> {
        let has = |found: &&CgroupDirectory| {
            found.controllers.is_empty() || found.controllers.iter().any(|n| n == controller)
        };
        let of_controller = self.cgroups.iter().filter(has);
        of_controller.map(|found| found.directory.join(name)).find_map(|path| fs::read_to_string(path).ok())
    }

    fn usage_of(&self, stats: &Value) -> Usage {
        let of = |pointer: &str| stats.pointer(pointer).and_then(Value::as_u64);
        let memory = of("/memory/usage/usage");
        Usage {
            memory,
            memory_limit: of("/memory/usage/limit").and_then(limit),
            memory_peak: of("/memory/usage/max"),
            swap: self.swap(memory),
            oom_kills: self.oom_kills(),
            cpu_time: of("/cpu/usage/total"),
            cpu_quota: self.cpu_quota(),
            periods: of("/cpu/throttling/periods").unwrap_or(0),
            throttled_periods: of("/cpu/throttling/throttledPeriods").unwrap_or(0),
            throttled_time: of("/cpu/throttling/throttledTime").unwrap_or(0),
            tasks: of("/pids/current"),
            tasks_limit: of("/pids/limit").filter(|limit| *limit > 0).and_then(limit),
            pressure: ["/cpu/psi", "/memory/psi", "/blkio/psi"].map(|pointer| stats.pointer(pointer).cloned()),
        }
    }

    /// v1 counts memory and swap together.
    fn swap(&self, memory: Option<u64>) -> Option<u64> {
        let number = |name: &str| self.file("memory", name)?.trim().parse::<u64>().ok();
        let together = || Some(number("memory.memsw.usage_in_bytes")?.saturating_sub(memory?));
        number("memory.swap.current").or_else(together)
    }

    fn cpu_quota(&self) -> Option<f64> {
        if let Some(text) = self.file("cpu", "cpu.max") {
            let (quota, period) = text.trim().split_once(' ')?;
            return Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?);
        }
        let number = |name: &str| self.file("cpu", name)?.trim().parse::<f64>().ok();
        let quota = number("cpu.cfs_quota_us").filter(|quota| *quota > 0.0)?;
        Some(quota / number("cpu.cfs_period_us")?)
    }

    /// Processes that the OOM killer ended.
    fn oom_kills(&self) -> Option<u64> {
        let text = self.file("memory", "memory.events").or_else(|| self.file("memory", "memory.oom_control"))?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|number| number.trim().parse().ok())
    }
}

/// A limit; the kernel's way to say that there is none is the largest number, on v1 rounded to pages.
fn limit(value: u64) -> Option<u64> {
    (value < i64::MAX as u64 - (1 << 20)).then_some(value)
}

/// The data of `orlop events --stats`.
fn stats(context: &Context, id: ContainerId) -> Result<Value> {
    let mut request = EventsRequest::new(id);
    request.stats = true;
    let mut line = Vec::new();
    container::events(context, &request, &mut line)?;
    let mut document: Value = serde_json::from_slice(&line)?;
    Ok(document["data"].take())
}

impl Usage {
    pub(crate) fn json(&self) -> Value {
        let pressure = PRESSURES.iter().zip(&self.pressure).map(|(name, value)| ((*name).to_owned(), json!(value)));
        json!({
            "memory": {
                "usage": self.memory, "limit": self.memory_limit, "peak": self.memory_peak, "swap": self.swap,
                "oomKills": self.oom_kills,
            },
            "cpu": {
                "time": self.cpu_time, "quota": self.cpu_quota, "periods": self.periods,
                "throttledPeriods": self.throttled_periods, "throttledTime": self.throttled_time,
            },
            "pids": { "current": self.tasks, "limit": self.tasks_limit },
            "pressure": Value::Object(pressure.collect()),
        })
    }
}

/// The share of time, in percent over ten seconds, in which some task waited.
pub(crate) fn waiting(pressure: Option<&Value>) -> Option<f64> {
    pressure?.pointer("/some/avg10")?.as_f64()
}

/// Bytes with a unit, in at most six characters.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["B", "K", "M", "G", "T", "P"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 {
        format!("{value:.0}{}", UNITS[unit])
    } else {
        format!("{value:.1}{}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        let expected =
            [(0, "0B"), (999, "999B"), (1024, "1.0K"), (64 << 20, "64.0M"), (200 << 20, "200M"), (3 << 40, "3.0T")];
        for (number, text) in expected {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn the_largest_numbers_are_no_limit() {
        assert_eq!(limit(u64::MAX), None);
        assert_eq!(limit(9223372036854771712), None);
        assert_eq!(limit(64 << 20), Some(64 << 20));
    }
}
