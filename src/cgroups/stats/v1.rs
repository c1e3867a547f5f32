//! The counters of cgroup v1.

use super::{Blkio, BlkioEntry, Branch, Cpu, Cpuset, Hugetlb, Memory, MemoryEntry, Pids, Stats};
use super::{huge_page_sizes, list, number, parse, table};

pub(super) fn read(branches: &[Branch]) -> Stats {
    let mut stats = Stats::default();
    for branch in branches {
        for controller in &branch.controllers {
            match controller.as_str() {
                "cpu" => throttling(branch, &mut stats.cpu),
                "cpuacct" => usage(branch, &mut stats.cpu),
                "cpuset" => stats.cpuset = cpuset(branch),
                "memory" => stats.memory = memory(branch),
                "pids" => stats.pids = pids(branch),
                "blkio" => stats.blkio = blkio(branch),
                "hugetlb" => hugetlb(branch, &mut stats),
                _ => {}
            }
        }
    }
    stats
}

fn throttling(branch: &Branch, cpu: &mut Cpu) {
    let table = table(branch, "cpu.stat");
    let get = |name: &str| table.get(name).copied().unwrap_or(0);
    cpu.throttling.periods = get("nr_periods");
    cpu.throttling.throttled_periods = get("nr_throttled");
    cpu.throttling.throttled_time = get("throttled_time");
}

fn usage(branch: &Branch, cpu: &mut Cpu) {
    // cpuacct.stat counts in ticks of 1/100 s, as all architectures show them to programs.
    const TICK: u64 = 10_000_000;
    let table = table(branch, "cpuacct.stat");
    let get = |name: &str| table.get(name).copied().unwrap_or(0) * TICK;
    cpu.usage.user = get("user");
    cpu.usage.kernel = get("system");
    cpu.usage.total = number(branch, "cpuacct.usage").unwrap_or(0);
    let percpu = branch.read("cpuacct.usage_percpu").unwrap_or_default();
    cpu.usage.percpu = percpu.split_whitespace().map(parse).collect();
    for line in branch.read("cpuacct.usage_all").unwrap_or_default().lines().skip(1) {
        let fields: Vec<u64> = line.split(' ').map(parse).collect();
        if let [_, user, system] = fields[..] {
            cpu.usage.percpu_user.push(user);
            cpu.usage.percpu_kernel.push(system);
        }
    }
}

fn cpuset(branch: &Branch) -> Cpuset {
    let get = |name: &str| number(branch, &format!("cpuset.{name}")).unwrap_or(0);
    let numbers = |name: &str| list(&branch.read(&format!("cpuset.{name}")).unwrap_or_default());
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
        sched_relax_domain_level: branch
            .read("cpuset.sched_relax_domain_level")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
    }
}

fn memory(branch: &Branch) -> Memory {
    let entry = |prefix: &str| {
        let get = |name: &str| number(branch, &format!("memory.{prefix}{name}")).unwrap_or(0);
        MemoryEntry {
            limit: get("limit_in_bytes"),
            usage: get("usage_in_bytes"),
            max: get("max_usage_in_bytes"),
            failcnt: get("failcnt"),
        }
    };
    let raw = table(branch, "memory.stat");
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

fn pids(branch: &Branch) -> Pids {
    let limit = number(branch, "pids.max").unwrap_or(0);
    Pids { current: number(branch, "pids.current").unwrap_or(0), limit: if limit == u64::MAX { 0 } else { limit } }
}

/// Which of the three accounts is kept depends on the kernel and the scheduler of the device.
fn blkio(branch: &Branch) -> Blkio {
    let first = |names: &str| {
        let entries = |name: &str| entries(&branch.read(&format!("blkio.{name}")).unwrap_or_default());
        names.split(' ').map(entries).find(|list| !list.is_empty()).unwrap_or_default()
    };
    Blkio {
        io_service_bytes_recursive: first(
            "bfq.io_service_bytes_recursive io_service_bytes_recursive \
             throttle.io_service_bytes_recursive throttle.io_service_bytes",
        ),
        io_serviced_recursive: first(
            "bfq.io_serviced_recursive io_serviced_recursive \
             throttle.io_serviced_recursive throttle.io_serviced",
        ),
        io_queued_recursive: first("bfq.io_queued_recursive io_queued_recursive"),
        io_service_time_recursive: first("bfq.io_service_time_recursive io_service_time_recursive"),
        io_wait_time_recursive: first("bfq.io_wait_time_recursive io_wait_time_recursive"),
        io_merged_recursive: first("bfq.io_merged_recursive io_merged_recursive"),
        io_time_recursive: first("bfq.time_recursive time_recursive"),
        sectors_recursive: first("bfq.sectors_recursive sectors_recursive"),
        psi: None,
    }
}

/// Lines `8:0 Read 4096` or `8:0 4096`; the sum over all devices at the end is none of them.
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

fn hugetlb(branch: &Branch, stats: &mut Stats) {
    for size in huge_page_sizes(branch, ".limit_in_bytes") {
        // The account of reservations, where there is one, is the one that is limited.
        let rsvd = format!("{size}.rsvd");
        let prefix = match number(branch, &format!("hugetlb.{rsvd}.limit_in_bytes")) {
            Some(_) => rsvd,
            None => size.clone(),
        };
        let get = |name: &str| number(branch, &format!("hugetlb.{prefix}.{name}")).unwrap_or(0);
        let entry = Hugetlb { usage: get("usage_in_bytes"), max: get("max_usage_in_bytes"), failcnt: get("failcnt") };
        stats.hugetlb.insert(size, entry);
    }
}
