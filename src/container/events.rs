//! `events`: resource usage and OOM events of a container, one JSON document a line.

use super::Context;
use super::request::EventsRequest;
use crate::cgroups::{Cgroup, Oom, OomEvents, Stats};
use crate::error::{Error, IoContext, Result};
use crate::state::{Status, Store};
use crate::sys::process::{Pid, poll};
use crate::text;
use serde::Serialize;
use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// A line of statistics.
#[derive(Serialize)]
struct StatsLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    data: Data,
}

/// The cgroup's counters, and those from other sources.
#[derive(Serialize)]
struct Data {
    #[serde(flatten)]
    stats: Stats,
    /// Empty: the runtime knows no closID that it did not create; callers expect the key.
    intel_rdt: Empty,
    /// `null` where the container shares the caller's network.
    network_interfaces: Option<Vec<Interface>>,
}

#[derive(Serialize)]
struct Empty {}

/// A line about an OOM event.
#[derive(Serialize)]
struct OomLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
}

/// The counters of one network interface, named as callers know them.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase")]
struct Interface {
    name: String,
    rx_bytes: u64,
    rx_packets: u64,
    rx_errors: u64,
    rx_dropped: u64,
    tx_bytes: u64,
    tx_packets: u64,
    tx_errors: u64,
    tx_dropped: u64,
}

/// `events`: writes statistics to `output` once, or statistics and OOM events until the container
/// exits.
///
/// # Errors
/// The container is not running, or the output cannot be written.
pub fn events(context: &Context, request: &EventsRequest, output: &mut dyn Write) -> Result<()> {
    let id = request.id.as_str();
    let record = Store::at(&context.root).read(id)?;
    let stopped = || Error::state(format!("container with id {id} is not running"));
    let init = record.init.ok_or_else(stopped)?;
    if record.status()? == Status::Stopped {
        return Err(stopped());
    }
    if request.stats {
        return stats(id, &record.cgroup(), init.pid, output);
    }
    let pidfd = init.open()?.ok_or_else(stopped)?;
    follow(request, &record.cgroup(), (init.pid, pidfd), output)
}

/// Writes events until the process `init` exits.
fn follow(request: &EventsRequest, cgroup: &Cgroup, init: (Pid, OwnedFd), output: &mut dyn Write) -> Result<()> {
    let id = request.id.as_str();
    let (init, pidfd) = init;
    // Without a memory controller there are no OOM events, but still statistics.
    let mut memory = cgroup.oom_events().ok();
    let mut next = Instant::now() + request.interval;
    loop {
        let watched = memory.as_ref().map(OomEvents::pollable);
        let (oom_fd, oom_events) = watched.map_or((None, 0), |(fd, events)| (Some(fd), events));
        let wait = next.saturating_duration_since(Instant::now());
        let ready = poll([(Some(pidfd.as_fd()), libc::POLLIN), (oom_fd, oom_events)], milliseconds(wait))?;
        if ready[1] != 0 {
            match memory.as_mut().map(OomEvents::look).transpose()? {
                Some(Oom::Happened) => line(&OomLine { kind: "oom", id }, output)?,
                Some(Oom::Gone) => memory = None,
                Some(Oom::Quiet) | None => (),
            }
        }
        if ready[0] != 0 {
            return Ok(());
        }
        if Instant::now() >= next {
            stats(id, cgroup, init, output)?;
            next += request.interval;
        }
    }
}

/// Rounded up, so that the wait does not end just before its time.
fn milliseconds(wait: Duration) -> i32 {
    i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}

fn stats(id: &str, cgroup: &Cgroup, init: Pid, output: &mut dyn Write) -> Result<()> {
    let data = Data { stats: cgroup.stats(), intel_rdt: Empty {}, network_interfaces: interfaces(init) };
    line(&StatsLine { kind: "stats", id, data }, output)
}

fn line(value: &impl Serialize, output: &mut dyn Write) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|e| Error::internal(e.to_string()))?;
    let text = text::shown_json(text) + "\n";
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).io_context(|| "write to standard output".into())
}

/// The network interfaces of `pid`, unless it shares this process's network namespace.
fn interfaces(pid: Pid) -> Option<Vec<Interface>> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let theirs = namespace(&pid.to_string())?;
    if namespace("self").is_some_and(|ours| ours == theirs) {
        return None;
    }
    // The container may give its interfaces names that are not UTF-8.
    let table = fs::read(format!("/proc/{pid}/net/dev")).ok()?;
    Some(String::from_utf8_lossy(&table).lines().filter_map(interface).collect())
}

/// One line of /proc/net/dev (proc(5)): eight counters of received data, then eight of sent data.
fn interface(line: &str) -> Option<Interface> {
    let (name, counters) = line.split_once(':')?;
    let n: Vec<u64> = counters.split_ascii_whitespace().map_while(|n| n.parse().ok()).collect();
    let [rx_bytes, rx_packets, rx_errors, rx_dropped, _, _, _, _, tx_bytes, tx_packets, tx_errors, tx_dropped, ..] =
        n[..]
    else {
        return None;
    };
    let name = name.trim().to_owned();
    Some(Interface { name, rx_bytes, rx_packets, rx_errors, rx_dropped, tx_bytes, tx_packets, tx_errors, tx_dropped })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_net_dev_has_sixteen_counters() {
        let found = interface("  eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16").unwrap();
        let expected = r#"{"Name":"eth0","RxBytes":1,"RxPackets":2,"RxErrors":3,"RxDropped":4,"TxBytes":9,"TxPackets":10,"TxErrors":11,"TxDropped":12}"#;
        assert_eq!(serde_json::to_string(&found).unwrap(), expected);
        assert_eq!(interface("Inter-|   Receive  |  Transmit"), None);
    }

    #[test]
    fn statistics_have_every_key_that_callers_read() {
        let data = Data { stats: Stats::default(), intel_rdt: Empty {}, network_interfaces: None };
        let mut text = Vec::new();
        line(&StatsLine { kind: "stats", id: "x", data }, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(r#"{"type":"stats","id":"x","data":{"cpu":{"usage":{"#), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"] {
            assert!(value["data"].get(key).is_some(), "{key}");
        }
        assert!(text.ends_with("}\n"));
    }

    #[test]
    fn a_wait_is_rounded_up_to_milliseconds() {
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::from_secs(1 << 40)), i32::MAX);
        assert_eq!(milliseconds(Duration::ZERO), 0);
    }
}
