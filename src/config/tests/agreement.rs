//! Whole documents: what is read must be what they say, and what other readers make of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{parse, parse_process};
use crate::json::tree::Tree;

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata").join(folder)
}

fn documents(folder: &str) -> Vec<(PathBuf, String)> {
    let files = std::fs::read_dir(testdata(folder)).unwrap().map(|entry| entry.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn good_documents() -> Vec<(PathBuf, String)> {
    let mut all = [documents("spec"), documents("engines"), documents("")].concat();
    // What engines wrote for all kinds of containers. Where many have the same filter, a name stands in for it.
    for engine in ["docker", "containerd", "podman"] {
        let captured = documents(&format!("../../../integration/data/captures/{engine}"));
        let whole = captured.into_iter().filter(|(_, json)| json.contains("ociVersion"));
        all.extend(whole.map(|(path, json)| (path, without_stand_in(&json))));
    }
    assert!(all.len() >= 60);
    all
}

fn without_stand_in(json: &str) -> String {
    let mut document: Value = serde_json::from_str(json).unwrap();
    if document.pointer("/linux/seccomp").is_some_and(Value::is_string) {
        document["linux"]["seccomp"].take();
    }
    document.to_string()
}

#[test]
fn a_good_document_is_read_whole() {
    for (path, json) in good_documents() {
        let mut document: Value = serde_json::from_str(&json).unwrap();
        // The spec's example still has a property of its version 0.5.
        if let Some(resources) = document.pointer_mut("/linux/resources").and_then(Value::as_object_mut) {
            resources.remove("oomScoreAdj");
        }
        // Null is absent.
        if let Some(linux) = document.get_mut("linux").and_then(Value::as_object_mut) {
            linux.retain(|_, value| !value.is_null());
        }
        assert!(parse(&json).unwrap().tree() == document, "{}", path.display());
    }
}

#[test]
fn what_engines_give_to_exec_is_read_whole() {
    for engine in ["docker", "containerd", "podman"] {
        let captured = documents(&format!("../../../integration/data/captures/{engine}"));
        let processes: Vec<_> =
            captured.into_iter().filter(|(path, _)| path.to_string_lossy().ends_with(".exec.json")).collect();
        assert!(!processes.is_empty());
        for (path, json) in processes {
            let document: Value = serde_json::from_str(&json).unwrap();
            assert!(parse_process(&json).unwrap().tree() == document, "{}", path.display());
        }
    }
}

#[test]
fn a_bad_example_of_the_spec_is_refused() {
    let errors: Vec<String> =
        documents("spec/bad").iter().filter_map(|(_, json)| parse(json).err()).map(|error| error.to_string()).collect();
    for expected in [
        "line 1, column 2: expected a key in double quotes, found ']'",
        "linux.netDevices.eth0.name: expected a string, found 23",
        "linux.resources.rdma.mlx5_1.hcaHandles: expected an integer, found a string \"not a uint32\"",
    ] {
        assert!(errors.iter().any(|error| error.starts_with(expected)), "{expected}: {errors:#?}");
    }
}

/// Also the one that those platforms refuse: fields that they alone know are not looked at.
#[test]
fn an_example_of_the_spec_for_another_platform_is_read_without_what_is_only_its() {
    let all = documents("spec/elsewhere");
    assert_eq!(all.len(), 5);
    for (path, json) in all {
        let mut document: Value = serde_json::from_str(&json).unwrap();
        document.as_object_mut().unwrap().retain(|name, _| name != "freebsd" && name != "zos");
        assert!(parse(&json).unwrap().tree() == document, "{}", path.display());
    }
}

#[test]
fn oci_spec_reads_the_same() {
    for (path, json) in good_documents() {
        let theirs: oci_spec::runtime::Spec = serde_json::from_str(&json).unwrap();
        // Written by oci-spec, a document has its defaults filled in, so both read what it wrote.
        let written = serde_json::to_string(&theirs).unwrap();
        let ours = parse(&written).unwrap();
        let ours: oci_spec::runtime::Spec = serde_json::from_value(ours.tree()).unwrap();
        assert!(ours == theirs, "{}", path.display());
        let of_original: oci_spec::runtime::Spec = serde_json::from_value(parse(&json).unwrap().tree()).unwrap();
        assert!(of_original == theirs, "{}", path.display());
    }
}

#[test]
fn what_the_spec_allows_and_oci_spec_does_not_is_read() {
    for json in [
        r#"{"process":{"capabilities":{"bounding":["CAP_NOT_YET_INVENTED"]}}}"#,
        r#"{"process":{"scheduler":{"policy":"SCHED_DEADLINE","flags":["SCHED_FLAG_RESET_ON_FORK"]}}}"#,
        r#"{"process":{"scheduler":{"policy":"SCHED_DEADLINE","flags":["SCHED_FLAG_DL_OVERRUN"]}}}"#,
    ] {
        assert_eq!(parse(json).unwrap().tree(), serde_json::from_str::<Value>(json).unwrap());
    }
}

/// `full.json` is read whole, so what it holds is known; this shows that it holds everything.
#[test]
fn every_property_of_the_schema_for_linux_is_known() {
    let full: Value = serde_json::from_str(&std::fs::read_to_string(testdata("full.json")).unwrap()).unwrap();
    let mut missing = BTreeSet::new();
    compare("config-schema.json", &schema("config-schema.json"), &full, String::new(), &mut missing);
    let elsewhere = ["solaris", "windows", "vm", "zos", "freebsd", "process.commandLine"];
    missing.retain(|path| !elsewhere.contains(&path.as_str()));
    assert_eq!(missing, BTreeSet::new());
}

fn schema(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(testdata("spec/schema").join(file)).unwrap()).unwrap()
}

/// Collects the properties that `rule`, a part of the schema in `file`, allows and `value` lacks.
fn compare(file: &str, rule: &Value, value: &Value, path: String, missing: &mut BTreeSet<String>) {
    if let Some(reference) = rule["$ref"].as_str() {
        let (other, pointer) = reference.split_once('#').unwrap();
        let other = if other.is_empty() { file } else { other };
        return compare(other, schema(other).pointer(pointer).unwrap(), value, path, missing);
    }
    for part in rule["allOf"].as_array().into_iter().chain(rule["anyOf"].as_array()).flatten() {
        compare(file, part, value, path.clone(), missing);
    }
    for (name, rule) in rule["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}{}{name}", if path.is_empty() { "" } else { "." });
        match value.get(name) {
            Some(value) => compare(file, rule, value, path, missing),
            None => drop(missing.insert(path)),
        }
    }
    let items = value.as_array().into_iter().flatten().map(|item| (&rule["items"], item));
    let entries = value.as_object().into_iter().flatten().map(|(_, item)| (&rule["additionalProperties"], item));
    let richest = items.chain(entries).max_by_key(|(_, item)| item.as_object().map_or(0, |object| object.len()));
    if let Some((rule, item)) = richest.filter(|(rule, _)| rule.is_object()) {
        compare(file, rule, item, format!("{path}[]"), missing);
    }
}
