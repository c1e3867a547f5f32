//! `orlop check`: what it says of good and of damaged bundles.
//!
//! Without `out/orlop` and `out/orlop-bundle` a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use serde_json::{Value, json};
use std::fs;
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
            eprintln!("skipped: no out/orlop and out/orlop-bundle; run `make`");
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
    let Some(bundle) = Bundle::new() else { return };
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
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(&script, content).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(mode)).unwrap();
        let (code, findings) = bundle.check(&config.to_string());
        assert!(code == 1 && findings.iter().any(|finding| finding["id"] == id), "{content:?}: {findings:#?}");
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
