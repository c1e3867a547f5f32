//! The features structure, which is optional: without it these cases are skipped.

use crate::bench::prelude::*;

fn words(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn version(text: &str) -> Result<Vec<u32>> {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<u32> = core.split('.').map(str::parse).collect::<Result<_, _>>().with_context(|| format!("version {text:?}"))?;
    ensure!(numbers.len() == 3, "version {text:?}");
    Ok(numbers)
}

fn list(t: &Trial, pointer: &str) -> Result<Vec<String>> {
    match t.features()?.pointer(pointer) {
        Some(Value::Array(items)) => Ok(words(&json!(items))),
        _ => skip(format!("the runtime's features have no {pointer}, which is optional")),
    }
}

fn optional_flag(t: &Trial, pointer: &str) -> Result<()> {
    let value = t.features()?.pointer(pointer).cloned().unwrap_or(Value::Null);
    ensure!(value.is_null() || value.is_boolean(), "{pointer} is {value}");
    Ok(())
}

/// A container with a filter of these properties must run.
fn takes(t: &Trial, seccomp: Value) -> Result<()> {
    t.bundle()?.set("/linux/seccomp", seccomp).does(&["report"]).observe()?.value("report").map(|_| ())
}

cases! {
    /// A string that is a version.
    ["features.version-min"]
    fn the_minimum_version_is_there(t) {
        version(t.features()?["ociVersionMin"].as_str().context("ociVersionMin is no string")?)?;
    }

    /// A string that is a version.
    ["features.version-max"]
    fn the_maximum_version_is_there(t) {
        version(t.features()?["ociVersionMax"].as_str().context("ociVersionMax is no string")?)?;
    }

    /// A config of that version.
    ["features.version-min.accepted"]
    fn a_config_of_the_minimum_version_is_taken(t) {
        t.bundle()?.set("/ociVersion", t.features()?["ociVersionMin"].clone()).observe()?.value("report")?;
    }

    /// A config of that version.
    ["features.version-max.accepted"]
    fn a_config_of_the_maximum_version_is_taken(t) {
        t.bundle()?.set("/ociVersion", t.features()?["ociVersionMax"].clone()).observe()?.value("report")?;
    }

    /// The order of the two.
    ["features.version-order"]
    fn the_maximum_version_is_not_below_the_minimum(t) {
        let of = |name: &str| version(t.features()?[name].as_str().unwrap_or_default());
        ensure!(of("ociVersionMax")? >= of("ociVersionMin")?, "the maximum is below the minimum");
    }

    /// Names that the specification defines.
    ["features.undefined"]
    fn the_features_have_no_undefined_properties(t) {
        let features = t.features()?;
        let known = ["ociVersionMin", "ociVersionMax", "hooks", "mountOptions", "linux", "annotations", "potentiallyUnsafeConfigAnnotations"];
        for name in features.as_object().context("features are no object")?.keys() {
            ensure!(known.contains(&name.as_str()), "{name} is not defined");
        }
        let known = [
            "namespaces", "capabilities", "cgroup", "seccomp", "apparmor", "selinux", "memoryPolicy", "intelRdt",
            "mountExtensions", "netDevices",
        ];
        for name in features["linux"].as_object().into_iter().flatten().map(|(name, _)| name) {
            ensure!(known.contains(&name.as_str()), "linux.{name} is not defined");
        }
    }

    /// Asked twice, the second time with another environment and by way of another directory.
    ["features.compile-time"]
    fn the_features_do_not_depend_on_the_moment(t) {
        let first = t.features()?;
        let mut command = t.bench.runtime.command(&["features"]);
        command.env_clear().current_dir("/");
        let output = t.bench.runtime.finish(&mut command, &t.dir.join("o"), &t.dir.join("e"), "features")?.expect_success("features")?;
        let second: Value = serde_json::from_str(&output.stdout)?;
        same("features", first, second)?;
    }

    /// Each listed hook is called in a life.
    ["features.hooks"]
    fn the_listed_hooks_are_supported(t) {
        let names = list(t, "/hooks")?;
        let mut b = t.bundle()?;
        for name in &names {
            b = b.hook(name, name, &[]);
        }
        let c = b.start()?;
        c.finish()?;
        c.delete()?;
        let called = c.hook_names()?;
        for name in names {
            ensure!(called.contains(&name), "the hook {name} is listed, but was not called");
        }
    }

    /// All listed options that are no others' data: each on a mount of its own.
    ["features.mount-options"]
    fn the_listed_mount_options_are_recognised(t) {
        t.needs_root()?;
        let source = t.path("source");
        std::fs::create_dir(&source)?;
        let mut b = t.bundle()?;
        for option in list(t, "/mountOptions")? {
            // Those that need more than a mount to mean something have cases of their own.
            if ["remount", "idmap", "ridmap", "mand", "nomand", "acl", "noacl"].contains(&option.as_str()) {
                continue;
            }
            let recursive = option.starts_with('r') && !["ro", "rw", "relatime", "rbind"].contains(&option.as_str());
            let place = format!("/options/{option}");
            b = match option.as_str() {
                "bind" | "rbind" => b.mount(&place, "none", &source, &[&option]),
                _ if recursive => b.mount(&place, "none", &source, &["rbind", &option]),
                _ => b.mount(&place, "tmpfs", "tmpfs", &[&option]),
            };
        }
        b.observe()?.value("report")?;
    }

    /// Options that belong to filesystems.
    ["features.mount-options.data"]
    fn options_of_filesystems_are_not_listed(t) {
        let options = list(t, "/mountOptions")?;
        for name in ["size", "mode", "uid", "gid", "lowerdir", "upperdir", "newinstance", "ptmxmode"] {
            ensure!(!options.iter().any(|option| option == name), "{name} is listed");
        }
    }

    /// A map of strings.
    ["features.annotations"]
    fn the_annotations_of_the_features_are_strings(t) {
        let annotations = &t.features()?["annotations"];
        ensure!(annotations.is_null() || annotations.is_object(), "annotations are {annotations}");
        for (key, value) in annotations.as_object().into_iter().flatten() {
            ensure!(!key.is_empty() && value.is_string(), "the annotation {key:?} is {value}");
        }
    }

    /// A list of strings.
    ["features.unsafe-annotations"]
    fn the_unsafe_annotations_are_a_list_of_names(t) {
        let names = &t.features()?["potentiallyUnsafeConfigAnnotations"];
        ensure!(names.is_null() || names.as_array().is_some_and(|n| n.iter().all(Value::is_string)), "they are {names}");
    }

    /// A container with a new namespace of each listed type that the kernel has.
    ["features.namespaces"]
    fn the_listed_namespaces_are_recognised(t) {
        t.needs_root()?;
        let mut b = t.bundle()?;
        for kind in list(t, "/linux/namespaces")? {
            let file = match kind.as_str() {
                "network" => "net",
                "mount" => "mnt",
                other => other,
            };
            if std::path::Path::new(&format!("/proc/self/ns/{file}")).exists() {
                b = if kind == "user" { b.user_namespace(200_000)? } else { b.namespace(&kind, None) };
            }
        }
        b.observe()?.value("report")?;
    }

    /// A container with every listed capability, of which those that the machine grants must be there.
    ["features.capabilities"]
    fn the_listed_capabilities_are_recognised(t) {
        t.needs_root()?;
        let names = list(t, "/linux/capabilities")?;
        for name in &names {
            ensure!(name.starts_with("CAP_"), "{name} is listed");
        }
        let log = t.path("log");
        let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != "CAP_SYS_RESOURCE").collect();
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted"], &names);
        b.write()?;
        let dir = b.dir.display().to_string();
        let output = t.runtime(&["--log", &log, "create", "--bundle", &dir, &b.id])?.expect_success("create")?;
        t.runtime(&["delete", "--force", &b.id])?;
        let text = output.stderr + &std::fs::read_to_string(&log).unwrap_or_default();
        let unknown: Vec<&&str> = names.iter().filter(|name| text.contains(**name)).collect();
        ensure!(unknown.is_empty(), "listed, but complained about: {unknown:?}");
    }

    /// The switches of cgroup support.
    ["features.cgroup"]
    fn the_cgroup_features_are_switches(t) {
        for name in ["v1", "v2", "systemd", "systemdUser", "rdma"] {
            optional_flag(t, &format!("/linux/cgroup/{name}"))?;
        }
    }

    /// What the runtime does here must be what it says.
    ["features.cgroup"]
    fn the_cgroup_version_in_use_is_listed(t) {
        t.controller_is_v1("pids")?;
        let name = if t.controller_is_v1("pids")? { "v1" } else { "v2" };
        let value = t.features()?.pointer(&format!("/linux/cgroup/{name}")).cloned().unwrap_or(Value::Null);
        ensure!(value.is_null() || value == true, "linux.cgroup.{name} is {value}, but a container runs here");
    }

    /// A rule with each listed action.
    ["features.seccomp.actions"]
    fn the_listed_seccomp_actions_are_recognised(t) {
        let actions = list(t, "/linux/seccomp/actions")?;
        let names = ["acct", "swapon", "swapoff", "reboot", "sethostname", "setdomainname", "vhangup", "pivot_root", "quotactl", "kexec_load"];
        let rules: Vec<Value> = actions.iter().filter(|a| !["SCMP_ACT_NOTIFY", "SCMP_ACT_ALLOW"].contains(&a.as_str())).zip(names)
            .map(|(action, name)| json!({"names": [name], "action": action})).collect();
        takes(t, json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))?;
    }

    /// A rule with each listed operator.
    ["features.seccomp.operators"]
    fn the_listed_seccomp_operators_are_recognised(t) {
        let rules: Vec<Value> = list(t, "/linux/seccomp/operators")?.iter()
            .map(|op| json!({"names": ["acct"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": op}]})).collect();
        takes(t, json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))?;
    }

    /// A filter with every listed architecture.
    ["features.seccomp.archs"]
    fn the_listed_seccomp_architectures_are_recognised(t) {
        let archs = list(t, "/linux/seccomp/archs")?;
        for arch in archs {
            // One at a time with the machine's own: not all can be in one filter, as their byte orders differ.
            let own = if cfg!(target_arch = "aarch64") { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };
            let little = !["MIPS", "MIPS64", "MIPS64N32", "PPC", "PPC64", "S390", "S390X", "PARISC", "PARISC64", "M68K", "SHEB"]
                .iter().any(|name| arch == format!("SCMP_ARCH_{name}"));
            if little {
                let rules = json!([{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]);
                takes(t, json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [own, arch], "syscalls": rules}))
                    .with_context(|| arch.clone())?;
            }
        }
    }

    /// Every listed flag: it must not be called unknown.
    ["features.seccomp.known-flags"]
    fn the_known_seccomp_flags_are_flags(t) {
        let known = list(t, "/linux/seccomp/knownFlags")?;
        for flag in list(t, "/linux/seccomp/supportedFlags")? {
            ensure!(known.contains(&flag), "{flag} is supported, but not known");
        }
        for flag in known {
            ensure!(flag.starts_with("SECCOMP_FILTER_FLAG_"), "{flag} is listed");
        }
    }

    /// A filter with each listed flag.
    ["features.seccomp.supported-flags"]
    fn the_supported_seccomp_flags_are_taken(t) {
        for flag in list(t, "/linux/seccomp/supportedFlags")? {
            // It is for listeners alone.
            if flag != "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" {
                let rules = json!([{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]);
                takes(t, json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": [flag], "syscalls": rules})).with_context(|| flag.clone())?;
            }
        }
    }

    /// A switch.
    ["features.apparmor"]
    fn the_apparmor_feature_is_a_switch(t) {
        optional_flag(t, "/linux/apparmor/enabled")?;
    }

    /// A switch.
    ["features.selinux"]
    fn the_selinux_feature_is_a_switch(t) {
        optional_flag(t, "/linux/selinux/enabled")?;
    }

    /// Each listed mode that this kernel has, with nodes where it takes them.
    ["features.memory-policy.modes"]
    fn the_listed_memory_policies_are_recognised(t) {
        let newer = [("MPOL_PREFERRED_MANY", 5), ("MPOL_WEIGHTED_INTERLEAVE", 6)];
        let lacks = |mode: &str| newer.iter().any(|(name, number)| *name == mode && !crate::sys::knows_memory_mode(*number));
        for mode in list(t, "/linux/memoryPolicy/modes")?.into_iter().filter(|mode| !lacks(mode)) {
            let nodes = !["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&mode.as_str());
            let policy = if nodes { json!({"mode": mode, "nodes": "0"}) } else { json!({"mode": mode}) };
            t.bundle()?.set("/linux/memoryPolicy", policy).observe()?.value("report").with_context(|| mode.clone())?;
        }
    }

    /// Each listed flag that the kernel takes with any mode.
    ["features.memory-policy.flags"]
    fn the_listed_memory_policy_flags_are_recognised(t) {
        for flag in list(t, "/linux/memoryPolicy/flags")? {
            let policy = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]});
            t.bundle()?.set("/linux/memoryPolicy", policy).observe()?.value("report").with_context(|| flag.clone())?;
        }
    }

    /// Switches.
    ["features.intel-rdt"]
    fn the_intel_rdt_features_are_switches(t) {
        for name in ["enabled", "schemata", "monitoring"] {
            optional_flag(t, &format!("/linux/intelRdt/{name}"))?;
        }
    }

    /// A runtime that knows the specification since 1.1 and takes mappings of mounts must say so.
    ["features.idmap"]
    fn the_idmap_feature_is_true_of_a_runtime_that_takes_mappings(t) {
        t.needs_root()?;
        t.needs_version(1)?;
        optional_flag(t, "/linux/mountExtensions/idmap/enabled")?;
        let source = t.path("source");
        std::fs::create_dir(&source)?;
        std::fs::write(format!("{source}/file"), "x")?;
        let map = json!([{"containerID": 0, "hostID": 5000, "size": 65536}]);
        let entry = json!({"destination": "/data", "type": "none", "source": source, "options": ["bind", "idmap"], "uidMappings": map, "gidMappings": map});
        let (c, created) = t.bundle()?.set("/mounts/-", entry).does(&["stat /data/file"]).try_create()?;
        if created.succeeded() && c.call("start", &[])?.succeeded() && c.finish()?.value("stat /data/file")?["uid"] == 5000 {
            same("feature", t.features()?.pointer("/linux/mountExtensions/idmap/enabled").unwrap_or(&Value::Null), true)?;
        }
    }

    /// A switch.
    ["features.netdevices"]
    fn the_netdevices_feature_is_a_switch(t) {
        optional_flag(t, "/linux/netDevices/enabled")?;
    }
}
