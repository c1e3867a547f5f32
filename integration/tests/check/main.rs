//! `orlop check`: what it says of good and of damaged bundles.
//!
//! Without `out/orlop` and `out/orlop-bundle` a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

mod damages;
mod document;
mod mutants;
mod screen;
mod strangers;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A bundle with a busybox.
struct Bundle {
    directory: PathBuf,
    orlop: PathBuf,
}

impl Bundle {
    fn new() -> Option<Bundle> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let orlop = here().join("../out/orlop");
        if !orlop.exists() || !here().join("../out/orlop-bundle").exists() {
            integration::skip::skip("no out/orlop and out/orlop-bundle; run `make`");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("orlop-check-{}-{number}", std::process::id()));
        fs::create_dir_all(directory.join("rootfs/bin")).unwrap();
        fs::copy("/bin/busybox", directory.join("rootfs/bin/sh")).unwrap();
        let bundle = Bundle { directory, orlop };
        assert!(bundle.command(&["spec"]).status().unwrap().success());
        Some(bundle)
    }

    /// One for `rich.json`, with programs that cannot be executed.
    fn rich() -> Option<Bundle> {
        let bundle = Bundle::new()?;
        fs::create_dir(bundle.directory.join("source")).unwrap();
        bundle.fill();
        Some(bundle)
    }

    /// The root filesystem as it was.
    fn renew(&self) {
        let root = self.directory.join("rootfs");
        for entry in fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.symlink_metadata().unwrap().is_dir() {
                true => fs::remove_dir_all(entry).unwrap(),
                false => fs::remove_file(entry).unwrap(),
            }
        }
        fs::create_dir(root.join("bin")).unwrap();
        fs::hard_link(self.directory.join("busybox"), root.join("bin/sh")).unwrap();
    }

    fn fill(&self) {
        let shell = fs::read("/bin/busybox").unwrap();
        fs::write(self.directory.join("busybox"), &shell).unwrap();
        fs::set_permissions(self.directory.join("busybox"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut foreign = shell[..4096].to_vec();
        foreign[18..20].copy_from_slice(&[0x2a, 0]); // SuperH
        for (name, content, mode) in [
            ("bin/data", &shell[..], 0o644),
            ("bin/text", b"echo\n", 0o755),
            ("bin/foreign", &foreign, 0o755),
            ("bin/loader", &fs::read("/proc/self/exe").unwrap(), 0o755),
            ("bin/script", b"#!/bin/missing\n", 0o755),
            ("bin/windows", b"#!/bin/sh\r\n", 0o755),
            ("secret/sh", &shell, 0o755),
        ] {
            let path = self.directory.join("rootfs").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(self.directory.join("rootfs/secret"), fs::Permissions::from_mode(0o700)).unwrap();
    }

    fn is_root(&self) -> bool {
        let root = fs::metadata("/proc/self").unwrap().uid() == 0;
        if !root {
            integration::skip::skip("needs root");
        }
        root
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.orlop);
        command.args(words).current_dir(&self.directory);
        command
    }

    fn config(&self) -> Value {
        serde_json::from_slice(&fs::read(self.directory.join("config.json")).unwrap()).unwrap()
    }

    /// The exit code and the findings for this text as config.json.
    fn check(&self, text: &str) -> (i32, Vec<Value>) {
        fs::write(self.directory.join("config.json"), text).unwrap();
        let output = self.command(&["check", "--format", "json"]).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        (output.status.code().unwrap(), document["findings"].as_array().unwrap().clone())
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

#[test]
fn the_config_that_spec_writes_has_no_fault() {
    let Some(bundle) = Bundle::new().filter(Bundle::is_root) else { return };
    let (code, findings) = bundle.check(&bundle.config().to_string());
    assert_eq!(code, 0);
    assert!(findings.iter().all(|finding| finding["severity"] == "note"), "{findings:#?}");
}

#[test]
fn the_configs_of_engines_have_no_error() {
    let Some(bundle) = Bundle::new() else { return };
    let mut count = 0;
    for entry in fs::read_dir(here().join("../src/config/testdata/engines")).unwrap() {
        let path = entry.unwrap().path();
        let (code, findings) = bundle.check(&fs::read_to_string(&path).unwrap());
        let errors: Vec<_> = findings.iter().filter(|f| f["severity"] == "error" && f["scope"] == "bundle").collect();
        assert!(code == 0 && errors.is_empty(), "{}: {errors:#?}", path.display());
        count += 1;
    }
    assert!(count >= 3, "{count} configs");
}

#[test]
fn every_fault_of_a_document_is_reported_at_once_with_its_line() {
    let Some(bundle) = Bundle::new() else { return };
    let mut config = bundle.config();
    config["hostnam"] = "x".into();
    config["process"]["cwd"] = "relative".into();
    config["process"]["args"] = json!(["/bin/missing"]);
    config["linux"]["resources"] = json!({"memory": {"limit": -7, "limt": 5}});
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "pidd"}));
    config["linux"]["seccomp"] =
        json!({"defaultAction": "SCMP_ACT_ALOW", "syscalls": [{"names": ["opn"], "action": "SCMP_ACT_ERRNO"}]});
    config["annotations"] = json!({"run.oci.handler": "krun", "run.oci.x": "y"});
    config.as_object_mut().unwrap().remove("ociVersion");
    let text = format!("{config:#}");
    let (code, findings) = bundle.check(&text);
    assert_eq!(code, 1);
    let lines: Vec<&str> = text.lines().collect();
    for (field, id, line) in [
        ("ociVersion", "config.missing", "{"),
        ("hostnam", "field.unknown", "\"hostnam\""),
        ("process.cwd", "config.refused", "\"relative\""),
        ("process.args[0]", "program.missing", "/bin/missing"),
        ("linux.resources.memory.limit", "config.refused", "-7"),
        ("linux.resources.memory.limt", "field.unknown", "\"limt\""),
        ("linux.namespaces", "config.refused", "pidd"),
        ("linux.seccomp.defaultAction", "config.refused", "ALOW"),
        ("linux.seccomp.syscalls[0].names[0]", "seccomp.unknown-call", "opn"),
        ("annotations.run.oci.handler", "config.refused", "run.oci.handler"),
        ("annotations.run.oci.x", "config.warned", "run.oci.x"),
    ] {
        let is_it = |f: &&Value| f["id"] == id && f["field"].as_str().is_some_and(|text| text.starts_with(field));
        let finding = findings.iter().find(is_it).unwrap_or_else(|| panic!("{field} {id}: {findings:#?}"));
        let number = finding["line"].as_u64().unwrap() as usize;
        assert!(lines[number - 1].contains(line), "{finding:#}: line {number} is {}", lines[number - 1]);
    }
}

#[test]
fn a_double_key_is_named_with_both_lines() {
    let Some(bundle) = Bundle::new() else { return };
    let text = bundle.config().to_string().replacen('{', "{\n\"hostname\": \"a\",\n\"hostName\": \"b\",\n", 1);
    let (code, findings) = bundle.check(&text);
    assert_eq!(code, 0);
    let doubles: Vec<_> = findings.iter().filter(|f| f["id"] == "field.duplicate").collect();
    assert!(doubles.len() >= 2, "{findings:#?}");
    assert!(doubles[0]["line"] == 3 && doubles[0]["problem"].as_str().unwrap().contains("line 2"), "{doubles:#?}");
}

#[test]
fn a_document_that_is_no_json_has_its_fault_shown() {
    let Some(bundle) = Bundle::new() else { return };
    for (text, line, remedy) in [
        ("{\n\"root\": {\"path\": \"rootfs\",}\n}", 2, "comma"),
        ("{\n\n// comment\n}", 3, "comments"),
        ("\u{feff}{}", 1, "byte order mark"),
        ("{'a': 1}", 1, "double quotation marks"),
    ] {
        let (code, findings) = bundle.check(text);
        let found = (code, findings.len(), &findings[0]["id"], &findings[0]["line"]);
        assert_eq!(found, (1, 1, &json!("json.syntax"), &json!(line)), "{text}");
        assert!(findings[0]["remedy"].as_str().unwrap_or_default().contains(remedy), "{text}: {findings:#?}");
    }
}

#[test]
fn a_script_with_the_line_ends_of_windows_and_a_program_without_x_are_named() {
    let Some(bundle) = Bundle::new() else { return };
    let mut config = bundle.config();
    config["process"]["args"] = json!(["/bin/script"]);
    let script = bundle.directory.join("rootfs/bin/script");
    for (content, mode, id) in [
        ("#!/bin/sh\r\n", 0o755, "program.script"),
        ("#!/bin/sh\n", 0o644, "program.mode"),
        ("#!/bin/missing\n", 0o755, "program.interpreter"),
        ("echo\n", 0o755, "program.format"),
        ("", 0o755, "program.format"),
    ] {
        fs::write(&script, content).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(mode)).unwrap();
        let (code, findings) = bundle.check(&config.to_string());
        assert!(code == 1 && findings.iter().any(|finding| finding["id"] == id), "{content:?}: {findings:#?}");
    }
}

#[test]
fn faults_of_this_host_and_warnings_count_only_if_asked_for() {
    let Some(bundle) = Bundle::rich().filter(Bundle::is_root) else { return };
    let code = |config: &Value, words: &[&str]| {
        fs::write(bundle.directory.join("config.json"), config.to_string()).unwrap();
        bundle.command(&[&["check"], words].concat()).output().unwrap().status.code().unwrap()
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut config = damages::base();
        change(&mut config);
        (code(&config, &[]), code(&config, &["--strict"]))
    };
    assert_eq!(with(&|_| ()), (0, 0));
    assert_eq!(with(&|config| config["hostnam"] = json!("x")), (0, 1), "a warning");
    assert_eq!(with(&|config| config["mounts"][6]["source"] = json!("/no/source")), (0, 1), "of this host");
    assert_eq!(with(&|config| config["hooks"]["poststop"][0]["path"] = json!("/no/hook")), (0, 1), "of this host");
    assert_eq!(with(&|config| config["process"]["selinuxLabel"] = json!("x")).1, 1);
    assert_eq!(with(&|config| config["process"]["cwd"] = json!("x")), (1, 1), "an error");
    assert_eq!(with(&|config| config["process"]["terminal"] = json!(true)), (0, 0), "a note");
}

#[test]
fn places_where_the_kernel_makes_nothing_and_limits_that_need_others_are_named() {
    let Some(bundle) = Bundle::rich().filter(Bundle::is_root) else { return };
    let found = |change: &dyn Fn(&mut Value), id: &str, field: &str| {
        let mut config = damages::base();
        change(&mut config);
        let (_, findings) = bundle.check(&config.to_string());
        let is_it = |f: &&Value| f["id"] == id && f["field"] == field && f["severity"] == "error";
        assert!(findings.iter().any(|finding| is_it(&finding)), "{id} {field}: {findings:#?}");
    };
    found(&|config| config["process"]["cwd"] = json!("/proc/nosuch"), "process.cwd", "process.cwd");
    found(&|config| config["process"]["cwd"] = json!("/sys/nosuch"), "process.cwd", "process.cwd");
    let twice = |config: &mut Value| config["linux"]["devices"][0]["path"] = json!("/dev/pipe");
    found(&twice, "device.exists", "linux.devices[1].path");
    found(&|config| config["mounts"][4]["type"] = json!("devpts"), "mount.destination", "mounts[5].destination");
    let in_queues = |config: &mut Value| config["mounts"][4]["destination"] = json!("/dev/mqueue/sys");
    found(&in_queues, "mount.destination", "mounts[4].destination");
    if Path::new("/sys/fs/cgroup/memory").exists() {
        let swap = |config: &mut Value| config["linux"]["resources"]["memory"] = json!({"swap": 1 << 28});
        found(&swap, "limit.range", "linux.resources.memory.swap");
    }
    let (_, findings) = bundle.check(&damages::base().to_string());
    assert!(findings.iter().all(|finding| finding["severity"] != "error"), "{findings:#?}");
}

#[test]
fn a_user_who_may_not_make_the_namespaces_is_told() {
    let Some(bundle) = Bundle::new().filter(Bundle::is_root) else { return };
    for name in ["orlop", "orlop-bundle"] {
        fs::copy(here().join("../out").join(name), bundle.directory.join(name)).unwrap();
    }
    let mut config = bundle.config();
    let found = |config: &Value, uid: u32| {
        fs::write(bundle.directory.join("config.json"), config.to_string()).unwrap();
        let mut command = Command::new(bundle.directory.join("orlop"));
        command.args(["check", "--format", "json"]).current_dir(&bundle.directory);
        let output = std::os::unix::process::CommandExt::uid(&mut command, uid).output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        let of_user: Vec<Value> =
            document["findings"].as_array().unwrap().iter().filter(|f| f["id"] == "user.rights").cloned().collect();
        assert!(of_user.iter().all(|f| f["scope"] == "host" && f["severity"] == "error"), "{of_user:#?}");
        of_user.iter().map(|f| f["field"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(&config, 0), [""; 0]);
    assert_eq!(found(&config, 1000), ["linux.namespaces"]);
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
    assert_eq!(found(&config, 1000), [""; 0]);
}

#[test]
fn a_program_that_its_user_cannot_reach_is_named() {
    let Some(bundle) = Bundle::rich() else { return };
    let found = |change: &dyn Fn(&mut Value), id: &str| {
        let mut config = damages::base();
        config["process"]["user"]["uid"] = json!(1000);
        config["process"]["user"]["gid"] = json!(1000);
        change(&mut config);
        let (_, findings) = bundle.check(&config.to_string());
        assert!(findings.iter().any(|finding| finding["id"] == id), "{id}: {findings:#?}");
    };
    found(&|config| config["process"]["args"][0] = json!("/secret/sh"), "program.directory");
    found(&|config| config["process"]["cwd"] = json!("/secret"), "process.cwd");
    found(&|config| config["linux"]["maskedPaths"] = json!(["/bin"]), "program.masked");
    found(&|config| config["linux"]["maskedPaths"] = json!(["/bin/sh"]), "program.masked");
    found(&|config| config["mounts"][6]["options"] = json!(["bind", "sice=4"]), "config.refused");
    let of_data = json!({"destination": "/bin", "source": "rootfs/bin", "options": ["bind", "noexec"]});
    found(&|config| config["mounts"].as_array_mut().unwrap().push(of_data.clone()), "program.noexec");
    let mapped = |config: &mut Value| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        for key in ["uidMappings", "gidMappings"] {
            config["linux"][key] = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
        }
    };
    found(&mapped, "id.unmapped");
}

#[test]
fn a_large_config_with_ten_thousand_faults_is_checked_within_bounds() {
    let Some(bundle) = Bundle::rich() else { return };
    let mut config = damages::base();
    let mount = |n: usize| json!({"destination": format!("/m{n}"), "type": "tmpfs", "source": "tmpfs", "options": ["sice=1"], "x": 1});
    let many: Vec<Value> = (0..10_000).map(mount).collect();
    config["mounts"] = json!(many);
    config["linux"]["maskedPaths"] = json!(vec!["relative"; 10_000]);
    config["linux"]["seccomp"]["syscalls"][0]["names"] =
        json!((0..10_000).map(|n| format!("cal{n}")).collect::<Vec<_>>());
    let object: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("hostnam{n}"), json!(n))).collect();
    config.as_object_mut().unwrap().extend(object);
    let text = config.to_string();
    assert!(text.len() > 1 << 20);
    let (code, findings) = bundle.check(&text);
    assert_eq!(code, 1);
    assert!(findings.iter().any(|finding| finding["id"] == "config.more"));
    assert!(findings.len() > 40_000, "{} findings", findings.len());
}

#[test]
fn keys_with_any_letters_and_keys_that_are_given_twice_are_found() {
    let Some(bundle) = Bundle::rich() else { return };
    let mut config = damages::base();
    config["linux"]["sysctl"] = json!({"net.a: b [c]\n\"d\"": 5, "vm.x y": "1"});
    let text = config.to_string().replacen("\"cwd\":\"/\"", "\n\"cwd\":\"x\",\n\"cwd\":\"y\"", 1);
    let text = text.replacen("\"linux\":", "\"linux\":{\"rootfsPropagation\":\n\"odd\"},\n\"linux\":", 1);
    let text = text.replace("\"rootfsPropagation\":\"private\",", "");
    let (code, findings) = bundle.check(&text);
    assert_eq!(code, 1);
    let lines: Vec<&str> = text.lines().collect();
    for (field, part) in [
        ("linux.sysctl.net.a: b [c]\n\"d\"", "net.a"),
        ("linux.sysctl.vm.x y", "vm.x y"),
        ("process.cwd", "\"y\""),
        ("linux.rootfsPropagation", "odd"),
    ] {
        let line = |finding: &Value| lines[finding["line"].as_u64().unwrap() as usize - 1].contains(part);
        let is_it = |finding: &&Value| finding["field"] == field && finding["id"] == "config.refused" && line(finding);
        assert!(findings.iter().any(|finding| is_it(&finding)), "{field}: {findings:#?}");
    }
}

#[test]
fn a_wrong_command_line_has_its_own_exit_code() {
    let Some(bundle) = Bundle::new() else { return };
    for words in [&["check", "--no-such-flag"][..], &["check", "/no/such/bundle"], &["check", "--config", "/etc"]] {
        let output = bundle.command(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}
