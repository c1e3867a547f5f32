//! Runtimes that overlook or confuse a property of `linux`.

use super::config::{drop, each_rule, spoils};
use super::{Act, Defect};
use serde_json::{Value, json};

spoils! {
    no_namespace_is_made_but_mount ["namespaces" "create" "state" "hooks" "sysctl" "process" "root"] |c| {
        if let Some(list) = c["linux"]["namespaces"].as_array_mut() { list.retain(|n| n["type"] == "mount" || n["path"].is_string()); }
        drop(c, "/hostname");
    }
    // runc and crun only change the root then. A runtime that pivots would take the suite's own root; orlop refuses.
    no_mount_namespace_is_made ["namespaces"] |c| {
        if let Some(list) = c["linux"]["namespaces"].as_array_mut() { list.retain(|n| n["type"] != "mount"); }
        drop(c, "/linux/maskedPaths"); drop(c, "/linux/readonlyPaths");
    }
    namespace_paths_are_ignored ["namespaces" "delete" "netdevices"] |c| {
        for n in c["linux"]["namespaces"].as_array_mut().into_iter().flatten() { n.as_object_mut().map(|n| n.remove("path")); }
    }
    all_namespaces_are_always_made ["namespaces" "sysctl"] |c| {
        if let Some(list) = c["linux"]["namespaces"].as_array_mut() {
            for kind in ["pid", "network", "ipc", "uts", "mount", "cgroup", "time"] {
                if !list.iter().any(|n| n["type"] == kind) { list.push(json!({"type": kind})); }
            }
        }
    }
    double_and_unknown_namespaces_are_left_out ["namespaces"] |c| {
        if let Some(list) = c["linux"]["namespaces"].as_array_mut() {
            let mut seen = Vec::new();
            list.retain(|n| {
                let kind = n["type"].as_str().unwrap_or("nosuch").to_owned();
                let path = n["path"].as_str().unwrap_or("/");
                let right = kind != "nosuch" && path.starts_with('/') && path.contains(&kind[..2]) | (path == "/") && std::path::Path::new(path).exists();
                let new = !seen.contains(&kind);
                seen.push(kind);
                right && new
            });
        }
    }
    the_user_namespace_is_ignored ["namespaces" "user" "capabilities" "devices" "paths" "seccomp"] |c| {
        if let Some(list) = c["linux"]["namespaces"].as_array_mut() { list.retain(|n| n["type"] != "user"); }
        drop(c, "/linux/uidMappings"); drop(c, "/linux/gidMappings");
    }
    only_the_first_range_of_ids_is_mapped ["namespaces"] |c| {
        for name in ["uidMappings", "gidMappings"] { if let Some(list) = c["linux"][name].as_array_mut() { list.truncate(1); } }
    }
    ids_are_mapped_elsewhere ["namespaces" "user" "idmap"] |c| {
        for name in ["uidMappings", "gidMappings"] {
            for range in c["linux"][name].as_array_mut().into_iter().flatten() { range["hostID"] = json!(range["hostID"].as_u64().unwrap_or(0) + 1); }
        }
    }
    mappings_without_sense_are_left_out ["namespaces"] |c| {
        let user = c["linux"]["namespaces"].as_array().is_some_and(|list| list.iter().any(|n| n["type"] == "user"));
        for name in ["uidMappings", "gidMappings"] {
            if user { c["linux"][name] = json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]); } else { drop(c, &format!("/linux/{name}")); }
        }
    }
    time_offsets_are_ignored ["namespaces"] |c| { drop(c, "/linux/timeOffsets"); }
    the_hostname_is_cut ["namespaces"] |c| {
        if let Some(name) = c["hostname"].as_str().map(str::to_owned) { c["hostname"] = json!(name.chars().take(63).collect::<String>()); }
    }
    devices_are_ignored ["devices"] |c| { drop(c, "/linux/devices"); }
    the_owner_of_devices_is_ignored ["devices"] |c| {
        for d in c["linux"]["devices"].as_array_mut().into_iter().flatten() { d.as_object_mut().map(|d| (d.remove("uid"), d.remove("gid"))); }
    }
    the_mode_of_devices_is_ignored ["devices"] |c| {
        for d in c["linux"]["devices"].as_array_mut().into_iter().flatten() { d["fileMode"] = json!(0o600); }
    }
    devices_are_always_zero ["devices"] |c| {
        for d in c["linux"]["devices"].as_array_mut().into_iter().flatten() { d["type"] = json!("c"); d["major"] = json!(1); d["minor"] = json!(9); }
    }
    one_more_device_is_made ["devices"] |c| {
        let more = json!({"path": "/dev/mutant", "type": "c", "major": 1, "minor": 5});
        match c["linux"]["devices"].as_array_mut() { Some(list) => list.push(more), None => c["linux"]["devices"] = json!([more]) }
    }
    default_devices_are_private_to_root ["devices"] |c| {
        let more: Vec<Value> = [("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)].iter()
            .map(|(name, minor)| json!({"path": format!("/dev/{name}"), "type": "c", "major": 1, "minor": minor, "fileMode": 0o600, "uid": 5})).collect();
        if c["linux"]["devices"].is_null() { c["linux"]["devices"] = json!(more); }
    }
    device_rules_are_ignored ["device_access"] |c| { drop(c, "/linux/resources/devices"); }
    device_rules_are_applied_in_reverse ["device_access"] |c| {
        if let Some(rules) = c["linux"]["resources"]["devices"].as_array_mut() { rules.reverse(); }
    }
    every_device_is_allowed ["device_access"] |c| { c["linux"]["resources"]["devices"] = json!([{"allow": true, "access": "rwm"}]); }
    the_access_in_device_rules_is_ignored ["device_access"] |c| {
        for rule in c["linux"]["resources"]["devices"].as_array_mut().into_iter().flatten() { rule["access"] = json!("rwm"); }
    }
    the_type_in_device_rules_is_ignored ["device_access"] |c| {
        for rule in c["linux"]["resources"]["devices"].as_array_mut().into_iter().flatten() {
            if rule["type"] == "b" || rule["type"] == "x" { rule["type"] = json!("c"); } else if rule["type"] == "a" { rule["type"] = json!("b"); }
        }
    }
    the_minor_in_device_rules_is_ignored ["device_access"] |c| {
        for rule in c["linux"]["resources"]["devices"].as_array_mut().into_iter().flatten() { rule.as_object_mut().map(|r| r.remove("minor")); }
    }
    the_major_in_device_rules_is_ignored ["device_access"] |c| {
        for rule in c["linux"]["resources"]["devices"].as_array_mut().into_iter().flatten() { rule.as_object_mut().map(|r| r.remove("major")); }
    }
    the_cgroups_path_is_ignored ["cgroups" "delete"] |c| { drop(c, "/linux/cgroupsPath"); }
    the_cgroups_path_changes_each_time ["cgroups"] |c| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |t| t.subsec_nanos());
        if let Some(path) = c["linux"]["cgroupsPath"].as_str().map(str::to_owned) { c["linux"]["cgroupsPath"] = json!(format!("{path}-{now}")); }
    }
    limits_are_ignored ["limits" "create" "cgroups"] |c| { drop(c, "/linux/resources"); }
    limits_are_one_less ["limits"] |c| {
        fn less(value: &mut Value) {
            match value {
                Value::Number(n) if n.as_i64().is_some_and(|n| n > 2) => *value = json!(n.as_i64().unwrap_or(0) / 2),
                Value::Array(items) => items.iter_mut().for_each(less),
                Value::Object(map) => map.iter_mut().filter(|(key, _)| !["major", "minor"].contains(&key.as_str())).for_each(|(_, v)| less(v)),
                _ => {}
            }
        }
        less(&mut c["linux"]["resources"]);
        if c["linux"]["resources"].is_null() { drop(c, "/linux/resources"); }
    }
    a_limit_of_processes_is_always_set ["limits"] |c| { c["linux"]["resources"]["pids"]["limit"] = json!(7); }
    there_is_no_limit_of_processes ["limits" "create"] |c| { c["linux"]["resources"]["pids"]["limit"] = json!(-1); }
    memory_is_always_scarce ["limits"] |c| { c["linux"]["resources"]["memory"] = json!({"limit": 16_777_216, "disableOOMKiller": false}); }
    the_oom_killer_is_always_off ["limits"] |c| {
        if c["linux"]["resources"]["memory"].is_object() { c["linux"]["resources"]["memory"]["disableOOMKiller"] = json!(true); }
    }
    sysctls_are_ignored ["sysctl"] |c| { drop(c, "/linux/sysctl"); }
    only_one_sysctl_is_set ["sysctl"] |c| {
        if let Some(map) = c["linux"]["sysctl"].as_object_mut() { let first = map.keys().next_back().cloned(); if let Some(first) = first { map.remove(&first); } }
    }
    masked_paths_are_ignored ["paths"] |c| { drop(c, "/linux/maskedPaths"); }
    masked_paths_are_only_readonly ["paths"] |c| {
        let paths = c["linux"]["maskedPaths"].take();
        drop(c, "/linux/maskedPaths");
        if !paths.is_null() { c["linux"]["readonlyPaths"] = paths; }
    }
    everything_beside_a_masked_path_is_masked ["paths"] |c| {
        for path in c["linux"]["maskedPaths"].as_array_mut().into_iter().flatten() {
            if let Some(parent) = path.as_str().and_then(|p| p.rsplit_once('/')).map(|(p, _)| p.to_owned()).filter(|p| p.len() > 1) { *path = json!(parent); }
        }
    }
    paths_that_do_not_exist_are_errors ["paths"] |c| {
        let text = c["linux"].to_string();
        if text.contains("/no/such/path") { c["process"] = json!(1); }
    }
    readonly_paths_are_ignored ["paths" "sysctl"] |c| { drop(c, "/linux/readonlyPaths"); }
    everything_above_a_readonly_path_is_readonly ["paths"] |c| {
        if c["linux"]["readonlyPaths"].is_array() { c["root"]["readonly"] = json!(true); }
    }
    the_propagation_of_the_root_is_ignored ["propagation" "mount_options"] |c| { drop(c, "/linux/rootfsPropagation"); }
    the_propagation_of_the_root_is_always_shared ["propagation"] |c| { c["linux"]["rootfsPropagation"] = json!("shared"); }
    the_personality_is_ignored ["kernel"] |c| { drop(c, "/linux/personality"); }
    the_personality_is_always_linux32 ["kernel"] |c| { c["linux"]["personality"] = json!({"domain": "LINUX32"}); }
    the_memory_policy_is_ignored ["kernel" "features"] |c| { drop(c, "/linux/memoryPolicy"); }
    the_memory_policy_is_always_bind ["kernel"] |c| { c["linux"]["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0"}); }
    the_flags_of_the_memory_policy_are_ignored ["kernel"] |c| { drop(c, "/linux/memoryPolicy/flags"); }
    intel_rdt_is_ignored ["kernel"] |c| { drop(c, "/linux/intelRdt"); }
    network_devices_are_ignored ["netdevices"] |c| { drop(c, "/linux/netDevices"); }
    network_devices_keep_their_names ["netdevices"] |c| {
        for device in c["linux"]["netDevices"].as_object_mut().into_iter().flat_map(|map| map.values_mut()) { *device = json!({}); }
    }
    seccomp_is_ignored ["seccomp" "seccomp_notify"] |c| { drop(c, "/linux/seccomp"); }
    seccomp_rules_are_ignored ["seccomp" "seccomp_notify"] |c| { drop(c, "/linux/seccomp/syscalls"); }
    conditions_of_seccomp_rules_are_ignored ["seccomp"] |c| { each_rule(c, |r| { r.as_object_mut().map(|r| r.remove("args")); }); }
    only_the_first_condition_of_a_seccomp_rule_counts ["seccomp"] |c| {
        each_rule(c, |r| if let Some(args) = r["args"].as_array_mut() { args.truncate(1); });
    }
    seccomp_operators_are_all_equal ["seccomp"] |c| {
        each_rule(c, |r| for a in r["args"].as_array_mut().into_iter().flatten() { a["op"] = json!("SCMP_CMP_EQ"); });
    }
    seccomp_operators_are_all_greater ["seccomp"] |c| {
        each_rule(c, |r| for a in r["args"].as_array_mut().into_iter().flatten() { a["op"] = json!("SCMP_CMP_GT"); });
    }
    seccomp_compares_32_bits ["seccomp"] |c| {
        each_rule(c, |r| for a in r["args"].as_array_mut().into_iter().flatten() { a["value"] = json!(a["value"].as_u64().unwrap_or(0) & 0xffff_ffff); });
    }
    seccomp_looks_at_the_first_argument ["seccomp"] |c| {
        each_rule(c, |r| for a in r["args"].as_array_mut().into_iter().flatten() { a["index"] = json!(0); });
    }
    only_the_first_seccomp_rule_counts ["seccomp"] |c| {
        if let Some(rules) = c["linux"]["seccomp"]["syscalls"].as_array_mut() { rules.truncate(1); }
    }
    only_the_first_name_of_a_seccomp_rule_counts ["seccomp"] |c| { each_rule(c, |r| if let Some(n) = r["names"].as_array_mut() { n.truncate(1); }); }
    seccomp_errors_are_always_eperm ["seccomp"] |c| {
        each_rule(c, |r| { r.as_object_mut().map(|r| r.remove("errnoRet")); });
        drop(c, "/linux/seccomp/defaultErrnoRet");
    }
    seccomp_errors_are_always_enosys ["seccomp"] |c| {
        each_rule(c, |r| if r["action"] == "SCMP_ACT_ERRNO" { r["errnoRet"] = json!(38); });
        if c["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO" { c["linux"]["seccomp"]["defaultErrnoRet"] = json!(38); }
    }
    seccomp_kills_instead_of_refusing ["seccomp"] |c| {
        each_rule(c, |r| if r["action"] != "SCMP_ACT_ALLOW" || r["args"].is_array() { r["action"] = json!("SCMP_ACT_KILL_PROCESS"); });
    }
    seccomp_refuses_instead_of_killing ["seccomp"] |c| { each_rule(c, |r| { r["action"] = json!("SCMP_ACT_ERRNO"); }); }
    seccomp_allows_by_default ["seccomp"] |c| {
        if c["linux"]["seccomp"].is_object() { c["linux"]["seccomp"]["defaultAction"] = json!("SCMP_ACT_ALLOW"); }
    }
    a_filter_is_always_loaded ["seccomp"] |c| {
        if c["linux"]["seccomp"].is_null() {
            c["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]});
        }
    }
    seccomp_flags_and_architectures_are_ignored ["seccomp"] |c| { drop(c, "/linux/seccomp/flags"); drop(c, "/linux/seccomp/architectures"); }
    unknown_seccomp_words_are_left_out ["seccomp"] |c| {
        if c["linux"]["seccomp"].is_object() && !c["linux"]["seccomp"]["defaultAction"].to_string().contains("ALLOW") { c["linux"]["seccomp"]["defaultAction"] = json!("SCMP_ACT_ALLOW"); }
        if let Some(rules) = c["linux"]["seccomp"]["syscalls"].as_array_mut() {
            rules.retain(|r| !r.to_string().contains("NO_SUCH") && !r.to_string().contains("\"index\":6") && r["names"] != json!([]));
        }
    }
    the_seccomp_listener_is_ignored ["seccomp_notify"] |c| {
        drop(c, "/linux/seccomp/listenerPath");
        each_rule(c, |r| if r["action"] == "SCMP_ACT_NOTIFY" { r["action"] = json!("SCMP_ACT_ERRNO"); });
    }
    the_seccomp_metadata_are_ignored ["seccomp_notify"] |c| { drop(c, "/linux/seccomp/listenerMetadata"); }
}
