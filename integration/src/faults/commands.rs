//! The commands whose system calls fail, and on what.

use super::picture;
use crate::kills::scene::{From, Tested, hooks, joined, user_and_time};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;

const fn tested(name: &'static str, from: From, words: &'static [&'static str]) -> Tested {
    Tested { name, from, words, after: &[], change: full }
}

pub(super) const COMMANDS: &[Tested] = &[
    tested("create", From::Nothing, &["create"]),
    Tested { change: |c| both(c, hooks), ..tested("create, with hooks", From::Nothing, &["create"]) },
    Tested {
        change: |c| both(c, user_and_time),
        ..tested("create, with a user namespace", From::Nothing, &["create"])
    },
    Tested { change: |c| both(c, joined), ..tested("create, with a joined pid namespace", From::Nothing, &["create"]) },
    tested("start", From::Created, &["start"]),
    Tested { change: |c| both(c, hooks), ..tested("start, with hooks", From::Created, &["start"]) },
    Tested { change: prints, ..tested("run", From::Nothing, &["run"]) },
    Tested { change: prints, ..tested("run, with the reaping init", From::Nothing, &["run", "--init"]) },
    tested("run, detached", From::Nothing, &["run", "--detach"]),
    Tested { after: picture::INSIDE, ..tested("exec", From::Running, &["exec"]) },
    Tested { after: picture::INSIDE, change: devpts, ..tested("exec --tty", From::Running, &["exec", "--tty"]) },
    Tested {
        after: &["/bin/sleep", "1000"],
        ..tested("exec --detach", From::Running, &["exec", "--detach", "--pid-file", "{dir}/pid"])
    },
    Tested { after: picture::INSIDE, ..tested("exec --tools", From::Running, &["exec", "--tools"]) },
    tested("state", From::Running, &["state"]),
    tested("list", From::Running, &["list"]),
    tested("events", From::Running, &["events", "--stats"]),
    tested("pause", From::Running, &["pause"]),
    tested("resume", From::Paused, &["resume"]),
    tested("update", From::Running, &["update", "--memory", "50000000", "--pids-limit", "50"]),
    tested("mounts add", From::Running, &["mounts", "add"]),
    tested("mounts remove", From::Added, &["mounts", "remove"]),
    Tested { after: &["KILL"], ..tested("kill", From::Running, &["kill"]) },
    tested("delete", From::Stopped, &["delete"]),
    tested("delete --force", From::Running, &["delete", "--force"]),
    tested("spec", From::Nothing, &["spec", "--file", "{dir}/spec.json"]),
    tested("features", From::Nothing, &["features"]),
    tested("checkpoint", From::Running, &["checkpoint", "--image-path", "{dir}/images"]),
    tested("restore", From::Saved, &["restore", "--detach", "--image-path", "{dir}/saved"]),
    tested("check", From::Nothing, &["check", "{dir}"]),
    tested("explain", From::Nothing, &["explain", "{dir}"]),
    tested("explain, a container", From::Running, &["explain"]),
    tested("inspect", From::Running, &["inspect"]),
    tested("image pull", From::Nothing, &["image", "pull", "--quiet", "--store", "{dir}/store", "oci:{dir}/image"]),
    tested("image unpack", From::Nothing, &["image", "unpack", "--quiet", "oci:{dir}/image", "{dir}/unpacked"]),
    tested("image gc", From::Nothing, &["image", "gc", "--store", "{dir}/store"]),
    Tested {
        after: picture::INSIDE,
        ..tested(
            "run --image",
            From::Nothing,
            &["run", "--quiet", "--store", "{dir}/store", "--id", "{id}", "--image", "oci:{dir}/image"],
        )
    },
];

/// Whether the companion carries the command out.
pub(super) fn is_companions(words: &[&str]) -> bool {
    matches!(words[0], "check" | "explain" | "inspect" | "image") || words.contains(&"--image")
}

fn both(config: &mut Value, change: fn(&mut Value)) {
    full(config);
    change(config);
    let namespaces = config["linux"]["namespaces"].to_string();
    if !namespaces.contains("ipc") {
        config["linux"]["sysctl"] = Value::Null;
    }
    if !namespaces.contains("uts") {
        config["hostname"] = Value::Null;
    }
    if let (false, Some(mounts)) = (namespaces.contains("network"), config["mounts"].as_array_mut()) {
        mounts.retain(|mount| mount["type"] != "sysfs");
    }
}

/// A config with something of each kind that protects or limits; of an ordinary user with `FAULTS_AS=rootless`.
fn full(config: &mut Value) {
    protected(config);
    if std::env::var_os("FAULTS_AS").is_some_and(|user| user == "rootless") {
        rootless(config);
    }
}

/// The user is root of a user namespace, and has no cgroup to limit.
fn rootless(config: &mut Value) {
    config["process"]["user"] = json!({"uid": 0, "gid": 0});
    config["linux"]["cgroupsPath"] = Value::Null;
    config["linux"]["resources"] = Value::Null;
    if let Some(spaces) = config["linux"]["namespaces"].as_array_mut() {
        spaces.push(json!({"type": "user"}));
    }
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["type"] != "cgroup");
    }
    let Ok(own) = std::fs::metadata("/proc/self") else { return };
    let ids = [("uidMappings", own.uid()), ("gidMappings", own.gid())];
    for (maps, id) in ids {
        config["linux"][maps] = json!([{"containerID": 0, "hostID": id, "size": 1}]);
    }
}

fn protected(config: &mut Value) {
    config["hostname"] = json!("box");
    config["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 512}]);
    config["process"]["oomScoreAdj"] = json!(100);
    config["process"]["user"]["additionalGids"] = json!([5, 6]);
    config["linux"]["sysctl"] = json!({"kernel.msgmax": "8192"});
    config["linux"]["resources"]["cpu"] = json!({"shares": 512});
    config["linux"]["resources"]["devices"] = json!([{"allow": false, "access": "rwm"}]);
    config["linux"]["maskedPaths"] = json!(["/proc/keys", "/sys/firmware"]);
    config["mounts"].as_array_mut().into_iter().for_each(|mounts| {
        mounts.extend([
            json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro", "nosuid", "noexec"]}),
            json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                "options": ["ro", "nosuid", "nodev", "noexec"]}),
            json!({"destination": "/data", "type": "bind", "source": "/bin", "options": ["rbind", "ro", "nosuid", "nodev"]}),
        ]);
    });
}

fn devpts(config: &mut Value) {
    full(config);
    let devpts = json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts"});
    config["mounts"].as_array_mut().into_iter().for_each(|mounts| mounts.push(devpts.clone()));
}

fn prints(config: &mut Value) {
    full(config);
    config["process"]["args"] = json!(picture::INSIDE);
}
