//! The counters of cgroup v2, under the names of v1 that callers know.

use super::{Blkio, BlkioEntry, Branch, Cpu, Cpuset, Hugetlb, Memory, MemoryEntry, Pids, Stats};
use super::{huge_page_sizes, list, number, parse, pressure, table};

pub(super) fn read(branch: &Branch) -> Stats {
    let mut stats = Stats {
        cpu: cpu(branch),
        cpuset: Cpuset {
            cpus: list(&branch.read("cpuset.cpus.effective").unwrap_or_default()),
            mems: list(&branch.read("cpuset.mems.effective").unwrap_or_default()),
            ..Cpuset::default()
        },
        memory: memory(branch),
        pids: pids(branch),
        blkio: blkio(branch),
        ..Stats::default()
    };
    for size in huge_page_sizes(branch, ".max") {
        let rsvd = format!("{size}.rsvd");
        let usage = number(branch, &format!("hugetlb.{rsvd}.current"));
        let usage = usage.or(number(branch, &format!("hugetlb.{size}.current"))).unwrap_or(0);
        let failcnt = table(branch, &format!("hugetlb.{size}.events")).get("max").copied().unwrap_or(0);
        stats.hugetlb.insert(size, Hugetlb { usage, max: 0, failcnt });
    }
    stats
}

fn cpu(branch: &Branch) -> Cpu {
    let table = table(branch, "cpu.stat");
    let microseconds = |name: &str| table.get(name).copied().unwrap_or(0) * 1000;
    let count = |name: &str| table.get(name).copied().unwrap_or(0);
    let mut cpu = Cpu { psi: pressure(branch, "cpu.pressure"), ..Cpu::default() };
    cpu.usage.total = microseconds("usage_usec");
    cpu.usage.user = microseconds("user_usec");
    cpu.usage.kernel = microseconds("system_usec");
    cpu.throttling.periods = count("nr_periods");
    cpu.throttling.throttled_periods = count("nr_throttled");
    cpu.throttling.throttled_time = microseconds("throttled_usec");
    cpu
}

fn memory(branch: &Branch) -> Memory {
    let raw = table(branch, "memory.stat");
    let get = |file: &str| number(branch, file).unwrap_or(0);
    let failed = table(branch, "memory.events").get("max").copied().unwrap_or(0);
    let usage = MemoryEntry {
        limit: get("memory.max"),
        usage: get("memory.current"),
        max: get("memory.peak"),
        failcnt: failed,
    };
    let swap_only = MemoryEntry {
        limit: get("memory.swap.max"),
        usage: get("memory.swap.current"),
        max: get("memory.swap.peak"),
        failcnt: table(branch, "memory.swap.events").get("max").copied().unwrap_or(0),
    };
    // v1 counts memory and swap together.
    let swap = MemoryEntry {
        limit: usage.limit.saturating_add(swap_only.limit),
        usage: usage.usage + swap_only.usage,
        ..swap_only
    };
    Memory {
        cache: raw.get("file").copied().unwrap_or(0),
        usage,
        swap,
        raw,
        psi: pressure(branch, "memory.pressure"),
        ..Memory::default()
    }
}

fn pids(branch: &Branch) -> Pids {
    let limit = number(branch, "pids.max").unwrap_or(0);
    Pids { current: number(branch, "pids.current").unwrap_or(0), limit: if limit == u64::MAX { 0 } else { limit } }
}

fn blkio(branch: &Branch) -> Blkio {
    let mut blkio = Blkio { psi: pressure(branch, "io.pressure"), ..Blkio::default() };
    for line in branch.read("io.stat").unwrap_or_default().lines() {
        let mut fields = line.split(' ');
        let Some((major, minor)) = fields.next().and_then(|f| f.split_once(':')) else { continue };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut blkio.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut blkio.io_service_bytes_recursive, "Write"),
                "dbytes" => (&mut blkio.io_service_bytes_recursive, "Discard"),
                "rios" => (&mut blkio.io_serviced_recursive, "Read"),
                "wios" => (&mut blkio.io_serviced_recursive, "Write"),
                "dios" => (&mut blkio.io_serviced_recursive, "Discard"),
                _ => continue,
            };
            let (major, minor, value) = (parse(major), parse(minor), parse(value));
            list.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
    blkio
}
