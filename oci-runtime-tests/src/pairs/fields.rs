//! The fields of a config that protect or limit, each with its change and the probe that sees its effect.

use super::Field;
use crate::bench::bundle::Bundle;
use crate::bench::check::{contains, equal, errno, holds, same, same_set};
use crate::bench::seen::Seen;
use anyhow::{Context, Result};
use serde_json::json;

const SETS: [&str; 5] = ["bounding", "effective", "inheritable", "permitted", "ambient"];
/// The errno that the seccomp profile answers: no other cause gives it.
const REFUSED: i32 = 99;

/// The options of the mount that is visible at `point`, with those of its super block, and its propagation.
fn mount_line(seen: &Seen, point: &str) -> Result<String> {
    let text = seen.report_text("/mountinfo")?;
    let found = text.lines().rfind(|line| line.split(' ').nth(4) == Some(point));
    Ok(found.with_context(|| format!("nothing is mounted at {point}"))?.to_owned())
}

fn options(seen: &Seen, point: &str) -> Result<Vec<String>> {
    let line = mount_line(seen, point)?;
    Ok(line.split(' ').nth(5).unwrap_or_default().split(',').map(str::to_owned).collect())
}

fn has_options(seen: &Seen, point: &str, expected: &[&str]) -> Result<()> {
    let options = options(seen, point)?;
    let missing: Vec<_> = expected.iter().filter(|one| !options.iter().any(|other| other == *one)).collect();
    holds(&format!("{point} has {missing:?} (it has {options:?})"), missing.is_empty())
}

fn is_root(seen: &Seen) -> Result<bool> {
    Ok(*seen.report("/uid/0")? == json!(0))
}

fn rlimit<'t>(b: Bundle<'t>, kind: &str, soft: u64, hard: u64) -> Bundle<'t> {
    b.set("/process/rlimits/-", json!({"type": kind, "soft": soft, "hard": hard}))
}

fn has_rlimit(seen: &Seen, kind: &str, soft: u64, hard: u64) -> Result<()> {
    same(kind, seen.report(&format!("/rlimits/{kind}"))?, json!([soft, hard]))
}

fn hook<'t>(b: Bundle<'t>, kind: &str, path: &str, args: &[&str]) -> Bundle<'t> {
    b.set(&format!("/hooks/{kind}/-"), json!({"path": path, "args": args}))
}

/// Makes a field whose change cannot fail.
macro_rules! field {
    ($name:literal, [$($probe:literal),*], [$($other:literal),*], |$b:ident| $change:expr, |$seen:ident| $check:expr) => {
        Field {
            name: $name,
            probes: &[$($probe),*],
            excludes: &[$($other),*],
            change: |$b| Ok($change),
            check: |$seen| $check,
        }
    };
}

/// Limits and hooks are here without a probe of their own (the conformance cases have those): they bound the work of the
/// runtime itself, or run beside it, and the other fields must hold all the same.
///
/// In the order in which they change a bundle: the user namespace comes last, since the root filesystem is given to it.
pub(super) const FIELDS: &[Field] = &[
    field!(
        "maskedPaths: a file",
        ["stat /proc/version"],
        [],
        |b| b.set("/linux/maskedPaths/-", "/proc/version"),
        |s| {
            let seen = s.value("stat /proc/version")?;
            equal("device", (&seen["major"], &seen["minor"]), (&json!(1), &json!(3)))
        }
    ),
    field!("maskedPaths: a directory", ["list /proc/fs"], [], |b| b.set("/linux/maskedPaths/-", "/proc/fs"), |s| {
        same("entries of /proc/fs", s.value("list /proc/fs")?, json!([]))
    }),
    field!(
        "maskedPaths: in the root filesystem",
        ["read /etc/secret"],
        [],
        |b| b.file("/etc/secret", "secret")?.set("/linux/maskedPaths/-", "/etc/secret"),
        |s| equal("text", s.text_of("read /etc/secret")?, String::new())
    ),
    field!(
        "readonlyPaths: /proc/sys",
        ["open w /proc/sys/kernel/shmmni"],
        [],
        |b| b.set("/linux/readonlyPaths/-", "/proc/sys"),
        |s| s.fails("open w /proc/sys/kernel/shmmni", &[errno::EROFS, errno::EACCES])
    ),
    field!(
        "readonlyPaths: a directory",
        ["create /var/kept/file"],
        [],
        |b| b.directory("/var/kept")?.set("/linux/readonlyPaths/-", "/var/kept"),
        |s| s.fails("create /var/kept/file", &[errno::EROFS, errno::EACCES])
    ),
    field!("readonlyPaths: /", ["create /made"], [], |b| b.set("/linux/readonlyPaths/-", "/"), |s| s
        .fails("create /made", &[errno::EROFS, errno::EACCES])),
    field!("root.readonly", ["create /etc/made"], [], |b| b.set("/root/readonly", true), |s| {
        s.fails("create /etc/made", &[errno::EROFS, errno::EACCES])?;
        has_options(s, "/", &["ro"])
    }),
    field!("process.capabilities: none", [], ["process.capabilities: one"], |b| b.capabilities(&SETS, &[]), |s| SETS
        .iter()
        .try_for_each(|set| same_set(set, s.report(&format!("/capabilities/{set}"))?, &json!([])))),
    field!(
        "process.capabilities: one",
        [],
        ["process.capabilities: none"],
        |b| b.capabilities(&SETS[..1], &["CAP_KILL"]).capabilities(&["effective", "permitted"], &["CAP_KILL"]),
        |s| {
            same_set("bounding", s.report("/capabilities/bounding")?, &json!([5]))?;
            let expected = if is_root(s)? { json!([5]) } else { json!([]) };
            same_set("effective", s.report("/capabilities/effective")?, &expected)
        }
    ),
    field!("process.noNewPrivileges", [], [], |b| b.set("/process/noNewPrivileges", true), |s| {
        same("no_new_privs", s.report("/no_new_privs")?, 1)
    }),
    field!(
        "linux.seccomp",
        ["mkdir /tmp/refused"],
        [],
        |b| b.set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": REFUSED}]})
        ),
        |s| {
            equal("mode", s.report_text("/seccomp")?, "2")?;
            s.fails("mkdir /tmp/refused", &[REFUSED])
        }
    ),
    field!(
        "process.user.uid and gid",
        [],
        [],
        |b| b.set("/process/user/uid", 1000).set("/process/user/gid", 1000),
        |s| {
            same("uid", s.report("/uid")?, json!([1000, 1000, 1000]))?;
            same("gid", s.report("/gid")?, json!([1000, 1000, 1000]))
        }
    ),
    field!("process.user.additionalGids", [], [], |b| b.set("/process/user/additionalGids", json!([7, 8])), |s| {
        same_set("groups", s.report("/groups")?, &json!([7, 8]))
    }),
    field!("process.user.umask", [], [], |b| b.set("/process/user/umask", 0o27), |s| {
        same("umask", s.report("/umask")?, 0o27)
    }),
    field!("process.cwd: one that is missing", [], ["process.cwd"], |b| b.set("/process/cwd", "/srv/made/here"), |s| {
        equal("cwd", s.report_text("/cwd")?, "/srv/made/here")
    }),
    field!("process.cwd", [], ["process.cwd: one that is missing"], |b| b.set("/process/cwd", "/tmp"), |s| {
        equal("cwd", s.report_text("/cwd")?, "/tmp")
    }),
    field!("process.env", [], [], |b| b.set("/process/env/-", "A=b c"), |s| {
        contains("env", &s.report("/env")?.to_string(), "\"A=b c\"")
    }),
    field!("RLIMIT_NOFILE", [], [], |b| rlimit(b, "RLIMIT_NOFILE", 20, 30), |s| {
        has_rlimit(s, "RLIMIT_NOFILE", 20, 30)
    }),
    field!("RLIMIT_CORE", [], [], |b| rlimit(b, "RLIMIT_CORE", 0, 0), |s| has_rlimit(s, "RLIMIT_CORE", 0, 0)),
    field!("RLIMIT_NPROC", [], [], |b| rlimit(b, "RLIMIT_NPROC", 900, 900), |s| {
        has_rlimit(s, "RLIMIT_NPROC", 900, 900)
    }),
    field!("RLIMIT_FSIZE", [], [], |b| rlimit(b, "RLIMIT_FSIZE", 100_000, 200_000), |s| {
        has_rlimit(s, "RLIMIT_FSIZE", 100_000, 200_000)
    }),
    field!("RLIMIT_STACK", [], [], |b| rlimit(b, "RLIMIT_STACK", 262_144, 524_288), |s| {
        has_rlimit(s, "RLIMIT_STACK", 262_144, 524_288)
    }),
    field!("RLIMIT_MEMLOCK", [], [], |b| rlimit(b, "RLIMIT_MEMLOCK", 0, 0), |s| has_rlimit(s, "RLIMIT_MEMLOCK", 0, 0)),
    field!("RLIMIT_AS", [], [], |b| rlimit(b, "RLIMIT_AS", 1 << 30, 1 << 30), |s| {
        has_rlimit(s, "RLIMIT_AS", 1 << 30, 1 << 30)
    }),
    field!("process.oomScoreAdj", [], [], |b| b.set("/process/oomScoreAdj", 500), |s| {
        equal("score", s.report_text("/oom_score_adj")?, "500")
    }),
    field!(
        "process.scheduler",
        [],
        [],
        |b| b.set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 5})),
        |s| {
            same("policy", s.report("/scheduler/policy")?, 3)?;
            same("nice", s.report("/scheduler/nice")?, 5)
        }
    ),
    field!(
        "process.ioPriority",
        [],
        [],
        |b| b.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6})),
        |s| same("priority", s.report("/io_priority/priority")?, 6)
    ),
    field!("hostname", [], [], |b| b.set("/hostname", "paired"), |s| {
        contains("names", &s.report("/names")?.to_string(), "\"paired\"")
    }),
    field!("domainname", [], [], |b| b.set("/domainname", "pairs.test"), |s| {
        contains("names", &s.report("/names")?.to_string(), "\"pairs.test\"")
    }),
    field!(
        "linux.sysctl: net",
        ["read /proc/sys/net/ipv4/ip_default_ttl"],
        [],
        |b| b.set("/linux/sysctl", json!({"net.ipv4.ip_default_ttl": "77"})),
        |s| equal("ttl", s.text_of("read /proc/sys/net/ipv4/ip_default_ttl")?, "77".to_owned())
    ),
    field!(
        "mounts: a tmpfs with flags",
        ["size /tmp/small"],
        [],
        |b| b.mount("/tmp/small", "tmpfs", "tmpfs", &["size=64k", "nosuid", "nodev", "noexec", "ro"]),
        |s| {
            same("size", s.value("size /tmp/small")?, 65536)?;
            has_options(s, "/tmp/small", &["ro", "nosuid", "nodev", "noexec"])
        }
    ),
    Field {
        name: "mounts: a read-only bind mount",
        probes: &["create /bound/made"],
        excludes: &[],
        change: |b| {
            let source = b.trial.path("bound");
            std::fs::create_dir_all(&source)?;
            Ok(b.bind(&source, "/bound", &["ro", "nosuid", "nodev"]))
        },
        check: |s| {
            s.fails("create /bound/made", &[errno::EROFS])?;
            has_options(s, "/bound", &["ro", "nosuid", "nodev"])
        },
    },
    Field {
        name: "mounts: a recursively read-only bind mount",
        probes: &["create /rebound/made"],
        excludes: &[],
        change: |b| {
            let source = b.trial.path("rebound");
            std::fs::create_dir_all(&source)?;
            Ok(b.mount("/rebound", "none", &source, &["rbind", "rro", "rw"]))
        },
        check: |s| s.fails("create /rebound/made", &[errno::EROFS]),
    },
    field!(
        "linux.devices",
        ["stat /dev/paired"],
        [],
        |b| b.set(
            "/linux/devices",
            json!([{"path": "/dev/paired", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 5, "gid": 6}])
        ),
        |s| {
            let seen = s.value("stat /dev/paired")?;
            let facts = (&seen["major"], &seen["minor"], &seen["mode"], &seen["uid"], &seen["gid"]);
            equal("device", facts, (&json!(1), &json!(5), &json!(0o640), &json!(5), &json!(6)))
        }
    ),
    field!(
        "linux.rootfsPropagation: private",
        [],
        ["linux.rootfsPropagation: slave"],
        |b| b.set("/linux/rootfsPropagation", "private"),
        |s| holds("the root is private", !mount_line(s, "/")?.contains("shared:"))
    ),
    field!(
        "linux.rootfsPropagation: slave",
        [],
        ["linux.rootfsPropagation: private"],
        |b| b.set("/linux/rootfsPropagation", "rslave"),
        |s| holds("the root is no peer", !mount_line(s, "/")?.contains("shared:"))
    ),
    field!(
        "resources.pids.limit: 1",
        [],
        ["hooks: startContainer"],
        |b| b.set("/linux/resources/pids/limit", 1),
        |_s| Ok(())
    ),
    field!("resources.memory.limit", [], [], |b| b.set("/linux/resources/memory/limit", 64 << 20), |_s| Ok(())),
    field!("resources.cpu.shares", [], [], |b| b.set("/linux/resources/cpu/shares", 512), |_s| Ok(())),
    field!(
        "hooks: startContainer",
        [],
        ["resources.pids.limit: 1"],
        |b| hook(b, "startContainer", "/probe", &["probe", "exit 0"]),
        |_s| Ok(())
    ),
    field!("hooks: createContainer", [], [], |b| hook(b, "createContainer", "/bin/true", &["true"]), |_s| Ok(())),
    field!("hooks: createRuntime", [], [], |b| hook(b, "createRuntime", "/bin/true", &["true"]), |_s| Ok(())),
    field!("a new cgroup namespace", [], [], |b| b.namespace("cgroup", None), |s| {
        let text = s.report_text("/cgroup")?;
        holds("every cgroup is the root of its namespace", text.lines().all(|line| line.ends_with(":/")))
    }),
    field!(
        "a new time namespace with offsets",
        [],
        [],
        |b| b.namespace("time", None).set("/linux/timeOffsets", json!({"monotonic": {"secs": 5000, "nanosecs": 0}})),
        |s| contains("offsets", s.report_text("/timens_offsets")?, "5000")
    ),
    Field {
        name: "a new user namespace",
        probes: &[],
        excludes: &[],
        change: |b| b.user_namespace(100_000),
        check: |s| {
            let map: Vec<&str> = s.report_text("/uid_map")?.split_whitespace().collect();
            equal("uid_map", map, ["0", "100000", "65536"])
        },
    },
];
