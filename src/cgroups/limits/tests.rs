use super::Limits;
use crate::cgroups::write::{Moment, Write};
use crate::cgroups::{v1, v2};

fn parse(json: &str) -> Result<Limits, String> {
    let resources = crate::config::parse_resources(json).map_err(|e| e.to_string())?;
    Limits::parse(&resources, "linux.resources").map_err(|e| e.to_string())
}

fn limits(json: &str) -> Limits {
    parse(json).unwrap()
}

fn shown(writes: Vec<Write>) -> Vec<String> {
    writes.iter().map(|w| format!("{}={}", w.file, w.value)).collect()
}

fn on_v1(json: &str) -> Vec<String> {
    shown(v1::writes(&limits(json)).unwrap())
}

fn on_v2(json: &str) -> Vec<String> {
    shown(v2::writes(&limits(json)).unwrap())
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_path() {
    for (json, start) in [
        (r#"{"memory":{"swappiness":101}}"#, "linux.resources.memory.swappiness: invalid memory swappiness value: 101"),
        (r#"{"memory":{"limit":-2}}"#, "linux.resources.memory.limit: -2 is neither"),
        (r#"{"memory":{"limit":2000,"swap":1000}}"#, "linux.resources.memory.swap: memory+swap limit should be"),
        (r#"{"cpu":{"idle":2}}"#, "linux.resources.cpu.idle: 2 is neither 0 nor 1"),
        (r#"{"cpu":{"quota":1000,"burst":2000}}"#, "linux.resources.cpu.burst: 2000 is larger than the quota"),
        (r#"{"cpu":{"cpus":"a-b"}}"#, "linux.resources.cpu.cpus: \"a-b\" is not a list"),
        (r#"{"cpu":{"cpus":"0,3-1"}}"#, "linux.resources.cpu.cpus: \"0,3-1\" is not a list"),
        (r#"{"cpu":{"mems":"0 - 1"}}"#, "linux.resources.cpu.mems: \"0 - 1\" is not a list"),
        (r#"{"pids":{"limit":-5}}"#, "linux.resources.pids.limit: -5"),
        (r#"{"hugepageLimits":[{"pageSize":"2M","limit":1}]}"#, "linux.resources.hugepageLimits[0].pageSize: \"2M\""),
        (r#"{"hugepageLimits":[{"pageSize":"2MB"}]}"#, "linux.resources.hugepageLimits[0].limit: missing"),
        (r#"{"blockIO":{"weight":5}}"#, "linux.resources.blockIO.weight: 5 is not between"),
        (r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0}]}}"#, "linux.resources.blockIO.weightDevice[0]: neither"),
        (
            r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"rate":1}]}}"#,
            "linux.resources.blockIO.throttleReadBpsDevice[0].minor: missing",
        ),
        (r#"{"network":{"priorities":[{"priority":1}]}}"#, "linux.resources.network.priorities[0].name: \"\""),
        (r#"{"rdma":{"mlx":{}}}"#, "linux.resources.rdma.mlx: neither"),
        (r#"{"unified":{"../x.y":"1"}}"#, "linux.resources.unified: unified resource \"../x.y\" must be a file name"),
        (r#"{"unified":{"memory":"1"}}"#, "linux.resources.unified: unified resource \"memory\" must be in the form"),
    ] {
        let error = parse(json).unwrap_err();
        assert!(error.starts_with(start), "{error}\n{start}");
    }
}

#[test]
fn the_bad_example_of_the_specification_is_refused() {
    // The test also runs where the project's files are missing, so the document is in the binary.
    let spec = crate::config::parse(include_str!("../../config/testdata/spec/bad/linux-hugepage.json")).unwrap();
    let resources = spec.linux.unwrap().resources.unwrap();
    let error = Limits::parse(&resources, "linux.resources").unwrap_err().to_string();
    assert!(error.starts_with("linux.resources.hugepageLimits[0].pageSize: "), "{error}");
}

#[test]
fn zeros_that_say_nothing_are_not_written() {
    let json = r#"{"memory":{"limit":0,"swap":0,"reservation":0},"blockIO":{"weight":0},
                   "cpu":{"shares":0,"quota":0,"period":0,"cpus":"","mems":""}}"#;
    assert_eq!(limits(json), Limits::default());
    assert_eq!(on_v1(r#"{"pids":{"limit":0}}"#), ["pids.max=0"]);
}

#[test]
fn v1_writes_the_values_as_they_are() {
    assert_eq!(
        on_v1(r#"{"memory":{"limit":4096000,"swap":8192000,"reservation":1000,"swappiness":10}}"#),
        [
            "memory.soft_limit_in_bytes=1000",
            "memory.swappiness=10",
            "memory.limit_in_bytes=4096000",
            "memory.memsw.limit_in_bytes=8192000"
        ]
    );
    assert_eq!(
        on_v1(
            r#"{"cpu":{"shares":512,"quota":-1,"period":50000,"burst":0,"cpus":"0-1","realtimePeriod":1000000,"idle":1}}"#
        ),
        [
            "cpuset.cpus=0-1",
            "cpu.rt_period_us=1000000",
            "cpu.shares=512",
            "cpu.idle=1",
            "cpu.cfs_period_us=50000",
            "cpu.cfs_quota_us=-1",
            "cpu.cfs_burst_us=0"
        ]
    );
    assert_eq!(
        on_v1(
            r#"{"network":{"classID":1048577,"priorities":[{"name":"eth0","priority":500}]},"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10000}}}"#
        ),
        ["net_cls.classid=1048577", "net_prio.ifpriomap=eth0 500", "rdma.max=mlx5_1 hca_handle=3 hca_object=10000"]
    );
}

#[test]
fn block_io_has_the_files_that_its_kernel_has() {
    let json = r#"{"blockIO":{"weight":200,"leafWeight":300,"weightDevice":[{"major":8,"minor":0,"weight":20,"leafWeight":30}]}}"#;
    assert_eq!(
        on_v1(json),
        ["blkio.weight=200", "blkio.leaf_weight=300", "blkio.weight_device=8:0 20", "blkio.leaf_weight_device=8:0 30"]
    );
    let elsewhere: Vec<_> = v1::writes(&limits(json)).unwrap().iter().filter_map(|w| w.instead.clone()).collect();
    assert_eq!(
        elsewhere.iter().map(|(file, _)| *file).collect::<Vec<_>>(),
        ["blkio.bfq.weight", "blkio.bfq.weight_device"]
    );
}

#[test]
fn v1_has_no_unified_files() {
    let error = v1::writes(&limits(r#"{"unified":{"memory.high":"1"}}"#)).unwrap_err().to_string();
    assert!(error.contains("cannot use unified on cgroup v1"), "{error}");
}

#[test]
fn limits_that_building_the_container_would_meet_are_written_late() {
    let all = limits(r#"{"memory":{"limit":1000000},"pids":{"limit":1},"cpu":{"shares":2}}"#);
    for writes in [v1::writes(&all).unwrap(), v2::writes(&all).unwrap()] {
        for write in writes {
            assert_eq!(write.moment == Moment::Late, write.controller != "cpu", "{write:?}");
        }
    }
}

#[test]
fn shares_become_the_weight_that_keeps_the_default_at_the_default() {
    for (shares, weight) in
        [(0, 1), (2, 1), (3, 2), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000), (300_000, 10_000)]
    {
        assert_eq!(v2::weight_of_shares(shares), weight, "{shares}");
    }
}

#[test]
fn every_number_of_shares_has_the_weight_of_the_formula() {
    for shares in 3..262_144u64 {
        let l = (shares as f64).log2();
        let weight = 10f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0).ceil() as u64;
        assert_eq!(v2::weight_of_shares(shares), weight, "{shares}");
    }
}

#[test]
fn swap_of_v2_is_without_memory() {
    assert_eq!(v2::swap_max(Some(300), Some(100)).unwrap(), Some(200));
    assert_eq!(v2::swap_max(Some(100), Some(100)).unwrap(), Some(0));
    assert_eq!(v2::swap_max(Some(-1), Some(100)).unwrap(), Some(-1));
    assert_eq!(v2::swap_max(None, Some(-1)).unwrap(), Some(-1));
    assert_eq!(v2::swap_max(None, Some(100)).unwrap(), None);
    assert!(v2::swap_max(Some(100), None).is_err());
    assert!(v2::swap_max(Some(100), Some(-1)).is_err());
}

#[test]
fn v2_converts_what_it_calls_by_another_name() {
    assert_eq!(
        on_v2(
            r#"{"memory":{"limit":100,"swap":300,"reservation":50},"pids":{"limit":-1},"cpu":{"quota":5000,"shares":1024}}"#
        ),
        [
            "cpu.weight=100",
            "cpu.max=5000 100000",
            "memory.low=50",
            "memory.swap.max=200",
            "memory.max=100",
            "pids.max=max"
        ]
    );
    assert_eq!(
        on_v2(
            r#"{"blockIO":{"weight":1000,"throttleReadBpsDevice":[{"major":8,"minor":1,"rate":600}]},"hugepageLimits":[{"pageSize":"2MB","limit":7}]}"#
        ),
        ["io.bfq.weight=1000", "io.max=8:1 rbps=600", "hugetlb.2MB.max=7", "hugetlb.2MB.rsvd.max=7"]
    );
    assert_eq!((v2::io_weight(10), v2::io_weight(500), v2::io_weight(1000)), (1, 4950, 10_000));
}

#[test]
fn an_idle_cgroup_gets_no_weight() {
    assert_eq!(on_v2(r#"{"cpu":{"idle":1,"shares":100}}"#), ["cpu.idle=1"]);
}

#[test]
fn each_line_of_a_unified_value_is_a_write_of_its_own() {
    assert_eq!(
        on_v2(r#"{"unified":{"io.max":"259:0 rbps=1\n253:0 wiops=2"}}"#),
        ["io.max=259:0 rbps=1", "io.max=253:0 wiops=2"]
    );
}

#[test]
fn what_only_v1_has_is_an_error_on_v2() {
    for json in [
        r#"{"memory":{"kernel":1000}}"#,
        r#"{"memory":{"kernelTCP":1000}}"#,
        r#"{"memory":{"swappiness":10}}"#,
        r#"{"memory":{"disableOOMKiller":true}}"#,
        r#"{"cpu":{"realtimeRuntime":1000}}"#,
        r#"{"blockIO":{"leafWeight":10}}"#,
        r#"{"network":{"classID":1}}"#,
        r#"{"network":{"priorities":[{"name":"lo","priority":1}]}}"#,
    ] {
        let error = v2::writes(&limits(json)).unwrap_err().to_string();
        assert!(error.contains("cgroup v2"), "{error}");
    }
}
