//! The counters of cgroup v1.

use super::{Blkio, BlkioEntry, Cpu, Cpuset, HierarchyCgroup, Hugetlb, Memory, MemoryEntry, Stats};
use super::{huge_page_sizes, list, number, parse, pids, table};

pub(super) fn read(cgroups: &[HierarchyCgroup]) -> Stats {
    let mut stats = Stats::default();
    for cgroup in cgroups {
        for controller in &cgroup.controllers {
            match controller.as_str() {
                "cpu" => throttling(cgroup, &mut stats.cpu),
                "cpuacct" => usage(cgroup, &mut stats.cpu),
                "cpuset" => stats.cpuset = cpuset(cgroup),
                "memory" => stats.memory = memory(cgroup),
                "pids" => stats.pids = pids(cgroup),
                "blkio" => stats.blkio = blkio(cgroup),
                "hugetlb" => hugetlb(cgroup, &mut stats),
                _ => {}
            }
        }
    }
    stats
}

fn throttling(cgroup: &HierarchyCgroup, cpu: &mut Cpu) {
    let table = table(cgroup, "cpu.stat");
    let get = |name: &str| table.get(name).copied().unwrap_or(0);
    cpu.throttling.periods = get("nr_periods");
    cpu.throttling.throttled_periods = get("nr_throttled");
    cpu.throttling.throttled_time = get("throttled_time");
}

fn usage(cgroup: &HierarchyCgroup, cpu: &mut Cpu) {
    // cpuacct.stat counts in ticks of 1/100 s, as all architectures show them to programs.
    const TICK: u64 = 10_000_000;
    let table = table(cgroup, "cpuacct.stat");
    let get = |name: &str| table.get(name).copied().unwrap_or(0) * TICK;
    cpu.usage.user = get("user");
    cpu.usage.kernel = get("system");
    cpu.usage.total = number(cgroup, "cpuacct.usage").unwrap_or(0);
    let percpu = cgroup.read("cpuacct.usage_percpu").unwrap_or_default();
    cpu.usage.percpu = percpu.split_whitespace().map(parse).collect();
    for line in cgroup.read("cpuacct.usage_all").unwrap_or_default().lines().skip(1) {
        let fields: Vec<u64> = line.split(' ').map(parse).collect();
        if let [_, user, system] = fields[..] {
            cpu.usage.percpu_user.push(user);
            cpu.usage.percpu_kernel.push(system);
        }
    }
}

fn cpuset(cgroup: &HierarchyCgroup) -> Cpuset {
    let get = |name: &str| number(cgroup, &format!("cpuset.{name}")).unwrap_or(0);
    let numbers = |name: &str| list(&cgroup.read(&format!("cpuset.{name}")).unwrap_or_default());
    Cpuset {
        cpus: numbers("cpus"),
        cpu_exclusive: get("cpu_exclusive"),
        mems: numbers("mems"),
        mem_hardwall: get("mem_hardwall"),
        mem_exclusive: get("mem_exclusive"),
        memory_migrate: get("memory_migrate"),
        memory_spread_page: get("memory_spread_page"),
        memory_spread_slab: get("memory_spread_slab"),
        memory_pressure: get("memory_pressure"),
        sched_load_balance: get("sched_load_balance"),
        sched_relax_domain_level: cgroup
            .read("cpuset.sched_relax_domain_level")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
    }
}

fn memory(cgroup: &HierarchyCgroup) -> Memory {
    let entry = |prefix: &str| {
        let get = |name: &str| number(cgroup, &format!("memory.{prefix}{name}")).unwrap_or(0);
        MemoryEntry {
            limit: get("limit_in_bytes"),
            usage: get("usage_in_bytes"),
            max: get("max_usage_in_bytes"),
            failcnt: get("failcnt"),
        }
    };
    let raw = table(cgroup, "memory.stat");
    Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: entry(""),
        swap: entry("memsw."),
        kernel: entry("kmem."),
        kernel_tcp: entry("kmem.tcp."),
        raw,
        psi: None,
    }
}

/// The counters of block devices. The kernel and the I/O scheduler determine which of the files have
/// them.
const BLKIO: [(&str, &str); 8] = [
    (
        "ioServiceBytesRecursive",
        "bfq.io_service_bytes_recursive io_service_bytes_recursive throttle.io_service_bytes_recursive \
         throttle.io_service_bytes",
    ),
    (
        "ioServicedRecursive",
        "bfq.io_serviced_recursive io_serviced_recursive throttle.io_serviced_recursive throttle.io_serviced",
    ),
    ("ioQueueRecursive", "bfq.io_queued_recursive io_queued_recursive"),
    ("ioServiceTimeRecursive", "bfq.io_service_time_recursive io_service_time_recursive"),
    ("ioWaitTimeRecursive", "bfq.io_wait_time_recursive io_wait_time_recursive"),
    ("ioMergedRecursive", "bfq.io_merged_recursive io_merged_recursive"),
    ("ioTimeRecursive", "bfq.time_recursive time_recursive"),
    ("sectorsRecursive", "bfq.sectors_recursive sectors_recursive"),
];

fn blkio(cgroup: &HierarchyCgroup) -> Blkio {
    let entries = |file: &str| entries(&cgroup.read(&format!("blkio.{file}")).unwrap_or_default());
    let first = |files: &str| files.split(' ').map(entries).find(|list| !list.is_empty());
    let counters = BLKIO.iter().filter_map(|(name, files)| Some(((*name).to_owned(), first(files)?)));
    Blkio { counters: counters.collect(), psi: None }
}

/// Parses lines `8:0 Read 4096` or `8:0 4096`. The total at the end is skipped.
pub(super) fn entries(text: &str) -> Vec<BlkioEntry> {
    let mut list = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let Some((major, minor)) = fields.first().and_then(|f| f.split_once(':')) else { continue };
        let (op, value) = match fields[..] {
            [_, op, value] => (op, value),
            [_, value] => ("", value),
            _ => continue,
        };
        list.push(BlkioEntry { major: parse(major), minor: parse(minor), op: op.to_owned(), value: parse(value) });
    }
    list
}

fn hugetlb(cgroup: &HierarchyCgroup, stats: &mut Stats) {
    for size in huge_page_sizes(cgroup, ".limit_in_bytes") {
        // If there are counters of reservations, the limit is theirs.
        let rsvd = format!("{size}.rsvd");
        let prefix = match number(cgroup, &format!("hugetlb.{rsvd}.limit_in_bytes")) {
            Some(_) => rsvd,
            None => size.clone(),
        };
        let get = |name: &str| number(cgroup, &format!("hugetlb.{prefix}.{name}")).unwrap_or(0);
        let entry = Hugetlb { usage: get("usage_in_bytes"), max: get("max_usage_in_bytes"), failcnt: get("failcnt") };
        stats.hugetlb.insert(size, entry);
    }
}
