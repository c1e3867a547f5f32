//! The whole way of a config, from its bytes to the plan, and the documents of `exec` and `update`.

use super::go_json;
use crate::cgroups::{Limits, v1, v2};
use crate::config::{self, Spec};
use crate::container::parts::Parts;
use crate::container::request::{CgroupManager, ContainerId};
use crate::explain;
use crate::json::Shaped;
use crate::namespaces::{NamespaceKind, Place};
use crate::process::capability;
use crate::process::plan::LaunchPlan;
use crate::process::program::Program;
use serde_json::Value as Json;
use std::path::Path;

/// `create`'s reading and `explain`'s; where the config is accepted, the plan is that of another
/// reading of the text.
pub(super) fn config(input: &[u8]) {
    let (bundle, id) = (Path::new("/nonexistent/bundle"), "fuzzed");
    let manager = if input.len().is_multiple_of(2) { CgroupManager::Systemd } else { CgroupManager::Cgroupfs };
    let judgement = explain::judge(input, bundle, manager == CgroupManager::Systemd);
    let Ok(id) = ContainerId::parse(id) else { unreachable!() };
    let plan = explain::plan(input, bundle, &id, manager);
    assert!(judgement.refusal.is_some() || plan.is_ok(), "create takes it, explain does not: {:?}", plan.err());
    let Ok((parts, _)) = Parts::imagine(input, bundle, id.as_str(), manager) else { return };
    let Ok(tree) = go_json::read(input) else { return };
    let mut read = Json::Object(serde_json::Map::new());
    go_json::decode(&Spec::SHAPE, &tree, &mut read);
    effect(&read, &parts.plan);
}

fn text<'a>(read: &'a Json, path: &str) -> &'a str {
    read.pointer(path).and_then(Json::as_str).unwrap_or_default()
}

fn number(read: &Json, path: &str) -> u64 {
    read.pointer(path).and_then(Json::as_u64).unwrap_or_default()
}

fn is_on(read: &Json, path: &str) -> bool {
    read.pointer(path) == Some(&Json::Bool(true))
}

fn texts(read: &Json, path: &str) -> Vec<String> {
    let items = read.pointer(path).and_then(Json::as_array).into_iter().flatten();
    items.map(|item| item.as_str().unwrap_or_default().to_owned()).collect()
}

/// A path in the container in its shortest form, by its text alone.
fn clean(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => parts.truncate(parts.len().saturating_sub(1)),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn effect(read: &Json, plan: &LaunchPlan) {
    let Some(rootfs) = &plan.rootfs else { panic!("a container without a root") };
    assert_eq!(rootfs.readonly, is_on(read, "/root/readonly"), "root.readonly");
    for (field, paths) in [("maskedPaths", &rootfs.masked), ("readonlyPaths", &rootfs.readonly_paths)] {
        let planned: Vec<String> = paths.iter().map(|path| go_json::squeezed(path.as_str())).collect();
        for path in texts(read, &format!("/linux/{field}")) {
            assert!(planned.contains(&clean(&path)), "{field}: {path:?} is not in the plan: {planned:?}");
        }
    }
    for kind in NamespaceKind::ALL {
        let namespaces = read.pointer("/linux/namespaces").and_then(Json::as_array);
        let mut asked = namespaces.into_iter().flatten().filter(|one| text(one, "/type") == kind.word());
        match (asked.next().map(|one| text(one, "/path")), plan.namespaces.place(kind)) {
            (None, Place::Runtime) | (Some(""), Place::New) => {}
            (Some(path), Place::Join(planned)) if path == go_json::squeezed(planned) => {}
            (asked, planned) => panic!("the namespace {}: {asked:?} became {planned:?}", kind.word()),
        }
    }
    let hostname = plan.namespaces.hostname.as_deref().unwrap_or_default();
    assert_eq!(go_json::squeezed(hostname), text(read, "/hostname"), "hostname");
    let is_asked = read.pointer("/process").is_some();
    assert_eq!(plan.program.is_some(), is_asked, "process");
    if let Some(program) = &plan.program {
        of_program(&read["process"], program);
    }
    let profile = &read["linux"]["seccomp"];
    let filters = !text(profile, "/defaultAction").is_empty() || profile.pointer("/syscalls/0").is_some();
    let by_annotation = read.pointer("/annotations/run.oci.seccomp_bpf_data").is_some();
    assert!(plan.filter.is_some() == filters || by_annotation, "linux.seccomp");
}

fn of_program(read: &Json, program: &Program) {
    let args: Vec<String> = program.args.iter().map(|arg| go_json::squeezed(&arg.to_string_lossy())).collect();
    assert_eq!(args, texts(read, "/args"), "process.args");
    assert_eq!(go_json::squeezed(&program.cwd), text(read, "/cwd"), "process.cwd");
    assert_eq!(u64::from(program.uid), number(read, "/user/uid"), "process.user.uid");
    assert_eq!(u64::from(program.gid), number(read, "/user/gid"), "process.user.gid");
    let groups = read.pointer("/user/additionalGids").and_then(Json::as_array).into_iter().flatten();
    for group in groups.map(|group| group.as_u64().unwrap_or_default()) {
        assert!(program.groups.iter().any(|planned| u64::from(*planned) == group), "group {group} is lost");
    }
    assert_eq!(program.no_new_privs, is_on(read, "/noNewPrivileges"), "process.noNewPrivileges");
    let sets = &program.capabilities;
    for (name, set) in [
        ("bounding", sets.bounding),
        ("effective", sets.effective),
        ("permitted", sets.permitted),
        ("inheritable", sets.inheritable),
        ("ambient", sets.ambient),
    ] {
        let asked: Vec<String> =
            texts(read, &format!("/capabilities/{name}")).iter().map(|name| name.to_uppercase()).collect();
        for planned in capability::names(set) {
            let short = planned.trim_start_matches("CAP_").to_owned();
            assert!(asked.contains(&planned) || asked.contains(&short), "{planned} in {name} was not asked for");
        }
    }
    for entry in texts(read, "/env") {
        let name = entry.split('=').next().unwrap_or_default();
        let keeps = |planned: &String| go_json::squeezed(planned).split('=').next() == Some(name);
        assert!(program.env.iter().any(keeps), "{entry:?} is not in the environment");
    }
}

/// The document of `exec --process`.
pub(super) fn process(input: &[u8]) {
    let Ok(written) = config::parse_process(input) else { return };
    let Ok(program) = Program::parse("process", &written, None) else { return };
    let Ok(tree) = go_json::read(input) else { return };
    let mut read = Json::Object(serde_json::Map::new());
    go_json::decode(&config::Process::SHAPE, &tree, &mut read);
    of_program(&read, &program);
    assert!(program.candidates().len() <= 1 + input.len(), "more places to look than the text has letters");
}

/// The document of `update --resources`, as writes of both versions of cgroups.
pub(super) fn resources(input: &[u8]) {
    if let Ok(mounts) = config::parse_mounts(input) {
        assert!(mounts.len() <= input.len());
    }
    let Ok(written) = config::parse_resources(input) else { return };
    let Ok(limits) = Limits::parse(&written, "linux.resources") else { return };
    for writes in [v1::writes(&limits), v2::writes(&limits)] {
        for write in writes.into_iter().flatten() {
            let file = &write.file;
            assert!(
                !file.contains('/') && !file.contains('\0') && file != "..",
                "a write outside the cgroup: {file:?}"
            );
        }
    }
}
