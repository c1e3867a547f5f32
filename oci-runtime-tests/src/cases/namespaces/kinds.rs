//! What each namespace hides or maps, and what must be refused.

use super::combined::words;
use super::*;

cases! {
    /// The program is the first process of its pid namespace.
    ["ns.pid"]
    fn the_program_is_the_first_process_in_a_new_pid_namespace(t) {
        same("pid", t.bundle()?.observe()?.report("/pid")?, 1)?;
    }

    /// /proc of a container shows its own processes alone.
    ["ns.pid"]
    fn the_processes_of_the_host_are_not_seen(t) {
        let seen = t.bundle()?.does(&["list /proc"]).observe()?;
        let names = seen.value("list /proc")?.as_array().cloned().unwrap_or_default();
        let pids: Vec<&str> = names.iter().filter_map(Value::as_str).filter(|n| n.parse::<u32>().is_ok()).collect();
        equal("processes", pids, ["1"])?;
    }

    /// A device that the suite makes outside is not seen in a new network namespace, which has its own loopback.
    ["ns.network"]
    fn the_network_devices_of_the_host_are_not_seen(t) {
        needs(t, "network")?;
        let theirs = crate::cases::netdevices::virtual_device(t)?;
        let text = t.bundle()?.does(&["read /proc/net/dev"]).observe()?.text_of("read /proc/net/dev")?;
        let names: Vec<&str> = text.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim).collect();
        ensure!(!names.contains(&theirs.as_str()), "the host's device is among {names:?}");
        holds("there is a loopback device", names.contains(&"lo"))?;
    }

    /// System V shared memory of the suite is not seen.
    ["ns.ipc"]
    fn the_ipc_objects_of_the_host_are_not_seen(t) {
        let _object = crate::sys::SharedMemory::new()?;
        let text = t.bundle()?.does(&["read /proc/sysvipc/shm"]).observe()?.text_of("read /proc/sysvipc/shm")?;
        equal("lines in /proc/sysvipc/shm", text.lines().count(), 1)?;
    }

    /// A mount that is made inside is not seen outside.
    ["ns.mount"]
    fn mounts_inside_are_not_seen_outside(t) {
        let b = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &[]).does(&["wait"]);
        let point = b.rootfs().join("data").display().to_string();
        let _c = b.live()?;
        let ours = std::fs::read_to_string("/proc/self/mountinfo")?;
        ensure!(!ours.contains(&point), "{point} is mounted in the suite's mount namespace");
    }

    /// In a cgroup namespace the own group is the root.
    ["ns.cgroup"]
    fn the_cgroup_of_the_program_is_the_root_of_its_cgroup_namespace(t) {
        needs(t, "cgroup")?;
        let seen = t.bundle()?.namespace("cgroup", None).observe()?;
        for line in seen.report_text("/cgroup")?.lines() {
            ensure!(line.ends_with(":/"), "the line {line:?} shows more than the namespace");
        }
    }

    /// The map is that of the config.
    ["idmap.uid", "ns.user"]
    fn the_uid_map_is_that_of_the_config(t) {
        needs(t, "user")?;
        let seen = t.bundle()?.user_namespace(200_000)?.observe()?;
        let map: Vec<&str> = seen.report_text("/uid_map")?.split_whitespace().collect();
        equal("uid_map", map, ["0", "200000", "65536"])?;
    }

    /// The map is that of the config.
    ["idmap.gid", "ns.user"]
    fn the_gid_map_is_that_of_the_config(t) {
        needs(t, "user")?;
        let seen = t.bundle()?.user_namespace(200_000)?.observe()?;
        let map: Vec<&str> = seen.report_text("/gid_map")?.split_whitespace().collect();
        equal("gid_map", map, ["0", "200000", "65536"])?;
    }

    /// Several ranges.
    ["idmap.uid", "idmap.gid"]
    fn several_ranges_of_ids_are_mapped(t) {
        needs(t, "user")?;
        let map = json!([
            {"containerID": 0, "hostID": 200_000, "size": 1000},
            {"containerID": 1000, "hostID": 300_000, "size": 5},
        ]);
        let b = t.bundle()?.user_namespace(200_000)?;
        let seen = b.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map).observe()?;
        let words = |name: &str| -> Result<Vec<u32>> {
            Ok(seen.report_text(name)?.split_whitespace().filter_map(|w| w.parse().ok()).collect())
        };
        equal("uid_map", words("/uid_map")?, [0, 200_000, 1000, 1000, 300_000, 5])?;
        equal("gid_map", words("/gid_map")?, [0, 200_000, 1000, 1000, 300_000, 5])?;
    }

    /// The root of the container is the first id of the range outside.
    ["ns.user"]
    fn root_inside_is_another_user_outside(t) {
        needs(t, "user")?;
        let c = t.bundle()?.user_namespace(200_000)?.does(&["report", "wait"]).live()?;
        same("uid inside", c.seen_so_far()?.report("/uid/0")?, 0)?;
        equal("uid outside", procfs::process::Process::new(c.pid()?)?.status()?.euid, 200_000)?;
    }

    /// Files of the root filesystem keep their owner outside.
    ["idmap.no-chown"]
    fn the_owners_of_files_are_not_changed_for_a_mapping(t) {
        needs(t, "user")?;
        let b = t.bundle()?.user_namespace(200_000)?.file("/of-root", "x")?;
        let file = b.rootfs().join("of-root");
        std::os::unix::fs::chown(&file, Some(0), Some(0))?;
        let c = b.does(&["stat /of-root"]).start()?;
        let seen = c.finish()?;
        same("owner inside", &seen.value("stat /of-root")?["uid"], 65534)?;
        equal("owner outside", std::fs::metadata(&file)?.uid(), 0)?;
    }

    /// A mapping without a user namespace.
    ["idmap.uid", "create.cannot-apply"]
    fn mappings_without_a_user_namespace_are_refused(t) {
        let map = json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]);
        t.bundle()?.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map).refused()?;
    }

    /// A user namespace without mappings has no ids to run with.
    ["idmap.uid", "create.cannot-apply"]
    fn a_user_namespace_without_mappings_is_an_error(t) {
        needs(t, "user")?;
        t.bundle()?.namespace("user", None).refused()?;
    }

    /// Ranges that overlap.
    ["idmap.uid", "valid-values"]
    fn overlapping_ranges_of_ids_are_refused(t) {
        needs(t, "user")?;
        let map = json!([
            {"containerID": 0, "hostID": 200_000, "size": 1000},
            {"containerID": 500, "hostID": 300_000, "size": 1000},
        ]);
        t.bundle()?.user_namespace(200_000)?.set("/linux/uidMappings", map).refused()?;
    }

    /// A range of size 0.
    ["idmap.uid", "valid-values"]
    fn a_range_of_no_ids_is_refused(t) {
        needs(t, "user")?;
        let map = json!([{"containerID": 0, "hostID": 200_000, "size": 0}]);
        t.bundle()?.user_namespace(200_000)?.set("/linux/uidMappings", map).refused()?;
    }

    /// A type that does not exist.
    ["ns.types", "valid-values"]
    fn an_unknown_namespace_type_is_refused(t) {
        t.bundle()?.set("/linux/namespaces/-", json!({"type": "nosuch"})).refused()?;
    }

    /// An entry without a type.
    ["ns.types", "valid-values"]
    fn a_namespace_without_a_type_is_refused(t) {
        t.bundle()?.set("/linux/namespaces/-", json!({})).refused()?;
    }

    /// A relative path.
    ["ns.path.absolute"]
    fn a_relative_namespace_path_is_refused(t) {
        t.needs_root()?;
        t.bundle()?.namespace("network", Some("proc/self/ns/net")).refused()?;
    }

    /// A path that does not exist.
    ["ns.path.joined", "create.cannot-apply"]
    fn a_namespace_path_that_does_not_exist_is_refused(t) {
        t.needs_root()?;
        t.bundle()?.namespace("network", Some("/proc/4194304/ns/net")).refused()?;
    }

    /// A path that leads to an ordinary file.
    ["ns.path.wrong-type"]
    fn a_namespace_path_that_is_a_file_is_refused(t) {
        t.needs_root()?;
        t.bundle()?.namespace("network", Some("/etc/hostname")).refused()?;
    }

    /// A namespace that is kept by a bind mount, as network namespaces with names are.
    ["ns.path.joined"]
    fn a_namespace_that_a_bind_mount_keeps_is_joined(t) {
        t.needs_root()?;
        let kept = t.dir.join("kept");
        std::fs::write(&kept, "")?;
        let inode = {
            let owner = t.bundle()?.does(&["wait"]).live()?;
            crate::bench::mounts::bind(std::path::Path::new(&owner.proc("ns/net")?), &kept)?;
            std::fs::metadata(&kept)?.ino()
        };
        let seen = t.bundle()?.namespace("network", Some(&kept.display().to_string())).observe()?;
        equal("network namespace", seen.report_text("/namespaces/net")?, format!("net:[{inode}]").as_str())?;
    }

    /// The host name inside, and the one outside, which must not change.
    ["hostname", "ns.uts"]
    fn the_hostname_is_set_inside_alone(t) {
        let before = nix::unistd::gethostname()?;
        let seen = t.bundle()?.set("/hostname", "slartibartfast").observe()?;
        same("host name inside", seen.report("/names/1")?, "slartibartfast")?;
        equal("host name outside", nix::unistd::gethostname()?, before)?;
    }

    /// The domain name inside.
    ["domainname", "ns.uts"]
    fn the_domainname_is_set_inside(t) {
        t.needs_version(1)?;
        let seen = t.bundle()?.set("/domainname", "foobarbaz.test").observe()?;
        same("domain name", seen.report("/names/5")?, "foobarbaz.test")?;
    }

    /// Without a host name that of the runtime stays in a new namespace.
    ["hostname"]
    fn without_a_hostname_that_of_the_host_stays(t) {
        let seen = t.bundle()?.remove("/hostname").observe()?;
        same("host name", seen.report("/names/1")?, nix::unistd::gethostname()?.to_string_lossy().into_owned())?;
    }

    /// A host name without a namespace for it would change the host's.
    ["hostname", "valid-values"]
    fn a_hostname_without_a_uts_namespace_leaves_the_host_alone(t) {
        t.needs_root()?;
        let before = nix::unistd::gethostname()?;
        let (_c, _) = t.bundle()?.without_namespace("uts").set("/hostname", "ort-escaped").try_create()?;
        let after = nix::unistd::gethostname()?;
        nix::unistd::sethostname(&before)?;
        equal("host name outside", after, before)?;
    }

    /// A host name that is longer than the kernel takes.
    ["hostname", "create.cannot-apply"]
    fn a_hostname_that_is_too_long_is_an_error(t) {
        t.bundle()?.set("/hostname", "x".repeat(65)).refused()?;
    }

    /// A host name of the greatest length.
    ["hostname"]
    fn the_longest_hostname_is_set(t) {
        let name = "x".repeat(64);
        same("host name", t.bundle()?.set("/hostname", name.clone()).observe()?.report("/names/1")?, name)?;
    }

    /// A monotonic clock that is two days ahead.
    ["time-offsets", "ns.time"]
    fn the_monotonic_clock_has_its_offset(t) {
        needs(t, "time")?;
        let b = t.bundle()?.namespace("time", None).set("/linux/timeOffsets/monotonic", json!({"secs": 172_800, "nanosecs": 5}));
        let seen = b.observe()?;
        contains("offsets", &words(seen.report_text("/timens_offsets")?), "monotonic 172800 5")?;
        let inside = seen.report("/clocks/monotonic/0")?.as_i64().unwrap_or_default();
        ensure!(inside > 172_800, "the clock inside is {inside}");
    }

    /// A boot time that is a week ahead.
    ["time-offsets", "ns.time"]
    fn the_boottime_clock_has_its_offset(t) {
        needs(t, "time")?;
        let b = t.bundle()?.namespace("time", None).set("/linux/timeOffsets/boottime", json!({"secs": 604_800}));
        contains("offsets", &words(b.observe()?.report_text("/timens_offsets")?), "boottime 604800 0")?;
    }

    /// Offsets without a time namespace cannot be applied.
    ["time-offsets", "create.cannot-apply"]
    fn time_offsets_without_a_time_namespace_are_refused(t) {
        needs(t, "time")?;
        t.bundle()?.set("/linux/timeOffsets/monotonic", json!({"secs": 10})).refused()?;
    }

    /// A clock that does not exist.
    ["time-offsets", "valid-values"]
    fn an_unknown_clock_is_refused(t) {
        needs(t, "time")?;
        t.bundle()?.namespace("time", None).set("/linux/timeOffsets/nosuch", json!({"secs": 10})).refused()?;
    }
}
