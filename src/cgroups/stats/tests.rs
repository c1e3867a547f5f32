use super::*;

/// A directory of files as the kernel shows them, for a version that this machine may not have.
fn cgroup(test: &str, controllers: &[&str], files: &[(&str, &str)]) -> HierarchyCgroup {
    let mount = std::env::temp_dir().join(format!("orlop-stats-{}-{test}", std::process::id()));
    std::fs::create_dir_all(mount.join("c")).unwrap();
    for (name, text) in files {
        std::fs::write(mount.join("c").join(name), text).unwrap();
    }
    let controllers = controllers.iter().map(|c| c.to_string()).collect();
    HierarchyCgroup { controllers, mount: mount.to_str().unwrap().into(), path: "/c".into(), parents: 0 }
}

#[test]
fn v1_is_told_as_its_callers_know_it() {
    let cgroup = cgroup(
        "v1",
        &["cpu", "cpuacct", "memory", "pids", "blkio", "hugetlb"],
        &[
            ("cpu.stat", "nr_periods 3\nnr_throttled 2\nthrottled_time 5000\n"),
            ("cpuacct.stat", "user 7\nsystem 2\n"),
            ("cpuacct.usage", "123\n"),
            ("cpuacct.usage_percpu", "100 23 \n"),
            ("cpuacct.usage_all", "cpu user system\n0 1 2\n1 3 4\n"),
            ("memory.stat", "cache 10\nrss 20\n"),
            ("memory.limit_in_bytes", "999\n"),
            ("memory.usage_in_bytes", "30\n"),
            ("pids.current", "4\n"),
            ("pids.max", "max\n"),
            ("blkio.throttle.io_service_bytes", "8:0 Read 5\n8:0 Total 5\nTotal 5\n"),
            ("hugetlb.2MB.limit_in_bytes", "1\n"),
            ("hugetlb.2MB.usage_in_bytes", "6\n"),
        ],
    );
    let stats = read(std::slice::from_ref(&cgroup));
    assert_eq!((stats.cpu.usage.user, stats.cpu.usage.kernel, stats.cpu.usage.total), (70_000_000, 20_000_000, 123));
    assert_eq!(
        (stats.cpu.usage.percpu_user.as_slice(), stats.cpu.usage.percpu_kernel.as_slice()),
        (&[1, 3][..], &[2, 4][..])
    );
    let json = serde_json::to_string(&stats).unwrap();
    for part in [
        r#""throttling":{"periods":3,"throttledPeriods":2,"throttledTime":5000}"#,
        r#""memory":{"cache":10,"usage":{"limit":999,"usage":30,"failcnt":0}"#,
        r#""kernelTCP":{"limit":0,"failcnt":0},"raw":{"cache":10,"rss":20}}"#,
        r#""pids":{"current":4}"#,
        r#""ioServiceBytesRecursive":[{"major":8,"op":"Read","value":5},{"major":8,"op":"Total","value":5}]"#,
        r#""hugetlb":{"2MB":{"usage":6,"failcnt":0}}"#,
    ] {
        assert!(json.contains(part), "{part}\n{json}");
    }
    std::fs::remove_dir_all(&cgroup.mount).unwrap();
}

#[test]
fn v2_is_told_under_the_names_of_v1() {
    let cgroup = cgroup(
        "v2",
        &[],
        &[
            ("cpu.stat", "usage_usec 3\nuser_usec 2\nsystem_usec 1\nnr_periods 5\nnr_throttled 1\nthrottled_usec 9\n"),
            (
                "cpu.pressure",
                "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            ),
            ("cpuset.cpus.effective", "0-2,5\n"),
            ("memory.current", "100\n"),
            ("memory.max", "max\n"),
            ("memory.swap.current", "11\n"),
            ("memory.swap.max", "max\n"),
            ("memory.stat", "anon 1\nfile 60\n"),
            ("memory.events", "low 0\nmax 4\noom 1\n"),
            ("pids.current", "2\n"),
            ("pids.max", "20\n"),
            ("io.stat", "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"),
            ("hugetlb.2MB.max", "max\n"),
            ("hugetlb.2MB.rsvd.max", "max\n"),
            ("hugetlb.2MB.rsvd.current", "9\n"),
            ("hugetlb.2MB.events", "max 3\n"),
        ],
    );
    let stats = read(std::slice::from_ref(&cgroup));
    assert_eq!((stats.cpu.usage.total, stats.cpu.throttling.throttled_time), (3000, 9000));
    assert_eq!(stats.cpu.psi.unwrap().some, Stall { avg10: 1.5, avg60: 0.25, avg300: 0.0, total: 77 });
    assert_eq!(stats.cpuset.cpus, [0, 1, 2, 5]);
    assert_eq!((stats.memory.swap.usage, stats.memory.swap.limit), (111, u64::MAX));
    assert_eq!((stats.memory.cache, stats.memory.usage.failcnt), (60, 4));
    assert_eq!((stats.pids.current, stats.pids.limit), (2, 20));
    assert_eq!(
        stats.blkio.counters.get("ioServiceBytesRecursive").unwrap()[1],
        BlkioEntry { major: 8, minor: 16, op: "Write".into(), value: 2 }
    );
    assert_eq!(*stats.hugetlb.get("2MB").unwrap(), Hugetlb { usage: 9, max: 0, failcnt: 3 });
    std::fs::remove_dir_all(&cgroup.mount).unwrap();
}
