//! What a table of values cannot say: effects, and what must be refused.

use super::*;

cases! {
    /// A program that wants more memory than the limit is killed.
    ["memory.limit", "memory.oom-killer"]
    fn a_program_beyond_the_memory_limit_is_killed(t) {
        t.needs_root()?;
        t.controller_is_v1("memory")?;
        let memory = json!({"limit": 33_554_432, "swap": 33_554_432});
        let seen = t.bundle()?.set("/linux/resources/memory", memory).does(&["touch 134217728"]).observe()?;
        ensure!(seen.answers.is_empty(), "the program had its memory");
        ensure!(seen.status.is_none_or(|status| status != 0), "the program ended well");
    }

    /// A program that wants less runs.
    ["memory.limit"]
    fn a_program_within_the_memory_limit_runs(t) {
        t.needs_root()?;
        t.controller_is_v1("memory")?;
        let memory = json!({"limit": 134_217_728});
        t.bundle()?.set("/linux/resources/memory", memory).does(&["touch 33554432"]).observe()?.value("touch 33554432")?;
    }

    /// The OOM killer of a v1 group is turned off.
    ["memory.oom-killer"]
    fn the_oom_killer_is_disabled(t) {
        t.needs_root()?;
        if !t.controller_is_v1("memory")? {
            return skip("cgroup v2 has no such setting");
        }
        let memory = json!({"limit": 134_217_728, "disableOOMKiller": true});
        let c = t.bundle()?.set("/linux/resources/memory", memory).does(&["wait"]).live()?;
        let text = c.control(&control("memory", "memory.oom_control", ""))?;
        contains("memory.oom_control", &text, "oom_kill_disable 1")?;
    }

    /// It is on when the config says so, and by default.
    ["memory.oom-killer"]
    fn the_oom_killer_is_enabled_by_default(t) {
        t.needs_root()?;
        if !t.controller_is_v1("memory")? {
            return skip("cgroup v2 has no such setting");
        }
        let memory = json!({"limit": 134_217_728, "disableOOMKiller": false});
        let c = t.bundle()?.set("/linux/resources/memory", memory).does(&["wait"]).live()?;
        let text = c.control(&control("memory", "memory.oom_control", ""))?;
        contains("memory.oom_control", &text, "oom_kill_disable 0")?;
    }

    /// A v1 memory group accounts for the groups below it.
    ["memory.hierarchy"]
    fn hierarchical_accounting_can_be_asked_for(t) {
        t.needs_root()?;
        if !t.controller_is_v1("memory")? {
            return skip("cgroup v2 is always hierarchical");
        }
        let memory = json!({"limit": 134_217_728, "useHierarchy": true});
        let c = t.bundle()?.set("/linux/resources/memory", memory).does(&["wait"]).live()?;
        equal("memory.use_hierarchy", c.control(&control("memory", "memory.use_hierarchy", ""))?, "1")?;
    }

    /// A limit that a container just being made keeps within is not refused by the check.
    ["memory.check"]
    fn a_limit_above_the_usage_passes_the_check(t) {
        t.needs_root()?;
        t.needs_version(1)?;
        t.controller_is_v1("memory")?;
        let memory = json!({"limit": 134_217_728, "checkBeforeUpdate": true});
        t.bundle()?.set("/linux/resources/memory", memory).observe()?.value("report")?;
    }

    /// The limit of kernel memory is not recommended and gone from newer kernels: it is taken or refused, not a crash.
    ["memory.kernel"]
    fn a_limit_of_kernel_memory_does_no_harm(t) {
        t.needs_root()?;
        t.controller_is_v1("memory")?;
        let (c, created) = t.bundle()?.set("/linux/resources/memory", json!({"kernel": 52_428_800})).try_create()?;
        if created.succeeded() {
            c.start()?;
            c.finish()?.value("report")?;
        } else {
            created.expect_failure("create")?;
        }
    }

    /// Memory and swap together below the memory limit alone.
    ["memory.swap", "create.cannot-apply"]
    fn a_swap_limit_below_the_memory_limit_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("memory")?;
        let memory = json!({"limit": 104_857_600, "swap": 52_428_800});
        t.bundle()?.set("/linux/resources/memory", memory).refused()?;
    }

    /// More than 100.
    ["memory.swappiness", "valid-values"]
    fn a_swappiness_above_100_is_refused(t) {
        t.needs_root()?;
        if !t.controller_is_v1("memory")? {
            return skip("cgroup v2 has no such setting");
        }
        t.bundle()?.set("/linux/resources/memory", json!({"swappiness": 201})).refused()?;
    }

    /// What cgroup v2 has not, and what cannot be converted.
    ["unified.conversion", "memory.swappiness"]
    fn a_setting_that_cgroup_v2_does_not_have_is_refused(t) {
        t.needs_root()?;
        if t.controller_is_v1("memory")? {
            return skip("this machine has cgroup v1");
        }
        t.bundle()?.set("/linux/resources/memory", json!({"swappiness": 42})).refused()?;
    }

    /// A limit that is a string.
    ["memory.limit", "valid-values"]
    fn a_memory_limit_that_is_a_string_is_refused(t) {
        t.bundle()?.set("/linux/resources/memory", json!({"limit": "100M"})).refused()?;
    }

    /// On v2 shares become a weight: 2048 by the linear rule or by the one that takes both defaults for the same.
    ["cpu.shares"]
    fn the_cpu_shares_become_a_weight_on_v2(t) {
        t.needs_root()?;
        if t.controller_is_v1("cpu")? {
            return skip("this machine has cgroup v1");
        }
        let c = t.bundle()?.set("/linux/resources/cpu", json!({"shares": 2048})).does(&["wait"]).live()?;
        let weight: u64 = c.control(&control("cpu", "", "cpu.weight"))?.parse()?;
        ensure!([79, 173, 174].contains(&weight), "cpu.weight is {weight}");
    }

    /// The program may run on no other CPU.
    ["cpu.cpus"]
    fn the_program_runs_on_the_cpus_of_the_config(t) {
        t.needs_root()?;
        t.controller_is_v1("cpuset")?;
        let seen = t.bundle()?.set("/linux/resources/cpu", json!({"cpus": "0"})).observe()?;
        same("affinity", seen.report("/affinity")?, json!([0]))?;
    }

    /// A CPU that the machine does not have.
    ["cpu.cpus", "create.cannot-apply"]
    fn a_cpu_that_does_not_exist_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("cpuset")?;
        t.bundle()?.set("/linux/resources/cpu", json!({"cpus": "4000"})).refused()?;
    }

    /// A list that is no list of CPUs.
    ["cpu.cpus", "valid-values"]
    fn a_list_of_cpus_that_is_none_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("cpuset")?;
        t.bundle()?.set("/linux/resources/cpu", json!({"cpus": "a-b"})).refused()?;
    }

    /// A node that the machine does not have.
    ["cpu.mems", "create.cannot-apply"]
    fn a_memory_node_that_does_not_exist_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("cpuset")?;
        t.bundle()?.set("/linux/resources/cpu", json!({"mems": "1000"})).refused()?;
    }

    /// A period that the kernel does not take.
    ["cpu.period", "create.cannot-apply"]
    fn a_cpu_period_out_of_range_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("cpu")?;
        t.bundle()?.set("/linux/resources/cpu", json!({"period": 5, "quota": 20_000})).refused()?;
    }

    /// A quota that the kernel does not take.
    ["cpu.quota", "create.cannot-apply"]
    fn a_cpu_quota_out_of_range_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("cpu")?;
        t.bundle()?.set("/linux/resources/cpu", json!({"period": 100_000, "quota": 5})).refused()?;
    }

    /// A burst above the quota: the kernel refuses it.
    ["cpu.quota.burst", "cpu.burst.quota"]
    fn a_cpu_burst_above_the_quota_is_refused(t) {
        t.needs_root()?;
        t.needs_version(1)?;
        t.controller_is_v1("cpu")?;
        let cpu = json!({"quota": 20_000, "period": 100_000, "burst": 30_000});
        t.bundle()?.set("/linux/resources/cpu", cpu).refused()?;
    }

    /// A share of realtime, where the kernel deals it out by groups and the group above has some.
    ["cpu.rt-runtime", "cpu.rt-period"]
    fn the_realtime_share_is_set(t) {
        t.needs_root()?;
        t.controller_is_v1("cpu")?;
        let Some(share) = t.realtime_share()? else { return skip("this kernel deals out no realtime by groups") };
        let c = t.bundle()?.set("/linux/resources/cpu", share).does(&["wait"]).live()?;
        equal("runtime", c.control(&control("cpu", "cpu.rt_runtime_us", ""))?, "10000")?;
        equal("period", c.control(&control("cpu", "cpu.rt_period_us", ""))?, "500000")?;
    }

    /// More realtime than the group above has.
    ["cpu.rt-runtime", "create.cannot-apply"]
    fn a_realtime_share_beyond_that_of_the_group_above_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("cpu")?;
        if t.realtime_share()?.is_none() {
            return skip("this kernel deals out no realtime by groups");
        }
        t.bundle()?.set("/linux/resources/cpu", json!({"realtimeRuntime": 400_000, "realtimePeriod": 500_000})).refused()?;
    }

    /// No child can be started beyond the limit.
    ["pids.limit"]
    fn a_program_cannot_start_more_processes_than_the_limit(t) {
        t.needs_root()?;
        t.controller_is_v1("pids")?;
        let seen = t.bundle()?.set("/linux/resources/pids/limit", 20).does(&["forks 50"]).observe()?;
        let forks = seen.value("forks 50")?;
        let children = forks["children"].as_u64().context("children")?;
        ensure!((15..20).contains(&children), "{children} children were started");
        same("error", &forks["errno"], libc::EAGAIN)?;
    }

    /// A limit of 0 is a limit: no child can be started.
    ["pids.zero"]
    fn a_pids_limit_of_zero_is_a_limit(t) {
        t.needs_root()?;
        t.controller_is_v1("pids")?;
        let c = t.bundle()?.set("/linux/resources/pids/limit", 0).does(&["wait"]).live()?;
        let max = c.control(&control("pids", "pids.max", "pids.max"))?;
        ensure!(max == "0" || max == "1", "pids.max is {max}");
    }

    /// The weight of the group in the scheduler that has weights.
    ["blkio.weight"]
    fn the_block_io_weight_is_set(t) {
        t.needs_root()?;
        let v1 = t.controller_is_v1("blkio")?;
        if v1 {
            let dir = &t.machine().v1["blkio"];
            if !dir.join("blkio.bfq.weight").exists() && !dir.join("blkio.weight").exists() {
                // The root group has no weight; a child shows whether the kernel has them.
                let child = dir.join(format!("{}/weight-{}", t.bench.cgroup.trim_start_matches('/'), crate::bench::runtime::unique()));
                std::fs::create_dir_all(&child)?;
                let has = child.join("blkio.bfq.weight").exists() || child.join("blkio.weight").exists();
                std::fs::remove_dir(&child)?;
                if !has {
                    return skip("this kernel has no weights for block devices");
                }
            }
        }
        let c = t.bundle()?.set("/linux/resources/blockIO", json!({"weight": 200})).does(&["wait"]).live()?;
        let dir = c.cgroup_dir(v1.then_some("blkio"))?;
        let names = ["blkio.bfq.weight", "blkio.weight", "io.bfq.weight", "io.weight"];
        let text: String = names.iter().filter_map(|name| std::fs::read_to_string(dir.join(name)).ok()).collect();
        contains("weight", &text, if v1 || text.contains("200") { "200" } else { "1920" })?;
    }

    /// A weight for one disk needs a weight.
    ["blkio.weight-device"]
    fn a_weight_of_a_device_without_a_weight_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("blkio")?;
        let (major, minor) = disk()?;
        let rule = json!([{"major": major, "minor": minor}]);
        t.bundle()?.set("/linux/resources/blockIO/weightDevice", rule).refused()?;
    }

    /// A throttle for a disk that does not exist.
    ["blkio.throttle-read-bps", "create.cannot-apply"]
    fn a_throttle_of_a_disk_that_does_not_exist_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("blkio")?;
        let rule = json!([{"major": 4000, "minor": 4000, "rate": 600}]);
        t.bundle()?.set("/linux/resources/blockIO/throttleReadBpsDevice", rule).refused()?;
    }

    /// The limit of huge pages.
    ["hugepages"]
    fn the_limit_of_huge_pages_is_set(t) {
        t.needs_root()?;
        t.controller_is_v1("hugetlb")?;
        t.needs_file("/sys/kernel/mm/hugepages/hugepages-2048kB")?;
        let limits = json!([{"pageSize": "2MB", "limit": 4_194_304}]);
        let c = t.bundle()?.set("/linux/resources/hugepageLimits", limits).does(&["wait"]).live()?;
        equal("limit", c.control(&control("hugetlb", "hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max"))?, "4194304")?;
    }

    /// A page size that the machine does not have.
    ["hugepages.size", "create.cannot-apply"]
    fn a_huge_page_size_that_does_not_exist_is_refused(t) {
        t.needs_root()?;
        let limits = json!([{"pageSize": "3MB", "limit": 4_194_304}]);
        t.bundle()?.set("/linux/resources/hugepageLimits", limits).refused()?;
    }

    /// The priority of an interface.
    ["network.priorities"]
    fn the_network_priorities_are_set(t) {
        t.needs_root()?;
        t.controller_is_v1("net_prio")?;
        let network = json!({"priorities": [{"name": "lo", "priority": 5}]});
        let c = t.bundle()?.set("/linux/resources/network", network).does(&["wait"]).live()?;
        contains("priorities", &c.control(&control("net_prio", "net_prio.ifpriomap", ""))?, "lo 5")?;
    }

    /// A class for network packets, where there is no controller for it.
    ["network.class-id", "unified.conversion"]
    fn a_network_class_without_its_controller_is_refused(t) {
        t.needs_root()?;
        if t.machine().v1.contains_key("net_cls") {
            return skip("this machine has the net_cls controller");
        }
        t.bundle()?.set("/linux/resources/network", json!({"classID": 1_048_577})).refused()?;
    }

    /// RDMA limits without the controller for it.
    ["rdma", "create.cannot-apply"]
    fn rdma_limits_without_their_controller_are_refused(t) {
        t.needs_root()?;
        t.needs_version(1)?;
        if t.machine().v1.contains_key("rdma") || t.controller_is_v1("rdma").is_ok() {
            return skip("this machine has the rdma controller");
        }
        t.bundle()?.set("/linux/resources/rdma", json!({"mlx5_1": {"hcaHandles": 3}})).refused()?;
    }

    /// Huge page limits without the controller for them.
    ["hugepages", "create.cannot-apply"]
    fn huge_page_limits_without_their_controller_are_refused(t) {
        t.needs_root()?;
        if t.controller_is_v1("hugetlb").is_ok() {
            return skip("this machine has the hugetlb controller");
        }
        let limits = json!([{"pageSize": "2MB", "limit": 4_194_304}]);
        t.bundle()?.set("/linux/resources/hugepageLimits", limits).refused()?;
    }
}
