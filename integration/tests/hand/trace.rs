//! `--trace`.

use integration::bundle::Scene;
use serde_json::Value;
use std::fs;

const OF_THE_RUNTIME: [&str; 4] =
    ["check the configuration", "make the process", "answer the process", "remove the container"];
const OF_THE_PROCESS: [&str; 4] =
    ["enter namespaces", "build the root filesystem", "change the root", "execute the init image"];

/// The steps among `names` of the line that a viewer shows under this name; their times must not go back.
fn steps(trace: &[Value], line: &str, names: &[&str]) -> Vec<String> {
    let is_line = |entry: &&Value| entry["name"] == "thread_name" && entry["args"]["name"] == line;
    let tid = &trace.iter().find(is_line).unwrap_or_else(|| panic!("no {line:?}"))["tid"];
    let own: Vec<&Value> = trace.iter().filter(|entry| entry["tid"] == *tid).collect();
    assert!(own.iter().map(|entry| entry["ts"].as_f64().unwrap_or(0.0)).is_sorted(), "{line}");
    let begun = own.iter().filter(|entry| entry["ph"] == "B").map(|entry| entry["name"].as_str().unwrap().to_owned());
    begun.filter(|name| names.contains(&name.as_str())).collect()
}

#[test]
fn a_trace_for_a_viewer_has_the_steps_of_the_runtime_and_of_the_process_in_order() {
    let Some(mut scene) = Scene::of_spec() else { return };
    let file = scene.dir.join("trace.json");
    let path = file.to_str().unwrap();
    scene.args(&["true"]);
    let _ = scene.call(&["--trace", path, "run"], &[]).ok();
    assert_ne!(scene.call(&["--trace", path, "state"], &[]).code, Some(0));
    let trace: Vec<Value> = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(steps(&trace, "the runtime", &OF_THE_RUNTIME), OF_THE_RUNTIME);
    assert_eq!(steps(&trace, "the container's process 1", &OF_THE_PROCESS), OF_THE_PROCESS);
    assert_eq!(trace.iter().filter(|entry| entry["name"] == "process_name").count(), 2, "commands");
    scene.nothing_left();
}

#[test]
fn a_trace_as_text_has_a_line_for_each_step_of_the_process() {
    let Some(mut scene) = Scene::of_spec() else { return };
    let file = scene.dir.join("trace.txt");
    scene.args(&["true"]);
    let _ = scene.call(&["--trace", file.to_str().unwrap(), "run"], &[]).ok();
    let text = fs::read_to_string(file).unwrap();
    let of_step = |line: &&str| OF_THE_PROCESS.iter().any(|step| line.ends_with(&format!(" 1 step {step}")));
    assert_eq!(text.lines().filter(of_step).count(), OF_THE_PROCESS.len(), "{text}");
    scene.nothing_left();
}
