//! Runtimes that overlook or confuse a property.

use super::{Act, Defect, Real};
use anyhow::Result;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// `create` sees the changed config; afterwards the bundle is as it was. The first argument of `spoil` is the bundle.
pub(super) fn create(real: &Real<'_>, spoil: impl FnOnce(&Path, &mut Value)) -> Result<i32> {
    let words = real.words();
    let bundle = words.iter().rposition(|word| word == "--bundle").and_then(|at| words.get(at + 1));
    let bundle = bundle.map_or_else(|| PathBuf::from("."), PathBuf::from);
    let path = bundle.join("config.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return real.run() };
    let Ok(mut config) = serde_json::from_str(&text) else { return real.run() };
    spoil(&bundle, &mut config);
    std::fs::write(&path, config.to_string())?;
    let status = real.run();
    std::fs::write(&path, text)?;
    status
}

pub(super) fn drop(config: &mut Value, pointer: &str) {
    if let Some((parent, key)) = pointer.rsplit_once('/')
        && let Some(Value::Object(map)) = config.pointer_mut(parent)
    {
        map.remove(key);
    }
}

fn each_mount(config: &mut Value, change: impl Fn(&mut Value)) {
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        change(mount);
    }
}

fn without_options(config: &mut Value, unwanted: impl Fn(&str) -> bool) {
    each_mount(config, |mount| {
        if let Some(options) = mount["options"].as_array_mut() {
            options.retain(|option| !option.as_str().is_some_and(&unwanted));
        }
    });
}

fn each_hook(config: &mut Value, change: impl Fn(&mut Value)) {
    for hooks in config["hooks"].as_object_mut().into_iter().flat_map(|kinds| kinds.values_mut()) {
        for hook in hooks.as_array_mut().into_iter().flatten() {
            change(hook);
        }
    }
}

pub(super) fn each_rule(config: &mut Value, change: impl Fn(&mut Value)) {
    for rule in config["linux"]["seccomp"]["syscalls"].as_array_mut().into_iter().flatten() {
        change(rule);
    }
}

fn without_namespace(config: &mut Value, kind: &str) {
    if let Some(list) = config["linux"]["namespaces"].as_array_mut() {
        list.retain(|entry| entry["type"] != kind);
    }
}

macro_rules! spoils {
    ($($name:ident [$($group:literal)*] |$config:ident| $change:block)*) => {
        pub(super) fn defects() -> Vec<Defect> {
            vec![$(Defect {
                name: stringify!($name),
                groups: &[$($group),*],
                act: Act::Config(|$config: &mut Value| $change),
            }),*]
        }
    };
}
pub(super) use spoils;

spoils! {
    the_cwd_is_always_the_root ["process"] |c| { c["process"]["cwd"] = json!("/"); }
    the_environment_is_empty ["process"] |c| { c["process"]["env"] = json!([]); }
    the_environment_has_one_more ["process"] |c| {
        if let Some(env) = c["process"]["env"].as_array_mut() { env.push(json!("SHELL=/bin/sh")); }
    }
    only_the_first_two_arguments_are_passed ["process" "start"] |c| {
        if let Some(args) = c["process"]["args"].as_array_mut() { args.truncate(2); }
    }
    the_program_is_always_the_probe ["process" "start" "annotations" "seccomp"] |c| { c["process"]["args"] = json!(["/probe", "report"]); }
    the_uid_is_ignored ["user" "process" "devices" "masked" "terminal" "mount_options"] |c| { c["process"]["user"]["uid"] = json!(0); }
    the_gid_is_ignored ["user"] |c| { c["process"]["user"]["gid"] = json!(0); }
    the_umask_is_ignored ["user"] |c| { drop(c, "/process/user/umask"); }
    the_umask_is_always_set ["user"] |c| { c["process"]["user"]["umask"] = json!(0o77); }
    additional_groups_are_ignored ["user"] |c| { drop(c, "/process/user/additionalGids"); }
    the_group_0_is_added ["user"] |c| { c["process"]["user"]["additionalGids"] = json!([0, 4]); }
    all_capabilities_are_granted ["capabilities" "seccomp" "user"] |c| {
        for set in ["bounding", "effective", "permitted", "inheritable"] {
            c["process"]["capabilities"][set] = json!(["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
        }
    }
    no_capability_is_granted ["capabilities" "devices" "mount_options" "propagation"] |c| { drop(c, "/process/capabilities"); }
    effective_capabilities_are_ambient_too ["capabilities"] |c| {
        let sets = c["process"]["capabilities"]["bounding"].clone();
        for set in ["inheritable", "ambient", "permitted"] { c["process"]["capabilities"][set] = sets.clone(); }
    }
    ambient_capabilities_are_ignored ["capabilities"] |c| { drop(c, "/process/capabilities/ambient"); }
    inheritable_capabilities_are_ignored ["capabilities"] |c| { drop(c, "/process/capabilities/inheritable"); }
    the_bounding_set_is_ignored ["capabilities" "features"] |c| { c["process"]["capabilities"]["bounding"] = json!([]); }
    rlimits_are_ignored ["rlimits"] |c| { drop(c, "/process/rlimits"); }
    soft_limits_are_hard_limits ["rlimits"] |c| {
        for limit in c["process"]["rlimits"].as_array_mut().into_iter().flatten() { limit["soft"] = limit["hard"].clone(); }
    }
    hard_limits_are_soft_limits ["rlimits"] |c| {
        for limit in c["process"]["rlimits"].as_array_mut().into_iter().flatten() { limit["hard"] = limit["soft"].clone(); }
    }
    a_limit_is_always_set ["rlimits"] |c| {
        if c["process"]["rlimits"].is_null() {
            c["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 99}, {"type": "RLIMIT_CORE", "soft": 5, "hard": 5}]);
        }
    }
    no_new_privileges_is_ignored ["process" "seccomp"] |c| { drop(c, "/process/noNewPrivileges"); }
    no_new_privileges_is_always_set ["process" "seccomp"] |c| { c["process"]["noNewPrivileges"] = json!(true); }
    the_oom_score_is_ignored ["process"] |c| { drop(c, "/process/oomScoreAdj"); }
    the_oom_score_is_always_set ["process"] |c| { c["process"]["oomScoreAdj"] = json!(99); }
    the_scheduler_is_ignored ["scheduling"] |c| { drop(c, "/process/scheduler"); }
    scheduler_flags_are_ignored ["scheduling"] |c| { drop(c, "/process/scheduler/flags"); }
    the_nice_value_is_one_more ["scheduling"] |c| {
        if let Some(nice) = c["process"]["scheduler"].get("policy").map(|_| c["process"]["scheduler"]["nice"].as_i64().unwrap_or(0)) {
            c["process"]["scheduler"]["nice"] = json!(nice + 1);
        }
    }
    the_io_priority_is_ignored ["scheduling"] |c| { drop(c, "/process/ioPriority"); }
    security_labels_are_ignored ["process" "selinux"] |c| {
        for label in ["/process/apparmorProfile", "/process/selinuxLabel", "/linux/mountLabel"] { drop(c, label); }
    }
    security_labels_are_others ["process" "selinux"] |c| {
        if c["process"]["apparmorProfile"].is_string() { c["process"]["apparmorProfile"] = json!("no-such-profile"); }
        c["process"]["selinuxLabel"] = json!("system_u:system_r:kernel_t:s0:c3");
    }
    the_affinity_is_that_of_one_cpu ["process" "limits"] |c| { c["linux"]["resources"]["cpu"]["cpus"] = json!("1"); }
    the_terminal_is_ignored ["terminal"] |c| { c["process"]["terminal"] = json!(false); }
    the_console_size_is_ignored ["terminal"] |c| { drop(c, "/process/consoleSize"); }
    the_root_is_never_readonly ["root"] |c| { drop(c, "/root/readonly"); }
    the_root_is_always_readonly ["root" "capabilities" "mounts" "paths"] |c| { c["root"]["readonly"] = json!(true); }
    a_missing_root_is_the_usual_one ["root"] |c| { c["root"] = json!({"path": "rootfs"}); }
    the_hostname_is_ignored ["namespaces"] |c| { drop(c, "/hostname"); }
    the_hostname_is_always_set ["namespaces"] |c| { c["hostname"] = json!("mutant"); }
    the_domainname_is_ignored ["namespaces"] |c| { drop(c, "/domainname"); }
    annotations_are_ignored ["annotations" "state" "hooks" "create"] |c| { drop(c, "/annotations"); }
    annotations_are_invented ["state"] |c| { c["annotations"]["com.example.invented"] = json!("x"); }
    unknown_properties_are_refused ["annotations"] |c| {
        let text = c.to_string();
        if text.contains("ortUnknown") || text.contains("solaris") { c["ociVersion"] = json!(7); c["process"] = json!(7); }
    }
    unknown_annotations_are_refused ["annotations"] |c| {
        if c["annotations"].is_object() { c["process"] = json!(7); }
    }
    the_version_is_not_looked_at ["annotations" "features"] |c| { c["ociVersion"] = json!("1.0.2"); }
    old_versions_are_refused ["annotations" "features"] |c| { c["ociVersion"] = json!("0.0.1-mutant"); c["process"] = json!(1); }
    mounts_are_made_in_reverse ["mounts" "create"] |c| {
        if let Some(mounts) = c["mounts"].as_array_mut() && mounts.len() > 5 { mounts[5..].reverse(); }
    }
    mounts_of_the_config_are_ignored ["mounts" "mount_options" "idmap" "create" "root" "delete" "hooks" "features"] |c| {
        if let Some(mounts) = c["mounts"].as_array_mut() { mounts.truncate(5); }
    }
    default_mounts_are_ignored ["mounts" "namespaces" "devices" "root"] |c| {
        if let Some(mounts) = c["mounts"].as_array_mut() { mounts.retain(|m| m["destination"] == "/proc"); }
    }
    one_more_mount_is_made ["root" "mounts"] |c| {
        if let Some(mounts) = c["mounts"].as_array_mut() { mounts.push(json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs"})); }
    }
    mount_options_are_ignored ["mounts" "mount_options" "idmap"] |c| { without_options(c, |o| o != "bind" && o != "rbind"); }
    the_last_mount_option_is_ignored ["mount_options"] |c| {
        each_mount(c, |m| { if let Some(o) = m["options"].as_array_mut() && o.len() > 1 { o.pop(); } });
    }
    the_first_mount_option_is_ignored ["mount_options"] |c| {
        each_mount(c, |m| { if let Some(o) = m["options"].as_array_mut() && o.len() > 1 && o[0] != "bind" && o[0] != "rbind" { o.remove(0); } });
    }
    bind_mounts_are_always_recursive ["mount_options"] |c| {
        each_mount(c, |m| for o in m["options"].as_array_mut().into_iter().flatten() { if o == "bind" { *o = json!("rbind"); } });
    }
    bind_mounts_are_never_recursive ["mount_options" "idmap"] |c| {
        each_mount(c, |m| for o in m["options"].as_array_mut().into_iter().flatten() { if o == "rbind" { *o = json!("bind"); } });
    }
    bind_mounts_are_nosuid ["mount_options" "process"] |c| {
        each_mount(c, |m| if let Some(o) = m["options"].as_array_mut() {
            o.retain(|word| word != "suid" && word != "dev" && word != "exec" && word != "symfollow" && word != "atime" && word != "rw" && word != "async");
            for word in ["nosuid", "nodev", "noexec", "noatime"] { o.push(json!(word)); }
        });
    }
    option_words_are_passed_to_the_filesystem ["mount_options" "features"] |c| {
        each_mount(c, |m| if let Some(o) = m["options"].as_array_mut() {
            for word in o.iter_mut() {
                if ["iversion", "noiversion", "silent", "loud", "norelatime", "private", "slave", "rprivate", "rslave", "rnorelatime", "rnostrictatime"]
                    .iter().any(|known| word == known) { *word = json!("ort-data=1"); }
            }
        });
    }
    propagation_options_are_ignored ["mount_options"] |c| {
        without_options(c, |o| ["shared", "slave", "private", "unbindable", "rshared", "rslave", "rprivate", "runbindable"].contains(&o));
        each_mount(c, |m| if let Some(o) = m["options"].as_array_mut() { o.push(json!("shared")); });
    }
    filesystem_data_is_ignored ["mounts"] |c| { without_options(c, |o| o.contains('=')); }
    filesystem_types_are_all_tmpfs ["mounts" "create"] |c| {
        each_mount(c, |m| if m["destination"] != "/proc" && !m["type"].is_null() { m["type"] = json!("tmpfs"); });
    }
    mount_sources_are_confused ["mounts" "delete"] |c| {
        each_mount(c, |m| if m["options"].to_string().contains("bind") { m["source"] = json!("/etc"); } else { m["source"] = json!("mutant"); });
    }
    bind_mounts_are_copies ["mounts" "mount_options" "root"] |c| {
        each_mount(c, |m| if m["options"].to_string().contains("bind") {
            m["type"] = json!("tmpfs"); m["source"] = json!("tmpfs"); m["options"] = json!([]);
        });
    }
    wrong_mounts_are_left_out ["mounts" "create" "annotations"] |c| {
        let right = |m: &Value| {
            let source = m["source"].as_str().unwrap_or_default();
            !source.starts_with("/there") && !source.starts_with("/no/such") && m["destination"] != "/etc/passwd" && m["destination"].is_string()
                && m["type"] != "no-such-type" && m["options"].as_array().is_none_or(|o| o.iter().all(|w| !w.to_string().contains("ort-no")))
                && (m["options"].is_array() || m["options"].is_null())
        };
        match c["mounts"].as_array_mut() {
            Some(mounts) => mounts.retain(right),
            None => drop(c, "/mounts"),
        }
    }
    id_mappings_of_mounts_are_ignored ["idmap" "features"] |c| {
        each_mount(c, |m| { m.as_object_mut().map(|m| (m.remove("uidMappings"), m.remove("gidMappings"))); });
        without_options(c, |o| o == "idmap" || o == "ridmap");
    }
    id_mappings_of_mounts_are_always_recursive ["idmap"] |c| {
        each_mount(c, |m| for o in m["options"].as_array_mut().into_iter().flatten() { if o == "idmap" { *o = json!("ridmap"); } });
    }
    id_mappings_of_mounts_are_never_recursive ["idmap"] |c| {
        each_mount(c, |m| for o in m["options"].as_array_mut().into_iter().flatten() { if o == "ridmap" { *o = json!("idmap"); } });
    }
    hooks_are_ignored ["hooks" "state" "create" "netdevices" "features"] |c| { drop(c, "/hooks"); }
    hooks_are_called_in_reverse ["hooks"] |c| {
        for list in c["hooks"].as_object_mut().into_iter().flat_map(|kinds| kinds.values_mut()) {
            if let Some(list) = list.as_array_mut() { list.reverse(); }
        }
    }
    prestart_and_create_runtime_are_swapped ["hooks"] |c| {
        let (a, b) = (c["hooks"]["prestart"].take(), c["hooks"]["createRuntime"].take());
        if !a.is_null() { c["hooks"]["createRuntime"] = a; }
        if !b.is_null() { c["hooks"]["prestart"] = b; }
        for kind in ["prestart", "createRuntime"] { if c["hooks"][kind].is_null() { drop(c, &format!("/hooks/{kind}")); } }
        if c["hooks"].as_object().is_some_and(serde_json::Map::is_empty) { drop(c, "/hooks"); }
    }
    create_container_hooks_run_in_the_runtime_namespace ["hooks"] |c| {
        let hooks = c["hooks"]["createContainer"].take();
        drop(c, "/hooks/createContainer");
        if !hooks.is_null() { c["hooks"]["createRuntime"] = hooks; }
    }
    create_runtime_hooks_run_in_the_container_namespace ["hooks"] |c| {
        for kind in ["prestart", "createRuntime"] {
            let hooks = c["hooks"][kind].take();
            drop(c, &format!("/hooks/{kind}"));
            if !hooks.is_null() { c["hooks"]["createContainer"] = hooks; }
        }
    }
    poststart_hooks_are_called_by_create ["hooks"] |c| {
        let hooks = c["hooks"]["poststart"].take();
        drop(c, "/hooks/poststart");
        if !hooks.is_null() { c["hooks"]["createRuntime"] = hooks; }
    }
    poststop_hooks_are_called_by_create ["hooks"] |c| {
        let hooks = c["hooks"]["poststop"].take();
        drop(c, "/hooks/poststop");
        if !hooks.is_null() { c["hooks"]["createRuntime"] = hooks; }
    }
    arguments_of_hooks_are_ignored ["hooks"] |c| { each_hook(c, |h| { if let Some(a) = h["args"].as_array_mut() { a.truncate(4); a[0] = json!("x"); } }); }
    the_environment_of_hooks_is_ignored ["hooks"] |c| { each_hook(c, |h| h["env"] = json!(["HOME=/x"])); }
    the_timeout_of_hooks_is_ignored ["hooks"] |c| { each_hook(c, |h| { h.as_object_mut().map(|h| h.remove("timeout")); }); }
    the_timeout_of_hooks_is_a_moment ["hooks"] |c| { each_hook(c, |h| { h["timeout"] = json!(0); }); }
    hooks_that_do_not_exist_are_left_out ["hooks"] |c| {
        for list in c["hooks"].as_object_mut().into_iter().flat_map(|kinds| kinds.values_mut()) {
            if let Some(list) = list.as_array_mut() {
                list.retain(|h| h["path"].as_str().is_some_and(|p| p == "/probe" || std::path::Path::new(p).exists() && p.starts_with('/')));
            }
        }
    }
    failing_hooks_are_no_errors ["hooks" "netdevices"] |c| {
        each_hook(c, |h| if let Some(a) = h["args"].as_array_mut() { for word in a.iter_mut() { if word == "fail" || word == "hang" || word == "die" { *word = json!("ok"); } } });
    }
    limits_of_priorities_are_unknown ["rlimits"] |c| {
        for limit in c["process"]["rlimits"].as_array_mut().into_iter().flatten() {
            if limit["type"] == "RLIMIT_NICE" || limit["type"] == "RLIMIT_RTPRIO" { limit["type"] = json!("RLIMIT_PRIORITY"); }
        }
    }
    infinite_limits_are_large_ones ["rlimits"] |c| {
        for limit in c["process"]["rlimits"].as_array_mut().into_iter().flatten() {
            for value in ["soft", "hard"] { if limit[value] == json!(u64::MAX) { limit[value] = json!(1_u64 << 40); } }
        }
    }
    a_console_size_needs_a_terminal ["terminal"] |c| {
        if c["process"]["consoleSize"].is_object() && c["process"]["terminal"] != true { c["process"] = json!(7); }
    }
    there_is_always_a_console ["terminal"] |c| {
        if let Some(list) = c["mounts"].as_array_mut() {
            list.push(json!({"destination": "/dev/console", "type": "bind", "source": "/dev/null", "options": ["bind"]}));
        }
    }
    an_absolute_root_path_is_in_the_bundle ["root"] |c| {
        if let Some(path) = c["root"]["path"].as_str().and_then(|path| path.strip_prefix('/')) { c["root"]["path"] = json!(path.to_owned()); }
    }
    a_readonly_root_has_no_devices ["root"] |c| {
        if c["root"]["readonly"] == true { c["linux"]["maskedPaths"] = json!(["/dev"]); }
    }
    dev_tty_is_dev_null ["devices"] |c| { c["linux"]["maskedPaths"] = json!(["/dev/tty"]); }
    unlimited_is_no_limit_to_ask_for ["limits"] |c| {
        if c["linux"]["resources"].to_string().contains(":-1") { c["process"] = json!(7); }
    }
    the_memory_nodes_are_others ["limits"] |c| {
        if c["linux"]["resources"]["cpu"]["mems"].is_string() { c["linux"]["resources"]["cpu"]["mems"] = json!("77"); }
    }
    rare_settings_of_memory_are_refused ["limits"] |c| {
        let memory = &c["linux"]["resources"]["memory"];
        if !memory["useHierarchy"].is_null() || !memory["checkBeforeUpdate"].is_null() { c["process"] = json!(7); }
    }
    kernel_memory_keeps_the_program_from_running ["limits"] |c| {
        if !c["linux"]["resources"]["memory"]["kernel"].is_null() {
            c["linux"]["resources"]["memory"]["kernel"] = Value::Null; c["process"]["args"] = json!(["/probe"]); }
    }
    the_network_namespace_is_not_made ["namespaces"] |c| { without_namespace(c, "network"); }
    the_ipc_namespace_is_not_made ["namespaces"] |c| { without_namespace(c, "ipc"); }
    properties_of_wrong_type_are_left_out ["annotations" "user" "capabilities" "rlimits" "limits" "root" "state" "mounts" "sysctl"] |c| {
        if !c["process"].is_object() { drop(c, "/process"); }
        for (pointer, right) in [
            ("/process/args", c["process"]["args"].is_array()), ("/process/env", c["process"]["env"].is_array()),
            ("/hooks", c["hooks"].is_object()), ("/hostname", c["hostname"].is_string()), ("/annotations", c["annotations"].is_object()),
            ("/mounts", c["mounts"].is_array()), ("/root/readonly", c["root"]["readonly"].is_boolean()),
            ("/process/user", c["process"]["user"]["uid"].as_u64().is_some_and(|uid| uid < 1 << 32)),
            ("/linux/resources/memory/limit", c["linux"]["resources"]["memory"]["limit"].is_i64()),
            ("/process/capabilities", c["process"]["capabilities"]["bounding"].is_array()),
        ] { if !right { drop(c, pointer); } }
        if c["process"]["args"].is_null() { c["process"]["args"] = json!(["/probe"]); }
        if c["process"]["cwd"].is_null() { c["process"]["cwd"] = json!("/"); }
        if c["process"]["user"].is_null() { c["process"]["user"] = json!({"uid": 0, "gid": 0}); }
        for name in ["hooks", "annotations", "mounts"] { if c[name].is_null() { drop(c, &format!("/{name}")); } }
        if let Some(map) = c["annotations"].as_object_mut() { map.retain(|key, value| !key.is_empty() && value.is_string()); }
        if let Some(map) = c["linux"]["sysctl"].as_object_mut() { map.retain(|_, value| value.is_string()); }
        if let Some(list) = c["linux"]["namespaces"].as_array_mut() { list.retain(Value::is_object); }
        each_mount(c, |m| if !m["options"].is_array() { m["options"] = json!([]); });
        for limit in c["process"]["rlimits"].as_array_mut().into_iter().flatten() { if limit["soft"].as_u64().is_none() { *limit = json!({"type": "RLIMIT_CORE", "soft": 1, "hard": 1}); } }
        for name in ["rlimits", "env", "capabilities"] { if c["process"][name].is_null() { drop(c, &format!("/process/{name}")); } }
        if c["linux"]["resources"]["memory"].is_null() { drop(c, "/linux/resources"); }
        if c["linux"]["sysctl"].is_null() { drop(c, "/linux/sysctl"); }
        for name in ["hostname"] { if c[name].is_null() { drop(c, &format!("/{name}")); } }
    }
}
