//! Runtimes whose operations are wrong.

use super::{Act, Defect, Real};
use anyhow::Result;
use serde_json::{Value, json};

const LIFE: &[&str] = &["state", "create", "start", "kill", "delete", "hooks"];

/// Runs `state` and prints it changed.
fn state(real: &Real<'_>, change: impl Fn(&mut Value)) -> Result<i32> {
    if real.operation() != "state" {
        return real.run();
    }
    let output = real.command().output()?;
    if let Ok(mut state) = serde_json::from_slice(&output.stdout) {
        change(&mut state);
        println!("{state}");
    }
    Ok(output.status.code().unwrap_or(1))
}

/// Runs `features` and prints it changed.
fn features(real: &Real<'_>, change: impl Fn(&mut Value)) -> Result<i32> {
    if real.operation() != "features" {
        return real.run();
    }
    let output = real.command().output()?;
    if let Ok(mut features) = serde_json::from_slice(&output.stdout) {
        change(&mut features);
        println!("{features}");
    }
    Ok(output.status.code().unwrap_or(1))
}

/// The operation succeeds whatever the runtime says.
fn always_succeeds(real: &Real<'_>, operation: &str) -> Result<i32> {
    let status = real.run()?;
    Ok(if real.operation() == operation { 0 } else { status })
}

fn does_nothing(real: &Real<'_>, operation: &str) -> Result<i32> {
    if real.operation() == operation { Ok(0) } else { real.run() }
}

macro_rules! defects {
    ($($name:ident $groups:expr, |$real:ident| $act:expr;)*) => {
        pub(super) fn defects() -> Vec<Defect> {
            vec![$(Defect { name: stringify!($name), groups: $groups, act: Act::Operation(|$real: &Real<'_>| $act) }),*]
        }
    };
}

defects! {
    the_state_has_no_version LIFE, |r| state(r, |s| { s.as_object_mut().map(|s| s.remove("ociVersion")); });
    the_version_of_the_state_is_a_word LIFE, |r| state(r, |s| s["ociVersion"] = json!("newest"));
    the_id_in_the_state_is_wrong LIFE, |r| state(r, |s| s["id"] = json!("other"));
    the_status_is_always_running LIFE, |r| state(r, |s| s["status"] = json!("running"));
    the_status_is_always_created LIFE, |r| state(r, |s| s["status"] = json!("created"));
    the_status_is_always_stopped LIFE, |r| state(r, |s| s["status"] = json!("stopped"));
    the_status_has_its_own_words LIFE, |r| state(r, |s| s["status"] = json!("up"));
    the_pid_in_the_state_is_the_runtimes LIFE, |r| state(r, |s| s["pid"] = json!(std::process::id()));
    the_pid_in_the_state_is_a_string LIFE, |r| state(r, |s| s["pid"] = json!(s["pid"].to_string()));
    the_state_has_no_pid LIFE, |r| state(r, |s| { s.as_object_mut().map(|s| s.remove("pid")); });
    the_bundle_in_the_state_is_relative LIFE, |r| state(r, |s| s["bundle"] = json!("."));
    the_state_has_no_annotations LIFE, |r| state(r, |s| { s.as_object_mut().map(|s| s.remove("annotations")); });
    the_state_invents_annotations LIFE, |r| state(r, |s| s["annotations"] = json!({"a": "b"}));
    state_always_succeeds &["state", "create", "delete", "hooks", "annotations"], |r| always_succeeds(r, "state");
    state_always_fails LIFE, |r| if r.operation() == "state" { Ok(1) } else { r.run() };
    create_always_succeeds &[], |r| always_succeeds(r, "create");
    create_starts_at_once LIFE, |r| {
        let status = r.run()?;
        if r.operation() == "create" && status == 0 { r.also("start", &[])?; }
        Ok(status)
    };
    create_always_fails LIFE, |r| if r.operation() == "create" { Ok(1) } else { r.run() };
    start_always_succeeds &["start", "hooks", "seccomp", "process", "scheduling"], |r| always_succeeds(r, "start");
    start_does_nothing LIFE, |r| does_nothing(r, "start");
    start_waits_for_the_end &["start"], |r| {
        let status = r.run()?;
        if r.operation() == "start" && status == 0 { std::thread::sleep(std::time::Duration::from_millis(300)); r.also("kill", &["KILL"])?; }
        Ok(status)
    };
    kill_does_nothing LIFE, |r| does_nothing(r, "kill");
    kill_always_succeeds &["kill"], |r| always_succeeds(r, "kill");
    kill_always_kills LIFE, |r| if r.operation() == "kill" { r.also("kill", &["KILL"]) } else { r.run() };
    kill_always_terminates LIFE, |r| if r.operation() == "kill" { r.also("kill", &["TERM"]) } else { r.run() };
    delete_does_nothing LIFE, |r| does_nothing(r, "delete");
    delete_always_succeeds &["delete", "kill", "hooks"], |r| always_succeeds(r, "delete");
    delete_always_forces LIFE, |r| if r.operation() == "delete" { r.also("delete", &["--force"]) } else { r.run() };
    delete_always_fails LIFE, |r| {
        let status = r.run()?;
        Ok(if r.operation() == "delete" { 1 } else { status })
    };
    the_features_have_no_versions &["features"], |r| features(r, |f| { f.as_object_mut().map(|f| (f.remove("ociVersionMin"), f.remove("ociVersionMax"))); });
    the_feature_versions_are_swapped &["features"], |r| features(r, |f| {
        f["ociVersionMin"] = json!("2.0.0");
    });
    the_features_have_properties_of_their_own &["features"], |r| features(r, |f| { f["mutant"] = json!(1); });
    the_linux_features_have_properties_of_their_own &["features"], |r| features(r, |f| { f["linux"]["mutant"] = json!(1); });
    the_features_list_everything &["features"], |r| features(r, |f| {
        for pointer in ["/mountOptions", "/hooks", "/linux/namespaces", "/linux/capabilities", "/linux/seccomp/actions", "/linux/seccomp/operators",
            "/linux/seccomp/archs", "/linux/seccomp/knownFlags", "/linux/seccomp/supportedFlags", "/linux/memoryPolicy/modes", "/linux/memoryPolicy/flags"] {
            if let Some(Value::Array(list)) = f.pointer_mut(pointer) { list.push(json!("size")); list.push(json!("CAP_MUTANT")); }
        }
    });
    the_feature_switches_are_words &["features"], |r| features(r, |f| {
        for pointer in ["/linux/cgroup/v1", "/linux/apparmor/enabled", "/linux/selinux/enabled", "/linux/intelRdt/enabled", "/linux/netDevices/enabled",
            "/linux/mountExtensions/idmap/enabled"] {
            if let Some(value) = f.pointer_mut(pointer) { *value = json!("yes"); }
        }
        f["annotations"] = json!({"a": 1});
        f["potentiallyUnsafeConfigAnnotations"] = json!([1]);
    });
    the_feature_switches_are_all_off &["features"], |r| features(r, |f| {
        for pointer in ["/linux/cgroup/v1", "/linux/cgroup/v2", "/linux/mountExtensions/idmap/enabled"] {
            if let Some(value) = f.pointer_mut(pointer) { *value = json!(false); }
        }
    });
    the_features_change_all_the_time &["features"], |r| features(r, |f| { f["annotations"]["now"] = json!(format!("{:?}", std::time::Instant::now())); });
}
