//! `linux.cgroupsPath`, ownership, fitness.

use crate::bench::cgroup::control;
use crate::bench::prelude::*;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Where paths in the filesystem are meant: not with systemd's names.
fn plain_paths(t: &Trial) -> Result<()> {
    t.needs_root()?;
    t.controller_is_v1("pids")?;
    if t.bench.systemd { skip("with systemd cgroup paths have another form") } else { Ok(()) }
}

fn hierarchy(t: &Trial) -> Result<(Option<&'static str>, PathBuf)> {
    let v1 = t.controller_is_v1("pids")?;
    let machine = t.machine();
    let mount = if v1 { machine.v1.get("pids") } else { machine.unified.as_ref() };
    Ok((v1.then_some("pids"), mount.context("no hierarchy")?.clone()))
}

cases! {
    /// The group is at the path below the mount point.
    ["cgroups.path.absolute", "cgroups.path.created"]
    fn an_absolute_cgroups_path_is_below_the_mount_point(t) {
        plain_paths(t)?;
        let (controller, mount) = hierarchy(t)?;
        let b = t.bundle()?.does(&["wait"]);
        let path = b.config["linux"]["cgroupsPath"].as_str().context("path")?.to_owned();
        let c = b.live()?;
        equal("group", c.cgroup_dir(controller)?, mount.join(path.trim_start_matches('/')))?;
    }

    /// Groups above the container's are made.
    ["cgroups.path.created"]
    fn missing_groups_above_the_containers_are_made(t) {
        plain_paths(t)?;
        let (controller, mount) = hierarchy(t)?;
        let path = format!("{}/deep-{}/a/b", t.bench.cgroup, crate::bench::runtime::unique());
        let c = t.bundle()?.set("/linux/cgroupsPath", path.clone()).does(&["wait"]).live()?;
        equal("group", c.cgroup_dir(controller)?, mount.join(path.trim_start_matches('/')))?;
        c.stop()?;
        c.delete()?;
    }

    /// Two lives with the same path are in the same place.
    ["cgroups.path.consistent"]
    fn the_same_cgroups_path_leads_to_the_same_place(t) {
        plain_paths(t)?;
        let (controller, _) = hierarchy(t)?;
        let path = format!("{}/same-{}", t.bench.cgroup, crate::bench::runtime::unique());
        let place = || -> Result<PathBuf> {
            let c = t.bundle()?.set("/linux/cgroupsPath", path.clone()).does(&["wait"]).live()?;
            let place = c.cgroup_dir(controller)?;
            c.stop()?;
            c.delete()?;
            Ok(place)
        };
        equal("group", place()?, place()?)?;
    }

    /// The same for a relative path.
    ["cgroups.path.relative", "cgroups.path.consistent"]
    fn the_same_relative_cgroups_path_leads_to_the_same_place(t) {
        plain_paths(t)?;
        let (controller, _) = hierarchy(t)?;
        let path = format!("ort-relative-{}-{}", std::process::id(), crate::bench::runtime::unique());
        let place = || -> Result<PathBuf> {
            let c = t.bundle()?.set("/linux/cgroupsPath", path.clone()).does(&["wait"]).live()?;
            let place = c.cgroup_dir(controller)?;
            c.stop()?;
            c.delete()?;
            Ok(place)
        };
        let first = place()?;
        equal("group", place()?, first.clone())?;
        ensure!(!first.exists(), "{} is left", first.display());
    }

    /// Without a path the container has a group of its own, which goes with it.
    ["cgroups.path.default"]
    fn without_a_cgroups_path_the_container_has_a_group_of_its_own(t) {
        plain_paths(t)?;
        let (controller, mount) = hierarchy(t)?;
        let c = t.bundle()?.remove("/linux/cgroupsPath").does(&["wait"]).live()?;
        let place = c.cgroup_dir(controller)?;
        ensure!(place != mount, "the container is in the root group");
        c.stop()?;
        c.delete()?;
        ensure!(!place.exists(), "{} is left", place.display());
    }

    /// The container is in a group of its own in every hierarchy that has a controller.
    ["cgroups.path.absolute"]
    fn the_container_is_at_the_path_in_every_v1_hierarchy(t) {
        plain_paths(t)?;
        if t.machine().v1.is_empty() {
            return skip("this machine has no v1 hierarchy");
        }
        let b = t.bundle()?.does(&["wait"]);
        let path = b.config["linux"]["cgroupsPath"].as_str().context("path")?.to_owned();
        let c = b.live()?;
        for (controller, mount) in t.machine().v1.iter().filter(|(name, _)| !name.starts_with("name=")) {
            equal(controller, c.cgroup_dir(Some(controller))?, mount.join(path.trim_start_matches('/')))?;
        }
    }

    /// A path that climbs must not lead out of the hierarchy.
    ["cgroups.path.invalid"]
    fn a_cgroups_path_that_climbs_stays_in_the_hierarchy(t) {
        plain_paths(t)?;
        let (controller, mount) = hierarchy(t)?;
        let name = format!("climbs-{}", crate::bench::runtime::unique());
        let up = "../".repeat(20);
        let path = format!("{}/{up}{}/{name}", t.bench.cgroup, t.bench.cgroup.trim_start_matches('/'));
        let (c, created) = t.bundle()?.set("/linux/cgroupsPath", path).does(&["wait"]).try_create()?;
        if created.succeeded() {
            let place = c.cgroup_dir(controller)?;
            ensure!(place.starts_with(&mount), "the group is {}", place.display());
            ensure!(!place.display().to_string().contains(".."), "the group is {}", place.display());
            c.stop()?;
            c.delete()?;
        }
        let outside = std::path::Path::new(&t.bench.cgroup);
        let escaped = outside.join(&name).exists();
        // No group, but common files where the runtime took it for one.
        let _ = std::fs::remove_dir_all(outside);
        ensure!(!escaped, "a directory was made at {}", outside.join(&name).display());
    }

    /// A group with somebody in it: a runtime may take it or refuse it, but must not harm who is there.
    ["cgroups.unfit"]
    fn a_process_in_the_group_beforehand_is_not_harmed(t) {
        plain_paths(t)?;
        let (_, mount) = hierarchy(t)?;
        let path = format!("{}/full-{}", t.bench.cgroup, crate::bench::runtime::unique());
        let dir = mount.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(&dir)?;
        let mut guest = std::process::Command::new("/bin/sleep").arg("60").spawn()?;
        std::fs::write(dir.join("cgroup.procs"), guest.id().to_string())?;
        let (c, created) = t.bundle()?.set("/linux/cgroupsPath", path).try_create()?;
        let alive = guest.try_wait()?.is_none();
        guest.kill()?;
        guest.wait()?;
        ensure!(alive, "the process that was in the group is gone");
        if created.succeeded() {
            c.stop()?;
            c.delete()?;
        }
        drop(c);
        crate::bench::cgroup::remove_tree(&dir);
    }

    /// A frozen group: `create` fails or the container runs, but nothing hangs.
    ["cgroups.unfit"]
    fn a_frozen_group_is_no_trap(t) {
        plain_paths(t)?;
        let v1 = t.controller_is_v1("freezer")?;
        let machine = t.machine();
        let mount = if v1 { machine.v1.get("freezer") } else { machine.unified.as_ref() }.context("no freezer")?;
        let path = format!("{}/frozen-{}", t.bench.cgroup, crate::bench::runtime::unique());
        let dir = mount.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(&dir)?;
        let thaw = if v1 { ("freezer.state", "THAWED") } else { ("cgroup.freeze", "0") };
        let freeze = if v1 { ("freezer.state", "FROZEN") } else { ("cgroup.freeze", "1") };
        std::fs::write(dir.join(freeze.0), freeze.1)?;
        let result = t.bundle()?.set("/linux/cgroupsPath", path).try_create();
        // Thawed before the container goes, so that it can go.
        let _ = std::fs::write(dir.join(thaw.0), thaw.1);
        let (c, _) = result?;
        drop(c);
        crate::bench::cgroup::remove_tree(&dir);
    }

    /// On v1 the group stays root's, also with a cgroup namespace and a writable mount.
    ["cgroups.owner.v1"]
    fn the_owner_of_a_v1_group_is_not_changed(t) {
        plain_paths(t)?;
        if !t.controller_is_v1("pids")? {
            return skip("this machine has cgroup v2");
        }
        let b = t.bundle()?.namespace("cgroup", None).set("/process/user", json!({"uid": 1000, "gid": 1000}));
        let c = b.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw"]).does(&["wait"]).live()?;
        equal("owner", std::fs::metadata(c.cgroup_dir(Some("pids"))?)?.uid(), 0)?;
    }

    /// On v2, without a cgroup namespace, the group stays root's.
    ["cgroups.owner.no-namespace"]
    fn the_owner_of_a_group_is_not_changed_without_a_cgroup_namespace(t) {
        plain_paths(t)?;
        let (controller, _) = hierarchy(t)?;
        let b = t.bundle()?.set("/process/user", json!({"uid": 1000, "gid": 1000}));
        let c = b.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw"]).does(&["wait"]).live()?;
        equal("owner", std::fs::metadata(c.cgroup_dir(controller)?)?.uid(), 0)?;
    }

    /// On v2, with a cgroup namespace and a writable mount, the group is the program's.
    ["cgroups.owner.writable", "cgroups.owner.delegate"]
    fn the_owner_of_a_v2_group_is_the_program_when_it_may_write(t) {
        plain_paths(t)?;
        if t.controller_is_v1("pids")? {
            return skip("this machine has cgroup v1");
        }
        let b = t.bundle()?.namespace("cgroup", None).user_namespace(200_000)?;
        let c = b.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw"]).does(&["wait"]).live()?;
        let dir = c.cgroup_dir(None)?;
        equal("owner of the group", std::fs::metadata(&dir)?.uid(), 200_000)?;
        equal("owner of cgroup.procs", std::fs::metadata(dir.join("cgroup.procs"))?.uid(), 200_000)?;
        equal("owner of memory.max", std::fs::metadata(dir.join("memory.max"))?.uid(), 0)?;
    }

    /// On v2, with a read-only mount, the group stays root's.
    ["cgroups.owner.writable"]
    fn the_owner_of_a_v2_group_is_not_changed_when_its_mount_is_readonly(t) {
        plain_paths(t)?;
        if t.controller_is_v1("pids")? {
            return skip("this machine has cgroup v1");
        }
        let b = t.bundle()?.namespace("cgroup", None).user_namespace(200_000)?;
        let c = b.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]).does(&["wait"]).live()?;
        equal("owner of the group", std::fs::metadata(c.cgroup_dir(None)?)?.uid(), 0)?;
    }

    /// A raw setting on v2.
    ["unified", "unified.controllers"]
    fn a_unified_setting_is_written(t) {
        plain_paths(t)?;
        if t.controller_is_v1("pids")? {
            return skip("this machine has cgroup v1");
        }
        let c = t.bundle()?.set("/linux/resources/unified", json!({"pids.max": "55"})).does(&["wait"]).live()?;
        equal("pids.max", c.control(&control("pids", "", "pids.max"))?, "55")?;
    }

    /// A file that a runtime cannot know by name is written all the same.
    ["unified.unknown"]
    fn a_unified_setting_that_no_runtime_knows_is_written(t) {
        plain_paths(t)?;
        if t.controller_is_v1("pids")? {
            return skip("this machine has cgroup v1");
        }
        let c = t.bundle()?.set("/linux/resources/unified", json!({"cgroup.max.depth": "7"})).does(&["wait"]).live()?;
        equal("cgroup.max.depth", std::fs::read_to_string(c.cgroup_dir(None)?.join("cgroup.max.depth"))?.trim(), "7")?;
    }

    /// A controller that the kernel does not have.
    ["unified.missing"]
    fn a_unified_setting_of_a_missing_controller_is_refused(t) {
        plain_paths(t)?;
        t.bundle()?.set("/linux/resources/unified", json!({"nosuchcontroller.max": "1"})).refused()?;
    }

    /// The unified hierarchy of a machine whose controllers are on v1.
    ["unified.missing"]
    fn a_unified_setting_on_a_v1_machine_is_refused(t) {
        plain_paths(t)?;
        if !t.controller_is_v1("pids")? {
            return skip("this machine has cgroup v2");
        }
        t.bundle()?.set("/linux/resources/unified", json!({"pids.max": "55"})).refused()?;
    }
}
