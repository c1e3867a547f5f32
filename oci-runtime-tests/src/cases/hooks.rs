//! Hooks. The probe is the hook: it writes down its stdin, its arguments, and everything that it sees.

use crate::bench::bundle::Bundle;
use crate::bench::container::Container;
use crate::bench::hook::KINDS;
use crate::bench::prelude::*;

/// Everything that is said of each kind of hook by its own sentence.
struct Kind {
    name: &'static str,
    sentence: &'static str,
    invoked: &'static str,
    fails: &'static str,
    path: &'static str,
    namespace: &'static str,
}

const EACH: [Kind; 6] = [
    Kind {
        name: "prestart",
        sentence: "prestart",
        invoked: "lifecycle.prestart",
        fails: "lifecycle.prestart-fails",
        path: "hooks.prestart.path",
        namespace: "hooks.prestart.namespace",
    },
    Kind {
        name: "createRuntime",
        sentence: "create_runtime",
        invoked: "lifecycle.create-runtime",
        fails: "lifecycle.create-runtime-fails",
        path: "hooks.create-runtime.path",
        namespace: "hooks.create-runtime.namespace",
    },
    Kind {
        name: "createContainer",
        sentence: "create_container",
        invoked: "lifecycle.create-container",
        fails: "lifecycle.create-container-fails",
        path: "hooks.create-container.path",
        namespace: "hooks.create-container.namespace",
    },
    Kind {
        name: "startContainer",
        sentence: "start_container",
        invoked: "lifecycle.start-container",
        fails: "lifecycle.start-container-fails",
        path: "hooks.start-container.path",
        namespace: "hooks.start-container.namespace",
    },
    Kind {
        name: "poststart",
        sentence: "poststart",
        invoked: "lifecycle.poststart",
        fails: "lifecycle.poststart-fails",
        path: "hooks.poststart.path",
        namespace: "hooks.poststart.namespace",
    },
    Kind {
        name: "poststop",
        sentence: "poststop",
        invoked: "lifecycle.poststop",
        fails: "lifecycle.poststop-fails",
        path: "hooks.poststop.path",
        namespace: "hooks.poststop.namespace",
    },
];

/// The operation in which a kind is called.
fn operation(kind: &str) -> &'static str {
    match kind {
        "prestart" | "createRuntime" | "createContainer" => "create",
        "startContainer" | "poststart" => "start",
        _ => "delete",
    }
}

/// A whole life with whatever hooks the bundle has.
fn live_through(bundle: Bundle<'_>) -> Result<Container<'_>> {
    let c = bundle.start()?;
    c.finish()?;
    c.delete()?;
    Ok(c)
}

/// Takes the bundle to the operation in which its hook of this kind is called, and gives that operation's success.
fn up_to<'t>(bundle: Bundle<'t>, kind: &str) -> Result<(Container<'t>, bool)> {
    let (c, created) = bundle.try_create()?;
    if operation(kind) == "create" || !created.succeeded() {
        return Ok((c, created.succeeded()));
    }
    let started = c.call("start", &[])?;
    if operation(kind) == "start" || !started.succeeded() {
        return Ok((c, started.succeeded()));
    }
    c.finish()?;
    let deleted = c.call("delete", &[])?.succeeded();
    Ok((c, deleted))
}

fn state_of_a_hook<'t>(t: &'t Trial, kind: &str) -> Result<(Container<'t>, Value)> {
    let c = live_through(t.bundle()?.set("/annotations", json!({"com.example.a": "1"})).hook(kind, "h", &[]))?;
    let state = c.hook_call("h")?.state()?;
    Ok((c, state))
}

fn for_each_kind(kind: &'static Kind) -> Vec<Case> {
    let name = kind.name;
    let mut cases = vec![
        Case::new(
            format!("a_{}_hook_is_called", kind.sentence),
            &[kind.invoked],
            "A life of a container with one hook, which writes to a file.",
            move |t| equal("hooks that were called", live_through(t.bundle()?.hook(name, "h", &[]))?.hook_names()?, ["h"]),
        ),
        Case::new(
            format!("several_{}_hooks_are_called_in_the_listed_order", kind.sentence),
            &["hooks.order"],
            "Three hooks of the same kind write their names to a file.",
            move |t| {
                let b = t.bundle()?.hook(name, "one", &[]).hook(name, "two", &[]).hook(name, "three", &[]);
                equal("hooks that were called", live_through(b)?.hook_names()?, ["one", "two", "three"])
            },
        ),
        Case::new(
            format!("a_{}_hook_gets_the_state_on_its_stdin", kind.sentence),
            &["hooks.state"],
            "The state that the hook reads has the id, the bundle, the version, a status and the annotations.",
            move |t| {
                let (c, state) = state_of_a_hook(t, name)?;
                same("id", &state["id"], json!(c.id))?;
                same("bundle", &state["bundle"], json!(c.bundle.display().to_string()))?;
                holds("ociVersion is a string", state["ociVersion"].is_string())?;
                holds("status is a string", state["status"].is_string())?;
                same("annotation", &state["annotations"]["com.example.a"], "1")
            },
        ),
        Case::new(
            format!("a_{}_hook_gets_the_arguments_of_the_config", kind.sentence),
            &["hooks.args"],
            "The hook reports its arguments, the first of which is not its path.",
            move |t| {
                let c = live_through(t.bundle()?.hook(name, "h", &["do"]))?;
                let args = c.hook_call("h")?.seen.report("/args")?.clone();
                same("first argument", &args[0], "probe")?;
                same("last argument", &args[4], "do")
            },
        ),
        Case::new(
            format!("a_{}_hook_gets_the_environment_of_the_config_alone", kind.sentence),
            &["hooks.env"],
            "The hook reports its environment.",
            move |t| {
                let b = t.bundle()?;
                let mut entry = b.hook_entry(name, "h", &[]);
                entry["env"] = json!(["ONE=1", "TWO=a=b"]);
                let c = live_through(b.set(&format!("/hooks/{name}/-"), entry))?;
                same_set("environment", c.hook_call("h")?.seen.report("/env")?, &json!(["ONE=1", "TWO=a=b"]))
            },
        ),
        Case::new(
            format!("a_{}_hook_with_a_relative_path_is_refused", kind.sentence),
            &["hooks.path.absolute"],
            "The hook's path is `probe`; some operation of the life, the first at best, must fail.",
            move |t| {
                let b = t.bundle()?;
                let mut entry = b.hook_entry(name, "h", &[]);
                entry["path"] = json!("probe");
                let (c, succeeded) = up_to(b.set(&format!("/hooks/{name}/-"), entry), name)?;
                ensure!(!succeeded, "no operation failed");
                equal("hooks that were called", c.hook_names()?, Vec::<String>::new())
            },
        ),
    ];
    if name != "poststop" {
        cases.push(Case::new(
            format!("a_failing_{}_hook_is_an_error_and_ends_the_container", kind.sentence),
            &[kind.fails],
            "The hook exits with 7: the operation fails, the process of the container is gone, and the poststop hooks are \
             called when the container is deleted.",
            move |t| failing_hook(t, name),
        ));
        cases.push(Case::new(
            format!("a_{}_hook_that_does_not_exist_is_an_error", kind.sentence),
            &[kind.fails, kind.path],
            "The hook's path is absolute, but there is no such file.",
            move |t| {
                let hooks = json!([{"path": "/there/is/no/such/hook"}]);
                let (_c, succeeded) = up_to(t.bundle()?.set(&format!("/hooks/{name}"), hooks), name)?;
                ensure!(!succeeded, "{} did not fail", operation(name));
                Ok(())
            },
        ));
        cases.push(Case::new(
            format!("a_{}_hook_that_takes_longer_than_its_timeout_is_ended", kind.sentence),
            &["hooks.timeout", kind.fails],
            "The hook sleeps for two minutes with a timeout of one second: the operation fails long before.",
            move |t| {
                let b = t.bundle()?.does(&["wait"]);
                let mut entry = b.hook_entry(name, "h", &["hang"]);
                entry["timeout"] = json!(1);
                let (_c, succeeded) = up_to(b.set(&format!("/hooks/{name}/-"), entry), name)?;
                ensure!(!succeeded, "{} did not fail", operation(name));
                Ok(())
            },
        ));
        cases.push(Case::new(
            format!("no_further_{}_hook_is_called_after_one_that_failed", kind.sentence),
            &[kind.fails],
            "Two hooks, of which the first fails.",
            move |t| {
                let (c, _) = up_to(t.bundle()?.hook(name, "first", &["fail"]).hook(name, "second", &[]), name)?;
                equal("hooks that were called", c.hook_names()?, ["first"])
            },
        ));
    }
    cases.push(Case::new(
        format!("a_{}_hook_runs_in_the_{}", kind.sentence, namespace_of(name)),
        &[kind.namespace, kind.path],
        "The hook reports its mount namespace and its root, to be compared with those of the suite and of the container.",
        move |t| namespace_of_a_hook(t, name),
    ));
    cases
}

fn namespace_of(kind: &str) -> &'static str {
    if matches!(kind, "createContainer" | "startContainer") { "container_namespace" } else { "runtime_namespace" }
}

fn namespace_of_a_hook(t: &Trial, kind: &str) -> Result<()> {
    let c = t.bundle()?.does(&["wait"]).hook(kind, "h", &[]).live()?;
    let link = |pid: &str, ns: &str| -> Result<Value> {
        Ok(json!(std::fs::read_link(format!("/proc/{pid}/ns/{ns}"))?.display().to_string()))
    };
    let pid = c.pid()?.to_string();
    let theirs = [link(&pid, "mnt")?, link(&pid, "uts")?, link(&pid, "net")?];
    let ours = [link("self", "mnt")?, link("self", "uts")?, link("self", "net")?];
    c.stop()?;
    c.delete()?;
    let call = c.hook_call("h")?;
    let expected = if namespace_of(kind) == "container_namespace" { theirs } else { ours };
    for (name, expected) in ["mnt", "uts", "net"].iter().zip(expected) {
        let seen = call.seen.report(&format!("/namespaces/{name}"))?;
        same(&format!("{name} namespace of the hook"), seen, expected)?;
    }
    Ok(())
}

fn failing_hook(t: &Trial, kind: &str) -> Result<()> {
    let b = t.bundle()?.does(&["wait"]).hook(kind, "h", &["fail"]);
    let (c, succeeded) = up_to(b, kind)?;
    ensure!(!succeeded, "{} did not fail", operation(kind));
    equal("hooks that were called", c.hook_names()?, ["h"])?;
    if let Some(init) = &c.init {
        ensure!(init.wait(crate::bench::container::patience()).is_some(), "the container process still runs");
    }
    if operation(kind) == "create" {
        c.must_not_exist()?;
    }
    Ok(())
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = EACH.iter().flat_map(for_each_kind).collect();
    all.extend(single());
    all
}

fn single() -> Vec<Case> {
    mod_cases::cases()
}

mod mod_cases {
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

        /// A timeout of zero.
        ["hooks.timeout.positive"]
        fn a_hook_with_a_timeout_of_zero_is_refused(t) {
            let b = t.bundle()?;
            let mut entry = b.hook_entry("createRuntime", "h", &[]);
            entry["timeout"] = json!(0);
            b.set("/hooks/createRuntime/-", entry).refused()?;
        }

        /// A negative timeout.
        ["hooks.timeout.positive"]
        fn a_hook_with_a_negative_timeout_is_refused(t) {
            let b = t.bundle()?;
            let mut entry = b.hook_entry("createRuntime", "h", &[]);
            entry["timeout"] = json!(-1);
            b.set("/hooks/createRuntime/-", entry).refused()?;
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

        /// Without `env` a hook's environment is empty, as nothing else is said.
        ["hooks.env"]
        fn a_hook_without_an_environment_gets_none_of_the_runtimes(t) {
            let c = t.bundle()?.hook("createRuntime", "h", &[]).create()?;
            let call = c.hook_call("h")?;
            let env = call.seen.report("/env")?.as_array().cloned().unwrap_or_default();
            let leaked: Vec<&Value> =
                env.iter().filter(|v| v.as_str().is_some_and(|v| v.starts_with("HOME=") || v.starts_with("SHELL="))).collect();
            equal("variables of the runtime's", leaked, Vec::<&Value>::new())?;
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
}
