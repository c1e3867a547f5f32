//! The create operation.

use crate::bench::prelude::*;

cases! {
    /// Creates and looks: the program must not have said anything.
    ["create.args-not-applied", "lifecycle.program-not-run"]
    fn create_does_not_run_the_program(t) {
        let c = t.bundle()?.does(&["report"]).create()?;
        std::thread::sleep(std::time::Duration::from_millis(100));
        equal("what the program said", c.seen_so_far()?.text, "")?;
        equal("status", c.status()?, "created")?;
    }

    /// After `create` the id can be asked for; `start`, `kill` and `delete` take it too.
    ["create.new-container", "scope.same-container", "operations.supported"]
    fn a_created_container_takes_every_operation(t) {
        let c = t.bundle()?.does(&["wait"]).create()?;
        c.state()?;
        c.start()?;
        c.until_waiting()?;
        c.stop()?;
        c.delete()?;
    }

    /// `create` without any argument, in a directory that is no bundle.
    ["create.no-id"]
    fn create_without_an_id_is_an_error(t) {
        t.runtime(&["create"])?.expect_failure("create")?;
    }

    /// `create` with an id alone, in a directory without a config.
    ["create.no-id"]
    fn create_where_there_is_no_bundle_is_an_error(t) {
        let dir = t.path("empty");
        std::fs::create_dir(&dir)?;
        t.runtime(&["create", "--bundle", &dir, "ort-nothing"])?.expect_failure("create")?;
        t.runtime(&["state", "ort-nothing"])?.expect_failure("state")?;
    }

    /// The bundle's path does not exist.
    ["create.no-id"]
    fn a_bundle_path_that_does_not_exist_is_an_error(t) {
        let dir = t.path("missing");
        t.runtime(&["create", "--bundle", &dir, "ort-nowhere"])?.expect_failure("create")?;
        t.runtime(&["state", "ort-nowhere"])?.expect_failure("state")?;
    }

    /// A second `create` with the id of a created container fails, and the first container goes on.
    ["create.id-taken", "state.id-unique"]
    fn the_id_of_a_created_container_is_refused(t) {
        let first = t.bundle()?.does(&["wait"]).create()?;
        let mut second = t.bundle()?;
        second.write()?;
        second.id = first.id.clone();
        let args = ["create", "--bundle", &second.dir.display().to_string(), &second.id];
        t.runtime(&args)?.expect_failure("create")?;
        same("bundle", &first.state()?["bundle"], json!(first.bundle.display().to_string()))?;
        first.start()?;
        first.until_waiting()?;
    }

    /// A second `create` with the id of a running container fails, and the first container goes on.
    ["create.id-taken"]
    fn the_id_of_a_running_container_is_refused(t) {
        let first = t.bundle()?.does(&["wait"]).live()?;
        let second = t.bundle()?;
        second.write()?;
        t.runtime(&["create", "--bundle", &second.dir.display().to_string(), &first.id])?.expect_failure("create")?;
        equal("status of the first", first.status()?, "running")?;
    }

    /// The id of a stopped container is still taken until it is deleted.
    ["create.id-taken"]
    fn the_id_of_a_stopped_container_is_refused(t) {
        let first = t.bundle()?.start()?;
        first.finish()?;
        let second = t.bundle()?;
        second.write()?;
        t.runtime(&["create", "--bundle", &second.dir.display().to_string(), &first.id])?.expect_failure("create")?;
        equal("status of the first", first.status()?, "stopped")?;
    }

    /// An id that would lead out of the runtime's directory.
    ["create.id-taken"]
    fn an_id_that_walks_up_is_refused(t) {
        let b = t.bundle()?;
        b.write()?;
        let dir = b.dir.display().to_string();
        t.runtime(&["create", "--bundle", &dir, "../ort-escaped"])?.expect_failure("create")?;
        ensure!(!t.bench.work.join("ort-escaped").exists(), "the runtime wrote outside of its directory");
    }

    /// An id with a slash.
    ["create.id-taken"]
    fn an_id_with_a_slash_is_refused(t) {
        let b = t.bundle()?;
        b.write()?;
        t.runtime(&["create", "--bundle", &b.dir.display().to_string(), "ort/slash"])?.expect_failure("create")?;
    }

    /// The empty id.
    ["create.id-taken"]
    fn the_empty_id_is_refused(t) {
        let b = t.bundle()?;
        b.write()?;
        t.runtime(&["create", "--bundle", &b.dir.display().to_string(), ""])?.expect_failure("create")?;
    }

    /// An id of one or two dots.
    ["create.id-taken"]
    fn an_id_of_dots_is_refused(t) {
        let b = t.bundle()?;
        b.write()?;
        let dir = b.dir.display().to_string();
        t.runtime(&["create", "--bundle", &dir, "."])?.expect_failure("create with the id `.`")?;
        t.runtime(&["create", "--bundle", &dir, ".."])?.expect_failure("create with the id `..`")?;
    }

    /// A bundle without `config.json`.
    ["lifecycle.environment-error"]
    fn a_bundle_without_a_config_is_refused(t) {
        let b = t.bundle()?;
        t.runtime(&["create", "--bundle", &b.dir.display().to_string(), &b.id])?.expect_failure("create")?;
        t.runtime(&["state", &b.id])?.expect_failure("state")?;
    }

    /// The program's arguments are changed in `config.json` between `create` and `start`.
    ["lifecycle.config-updates", "create.later-changes"]
    fn changes_of_the_config_after_create_have_no_effect_on_the_program(t) {
        let c = t.bundle()?.does(&["read /etc/group"]).create()?;
        let path = c.bundle.join("config.json");
        let changed = std::fs::read_to_string(&path)?.replace("read /etc/group", "exit 9");
        std::fs::write(&path, changed)?;
        c.start()?;
        let seen = c.finish()?;
        seen.value("read /etc/group")?;
        equal("exit status", seen.status, Some(0))?;
    }

    /// `config.json` is removed between `create` and `start`.
    ["lifecycle.config-updates", "create.later-changes"]
    fn the_config_may_be_removed_after_create(t) {
        let c = t.bundle()?.does(&["report"]).create()?;
        std::fs::remove_file(c.bundle.join("config.json"))?;
        c.start()?;
        c.finish()?.value("report")?;
        c.delete()?;
    }

    /// Annotations are changed in `config.json` after `create`; the state keeps the old ones.
    ["lifecycle.config-updates"]
    fn changes_of_the_config_after_create_do_not_show_in_the_state(t) {
        let c = t.bundle()?.set("/annotations", json!({"com.example.a": "old"})).create()?;
        let path = c.bundle.join("config.json");
        std::fs::write(&path, std::fs::read_to_string(&path)?.replace("\"old\"", "\"new\""))?;
        same("annotation", &c.state()?["annotations"]["com.example.a"], "old")?;
    }

    /// A poststop hook is added to `config.json` after `create`; it must not be called.
    ["lifecycle.config-updates"]
    fn a_hook_that_is_added_after_create_is_not_called(t) {
        let c = t.bundle()?.create()?;
        let path = c.bundle.join("config.json");
        let log = c.bundle.join("hooks.log").display().to_string();
        let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        let probe = t.bench.probe.display().to_string();
        config["hooks"] = json!({"poststop": [{"path": probe, "args": ["probe", "hook", log, "late"]}]});
        std::fs::write(&path, config.to_string())?;
        c.start()?;
        c.finish()?;
        c.delete()?;
        equal("hooks that were called", c.hook_names()?, Vec::<String>::new())?;
    }

    /// Namespaces of a created container are not the runtime's.
    ["lifecycle.environment", "create.properties-applied"]
    fn the_namespaces_exist_before_start(t) {
        let c = t.bundle()?.create()?;
        for kind in ["mnt", "uts", "ipc", "net", "pid"] {
            let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}"));
            ensure!(link(&c.pid()?.to_string())? != link("self")?, "the {kind} namespace is the runtime's");
        }
    }

    /// The mounts of the config are in the mount namespace of a created container.
    ["lifecycle.environment", "create.properties-applied"]
    fn the_mounts_exist_before_start(t) {
        let c = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &["size=4096k"]).create()?;
        let text = std::fs::read_to_string(c.proc("mountinfo")?)?;
        contains("mounts of the created container", &text, " /data ")?;
    }

    /// The devices of the config are there before `start`.
    ["lifecycle.environment", "create.properties-applied"]
    fn the_devices_exist_before_start(t) {
        let c = t.bundle()?.create()?;
        let path = c.proc("root/dev/null")?;
        ensure!(std::path::Path::new(&path).exists(), "{path} does not exist");
    }

    /// The process of a created container is in its cgroup, with the limit set.
    ["lifecycle.environment", "create.properties-applied"]
    fn the_cgroup_limits_hold_before_start(t) {
        t.controller_is_v1("pids")?;
        let c = t.bundle()?.set("/linux/resources/pids/limit", 77).create()?;
        equal("pids.max", c.control(&crate::bench::cgroup::control("pids", "pids.max", "pids.max"))?, "77")?;
    }

    /// A failing `create` (a bind of a source that does not exist) leaves no cgroup, no mount and no file in the bundle.
    ["errors.environment", "create.cannot-apply"]
    fn a_failed_create_leaves_no_cgroup(t) {
        let b = t.bundle()?.bind("/there/is/no/such/source", "/x", &[]);
        let (name, parent) = (b.id.clone(), t.bench.cgroup.clone());
        b.refused()?;
        for hierarchy in t.machine().hierarchies() {
            let left = hierarchy.join(parent.trim_start_matches('/')).join(&name);
            ensure!(!left.exists(), "{} is left", left.display());
        }
    }

    /// The id of a failed `create` can be used again.
    ["errors.environment", "create.cannot-apply"]
    fn the_id_of_a_failed_create_is_free(t) {
        let bad = t.bundle()?.bind("/there/is/no/such/source", "/x", &[]);
        let id = bad.id.clone();
        bad.refused()?;
        let mut good = t.bundle()?;
        good.id = id;
        good.observe()?.value("report")?;
    }

    /// No process of the runtime stays behind a failed `create`.
    ["errors.environment"]
    fn a_failed_create_leaves_no_process(t) {
        let marker = format!("/no/such/source/{}", std::process::id());
        let b = t.bundle()?.bind(&marker, "/x", &[]);
        let dir = b.dir.display().to_string();
        b.refused()?;
        for process in procfs::process::all_processes()?.flatten() {
            let line = process.cmdline().unwrap_or_default().join(" ");
            ensure!(!line.contains(&dir), "process {} is left: {line}", process.pid);
        }
    }
}
