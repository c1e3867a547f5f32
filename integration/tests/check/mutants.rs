//! Configs with random changes: `create` refuses one if and only if `check` reports an error.
//!
//! `SOAK=1` tries 10,000 of them, `SOAK=N` as many as it says, without it it is fewer; `SEED` repeats a run.

use super::Bundle;
use super::damages::base;
use super::document::{self, Random, Step};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::Stdio;

/// `create` refuses for a reason that `check` does not count as an error: a part of the message, and why.
const NOT_OF_THE_BUNDLE: &[(&str, &str)] = &[
    ("cannot allocate tty", "the caller may pass a console socket; `check` has a note about it"),
    ("unable to set memory limit", "how much the runtime itself needs while it builds the container differs"),
    ("memory.limit may be too small", "how much the runtime itself needs while it builds the container differs"),
];

/// `check` reports an error, and `create` and `start` go on: the id, and why.
const GOES_ON: &[(&str, &str)] = &[];

#[derive(Default)]
struct Outcome {
    tried: usize,
    accepted: usize,
    argued: BTreeMap<&'static str, usize>,
    failures: Vec<String>,
}

#[test]
fn create_refuses_a_mutant_if_and_only_if_check_reports_an_error() {
    let seed = document::seed();
    let number = |text: String| text.parse().ok().filter(|number| *number > 1).unwrap_or(10_000);
    let count = std::env::var("SOAK").map_or(200, number);
    let (Some(one), Some(other)) = (Bundle::rich(), Bundle::rich()) else { return };
    if !one.is_root() {
        return;
    }
    let half = |bundle: Bundle, seed| std::thread::spawn(move || tried(&bundle, Random(seed), count / 2));
    let halves = [half(one, seed), half(other, seed ^ u64::MAX)];
    let mut all = Outcome::default();
    for half in halves {
        let half = half.join().unwrap();
        all.tried += half.tried;
        all.accepted += half.accepted;
        all.failures.extend(half.failures);
        half.argued.into_iter().for_each(|(why, n)| *all.argued.entry(why).or_default() += n);
    }
    println!("{} mutants, {} accepted; argued exceptions: {:?}", all.tried, all.accepted, all.argued);
    assert!(all.accepted * 3 >= all.tried, "{} of {} accepted", all.accepted, all.tried);
    assert!(all.failures.is_empty(), "{} of {}:\n{}", all.failures.len(), all.tried, all.failures.join("\n"));
}

fn tried(bundle: &Bundle, mut random: Random, count: usize) -> Outcome {
    let base = base();
    let pool = pool(&base);
    let mut outcome = Outcome::default();
    while outcome.tried < count {
        let (config, changes) = mutant(&base, &pool, &mut random);
        if !is_harmless(&config, &base) {
            continue;
        }
        outcome.tried += 1;
        compare(bundle, &config, &changes, &mut outcome);
    }
    outcome
}

fn compare(bundle: &Bundle, config: &Value, changes: &str, outcome: &mut Outcome) {
    let (code, findings) = bundle.check(&config.to_string());
    let errors = |scope: &str| -> Vec<&Value> {
        findings.iter().filter(|f| f["severity"] == "error" && f["scope"] == scope).collect()
    };
    let (of_bundle, of_host) = (errors("bundle"), errors("host"));
    let created = lifecycle(bundle, !of_bundle.is_empty());
    // Mount points and devices are made in the root: the next mutant has it as it was.
    bundle.renew();
    outcome.accepted += usize::from(!matches!(created, Created::Refused(_)));
    let failure = match &created {
        _ if code != i32::from(!of_bundle.is_empty()) => Some(format!("exit code {code}")),
        Created::Refused(message) if of_bundle.is_empty() && of_host.is_empty() => {
            match NOT_OF_THE_BUNDLE.iter().find(|(part, _)| message.contains(part)) {
                Some((_, why)) => {
                    *outcome.argued.entry(why).or_default() += 1;
                    None
                }
                None => Some(format!("create refuses, check reports nothing: {message}")),
            }
        }
        Created::Started => match of_bundle.iter().find(|f| !GOES_ON.iter().any(|(id, _)| f["id"] == *id)) {
            Some(error) => Some(format!("create and start take it, check reports {error}")),
            None => {
                let whys = GOES_ON.iter().filter(|(id, _)| of_bundle.iter().any(|f| f["id"] == *id));
                whys.for_each(|(_, why)| *outcome.argued.entry(why).or_default() += 1);
                None
            }
        },
        _ => None,
    };
    outcome.failures.extend(failure.map(|failure| format!("{changes}\n    {failure}")));
}

enum Created {
    /// With this message.
    Refused(String),
    /// `start` failed.
    NotStarted,
    /// `start` went well, or was not tried.
    Started,
}

fn lifecycle(bundle: &Bundle, start: bool) -> Created {
    // The container holds the streams open, so that a pipe would not end.
    let errors = bundle.directory.join("errors");
    let run = |words: &[&str]| {
        let file = File::create(&errors).unwrap();
        let mut command = bundle.command(&["--root", "state"]);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        command.status().unwrap().success()
    };
    let id = bundle.directory.file_name().unwrap().to_str().unwrap();
    let created = match run(&["create", id]) {
        false => Created::Refused(fs::read_to_string(&errors).unwrap()),
        true if start && !run(&["start", id]) => Created::NotStarted,
        true => Created::Started,
    };
    if !matches!(created, Created::Refused(_)) {
        run(&["delete", "--force", id]);
    }
    created
}

/// Values to be put anywhere.
fn pool(base: &Value) -> Vec<Value> {
    let (_, lines) = document::print(base);
    let all = lines.keys().filter_map(|path| document::value(base, &document::steps(&document::quoted(path), base)));
    let scalars = all.filter(|value| !value.is_object() && !value.is_array()).cloned();
    let odd = json!([
        null, true, false, 0, 1, -1, -2, 2, 7, 20, 1000, 65536, 4294967295u64, 4294967296u64, i64::MAX, u64::MAX, 1.5, "", "x", "a b",
        "/", "relative", "../up", "/no/such", "/tmp", "a\u{0}b", "a\u{1b}[2J", "\u{202e}", [], {}, [""], {"x": "y"}, "rw", "ro", "size=1k",
        "sice=1k", "mode=9", "uid=7", "gid=7", "nosuchoption", "x=y", "CAP_SYS_ADMIN", "CAP_NONE", "user", "time", "SCMP_ACT_KILL",
        "SCMP_ACT_LOG", "read", "raed", "/dev", "/proc/x", "bind", "tmpcopyup", "idmap", "rshared", "unbindable"
    ]);
    scalars.chain(odd.as_array().unwrap().iter().cloned()).collect()
}

/// The base with one to three changes, and these in words.
fn mutant(base: &Value, pool: &[Value], random: &mut Random) -> (Value, String) {
    let mut config = base.clone();
    let mut changes = Vec::new();
    for _ in 0..1 + random.below(3) {
        let (_, lines) = document::print(&config);
        let paths: Vec<&String> = lines.keys().filter(|path| !path.is_empty()).collect();
        let path = paths[random.below(paths.len())].clone();
        let steps = document::steps(&document::quoted(&path), &config);
        let Some(old) = document::value(&config, &steps).cloned() else { continue };
        let any = pool[random.below(pool.len())].clone();
        let new = match random.below(9) {
            0 => None,
            1 => Some(any),
            2 => Some(like(&old, pool, random)),
            3 | 4 => Some(near(&old, random)),
            5 => {
                // An item or a field more.
                let mut new = old.clone();
                match &mut new {
                    Value::Array(list) => list.push(any),
                    Value::Object(object) => drop(object.insert(format!("key{}", random.below(3)), any)),
                    _ => continue,
                }
                Some(new)
            }
            6 => match &old {
                // An item twice, or the other way round.
                Value::Array(list) if !list.is_empty() => {
                    let mut list = list.clone();
                    list.push(list[random.below(list.len())].clone());
                    list.reverse();
                    Some(Value::Array(list))
                }
                _ => continue,
            },
            _ => {
                // Another field, which the base does not have.
                let (path, value) = MORE[random.below(MORE.len())];
                let steps = document::steps(path, &config);
                if steps[..steps.len() - 1].iter().any(|step| matches!(step, Step::Item(_))) {
                    continue;
                }
                let value: Value = serde_json::from_str(value).unwrap();
                changes.push(format!("{path} = {value}"));
                document::set(&mut config, &steps, Some(value));
                continue;
            }
        };
        changes.push(format!("{path} = {}", new.as_ref().map_or("nothing".into(), Value::to_string)));
        document::set(&mut config, &steps, new);
    }
    (config, changes.join("; "))
}

/// Fields that the base does not have, mostly right.
const MORE: &[(&str, &str)] = &[
    ("linux.namespaces[+]", r#"{"type": "user"}"#),
    ("linux.namespaces[+]", r#"{"type": "time"}"#),
    ("linux.uidMappings", r#"[{"containerID": 0, "hostID": 100000, "size": 1000}]"#),
    ("linux.gidMappings", r#"[{"containerID": 0, "hostID": 100000, "size": 1000}]"#),
    ("linux.timeOffsets", r#"{"boottime": {"secs": 10}}"#),
    ("linux.resources.memory.swap", "268435456"),
    ("linux.resources.memory.swappiness", "50"),
    ("linux.resources.cpu.cpus", "\"0\""),
    ("linux.resources.cpu.cpus", "\"500\""),
    ("linux.resources.cpu.mems", "\"0\""),
    ("linux.resources.cpu.idle", "1"),
    ("linux.resources.hugepageLimits", r#"[{"pageSize": "2MB", "limit": 0}]"#),
    ("linux.resources.unified", r#"{"memory.high": "max"}"#),
    ("linux.resources.blockIO", r#"{"weight": 500}"#),
    ("linux.memoryPolicy", r#"{"mode": "MPOL_BIND", "nodes": "0"}"#),
    ("process.user.additionalGids[+]", "7"),
    ("process.user.uid", "1000"),
    ("process.user.gid", "1000"),
    ("process.env[+]", "\"X=1\""),
    ("process.capabilities.bounding[+]", "\"CAP_NET_RAW\""),
    ("process.rlimits[+]", r#"{"type": "RLIMIT_NPROC", "soft": 1000, "hard": 1000}"#),
    ("process.execCPUAffinity", r#"{"initial": "0"}"#),
    ("process.consoleSize", r#"{"height": 25, "width": 80}"#),
    ("mounts[+]", r#"{"destination": "/more", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]}"#),
    ("mounts[+]", r#"{"destination": "/a/b/c", "type": "bind", "source": "source", "options": ["bind"]}"#),
    ("mounts[+]", r#"{"destination": "/data/x", "type": "tmpfs", "source": "tmpfs"}"#),
    ("mounts[+]", r#"{"destination": "/bin/sh", "type": "bind", "source": "config.json", "options": ["bind"]}"#),
    ("linux.devices[+]", r#"{"path": "/dev/more", "type": "c", "major": 1, "minor": 3}"#),
    ("linux.devices[+]", r#"{"path": "/dev/null", "type": "c", "major": 1, "minor": 3}"#),
    ("linux.sysctl.\"net.ipv4.ip_unprivileged_port_start\"", "\"0\""),
    ("linux.sysctl.\"kernel.msgmax\"", "\"8192\""),
    ("linux.sysctl.\"net.no.such\"", "\"1\""),
    ("linux.sysctl.\"net.ipv4.ip_forward\"", "\"many\""),
    ("linux.maskedPaths[+]", "\"/bin/sh\""),
    ("linux.readonlyPaths[+]", "\"/bin\""),
    ("annotations.\"a\"", "\"b\""),
    ("annotations.\"run.oci.unknown\"", "\"b\""),
    ("process.noNewPrivileges", "false"),
    ("root.readonly", "true"),
    ("process.cwd", "\"/new/directory\""),
    ("process.cwd", "\"/proc/self\""),
    ("process.cwd", "\"/bin/sh/x\""),
];

/// A value of the same type.
fn like(old: &Value, pool: &[Value], random: &mut Random) -> Value {
    let same = |value: &&Value| std::mem::discriminant(*value) == std::mem::discriminant(old);
    let all: Vec<&Value> = pool.iter().filter(same).collect();
    all.get(random.below(all.len())).map_or(Value::Null, |value| (*value).clone())
}

/// A value with a small change.
fn near(old: &Value, random: &mut Random) -> Value {
    match old {
        Value::Bool(value) => Value::Bool(!value),
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            json!(match random.below(4) {
                0 => number.wrapping_add(1),
                1 => number.wrapping_sub(1),
                2 => number.wrapping_mul(2),
                _ => number / 2,
            })
        }
        Value::String(text) => {
            let mut letters: Vec<char> = text.chars().collect();
            let at = random.below(letters.len().max(1));
            match random.below(3) {
                0 if !letters.is_empty() => drop(letters.remove(at)),
                1 if letters.len() > 1 => letters.swap(at, (at + 1) % text.chars().count()),
                _ => letters.insert(at, 'e'),
            }
            Value::String(letters.into_iter().collect())
        }
        Value::Array(list) if !list.is_empty() => {
            let mut list = list.clone();
            list.remove(random.below(list.len()));
            Value::Array(list)
        }
        other => other.clone(),
    }
}

/// Whether `create` of it leaves this machine as it is.
fn is_harmless(config: &Value, base: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let inside = |path: String| !path.starts_with('/') && !path.contains("..");
    let mounts = config["mounts"].as_array().into_iter().flatten();
    let hooks = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let hooks = hooks.iter().flat_map(|moment| config["hooks"][*moment].as_array().into_iter().flatten());
    inside(text(&config["root"]["path"]))
        && mounts.clone().all(|mount| inside(text(&mount["source"])))
        && hooks.into_iter().all(|hook| text(&hook["path"]) != "/bin/sh")
        && config["linux"]["cgroupsPath"] == base["linux"]["cgroupsPath"]
        && config["linux"]["netDevices"] == base["linux"]["netDevices"]
}
