//! Hooks. The probe is the hook: it writes down its stdin, its arguments, and everything that it sees.

mod moments;

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
            format!("after_a_failing_{}_hook_nothing_is_left_and_the_poststop_hooks_are_called", kind.sentence),
            &[kind.fails, "lifecycle.destroyed", "lifecycle.poststop"],
            "The hook exits with 7: when the operation has failed there is no container any more, its cgroups are gone, and \
             the poststop hook has been called.",
            move |t| left_by_a_failing_hook(t, name),
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
            format!("a_{}_hook_that_a_signal_ends_is_an_error", kind.sentence),
            &[kind.fails],
            "The hook kills itself: there is no exit status, and the operation fails.",
            move |t| {
                let (c, succeeded) = up_to(t.bundle()?.does(&["wait"]).hook(name, "h", &["die"]), name)?;
                ensure!(!succeeded, "{} did not fail", operation(name));
                equal("hooks that were called", c.hook_names()?, ["h"])
            },
        ));
        cases.push(Case::new(
            format!("the_id_can_be_used_again_after_a_failing_{}_hook", kind.sentence),
            &[kind.fails, "lifecycle.destroyed"],
            "The hook exits with 7; then a container without hooks is created, started and deleted under the same id.",
            move |t| the_id_is_free_after_a_failing_hook(t, name),
        ));
        cases.push(Case::new(
            format!("no_hook_of_a_later_kind_is_called_after_a_failing_{}_hook", kind.sentence),
            &[kind.fails],
            "There is a hook of each kind, of which this one fails: those that come later are not called, but for poststop.",
            move |t| later_kinds_after_a_failing_hook(t, name),
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

fn left_by_a_failing_hook(t: &Trial, kind: &str) -> Result<()> {
    let b = t.bundle()?.does(&["wait"]).hook(kind, "h", &["fail"]).hook("poststop", "after", &[]);
    let places: Vec<_> = t.machine().hierarchies().iter().map(|dir| {
        dir.join(t.bench.cgroup.trim_start_matches('/')).join(&b.id)
    }).collect();
    let (c, succeeded) = up_to(b, kind)?;
    ensure!(!succeeded, "{} did not fail", operation(kind));
    c.must_not_exist()?;
    for place in places {
        ensure!(!place.exists(), "the cgroup {} is left", place.display());
    }
    same_set("hooks that were called", &json!(c.hook_names()?), &json!(["h", "after"]))
}

fn the_id_is_free_after_a_failing_hook(t: &Trial, kind: &str) -> Result<()> {
    let (failed, succeeded) = up_to(t.bundle()?.does(&["wait"]).hook(kind, "h", &["fail"]), kind)?;
    ensure!(!succeeded, "{} did not fail", operation(kind));
    let mut again = t.bundle()?;
    again.id.clone_from(&failed.id);
    again.config["linux"]["cgroupsPath"] = json!(format!("{}/{}", t.bench.cgroup, failed.id));
    if t.bench.systemd {
        again.config["linux"]["cgroupsPath"] = json!(format!("system.slice:ort:{}", failed.id));
    } else if t.bench.rootless {
        again = again.remove("/linux/cgroupsPath");
    }
    again.observe()?.value("report").map(|_| ())
}

fn later_kinds_after_a_failing_hook(t: &Trial, kind: &str) -> Result<()> {
    let mut b = t.bundle()?.does(&["wait"]);
    for each in KINDS {
        b = b.hook(each, each, if each == kind { &["fail"] } else { &[] });
    }
    let (c, succeeded) = up_to(b, kind)?;
    ensure!(!succeeded, "{} did not fail", operation(kind));
    let mut expected: Vec<&str> = KINDS.into_iter().take_while(|each| *each != kind).collect();
    expected.push(kind);
    let called: Vec<String> = c.hook_names()?.into_iter().filter(|name| name != "poststop").collect();
    same_set("hooks that were called, but for poststop", &json!(called), &json!(expected))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = EACH.iter().flat_map(for_each_kind).collect();
    all.extend(single());
    all
}

fn single() -> Vec<Case> {
    moments::cases()
}
