//! What is said of single hooks: when they run, and what they get.

use super::*;

cases! {
    /// One hook of each kind; the order in the file is that of the lifecycle. startContainer is seen from inside.
    ["hooks.prestart.first", "hooks.create-container.after", "lifecycle.create-runtime"]
    fn hooks_of_all_kinds_are_called_in_the_order_of_the_lifecycle(t) {
        let mut b = t.bundle()?;
        for kind in KINDS {
            b = b.hook(kind, kind, &[]);
        }
        let names = live_through(b)?.hook_names()?;
        let outside: Vec<&str> = names.iter().map(String::as_str).filter(|&name| name != "startContainer").collect();
        equal("hooks outside", outside, ["prestart", "createRuntime", "createContainer", "poststart", "poststop"])?;
        holds("startContainer was called", names.iter().any(|name| name == "startContainer"))?;
    }

    /// After `create` exactly the three first kinds have been called.
    ["hooks.prestart.when", "hooks.create-runtime.when", "hooks.create-container.when"]
    fn create_calls_the_hooks_of_create_and_no_others(t) {
        let mut b = t.bundle()?;
        for kind in KINDS {
            b = b.hook(kind, kind, &[]);
        }
        let c = b.create()?;
        equal("hooks", c.hook_names()?, ["prestart", "createRuntime", "createContainer"])?;
    }

    /// When `start` has returned, startContainer and poststart have been called, poststop has not.
    ["hooks.poststart.when", "hooks.start-container.when"]
    fn start_calls_the_hooks_of_start_and_no_others(t) {
        let mut b = t.bundle()?.does(&["wait"]);
        for kind in ["startContainer", "poststart", "poststop"] {
            b = b.hook(kind, kind, &[]);
        }
        let c = b.create()?;
        equal("hooks after create", c.hook_names()?, Vec::<String>::new())?;
        c.start()?;
        equal("hooks after start", c.hook_names()?, ["poststart", "startContainer"])?;
    }

    /// When `delete` has returned, poststop has been called; before, when the program has ended, it has not.
    ["hooks.poststop.when"]
    fn poststop_is_called_by_delete(t) {
        let c = t.bundle()?.hook("poststop", "h", &[]).start()?;
        c.finish()?;
        c.state()?;
        equal("hooks before delete", c.hook_names()?, Vec::<String>::new())?;
        c.delete()?;
        equal("hooks after delete", c.hook_names()?, ["h"])?;
    }

    /// The hook runs `state` of the same container: it must be gone or stopped by then, and its process and cgroups gone.
    ["hooks.poststop.when"]
    fn poststop_is_called_after_the_container_is_destroyed(t) {
        t.controller_is_v1("pids")?;
        let b = t.bundle()?;
        let places: Vec<String> = t.machine().hierarchies().iter().map(|dir| {
            format!("list {}/{}/{}", dir.display(), t.bench.cgroup.trim_start_matches('/'), b.id)
        }).collect();
        let more: Vec<&str> = std::iter::once("do").chain(places.iter().map(String::as_str)).collect();
        let c = live_through(b.hook("poststop", "h", &more))?;
        let call = c.hook_call("h")?;
        for place in &places {
            call.seen.fails(place, &[errno::ENOENT])?;
        }
    }

    /// The first action of the program reads the file that the hook wrote.
    ["hooks.start-container.when"]
    fn start_container_hooks_run_before_the_program(t) {
        let seen = t.bundle()?.hook("startContainer", "h", &[]).does(&["read /hooks.log"]).observe()?;
        contains("the hook's file as the program sees it", &seen.text_of("read /hooks.log")?, "\"hook\":\"h\"")?;
    }

    /// The hook looks at the command line of the container process, which must be the program's.
    ["hooks.poststart.when"]
    fn poststart_hooks_run_after_the_program_has_begun(t) {
        let b = t.bundle()?.does(&["wait"]).hook("poststart", "h", &["do", "read /proc/{pid}/cmdline"]);
        let c = b.live()?;
        let call = c.hook_call("h")?;
        let action = format!("read /proc/{}/cmdline", c.pid()?);
        contains("command line of the container process", &call.seen.text_of(&action)?, "/probe\0wait")?;
    }

    /// The hook looks at the mounts of the container process: a mount of the config is there, below the bundle's root
    /// filesystem, as it is before the root is changed.
    ["hooks.create-runtime.when"]
    fn create_runtime_hooks_run_after_the_mounts_and_before_the_pivot(t) {
        let b = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &[]);
        let c = b.hook("createRuntime", "h", &["do", "read /proc/{pid}/mountinfo"]).create()?;
        let call = c.hook_call("h")?;
        let mounts = call.seen.text_of(&format!("read /proc/{}/mountinfo", c.pid()?))?;
        let point = c.bundle.join("rootfs/data").display().to_string();
        contains("mounts of the container process", &mounts, &point)?;
    }

    /// The same for prestart.
    ["hooks.prestart.when"]
    fn prestart_hooks_run_after_the_mounts_and_before_the_pivot(t) {
        let b = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &[]);
        let c = b.hook("prestart", "h", &["do", "read /proc/{pid}/mountinfo"]).create()?;
        let call = c.hook_call("h")?;
        let mounts = call.seen.text_of(&format!("read /proc/{}/mountinfo", c.pid()?))?;
        contains("mounts of the container process", &mounts, &c.bundle.join("rootfs/data").display().to_string())?;
    }

    /// The hook sees the mounts of the config below the bundle's root filesystem, in its own mount namespace.
    ["hooks.create-container.when"]
    fn create_container_hooks_run_after_the_mounts_and_before_the_pivot(t) {
        let c = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &[]).hook("createContainer", "h", &[]).create()?;
        let call = c.hook_call("h")?;
        let point = c.bundle.join("rootfs/data").display().to_string();
        contains("mounts that the hook sees", call.seen.report_text("/mountinfo")?, &point)?;
    }

    /// The pid in the state of a createRuntime hook is the container process as the host sees it.
    ["state.pid.runtime-hooks"]
    fn the_pid_in_the_state_of_a_create_runtime_hook_is_as_the_runtime_sees_it(t) {
        let c = t.bundle()?.hook("createRuntime", "h", &[]).create()?;
        same("pid", &c.hook_call("h")?.state()?["pid"], json!(c.pid()?))?;
    }

    /// The pid in the state of a poststart hook is the container process as the host sees it.
    ["state.pid.runtime-hooks"]
    fn the_pid_in_the_state_of_a_poststart_hook_is_as_the_runtime_sees_it(t) {
        let c = t.bundle()?.does(&["wait"]).hook("poststart", "h", &[]).live()?;
        same("pid", &c.hook_call("h")?.state()?["pid"], json!(c.pid()?))?;
    }

    /// In a new pid namespace the container process has the pid 1.
    ["state.pid.container-hooks"]
    fn the_pid_in_the_state_of_a_start_container_hook_is_as_the_container_sees_it(t) {
        let c = t.bundle()?.hook("startContainer", "h", &[]).start()?;
        c.finish()?;
        same("pid", &c.hook_call("h")?.state()?["pid"], 1)?;
    }

    /// In a new pid namespace the container process has the pid 1.
    ["state.pid.container-hooks"]
    fn the_pid_in_the_state_of_a_create_container_hook_is_as_the_container_sees_it(t) {
        let c = t.bundle()?.hook("createContainer", "h", &[]).create()?;
        same("pid", &c.hook_call("h")?.state()?["pid"], 1)?;
    }

    /// Of two poststop hooks the first fails: the second is called, and `delete` succeeds.
    ["lifecycle.poststop-fails", "warnings.flow"]
    fn a_failing_poststop_hook_is_only_a_warning(t) {
        let c = t.bundle()?.hook("poststop", "one", &["fail"]).hook("poststop", "two", &[]).start()?;
        c.finish()?;
        c.delete()?;
        equal("hooks that were called", c.hook_names()?, ["one", "two"])?;
        c.must_not_exist()?;
    }

    /// The failure of a poststop hook is logged: something of it is written to the standard error of `delete` or to its log.
    ["lifecycle.poststop-fails"]
    fn a_failing_poststop_hook_is_logged(t) {
        let log = t.path("log");
        let c = t.bundle()?.hook("poststop", "h", &["fail"]).start()?;
        c.finish()?;
        let output = t.runtime(&["--log", &log, "delete", &c.id])?;
        let text = output.stderr + &std::fs::read_to_string(&log).unwrap_or_default();
        equal("hooks that were called", c.hook_names()?, ["h"])?;
        contains("what was logged", &text, "hook")?;
    }

    /// The hook of startContainer exits with 7: the program does not run.
    ["lifecycle.start-container-fails"]
    fn the_program_does_not_run_after_a_failing_start_container_hook(t) {
        let c = t.bundle()?.hook("startContainer", "h", &["fail"]).create()?;
        // Whether the error comes from `start` is the matter of another case.
        c.call("start", &[])?;
        let seen = c.finish()?;
        equal("hooks that were called", c.hook_names()?, ["h"])?;
        ensure!(seen.answers.is_empty(), "the program ran: it wrote {:?}", seen.text);
    }

    /// Of a poststart hook that fails the program was already running: it is ended by the time `start` returns.
    ["lifecycle.poststart-fails"]
    fn the_program_is_ended_by_a_failing_poststart_hook(t) {
        let c = t.bundle()?.does(&["wait"]).hook("poststart", "h", &["fail"]).create()?;
        c.call("start", &[])?.expect_failure("start")?;
        holds("the process of the container has ended", c.init.as_ref().is_some_and(crate::bench::watch::Watch::ended))?;
    }

    /// The hook sleeps for two minutes with a timeout of one second: it is called, and `delete` succeeds long before.
    ["hooks.timeout", "lifecycle.poststop-fails"]
    fn a_poststop_hook_that_takes_longer_than_its_timeout_is_ended(t) {
        let b = t.bundle()?;
        let mut entry = b.hook_entry("poststop", "h", &["hang"]);
        entry["timeout"] = serde_json::json!(1);
        let c = b.set("/hooks/poststop/-", entry).start()?;
        c.finish()?;
        c.delete()?;
        equal("hooks that were called", c.hook_names()?, ["h"])?;
        c.must_not_exist()?;
    }

    /// When a createRuntime hook fails, the lifecycle goes on at its step 12 and 13: poststop hooks are called.
    ["lifecycle.create-runtime-fails", "lifecycle.poststop"]
    fn poststop_hooks_are_called_after_a_failed_create_runtime_hook(t) {
        let b = t.bundle()?.hook("createRuntime", "h", &["fail"]).hook("poststop", "after", &[]);
        let (c, created) = b.try_create()?;
        created.expect_failure("create")?;
        equal("hooks that were called", c.hook_names()?, ["h", "after"])?;
    }

    /// The status in the state that a poststop hook reads.
    ["hooks.state", "state.status.stopped"]
    fn a_poststop_hook_reads_the_status_stopped(t) {
        let (_c, state) = state_of_a_hook(t, "poststop")?;
        same("status", &state["status"], "stopped")?;
    }

    /// The status in the state that a poststart hook reads.
    ["hooks.state", "state.status.running"]
    fn a_poststart_hook_reads_the_status_running(t) {
        let c = t.bundle()?.does(&["wait"]).hook("poststart", "h", &[]).live()?;
        same("status", &c.hook_call("h")?.state()?["status"], "running")?;
    }

    /// The status in the state that a startContainer hook reads.
    ["hooks.state", "state.status.created"]
    fn a_start_container_hook_reads_the_status_created(t) {
        let c = t.bundle()?.hook("startContainer", "h", &[]).start()?;
        c.finish()?;
        same("status", &c.hook_call("h")?.state()?["status"], "created")?;
    }

    /// A timeout of zero, of a hook that `create` itself does not call: the config is wrong already.
    ["hooks.timeout.positive"]
    fn a_hook_with_a_timeout_of_zero_is_refused(t) {
        let b = t.bundle()?;
        let mut entry = b.hook_entry("poststop", "h", &[]);
        entry["timeout"] = json!(0);
        b.set("/hooks/poststop/-", entry).refused()?;
    }

    /// A negative timeout.
    ["hooks.timeout.positive"]
    fn a_hook_with_a_negative_timeout_is_refused(t) {
        let b = t.bundle()?;
        let mut entry = b.hook_entry("poststop", "h", &[]);
        entry["timeout"] = json!(-1);
        b.set("/hooks/poststop/-", entry).refused()?;
    }

    /// A hook that ends before its timeout is no error.
    ["hooks.timeout"]
    fn a_hook_that_ends_before_its_timeout_is_no_error(t) {
        let b = t.bundle()?;
        let mut entry = b.hook_entry("createRuntime", "h", &[]);
        entry["timeout"] = json!(10);
        let c = b.set("/hooks/createRuntime/-", entry).create()?;
        equal("hooks that were called", c.hook_names()?, ["h"])?;
    }

    /// A hook without `args` gets its path as the only argument, or none: it runs in any case. The probe without
    /// arguments does nothing and exits with 0.
    ["hooks.args"]
    fn a_hook_without_arguments_runs(t) {
        let hooks = json!([{"path": t.bench.probe.display().to_string()}]);
        t.bundle()?.set("/hooks/createRuntime", hooks).observe()?.value("report")?;
    }

    /// An `env` that is there and empty is an environment without variables.
    ["hooks.env"]
    fn a_hook_with_an_empty_environment_has_no_variables(t) {
        let b = t.bundle()?;
        let mut entry = b.hook_entry("createRuntime", "h", &[]);
        entry["env"] = json!([]);
        let c = b.set("/hooks/createRuntime/-", entry).create()?;
        same_set("environment", c.hook_call("h")?.seen.report("/env")?, &json!([]))?;
    }

    /// While `create` waits in a hook, `state` of the container answers or fails at once, and does not hang.
    ["scope.same-container"]
    fn a_hook_can_ask_for_the_state_of_its_container(t) {
        let b = t.bundle()?;
        let runtime = &t.bench.runtime;
        let options: Vec<String> = runtime.options.iter().map(|o| o.to_string_lossy().into_owned()).collect();
        let action = format!("run {} {} state {}", runtime.path.display(), options.join(" "), b.id);
        let c = b.hook("createRuntime", "h", &["do", &action]).create()?;
        same("exit status of state", c.hook_call("h")?.seen.value(&action)?, 0)?;
    }
}
