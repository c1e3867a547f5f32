//! One damage after the other, each found at its line with its field; then several in one file.

use super::Bundle;
use super::document::{self, Random};
use serde_json::{Value, json};

/// Where the value is set, the value as JSON (nothing: it is removed), the finding's id, and its field if it is not the one that
/// was set.
type Row = (&'static str, &'static str, &'static str, &'static str);

const REFUSED: &str = "config.refused";
const MISSING: &str = "config.missing";
const UNKNOWN: &str = "field.unknown";

const ROWS: &[Row] = &[
    ("ociVersion", "", MISSING, ""),
    ("ociVersion", "\"2.0.0\"", REFUSED, ""),
    ("ociVersion", "\"one\"", REFUSED, ""),
    ("root", "", MISSING, ""),
    ("root.path", "", MISSING, ""),
    ("root.path", "\"\"", REFUSED, ""),
    ("root.path", "\"no-root\"", "root.missing", ""),
    ("root.path", "\"config.json\"", "root.missing", ""),
    ("linux.resources.devices[1].minor", "-7", REFUSED, ""),
    ("process.cwd", "", MISSING, ""),
    ("process.cwd", "\"relative\"", REFUSED, ""),
    ("process.cwd", "\"\"", REFUSED, ""),
    ("process.cwd", "\"/bin/sh\"", "process.cwd", ""),
    ("process.args", "", MISSING, ""),
    ("process.args", "[]", REFUSED, ""),
    ("process.args[0]", "\"\"", REFUSED, "process.args"),
    ("process.args[0]", "\"/bin/missing\"", "program.missing", ""),
    ("process.args[0]", "\"missing\"", "program.missing", ""),
    ("process.args[0]", "\"/bin\"", "program.missing", ""),
    ("process.args[0]", "\"/bin/data\"", "program.mode", ""),
    ("process.args[0]", "\"/bin/text\"", "program.format", ""),
    ("process.args[0]", "\"/bin/foreign\"", "program.architecture", ""),
    ("process.args[0]", "\"/bin/loader\"", "program.loader", ""),
    ("process.args[0]", "\"/bin/script\"", "program.interpreter", ""),
    ("process.args[0]", "\"/bin/windows\"", "program.script", ""),
    ("process.args[1]", "\"a\\u0000b\"", REFUSED, ""),
    ("process.env[0]", "\"a\\u0000b\"", REFUSED, ""),
    ("process.capabilities.bounding[+]", "\"CAP_FLY\"", "capability.unknown", ""),
    ("process.capabilities.effective[+]", "\"CAP_CHWN\"", "capability.unknown", ""),
    ("process.capabilities.permitted[+]", "\"chown\"", "capability.unknown", ""),
    ("process.capabilities.inheritable[+]", "\"CAP_\"", "capability.unknown", ""),
    ("process.capabilities.ambient[+]", "\"CAP_NET\"", "capability.unknown", ""),
    ("process.capabilities.bounding[+]", "\"CAP_SYS_ADMIN\"", "capability.powerful", ""),
    (
        "process.capabilities.inheritable[+]",
        "\"CAP_KILL\"",
        "capability.inheritable",
        "process.capabilities.inheritable",
    ),
    ("process.rlimits[0].type", "\"RLIMIT_FILES\"", REFUSED, ""),
    ("process.rlimits[0].soft", "2048", REFUSED, "process.rlimits[0]"),
    ("process.rlimits[0].hard", "4294967295", "limit.range", ""),
    ("process.rlimits[+]", "{\"type\": \"RLIMIT_CORE\", \"soft\": 0, \"hard\": 0}", REFUSED, ""),
    ("process.oomScoreAdj", "1001", REFUSED, ""),
    ("process.oomScoreAdj", "-1001", REFUSED, ""),
    ("process.scheduler.policy", "\"SCHED_FAST\"", REFUSED, ""),
    ("process.scheduler.nice", "20", REFUSED, ""),
    ("process.scheduler.flags", "[\"SCHED_FLAG_X\"]", REFUSED, "process.scheduler.flags[0]"),
    ("process.scheduler.priority", "5", REFUSED, ""),
    ("process.ioPriority.class", "\"IOPRIO_CLASS_X\"", REFUSED, ""),
    ("process.ioPriority.priority", "8", REFUSED, ""),
    ("process.execCPUAffinity.initial", "\"x\"", REFUSED, ""),
    ("process.execCPUAffinity.final", "\"3-1\"", REFUSED, ""),
    ("process.user.umask", "512", REFUSED, ""),
    ("process.user.uid", "-1", REFUSED, ""),
    ("process.user.gid", "4294967296", REFUSED, ""),
    ("process.user.uid", "4294967295", REFUSED, ""),
    ("process.user.additionalGids[0]", "\"wheel\"", REFUSED, ""),
    ("process.terminal", "true", "process.terminal", ""),
    ("process.apparmorProfile", "\"x\"", REFUSED, ""),
    ("process.selinuxLabel", "\"x\"", REFUSED, ""),
    ("hooks.prestart[0].path", "\"true\"", REFUSED, ""),
    ("hooks.prestart[0].path", "\"/no/hook\"", "hook.program", ""),
    ("hooks.createRuntime[0].path", "\"/etc/passwd\"", "hook.program", ""),
    ("hooks.createContainer[0].path", "\"/etc\"", "hook.program", ""),
    ("hooks.startContainer[0].path", "\"/no/hook\"", "hook.program", ""),
    ("hooks.poststart[0].path", "\"/no/hook\"", "hook.program", ""),
    ("hooks.poststop[0].path", "\"/no/hook\"", "hook.program", ""),
    ("hooks.createRuntime[0].path", "", MISSING, ""),
    ("hooks.createContainer[0].timeout", "0", REFUSED, ""),
    ("hooks.poststop[0].timeout", "-1", REFUSED, ""),
    ("annotations.\"run.oci.handler\"", "\"krun\"", REFUSED, ""),
    ("annotations.\"krun.ram_mib\"", "\"512\"", REFUSED, ""),
    ("annotations.\"run.oci.delegate-cgroup\"", "\"x\"", REFUSED, ""),
    ("annotations.\"module.wasm.image/variant\"", "\"compat\"", REFUSED, ""),
    ("annotations.\"run.oci.pidfd_receiver\"", "\"x\"", REFUSED, ""),
    ("annotations.\"run.oci.keep_original_groups\"", "\"maybe\"", REFUSED, ""),
    ("annotations.\"run.oci.other thing: x\"", "\"x\"", "config.warned", ""),
    ("annotations.\"\"", "\"x\"", REFUSED, "annotations"),
    ("mounts[0].destination", "", MISSING, ""),
    ("mounts[6].destination", "\"/\"", REFUSED, ""),
    ("mounts[1].type", "", MISSING, ""),
    ("mounts[6].source", "", MISSING, ""),
    ("mounts[6].source", "\"no-source\"", "mount.source", ""),
    ("mounts[1].type", "\"tmpsf\"", "mount.type", ""),
    ("mounts[6].options[+]", "\"size=5\"", REFUSED, ""),
    ("mounts[1].options[+]", "\"sice=5\"", "mount.option", ""),
    ("mounts[2].options[+]", "\"ptmxmod=0666\"", "mount.option", ""),
    ("mounts[0].options[+]", "\"hidpit=2\"", "mount.option", ""),
    ("mounts[3].options[+]", "\"size=1\"", "mount.option", ""),
    ("mounts[4].options[+]", "\"mode=755\"", "mount.option", ""),
    ("mounts[+]", "{\"destination\": \"/proc/x\", \"type\": \"tmpfs\", \"source\": \"tmpfs\"}", REFUSED, ""),
    ("mounts[6].uidMappings", "[{\"containerID\": 0, \"hostID\": 1, \"size\": 1}]", MISSING, "mounts[6].gidMappings"),
    ("mounts[+]", "{\"destination\": \"/c\", \"type\": \"cgroup\", \"source\": \"cgroup\"}", "", ""),
    ("mounts[+]", "{\"destination\": \"/h\", \"source\": \"/etc\", \"options\": [\"rbind\"]}", "mount.host", ""),
    ("linux.namespaces[+]", "{\"type\": \"pidd\"}", REFUSED, ""),
    ("linux.namespaces[+]", "{\"type\": \"pid\"}", REFUSED, ""),
    ("linux.namespaces[0].type", "\"pidd\"", REFUSED, "linux.namespaces[0]"),
    ("linux.namespaces[0].type", "", MISSING, ""),
    ("linux.namespaces[1].path", "\"relative\"", REFUSED, ""),
    ("linux.namespaces[1].path", "\"/no/such/namespace\"", REFUSED, ""),
    ("linux.namespaces", "[]", REFUSED, ""),
    ("linux.namespaces[+]", "{\"type\": \"user\"}", "", ""),
    ("linux.uidMappings", "[{\"containerID\": 0, \"hostID\": 1, \"size\": 1}]", REFUSED, ""),
    ("linux.gidMappings", "[{\"containerID\": 0, \"hostID\": 1, \"size\": 1}]", REFUSED, ""),
    ("linux.timeOffsets", "{\"boottime\": {\"secs\": 1}}", REFUSED, ""),
    ("linux.devices[0].path", "\"\"", REFUSED, ""),
    ("linux.devices[0].path", "", MISSING, ""),
    ("linux.devices[0].type", "\"x\"", REFUSED, ""),
    ("linux.devices[0].type", "", MISSING, ""),
    ("linux.devices[0].major", "", MISSING, ""),
    ("linux.devices[0].minor", "-1", REFUSED, ""),
    ("linux.devices[0].fileMode", "-1", REFUSED, ""),
    ("linux.netDevices", "{\"eth0\": {\"name\": \"a/b\"}}", REFUSED, "linux.netDevices"),
    ("linux.netDevices", "{\"a name that is too long\": {}}", REFUSED, "linux.netDevices"),
    ("linux.resources.memory.limit", "-7", REFUSED, ""),
    ("linux.resources.memory.swap", "5", REFUSED, ""),
    ("linux.resources.memory.swappiness", "101", REFUSED, ""),
    ("linux.resources.memory.reservation", "-2", REFUSED, ""),
    ("linux.resources.cpu.shares", "-1", REFUSED, ""),
    ("linux.resources.cpu.quota", "1.5", REFUSED, ""),
    ("linux.resources.cpu.cpus", "\"x\"", REFUSED, ""),
    ("linux.resources.cpu.mems", "\"1-0\"", REFUSED, ""),
    ("linux.resources.cpu.idle", "7", REFUSED, ""),
    ("linux.resources.pids.limit", "-7", REFUSED, ""),
    ("linux.resources.blockIO.weight", "5", REFUSED, ""),
    ("linux.resources.devices[0].access", "\"rwx\"", REFUSED, ""),
    ("linux.resources.devices[0].type", "\"x\"", REFUSED, ""),
    ("linux.resources.devices[1].major", "-7", REFUSED, ""),
    (
        "linux.resources.hugepageLimits",
        "[{\"pageSize\": \"2XB\", \"limit\": 1}]",
        REFUSED,
        "linux.resources.hugepageLimits[0]",
    ),
    ("linux.resources.unified", "{\"a/b\": \"1\"}", REFUSED, "linux.resources.unified"),
    ("linux.resources.rdma", "{\"mlx\": {}}", "", ""),
    ("linux.intelRdt", "{\"closID\": \"a/b\"}", REFUSED, "linux.intelRdt"),
    ("linux.memoryPolicy", "{\"mode\": \"MPOL_X\"}", REFUSED, "linux.memoryPolicy.mode"),
    ("linux.memoryPolicy", "{\"mode\": \"MPOL_BIND\", \"nodes\": \"x\"}", REFUSED, "linux.memoryPolicy.nodes"),
    (
        "linux.memoryPolicy",
        "{\"mode\": \"MPOL_BIND\", \"nodes\": \"0\", \"flags\": [\"x\"]}",
        REFUSED,
        "linux.memoryPolicy.flags",
    ),
    ("linux.sysctl.\"kernel.pid_max\"", "\"1\"", REFUSED, ""),
    ("linux.sysctl.\"vm.swappiness\"", "\"1\"", REFUSED, ""),
    ("linux.sysctl.\"net/../x\"", "\"1\"", REFUSED, ""),
    ("linux.seccomp.defaultAction", "", MISSING, ""),
    ("linux.seccomp.defaultAction", "\"SCMP_ACT_ALOW\"", REFUSED, ""),
    ("linux.seccomp.architectures[+]", "\"SCMP_ARCH_Z80\"", REFUSED, ""),
    ("linux.seccomp.flags", "[\"SECCOMP_X\"]", REFUSED, "linux.seccomp.flags[0]"),
    ("linux.seccomp.defaultErrnoRet", "5", REFUSED, ""),
    ("linux.seccomp.listenerMetadata", "\"x\"", REFUSED, ""),
    ("linux.seccomp.syscalls[0].names[+]", "\"opn\"", "seccomp.unknown-call", ""),
    ("linux.seccomp.syscalls[0].names", "[]", REFUSED, ""),
    ("linux.seccomp.syscalls[0].names", "", MISSING, ""),
    ("linux.seccomp.syscalls[0].action", "\"SCMP_ACT_ERNO\"", REFUSED, ""),
    ("linux.seccomp.syscalls[0].action", "", MISSING, ""),
    ("linux.seccomp.syscalls[0].errnoRet", "5000", REFUSED, ""),
    ("linux.seccomp.syscalls[1].args[0].op", "\"SCMP_CMP_EG\"", REFUSED, ""),
    ("linux.seccomp.syscalls[1].args[0].op", "", MISSING, ""),
    ("linux.seccomp.syscalls[1].args[0].index", "6", REFUSED, ""),
    ("linux.maskedPaths[+]", "\"proc/kcore\"", REFUSED, ""),
    ("linux.maskedPaths[+]", "\"/\"", REFUSED, ""),
    ("linux.maskedPaths", "[]", "paths.unmasked", ""),
    ("linux.readonlyPaths[+]", "\"proc\"", REFUSED, ""),
    ("linux.readonlyPaths", "[]", "paths.writable", ""),
    ("linux.rootfsPropagation", "\"public\"", REFUSED, ""),
    ("linux.mountLabel", "\"x\"", REFUSED, ""),
    ("linux.personality.domain", "\"LINUX64\"", REFUSED, ""),
    ("linux.personality.flags", "[\"x\"]", REFUSED, ""),
    ("linux.seccomp", "", "seccomp.none", ""),
    ("Hostname", "\"y\"", "field.case", ""),
    ("windows", "{}", "field.platform", ""),
];

/// A change and the finding that it must cause.
#[derive(Clone, Debug)]
struct Damage {
    path: String,
    value: Option<Value>,
    id: &'static str,
    /// The field of the finding, where it is not the path.
    field: &'static str,
}

/// The rows; a wrong type for each property; an unknown key in each object.
fn damages(base: &Value) -> Vec<Damage> {
    let row = |(path, value, id, field): &Row| {
        let value = (!value.is_empty()).then(|| serde_json::from_str(value).unwrap_or_else(|e| panic!("{value}: {e}")));
        Damage { path: path.to_string(), value, id, field }
    };
    let mut damages: Vec<Damage> = ROWS.iter().filter(|(.., id, _)| !id.is_empty()).map(row).collect();
    let page = std::fs::read_to_string(super::here().join("../docs/properties.md")).unwrap();
    let mut properties = 0;
    for line in page.lines().filter_map(|line| line.strip_prefix("| `")) {
        let name = line.split('`').next().unwrap();
        let path = name.replace("netDevices[]", "netDevices.eth0").replace("rdma[]", "rdma.mlx").replace("[]", "[0]");
        let value = Some(if path.ends_with("sysctl") || path.ends_with("unified") || path == "annotations" {
            json!(7)
        } else {
            json!({"x": 1})
        });
        damages.push(Damage { path, value, id: REFUSED, field: "" });
        properties += 1;
    }
    assert!(properties >= 172, "{properties} properties");
    let (_, lines) = document::print(base);
    for path in lines.keys() {
        let steps = document::steps(&document::quoted(path), base);
        let free = ["annotations", "linux.sysctl"].contains(&path.as_str());
        if document::value(base, &steps).is_some_and(Value::is_object) && !free {
            let path = if path.is_empty() { "unknwn".to_owned() } else { format!("{path}.unknwn") };
            damages.push(Damage { path, value: Some(json!(1)), id: UNKNOWN, field: "" });
        }
    }
    damages
}

/// What is missing of the findings of `damages`, all in one file.
fn missing(bundle: &Bundle, base: &Value, damages: &[&Damage]) -> Vec<String> {
    let mut config = base.clone();
    let mut expected = Vec::new();
    for damage in damages {
        let steps = document::steps(&damage.path, &config);
        document::set(&mut config, &steps, damage.value.clone());
        let field = if damage.field.is_empty() { document::written(&steps) } else { damage.field.to_owned() };
        expected.push((field, damage.id));
    }
    let (text, lines) = document::print(&config);
    let (code, findings) = bundle.check(&text);
    let mut missing = Vec::new();
    for (field, id) in &expected {
        let line = document::line(&lines, field);
        let is_it = |f: &&Value| {
            let name = f["field"].as_str().unwrap();
            let inside =
                name.strip_prefix(field.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
            f["id"] == *id && inside
        };
        let found: Vec<&Value> = findings.iter().filter(is_it).collect();
        let place = |f: &&Value| f["line"] == document::line(&lines, f["field"].as_str().unwrap());
        if !found.iter().any(place) {
            let like: Vec<String> = findings
                .iter()
                .filter(|f| f["severity"] == "error" || f["id"] == *id)
                .map(|f| format!("\n      {} {} line {} {}", f["id"], f["field"], f["line"], f["problem"]))
                .collect();
            missing.push(format!("{id} {field} line {line}; instead:{}", like.concat()));
        }
        if found.iter().any(|f| f["severity"] == "error" && f["scope"] == "bundle") && code != 1 {
            missing.push(format!("{id} {field}: exit code {code}"));
        }
    }
    for finding in &findings {
        let has = |key: &str| finding[key].as_str().is_some_and(|text| !text.is_empty());
        if finding["severity"] == "error" && !(has("source") && has("remedy")) && finding["id"] != "config.more" {
            missing.push(format!("without a source or a remedy: {finding}"));
        }
    }
    missing
}

pub(crate) fn base() -> Value {
    serde_json::from_str(include_str!("rich.json")).unwrap()
}

#[test]
fn the_undamaged_config_has_no_fault() {
    let Some(bundle) = Bundle::rich().filter(Bundle::is_root) else { return };
    let (code, findings) = bundle.check(&base().to_string());
    let faults: Vec<_> = findings.iter().filter(|f| f["severity"] != "note").collect();
    assert!(code == 0 && faults.is_empty(), "{faults:#?}");
}

#[test]
fn each_damage_is_found_at_its_line_with_its_field() {
    let Some(bundle) = Bundle::rich() else { return };
    let base = base();
    let all = damages(&base);
    println!("{} damages", all.len());
    assert!(all.len() >= 150);
    let failed: Vec<String> = all
        .iter()
        .filter_map(|damage| {
            let missing = missing(&bundle, &base, &[damage]);
            (!missing.is_empty()).then(|| format!("{} = {:?}: {}", damage.path, damage.value, missing.join("\n    ")))
        })
        .collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), all.len(), failed.join("\n"));
}

#[test]
fn five_damages_in_one_file_are_all_found() {
    let Some(bundle) = Bundle::rich().filter(Bundle::is_root) else { return };
    let base = base();
    let all = damages(&base);
    let mut random = Random(document::seed());
    let rounds = if std::env::var_os("SOAK").is_some() { 5000 } else { 200 };
    let mut failed = Vec::new();
    for _ in 0..rounds {
        let mut chosen: Vec<&Damage> = Vec::new();
        while chosen.len() < 5 {
            let other = &all[random.below(all.len())];
            if chosen.iter().all(|damage| independent(damage, other)) {
                chosen.push(other);
            }
        }
        let missing = missing(&bundle, &base, &chosen);
        if !missing.is_empty() {
            let paths: Vec<_> = chosen.iter().map(|d| format!("{} = {:?}", d.path, d.value)).collect();
            failed.push(format!("{}\n    {}", paths.join("; "), missing.join("\n    ")));
        }
    }
    assert!(failed.is_empty(), "{} of {rounds}:\n{}", failed.len(), failed.join("\n"));
}

/// Whether neither damage takes away what the other one damages: a root that is not there has no programs.
fn independent(one: &Damage, other: &Damage) -> bool {
    let within =
        |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let in_root =
        |d: &Damage| d.id.starts_with("program.") || d.id == "process.cwd" || d.path.contains("startContainer");
    let is_root = |d: &Damage| within(&d.path, "root");
    let (a, b) = (&one.path, &other.path);
    // The options are those of a type, and a type is given twice only beside another one.
    let mount = |d: &Damage| d.path.split(']').next().filter(|path| path.starts_with("mounts[")).map(str::to_owned);
    let options = |d: &Damage| d.id == "mount.option";
    let same_mount = mount(one).is_some() && mount(one) == mount(other) && (options(one) || options(other));
    // A second namespace of a kind is one only beside the first.
    let doubles = |d: &Damage| d.path == "linux.namespaces[+]" || d.path == "linux.namespaces";
    let namespace =
        |path: &str| path.split(']').next().filter(|path| path.starts_with("linux.namespaces[")).map(str::to_owned);
    let same_namespace =
        namespace(a).is_some() && namespace(a) == namespace(b) && !a.ends_with("unknwn") && !b.ends_with("unknwn");
    let both = within(a, "linux.namespaces") && within(b, "linux.namespaces");
    if same_mount || same_namespace || (both && (doubles(one) || doubles(other))) {
        return false;
    }
    // The first is a fault only beside the second.
    const PAIRS: [(&str, &str); 4] = [
        ("linux.resources.memory.swap", "linux.resources.memory.limit"),
        ("process.rlimits[0].hard", "process.rlimits[0].type"),
        ("process.rlimits[0].soft", "process.rlimits[0].hard"),
        ("process.scheduler.priority", "process.scheduler.policy"),
    ];
    if PAIRS.iter().any(|pair| *pair == (a.as_str(), b.as_str()) || *pair == (b.as_str(), a.as_str())) {
        return false;
    }
    let hides = is_root(one) && in_root(other) || is_root(other) && in_root(one);
    !(within(a, b) || within(b, a) || hides)
}
