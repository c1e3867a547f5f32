//! Bundles as a person makes them who has never made one: each message names the mistake.

use super::Bundle;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

fn utf16(text: &str, mark: bool, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(to_bytes).collect()
}

#[test]
fn a_file_in_utf_16_is_told_to_be_saved_as_utf_8() {
    let Some(bundle) = Bundle::new() else { return };
    let text = bundle.config().to_string();
    for mark in [true, false] {
        for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            fs::write(bundle.directory.join("config.json"), utf16(&text, mark, to_bytes)).unwrap();
            let output = bundle.command(&["check", "--format", "json"]).output().unwrap();
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            let findings = document["findings"].as_array().unwrap();
            assert_eq!((output.status.code(), findings.len()), (Some(1), 1), "{document:#}");
            assert_eq!(findings[0]["remedy"], "the file is UTF-16: save it as UTF-8");
        }
    }
}

#[test]
fn a_document_that_is_no_object_has_no_other_findings() {
    let Some(bundle) = Bundle::new() else { return };
    for text in ["[]", "\"hello\"", "7", "true"] {
        let (code, findings) = bundle.check(text);
        assert_eq!((code, findings.len()), (1, 1), "{text}: {findings:#?}");
        let problem = findings[0]["problem"].as_str().unwrap();
        assert!(problem.starts_with("the document: expected an object, found "), "{text}: {problem}");
    }
}

#[test]
fn a_field_in_the_wrong_object_is_told_where_it_belongs() {
    let Some(bundle) = Bundle::new() else { return };
    let mut config = bundle.config();
    config["args"] = json!(["sh"]);
    config["capabilities"] = json!({});
    config["memory"] = json!({"limit": 1});
    config["process"]["linux"] = json!({});
    config["linux"]["hostname"] = json!("x");
    config["proces"] = json!({});
    // A field of several objects.
    config["limit"] = json!(1);
    let (_, findings) = bundle.check(&config.to_string());
    for (field, remedy) in [
        ("args", "move it into \"process\""),
        ("capabilities", "move it into \"process\""),
        ("memory", "move it into \"linux.resources\""),
        ("process.linux", "move it to the top of the document"),
        ("linux.hostname", "move it to the top of the document"),
        ("proces", "did you mean \"process\"?"),
        ("limit", "remove it, or look the name up in the specification"),
    ] {
        let finding = findings.iter().find(|f| f["id"] == "field.unknown" && f["field"] == field);
        assert_eq!(finding.unwrap_or_else(|| panic!("{field}: {findings:#?}"))["remedy"], remedy, "{field}");
    }
}

#[test]
fn a_nul_byte_in_the_programs_name_is_one_finding() {
    let Some(bundle) = Bundle::new() else { return };
    let mut config = bundle.config();
    config["process"]["args"] = json!(["/bin/\0x"]);
    let (_, findings) = bundle.check(&config.to_string());
    let of_program: Vec<_> = findings.iter().filter(|f| f["field"] == "process.args[0]").collect();
    assert_eq!(of_program.len(), 1, "{of_program:#?}");
    assert_eq!(of_program[0]["problem"], "holds a NUL byte");
}

#[test]
fn a_config_that_is_no_file_is_named_by_what_it_is() {
    let Some(bundle) = Bundle::new() else { return };
    let file = bundle.directory.join("config.json");
    let told = |make: &dyn Fn(), expected: &str, code: &str| {
        let remove = if file.is_dir() && !file.is_symlink() { fs::remove_dir(&file) } else { fs::remove_file(&file) };
        remove.unwrap();
        make();
        for word in ["check", "explain"] {
            let output = bundle.command(&[word]).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(
                output.status.code() == Some(2) && said.contains(expected) && said.contains(code),
                "{word}: {said}"
            );
            assert_eq!(said.contains("`orlop spec` writes one"), expected.contains("no config"), "{word}: {said}");
        }
    };
    told(&|| fs::create_dir(&file).unwrap(), "is a directory, not a regular file", "");
    told(&|| symlink("config.json", &file).unwrap(), "the config cannot be opened: ", "(os error 40)");
    told(&|| nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap(), "is not a regular file", "");
    told(&|| drop(UnixListener::bind(&file).unwrap()), "the config cannot be opened: ", "(os error 6)");
    told(&|| symlink("/dev/zero", &file).unwrap(), "is not a regular file", "");
    told(&|| symlink("missing", &file).unwrap(), "there is no config to check", "(os error 2)");
}
