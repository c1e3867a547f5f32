//! The delete operation.

use crate::bench::prelude::*;
use std::path::{Path, PathBuf};

/// The directories of the container's cgroups that the suite's `cgroupsPath` leads to.
fn cgroups_of(t: &Trial, id: &str) -> Vec<PathBuf> {
    let parent = t.bench.cgroup.trim_start_matches('/');
    t.machine().hierarchies().into_iter().map(|dir| dir.join(parent).join(id)).filter(|dir| dir.exists()).collect()
}

cases! {
    /// `delete` without arguments.
    ["delete.no-id"]
    fn delete_without_an_id_is_an_error(t) {
        t.runtime(&["delete"])?.expect_failure("delete")?;
    }

    /// `delete` of an id that was never used.
    ["delete.not-stopped"]
    fn delete_of_a_container_that_does_not_exist_is_an_error(t) {
        t.runtime(&["delete", "ort-there-is-no-such-container"])?.expect_failure("delete")?;
    }

    /// `delete` of a running container fails, and the program runs on.
    ["delete.not-stopped"]
    fn delete_of_a_running_container_is_an_error_without_effect(t) {
        let c = t.bundle()?.does(&["wait"]).live()?;
        c.call("delete", &[])?.expect_failure("delete")?;
        equal("status", c.status()?, "running")?;
    }

    /// `delete` of a created container fails, and the container can be started.
    ["delete.not-stopped"]
    fn delete_of_a_created_container_is_an_error_without_effect(t) {
        let c = t.bundle()?.does(&["wait"]).create()?;
        c.call("delete", &[])?.expect_failure("delete")?;
        equal("status", c.status()?, "created")?;
        c.start()?;
        c.until_waiting()?;
    }

    /// A second `delete` fails.
    ["delete.not-stopped"]
    fn a_second_delete_is_an_error(t) {
        let c = t.bundle()?.start()?;
        c.finish()?;
        c.delete()?;
        c.call("delete", &[])?.expect_failure("delete")?;
    }

    /// After `delete` the runtime knows nothing of the container.
    ["delete.resources", "lifecycle.destroyed"]
    fn a_deleted_container_has_no_state(t) {
        let c = t.bundle()?.start()?;
        c.finish()?;
        c.delete()?;
        c.must_not_exist()?;
    }

    /// No directory of the container's cgroups is left in any hierarchy.
    ["delete.resources", "lifecycle.destroyed"]
    fn delete_removes_the_cgroups(t) {
        let c = t.bundle()?.does(&["wait"]).live()?;
        let before = cgroups_of(t, &c.id);
        if before.is_empty() && !t.bench.systemd {
            return skip("the runtime made no cgroup at the path of the config");
        }
        c.stop()?;
        c.delete()?;
        equal("cgroups that are left", cgroups_of(t, &c.id), Vec::<PathBuf>::new())?;
    }

    /// A child that the program left in a shared pid namespace is not in the way of `delete`, and is gone after it.
    ["delete.resources"]
    fn delete_ends_processes_that_the_program_left_behind(t) {
        t.needs_root()?;
        let c = t.bundle()?.without_namespace("pid").does(&["forks 1", "exit 0"]).start()?;
        c.finish()?;
        let child = std::fs::read_dir("/proc")?.flatten().find_map(|entry| {
            let path = entry.path().join("cgroup");
            std::fs::read_to_string(path).ok().filter(|text| text.contains(&c.id))?;
            Some(entry.path())
        });
        c.delete()?;
        let Some(child) = child else { bail!("the child of the program was gone before delete") };
        let deadline = std::time::Instant::now() + crate::bench::container::patience();
        let runs = || std::fs::read_to_string(child.join("stat")).is_ok_and(|stat| !stat.contains(") Z"));
        while runs() {
            ensure!(std::time::Instant::now() < deadline, "{} still runs", child.display());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Nothing of the runtime's is left in its state directory.
    ["delete.resources"]
    fn delete_leaves_nothing_in_the_runtimes_directory(t) {
        let c = t.bundle()?.start()?;
        c.finish()?;
        c.delete()?;
        let root = t.bench.work.join("state");
        let left = walk(&root).into_iter().find(|path| path.to_string_lossy().contains(&c.id));
        equal("what is left", left, None::<PathBuf>)?;
    }

    /// The bundle is there after `delete`, with its config and its root filesystem.
    ["delete.foreign-resources"]
    fn delete_keeps_the_bundle(t) {
        let c = t.bundle()?.start()?;
        c.finish()?;
        c.delete()?;
        for name in ["config.json", "rootfs/probe", "rootfs/etc/passwd"] {
            ensure!(c.bundle.join(name).exists(), "{name} is gone");
        }
    }

    /// What was bound into the container is there after `delete`.
    ["delete.foreign-resources"]
    fn delete_keeps_the_source_of_a_bind_mount(t) {
        let source = t.path("source");
        std::fs::create_dir(&source)?;
        std::fs::write(format!("{source}/file"), "kept")?;
        let c = t.bundle()?.bind(&source, "/data", &["rw"]).does(&["read /data/file"]).start()?;
        equal("file inside", c.finish()?.text_of("read /data/file")?, "kept")?;
        c.delete()?;
        equal("file outside", std::fs::read_to_string(format!("{source}/file"))?, "kept")?;
    }

    /// A network namespace that the config joins by path is there after `delete`.
    ["delete.foreign-resources"]
    fn delete_keeps_a_namespace_that_the_container_joined(t) {
        t.needs_root()?;
        let owner = t.bundle()?.does(&["wait"]).live()?;
        let path = owner.proc("ns/net")?;
        let before = std::fs::read_link(&path)?;
        let c = t.bundle()?.namespace("network", Some(&path)).start()?;
        c.finish()?;
        c.delete()?;
        equal("namespace of the other container", std::fs::read_link(&path)?, before)?;
        equal("status of the other container", owner.status()?, "running")?;
    }

    /// The cgroup above the container's, which was there before, is there after `delete`.
    ["delete.foreign-resources"]
    fn delete_keeps_the_cgroup_above_the_containers(t) {
        t.needs_root()?;
        t.controller_is_v1("pids")?;
        if t.bench.systemd {
            return skip("with systemd the parent is a slice of systemd's");
        }
        let name = format!("{}/parent-{}", t.bench.cgroup.trim_start_matches('/'), crate::bench::runtime::unique());
        let dirs: Vec<PathBuf> = t.machine().hierarchies().iter().map(|dir| dir.join(&name)).collect();
        for dir in &dirs {
            std::fs::create_dir_all(dir)?;
        }
        let c = t.bundle()?.set("/linux/cgroupsPath", format!("/{name}/child")).start()?;
        c.finish()?;
        c.delete()?;
        for dir in dirs {
            ensure!(!dir.join("child").exists(), "{}/child is left", dir.display());
            ensure!(dir.exists(), "{} is gone", dir.display());
            std::fs::remove_dir(&dir)?;
        }
    }

    /// The id of a deleted container is used again.
    ["delete.id-free"]
    fn the_id_of_a_deleted_container_can_be_used_again(t) {
        let first = t.bundle()?.start()?;
        first.finish()?;
        first.delete()?;
        let mut second = t.bundle()?;
        second.id = first.id.clone();
        second.observe()?.value("report")?;
    }

    /// A container that was killed before it was started can be deleted.
    ["delete.resources"]
    fn a_container_that_never_ran_can_be_deleted(t) {
        let c = t.bundle()?.create()?;
        c.stop()?;
        c.delete()?;
        c.must_not_exist()?;
    }
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        all.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(walk(&entry.path()));
        }
    }
    all
}
