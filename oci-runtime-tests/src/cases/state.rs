//! The state operation, and what a state says.

use crate::bench::prelude::*;

cases! {
    /// Creates a container, asks for its state, and looks for every required property and its type.
    ["state.schema", "query.state"]
    fn the_state_of_a_created_container_has_every_required_property(t) {
        let c = t.bundle()?.does(&["wait"]).create()?;
        let state = c.state()?;
        for (name, is_right) in [
            ("ociVersion", state["ociVersion"].is_string()),
            ("id", state["id"].is_string()),
            ("status", state["status"].is_string()),
            ("pid", state["pid"].is_u64()),
            ("bundle", state["bundle"].is_string()),
        ] {
            ensure!(is_right, "{name} is missing or of the wrong type: {state}");
        }
    }

    /// The same for a container whose process has ended, where `pid` is optional.
    ["state.schema", "query.state"]
    fn the_state_of_a_stopped_container_has_every_required_property(t) {
        let c = t.bundle()?.start()?;
        c.finish()?;
        let state = c.state()?;
        for name in ["ociVersion", "id", "status", "bundle"] {
            ensure!(state[name].is_string(), "{name} is missing or no string: {state}");
        }
        ensure!(state.get("pid").is_none_or(Value::is_u64), "pid is no number: {state}");
    }

    /// `ociVersion` must have the form of semantic versioning: three numbers and perhaps a suffix.
    ["state.oci-version"]
    fn the_state_names_a_version_of_the_specification(t) {
        let c = t.bundle()?.create()?;
        let state = c.state()?;
        let version = state["ociVersion"].as_str().unwrap_or_default();
        let core = version.split(['-', '+']).next().unwrap_or_default();
        let numbers: Vec<_> = core.split('.').map(str::parse::<u32>).collect();
        ensure!(numbers.len() == 3 && numbers.iter().all(Result::is_ok), "ociVersion is {version:?}");
    }

    /// The id in the state is the one given to `create`.
    ["state.id"]
    fn the_state_has_the_id_that_create_was_given(t) {
        let c = t.bundle()?.create()?;
        same("id", &c.state()?["id"], json!(c.id))?;
    }

    /// Two containers at the same time each answer with their own id and pid.
    ["state.id-unique", "scope.same-container"]
    fn two_containers_are_told_apart_by_their_ids(t) {
        let (a, b) = (t.bundle()?.does(&["wait"]).create()?, t.bundle()?.does(&["wait"]).create()?);
        let (first, second) = (a.state()?, b.state()?);
        same("first id", &first["id"], json!(a.id))?;
        same("second id", &second["id"], json!(b.id))?;
        ensure!(first["pid"] != second["pid"], "both containers have the pid {}", first["pid"]);
    }

    /// The status after `create` and before `start`.
    ["state.status", "state.status.created"]
    fn the_status_after_create_is_created(t) {
        equal("status", t.bundle()?.create()?.status()?, "created")?;
    }

    /// The status while the program runs.
    ["state.status", "state.status.running"]
    fn the_status_while_the_program_runs_is_running(t) {
        equal("status", t.bundle()?.does(&["wait"]).live()?.status()?, "running")?;
    }

    /// The status as soon as `start` has returned, without waiting for a sign of the program.
    ["state.status.running"]
    fn the_status_right_after_start_is_running(t) {
        equal("status", t.bundle()?.does(&["wait"]).start()?.status()?, "running")?;
    }

    /// The status when the program has ended by itself.
    ["state.status", "state.status.stopped"]
    fn the_status_after_the_program_has_exited_is_stopped(t) {
        let c = t.bundle()?.start()?;
        c.finish()?;
        equal("status", c.status()?, "stopped")?;
    }

    /// The status when the program was killed by a signal.
    ["state.status.stopped"]
    fn the_status_after_the_program_was_killed_is_stopped(t) {
        let c = t.bundle()?.does(&["wait"]).live()?;
        c.stop()?;
        equal("status", c.status()?, "stopped")?;
    }

    /// The status when the process was killed before `start`.
    ["state.status.stopped"]
    fn the_status_of_a_created_container_that_was_killed_is_stopped(t) {
        let c = t.bundle()?.create()?;
        c.stop()?;
        equal("status", c.status()?, "stopped")?;
    }

    /// A program that fails stops the container as much as one that succeeds.
    ["state.status.stopped"]
    fn the_status_after_the_program_has_failed_is_stopped(t) {
        let c = t.bundle()?.does(&["exit 3"]).start()?;
        equal("exit status", c.finish()?.status, Some(3))?;
        equal("status", c.status()?, "stopped")?;
    }

    /// A createRuntime hook reads the status from the state on its stdin.
    ["state.status.creating"]
    fn the_status_during_create_is_creating(t) {
        let c = t.bundle()?.hook("createRuntime", "h", &[]).create()?;
        same("status", &c.hook_call("h")?.state()?["status"], "creating")?;
    }

    /// The pid of a created container is that of a process which lives in the container's own pid namespace.
    ["state.pid"]
    fn the_pid_of_a_created_container_is_its_process(t) {
        let c = t.bundle()?.does(&["wait"]).create()?;
        let pid = c.state()?["pid"].as_i64().context("no pid")?;
        let link = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt"));
        let theirs = link(&pid.to_string()).with_context(|| format!("no process has the pid {pid}"))?;
        ensure!(theirs != link("self")?, "the process {pid} is not in a mount namespace of its own");
    }

    /// The pid of a running container leads to the probe.
    ["state.pid"]
    fn the_pid_of_a_running_container_is_the_program(t) {
        let c = t.bundle()?.does(&["wait"]).live()?;
        let pid = c.state()?["pid"].as_i64().context("no pid")?;
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        contains("command line of the pid in the state", &line, "/probe\0wait")?;
    }

    /// The pid does not change with `start`.
    ["state.pid"]
    fn the_pid_is_the_same_before_and_after_start(t) {
        let c = t.bundle()?.does(&["wait"]).create()?;
        let before = c.state()?["pid"].clone();
        c.start()?;
        same("pid", &c.state()?["pid"], before)?;
    }

    /// The bundle in the state is the directory given to `create`.
    ["state.bundle"]
    fn the_state_has_the_path_of_the_bundle(t) {
        let c = t.bundle()?.create()?;
        same("bundle", &c.state()?["bundle"], json!(c.bundle.display().to_string()))?;
    }

    /// `create` is run with `--bundle .` in the bundle directory.
    ["state.bundle"]
    fn the_bundle_in_the_state_is_absolute_when_create_got_a_relative_path(t) {
        let bundle = t.bundle()?.create_arg(&["--bundle", "."]);
        let c = bundle.create()?;
        same("bundle", &c.state()?["bundle"], json!(c.bundle.display().to_string()))?;
    }

    /// Annotations of the config come back in the state.
    ["state.annotations"]
    fn the_state_has_the_annotations_of_the_config(t) {
        let c = t.bundle()?.set("/annotations", json!({"com.example.a": "1", "com.example.b": "two words"})).create()?;
        let seen = c.state()?["annotations"].clone();
        same("com.example.a", &seen["com.example.a"], "1")?;
        same("com.example.b", &seen["com.example.b"], "two words")?;
    }

    /// Annotations are still there when the container is stopped.
    ["state.annotations"]
    fn a_stopped_container_keeps_its_annotations(t) {
        let c = t.bundle()?.set("/annotations", json!({"com.example.a": "1"})).start()?;
        c.finish()?;
        same("annotation", &c.state()?["annotations"]["com.example.a"], "1")?;
    }

    /// Without annotations the property is absent or empty.
    ["state.annotations.none"]
    fn without_annotations_the_state_has_none(t) {
        let state = t.bundle()?.create()?.state()?;
        let empty = match state.get("annotations") {
            None | Some(Value::Null) => true,
            Some(value) => value.as_object().is_some_and(serde_json::Map::is_empty),
        };
        ensure!(empty, "annotations are {}", state["annotations"]);
    }

    /// `state` without arguments.
    ["query.no-id"]
    fn state_without_an_id_is_an_error(t) {
        t.runtime(&["state"])?.expect_failure("state")?;
    }

    /// `state` of an id that was never used.
    ["query.missing"]
    fn state_of_a_container_that_does_not_exist_is_an_error(t) {
        t.runtime(&["state", "ort-there-is-no-such-container"])?.expect_failure("state")?;
    }

    /// `state` of a container that was deleted.
    ["query.missing"]
    fn state_of_a_deleted_container_is_an_error(t) {
        let c = t.bundle()?.start()?;
        c.finish()?;
        c.delete()?;
        c.must_not_exist()?;
    }

    /// Every status that the suite sees in a life without pause is one of the four of the specification.
    ["state.status.additional"]
    fn a_plain_life_shows_no_status_but_those_of_the_specification(t) {
        let c = t.bundle()?.does(&["wait"]).create()?;
        let mut seen = vec![c.status()?];
        c.start()?;
        seen.push(c.status()?);
        c.stop()?;
        seen.push(c.status()?);
        equal("statuses", seen, ["created", "running", "stopped"])?;
    }
}
