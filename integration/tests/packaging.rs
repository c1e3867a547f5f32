//! Every file of `packaging/` holds the rules of the engine that reads it: those of the engine's manual, and, where the engine
//! is installed, what it says itself of the file.
//!
//! An engine may pass over a whole file, or a runtime of it, for one wrong word, with no more than a line in its log.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(name).canonicalize().unwrap()
}

/// A TOML file, read by Python's own reader.
fn toml(text: &str) -> Value {
    let script = "import json, sys, tomllib; print(json.dumps(tomllib.loads(sys.argv[1])))";
    let output = Command::new("/usr/bin/python3").args(["-c", script, text]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(name: &str) -> String {
    fs::read_to_string(shipped(name)).unwrap()
}

fn keys(table: &Value) -> Vec<&str> {
    table.as_object().unwrap().keys().map(String::as_str).collect()
}

fn assert_known(table: &Value, known: &[&str], whose: &str) {
    for key in keys(table) {
        assert!(known.contains(&key), "{whose}: {key:?} is no key of it");
    }
}

/// The engine's answer, or `None` with the reason printed.
fn engine(program: &str, arguments: &[&str], set: &[(&str, &Path)]) -> Option<Output> {
    match Command::new(program).args(arguments).envs(set.iter().copied()).output() {
        Ok(output) => Some(output),
        Err(_) => {
            integration::skip::skip(&format!("no {program} on this machine"));
            None
        }
    }
}

#[test]
fn every_shipped_file_has_a_test_here() {
    let tested: BTreeSet<PathBuf> = [
        "apparmor.d/orlop",
        "containerd/50-orlop.toml",
        "containerd/config.toml",
        "containers.conf.d/50-orlop.conf",
        "crio/50-orlop.conf",
        "docker/daemon.json",
        "kubernetes/runtimeclass.yaml",
    ]
    .map(shipped)
    .into();
    let root = shipped("");
    // The files of packaging/debian are held by integration/tools/deb-test and lintian.
    let directories = fs::read_dir(root).unwrap().flatten().filter(|directory| directory.file_name() != "debian");
    let files = directories.flat_map(|directory| fs::read_dir(directory.path()).unwrap().flatten());
    assert_eq!(files.map(|file| file.path()).collect::<BTreeSet<_>>(), tested);
}

/// crio.conf(5), "CRIO.RUNTIME.RUNTIMES TABLE" and what CRI-O's validation of a handler refuses.
mod crio {
    pub(super) const HANDLER: [&str; 16] = [
        "runtime_path",
        "runtime_type",
        "runtime_root",
        "runtime_config_path",
        "privileged_without_host_devices",
        "allowed_annotations",
        "default_annotations",
        "monitor_path",
        "monitor_cgroup",
        "monitor_exec_cgroup",
        "monitor_env",
        "platform_runtime_paths",
        "container_min_memory",
        "no_sync_log",
        "seccomp_profile",
        "inherit_default_runtime",
    ];

    /// The names that `allowed_annotations` takes: with any other the handler is ignored, and no pod of it starts.
    pub(super) const ANNOTATIONS: [&str; 21] = [
        "io.kubernetes.cri-o.userns-mode",
        "io.kubernetes.cri-o.cgroup2-mount-hierarchy-rw",
        "io.kubernetes.cri-o.UnifiedCgroup",
        "io.kubernetes.cri-o.ShmSize",
        "io.kubernetes.cri-o.Devices",
        "io.kubernetes.cri-o.umask",
        "io.kubernetes.cri-o.seccompNotifierAction",
        "io.kubernetes.cri-o.PodLinuxOverhead",
        "io.kubernetes.cri-o.PodLinuxResources",
        "io.kubernetes.cri-o.LinkLogs",
        "io.kubernetes.cri-o.TrySkipVolumeSELinuxLabel",
        "io.kubernetes.cri-o.DisableFIPS",
        "io.kubernetes.cri.rdt-class",
        "io.containers.trace-syscall",
        "seccomp-profile.kubernetes.cri-o.io",
        "cpu-load-balancing.crio.io",
        "cpu-quota.crio.io",
        "cpu-shared.crio.io",
        "cpu-c-states.crio.io",
        "cpu-freq-governor.crio.io",
        "irq-load-balancing.crio.io",
    ];
}

#[test]
fn cri_o_takes_the_handler_and_each_of_its_annotations() {
    let file = toml(&text("crio/50-orlop.conf"));
    assert_eq!(keys(&file), ["crio"]);
    assert_eq!(keys(&file["crio"]), ["runtime"]);
    assert_eq!(keys(&file["crio"]["runtime"]), ["runtimes"]);
    let handler = &file["crio"]["runtime"]["runtimes"]["orlop"];
    assert_known(handler, &crio::HANDLER, "crio.conf(5)");
    assert!(handler["runtime_path"].as_str().unwrap().starts_with('/'));
    assert!(["oci", "vm", "pod"].contains(&handler["runtime_type"].as_str().unwrap()));
    assert!(handler["runtime_root"].as_str().unwrap().starts_with('/'));
    for name in handler["allowed_annotations"].as_array().into_iter().flatten() {
        assert!(crio::ANNOTATIONS.contains(&name.as_str().unwrap()), "CRI-O ignores a handler that allows {name}");
    }
}

/// The plugin of the Container Runtime Interface, in configurations of version 2 and 3.
const CRI: [&str; 2] = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"];

/// The part of a configuration in which the runtimes are.
fn cri(config: &Value) -> &Value {
    let plugin = CRI[usize::from(config["version"] == 3)];
    &config["plugins"][plugin]["containerd"]
}

/// containerd's whole configuration as it understands a file; `None` where there is no containerd.
fn dump(path: &Path) -> Option<Value> {
    let output = engine("containerd", &["--config", path.to_str().unwrap(), "config", "dump"], &[])?;
    assert!(output.status.success(), "{output:?}");
    Some(toml(&String::from_utf8(output.stdout).unwrap()))
}

#[test]
fn containerd_keeps_each_key_of_the_handler() {
    let Some(dump) = dump(&shipped("containerd/config.toml")) else { return };
    // What containerd does not know is not in its dump, and it says nothing.
    assert_within(cri(&toml(&text("containerd/config.toml"))), cri(&dump), "");
}

#[test]
fn containerd_2_merges_the_drop_in_and_keeps_the_other_runtimes() {
    let shipped_file = toml(&text("containerd/50-orlop.toml"));
    assert_eq!(shipped_file["version"], 3);
    assert_eq!(keys(&cri(&shipped_file)["runtimes"]), ["orlop"]);
    // Both files say the same of the handler.
    assert_eq!(
        cri(&shipped_file)["runtimes"]["orlop"],
        cri(&toml(&text("containerd/config.toml")))["runtimes"]["orlop"]
    );
    let Some(version) = engine("containerd", &["--version"], &[]) else { return };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if version.split(' ').nth(2).is_some_and(|v| v.trim_start_matches('v').starts_with("1.")) {
        integration::skip::skip("the drop-in is for containerd 2, and this one is older");
        return;
    }
    let main = std::env::temp_dir().join(format!("packaging-containerd-{}.toml", std::process::id()));
    let import = shipped("containerd/50-orlop.toml");
    let plugin = CRI[1];
    let own = format!(
        "version = 3\nimports = [{import:?}]\n[plugins.{plugin:?}.cni]\n  bin_dirs = [\"/opt/mine\"]\n\
         [plugins.{plugin:?}.containerd.runtimes.runc.options]\n  SystemdCgroup = true\n"
    );
    fs::write(&main, own).unwrap();
    let output = engine("containerd", &["--config", main.to_str().unwrap(), "config", "dump"], &[]);
    let _ = fs::remove_file(&main);
    let Some(output) = output else { return };
    let dump = toml(&String::from_utf8(output.stdout).unwrap());
    assert_within(cri(&shipped_file), cri(&dump), "");
    assert_eq!(cri(&dump)["runtimes"]["runc"]["options"]["SystemdCgroup"], true);
    assert_eq!(dump["plugins"][plugin]["cni"]["bin_dirs"][0], "/opt/mine");
}

/// Every value of the first is in the second.
fn assert_within(part: &Value, whole: &Value, at: &str) {
    match part.as_object() {
        Some(table) => table.iter().for_each(|(key, value)| assert_within(value, &whole[key], &format!("{at}.{key}"))),
        None => assert_eq!(part, whole, "{at}"),
    }
}

#[test]
fn dockers_daemon_knows_each_directive() {
    let file: Value = serde_json::from_str(&text("docker/daemon.json")).unwrap();
    assert_known(&file, &["runtimes", "default-runtime"], "daemon.json");
    assert_known(&file["runtimes"]["orlop"], &["path", "runtimeArgs", "runtimeType", "options"], "daemon.json");
    assert!(file["runtimes"]["orlop"]["path"].as_str().unwrap().starts_with('/'));
    assert!(file["runtimes"].get(file["default-runtime"].as_str().unwrap()).is_some());
    let path = shipped("docker/daemon.json");
    let Some(output) = engine("dockerd", &["--validate", "--config-file", path.to_str().unwrap()], &[]) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unknown flag: --validate") {
        integration::skip::skip(
            "dockerd before 23 cannot validate a file; the engine's own tests start it with this one",
        );
        return;
    }
    assert!(output.status.success(), "{said}");
}

#[test]
fn podman_knows_the_runtime_and_each_key() {
    let file = toml(&text("containers.conf.d/50-orlop.conf"));
    assert_eq!(keys(&file), ["engine"]);
    let known = ["runtime_supports_json", "runtime_supports_nocgroup", "runtimes"];
    assert_known(&file["engine"], &known, "containers.conf(5)");
    for path in file["engine"]["runtimes"]["orlop"].as_array().unwrap() {
        assert!(path.as_str().unwrap().starts_with('/'), "{path}");
    }
    // Podman wants the program to be there.
    let dir = std::env::temp_dir().join(format!("packaging-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let program = dir.join("orlop");
    fs::copy("/bin/true", &program).unwrap();
    let conf = dir.join("conf");
    let shipped = text("containers.conf.d/50-orlop.conf");
    fs::write(&conf, shipped.replace("/usr/local/sbin/orlop", program.to_str().unwrap())).unwrap();
    let (root, run) = (dir.join("root"), dir.join("run"));
    let arguments =
        ["--root", root.to_str().unwrap(), "--runroot", run.to_str().unwrap(), "--runtime", "orlop", "info"];
    let answer = engine("podman", &arguments, &[("CONTAINERS_CONF", &conf)]);
    let _ = fs::remove_dir_all(&dir);
    let Some(answer) = answer else { return };
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success() && !said.contains("unknown") && !said.contains("Failed to decode"), "{said}");
    assert!(String::from_utf8_lossy(&answer.stdout).contains(program.to_str().unwrap()), "{answer:?}");
}

#[test]
fn the_runtime_class_names_the_handler_of_containerd_and_cri_o() {
    let yaml = text("kubernetes/runtimeclass.yaml");
    let lines: Vec<&str> = yaml.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines,
        ["apiVersion: node.k8s.io/v1", "kind: RuntimeClass", "metadata:", "  name: orlop", "handler: orlop"]
    );
    let containerd = toml(&text("containerd/config.toml"));
    assert!(containerd["plugins"]["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"].get("orlop").is_some());
    assert!(toml(&text("crio/50-orlop.conf"))["crio"]["runtime"]["runtimes"].get("orlop").is_some());
}

#[test]
fn apparmors_parser_takes_the_profile() {
    let path = shipped("apparmor.d/orlop");
    assert!(text("apparmor.d/orlop").contains("flags=(unconfined)"));
    let Some(output) = engine("apparmor_parser", &["--skip-kernel-load", "--skip-cache", path.to_str().unwrap()], &[])
    else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("abi/4.0") {
        integration::skip::skip("the profile is for AppArmor 4, and this parser is older");
        return;
    }
    assert!(output.status.success(), "{said}");
}
