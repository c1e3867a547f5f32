//! A process in a container that traces every other that it sees, and writes down what it could do with it.

use super::Scene;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

/// What the tracer needs.
pub(crate) const CAPABILITIES: [&str; 3] = ["CAP_SYS_PTRACE", "CAP_KILL", "CAP_DAC_OVERRIDE"];

/// A process that was traced before it executed the program of its container.
#[derive(Debug, Default)]
pub(crate) struct Victim {
    pub(crate) exe: String,
    /// Effective and permitted capabilities, as numbers.
    pub(crate) capabilities: u64,
    /// Whether its user namespace is the tracer's.
    pub(crate) same_user_namespace: bool,
    pub(crate) user: u32,
    /// The seccomp mode: 0 without a filter, 2 with one.
    pub(crate) seccomp: u32,
    /// What is in its root directory.
    pub(crate) root: Vec<String>,
    /// What its descriptors are.
    pub(crate) descriptors: Vec<String>,
}

/// Puts the tracer into a container, as the program that the container runs.
pub(crate) fn plant(scene: &mut Scene) {
    super::sealed::grant(scene, &CAPABILITIES);
    let program = std::env::current_exe().unwrap().display().to_string();
    fs::write(scene.root("tracer"), "").unwrap();
    scene.mount(json!({"destination": "/tracer", "type": "bind", "source": program, "options": ["bind", "ro"]}));
    for dir in ["/lib", "/lib64", "/usr/lib"] {
        if fs::metadata(dir).is_ok() {
            fs::create_dir_all(scene.root(dir.trim_start_matches('/'))).unwrap();
            scene.mount(json!({"destination": dir, "type": "bind", "source": dir, "options": ["rbind", "ro"]}));
        }
    }
    scene.config["process"]["args"] = json!(["/tracer", "--exact", "tracer::tracer", "--ignored", "--nocapture"]);
    scene.config["process"]["env"] = json!(["PATH=/bin", "TRACER=1"]);
}

/// The processes that the tracer has caught until now.
pub(crate) fn victims(scene: &Scene) -> Vec<Victim> {
    let text = fs::read_to_string(scene.root("tmp/victims")).unwrap_or_default();
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> Victim {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    let list = |key: &str| value[key].as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect();
    let number = |key: &str| value[key].as_u64().unwrap();
    Victim {
        exe: value["exe"].as_str().unwrap().to_owned(),
        capabilities: number("capabilities"),
        same_user_namespace: value["same"].as_bool().unwrap(),
        user: number("user") as u32,
        seccomp: number("seccomp") as u32,
        root: list("root"),
        descriptors: list("descriptors"),
    }
}

/// Not a test: the program in the container. It traces whatever it sees beside itself, until it is killed.
#[test]
#[ignore = "the attacker of the other tests"]
fn tracer() {
    if std::env::var_os("TRACER").is_none() {
        return;
    }
    let me = std::process::id();
    let mut done = BTreeSet::new();
    fs::write("/tmp/ready", "").unwrap();
    loop {
        let Ok(entries) = fs::read_dir("/proc") else { return };
        for pid in entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            if pid != me && !done.contains(&pid) && pid != 1 {
                done.insert(pid);
                catch(pid);
            }
        }
    }
}

/// Stops a process and writes down what it is; one that has executed its program by then is none of ours.
fn catch(pid: u32) {
    let traced = Pid::from_raw(pid as i32);
    if ptrace::seize(traced, Options::empty()).is_err() {
        return;
    }
    let stopped = ptrace::interrupt(traced).is_ok() && waitpid(traced, Some(WaitPidFlag::__WALL)).is_ok();
    if stopped && std::env::var_os("HOLDER").is_some() {
        if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.to_string_lossy().contains("orlop-init")) {
            fs::write("/tmp/held", "").unwrap();
        }
        return;
    }
    if stopped && std::env::var_os("FLOOD").is_some() {
        flood(traced);
    }
    if stopped && let Some(line) = look(pid) {
        let mut file = fs::OpenOptions::new().append(true).create(true).open("/tmp/victims").unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
    let _ = ptrace::detach(traced, None);
}

/// Has a stopped process send over its sockets what the runtime might believe of it. The texts are its own arguments.
#[cfg(target_arch = "x86_64")]
fn flood(traced: Pid) {
    let proc = format!("/proc/{traced}");
    let Ok(before) = ptrace::getregs(traced) else { return };
    let (Some((code, image)), Some((plan, arguments))) = (segment(&proc, "r-xp"), segment(&proc, "r--p")) else {
        return;
    };
    let find = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|window| window == text);
    let Some(call) = find(&image, &[0x0f, 0x05]) else { return };
    let sockets = fs::read_dir(format!("{proc}/fd")).into_iter().flatten().flatten().filter_map(|entry| {
        let is_socket = fs::read_link(entry.path()).ok()?.to_string_lossy().starts_with("socket:");
        entry.file_name().to_str()?.parse::<u64>().ok().filter(|_| is_socket)
    });
    for socket in sockets.collect::<Vec<_>>() {
        let texts = [(&b"WWWWWWWW"[..], 60_000, 6000), (b"Eforged", 12, 1), (b"Iforged", 12, 1), (b"Bforged", 12, 1)];
        for (text, length, times) in texts {
            let Some(at) = find(&arguments, text) else { continue };
            let mut registers = before;
            (registers.rax, registers.orig_rax, registers.rip) =
                (libc::SYS_sendto as u64, u64::MAX, code + call as u64);
            (registers.rdi, registers.rsi, registers.rdx) = (socket, plan + at as u64, length);
            (registers.r10, registers.r8, registers.r9) = (libc::MSG_NOSIGNAL as u64, 0, 0);
            let sends = || {
                ptrace::setregs(traced, registers).ok()?;
                ptrace::step(traced, None).ok()?;
                waitpid(traced, Some(WaitPidFlag::__WALL)).ok()?;
                ptrace::getregs(traced).ok().filter(|after| after.rax == length)
            };
            for _ in 0..times {
                if sends().is_none() {
                    break;
                }
                let _ = fs::write("/tmp/sent", "");
            }
        }
    }
    let _ = ptrace::setregs(traced, before);
}

#[cfg(not(target_arch = "x86_64"))]
fn flood(_: Pid) {}

/// The first mapping of the image with these rights: where it begins, and its bytes.
#[cfg(target_arch = "x86_64")]
fn segment(proc: &str, rights: &str) -> Option<(u64, Vec<u8>)> {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string(format!("{proc}/maps")).ok()?;
    let line = maps.lines().find(|line| line.contains(rights) && line.contains("orlop-init"))?;
    let (from, to) = line.split(' ').next()?.split_once('-')?;
    let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
    let mut bytes = vec![0; (to - from) as usize];
    let memory = fs::File::open(format!("{proc}/mem")).ok()?;
    memory.read_exact_at(&mut bytes, from).ok()?;
    Some((from, bytes))
}

fn look(pid: u32) -> Option<serde_json::Value> {
    let proc = format!("/proc/{pid}");
    let exe = fs::read_link(format!("{proc}/exe")).ok()?.display().to_string();
    if exe.contains("busybox") {
        return None;
    }
    let status = fs::read_to_string(format!("{proc}/status")).ok()?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
            .split_whitespace()
            .next()
            .map(str::to_owned)
    };
    let mask = |name: &str| u64::from_str_radix(&field(name).unwrap_or_default(), 16).unwrap_or(0);
    let names = |dir: String| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let descriptors = names(format!("{proc}/fd")).into_iter();
    let descriptors = descriptors.map(|path| fs::read_link(path).unwrap_or_default().display().to_string());
    let root = names(format!("{proc}/root/")).into_iter();
    let root = root.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let user = |pid: &str| fs::metadata(format!("/proc/{pid}/ns/user")).map(|meta| meta.ino()).ok();
    Some(json!({
        "exe": exe,
        "capabilities": mask("CapEff:") | mask("CapPrm:"),
        "same": user(&pid.to_string()) == user("self"),
        "user": field("Uid:")?.parse::<u32>().ok()?,
        "seccomp": field("Seccomp:").unwrap_or_default().parse::<u32>().unwrap_or(0),
        "root": root.collect::<Vec<_>>(),
        "descriptors": descriptors.collect::<Vec<_>>(),
    }))
}
