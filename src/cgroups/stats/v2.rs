//! The counters of cgroup v2, under the v1 names that engines expect.

use super::{Blkio, BlkioEntry, Cpu, Cpuset, HierarchyCgroup, Hugetlb, Memory, MemoryEntry, Stats};
use super::{huge_page_sizes, list, number, parse, pids, pressure, table};

pub(super) fn read(cgroup: &HierarchyCgroup) -> Stats {
    let mut stats = Stats {
        cpu: cpu(cgroup),
        cpuset: Cpuset {
            cpus: list(&cgroup.read("cpuset.cpus.effective").unwrap_or_default()),
            mems: list(&cgroup.read("cpuset.mems.effective").unwrap_or_default()),
            ..Cpuset::default()
        },
        memory: memory(cgroup),
        pids: pids(cgroup),
        blkio: blkio(cgroup),
        ..Stats::default()
    };
    for size in huge_page_sizes(cgroup, ".max") {
        let rsvd = format!("{size}.rsvd");
        let usage = number(cgroup, &format!("hugetlb.{rsvd}.current"));
        let usage = usage.or(number(cgroup, &format!("hugetlb.{size}.current"))).unwrap_or(0);
        let failcnt = table(cgroup, &format!("hugetlb.{size}.events")).get("max").copied().unwrap_or(0);
        stats.hugetlb.insert(size, Hugetlb { usage, max: 0, failcnt });
    }
    stats
}

fn cpu(cgroup: &HierarchyCgroup) -> Cpu {
    let table = table(cgroup, "cpu.stat");
    let microseconds = |name: &str| table.get(name).copied().unwrap_or(0) * 1000;
    let count = |name: &str| table.get(name).copied().unwrap_or(0);
    let mut cpu = Cpu { psi: pressure(cgroup, "cpu.pressure"), ..Cpu::default() };
    cpu.usage.total = microseconds("usage_usec");
    cpu.usage.user = microseconds("user_usec");
    cpu.usage.kernel = microseconds("system_usec");
    cpu.throttling.periods = count("nr_periods");
    cpu.throttling.throttled_periods = count("nr_throttled");
    cpu.throttling.throttled_time = microseconds("throttled_usec");
    cpu
}

fn memory(cgroup: &HierarchyCgroup) -> Memory {
    let raw = table(cgroup, "memory.stat");
    let get = |file: &str| number(cgroup, file).unwrap_or(0);
    let failed = table(cgroup, "memory.events").get("max").copied().unwrap_or(0);
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
        failcnt: table(cgroup, "memory.swap.events").get("max").copied().unwrap_or(0),
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
        psi: pressure(cgroup, "memory.pressure"),
        ..Memory::default()
    }
}

fn blkio(cgroup: &HierarchyCgroup) -> Blkio {
    let (mut bytes, mut operations) = (Vec::new(), Vec::new());
    for line in cgroup.read("io.stat").unwrap_or_default().lines() {
        let mut fields = line.split(' ');
        let Some((major, minor)) = fields.next().and_then(|f| f.split_once(':')) else { continue };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut bytes, "Read"),
                "wbytes" => (&mut bytes, "Write"),
                "dbytes" => (&mut bytes, "Discard"),
                "rios" => (&mut operations, "Read"),
                "wios" => (&mut operations, "Write"),
                "dios" => (&mut operations, "Discard"),
                _ => continue,
            };
            let (major, minor, value) = (parse(major), parse(minor), parse(value));
            list.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
    let counters = [("ioServiceBytesRecursive", bytes), ("ioServicedRecursive", operations)];
    let counters = counters.into_iter().filter(|(_, list)| !list.is_empty());
    Blkio {
        counters: counters.map(|(name, list)| (name.to_owned(), list)).collect(),
        psi: pressure(cgroup, "io.pressure"),
    }
}
