//! Configurations that engines passed to runc, run again with every runtime; a probe inside prints what it sees.

use crate::Request;
use crate::work::Work;
use anyhow::{Context, Result, bail};
use integration::report::{Outcome, Report, difference};
use integration::runtime::{self, Runtime};
use integration::scene::here;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs all; true when nothing differs between orlop and runc.
pub(crate) fn run(request: &Request) -> Result<bool> {
    let work = Work::make()?;
    let made = Command::new(here().join("tools/image")).arg(&work.0).status()?;
    if !made.success() {
        bail!("the root filesystem could not be made");
    }
    let runc = runtime::find("runc", &work.0)?;
    let under_test: Vec<Runtime> = if request.runtimes.is_empty() {
        vec![runtime::find("orlop", &work.0)?]
    } else {
        let found = request.runtimes.iter().map(|n| runtime::find(n, &work.0));
        found.collect::<Result<_>>()?
    };
    let mut report = Report::default();
    report.reference = vec!["crun".into()];
    for capture in all(request)? {
        let expected = seen(&capture, &runc, &work.0)?;
        for runtime in &under_test {
            let outcome = compare(&capture, &expected, runtime, &work.0)?;
            report.add(&capture.engine, &capture.name, &runtime.name, outcome);
        }
    }
    Ok(report.close())
}

fn compare(capture: &Capture, expected: &str, runtime: &Runtime, work: &Path) -> Result<Outcome> {
    if !expected.contains("== end") {
        let line = expected.lines().last().unwrap_or_default();
        return Ok(Outcome::Skipped(format!("runc cannot run it here: {line}")));
    }
    let seen = seen(capture, runtime, work)?;
    Ok(if seen == expected { Outcome::Passed } else { Outcome::Failed(difference(expected, &seen)) })
}

/// One recorded configuration, and the process of an exec into it where that was recorded.
#[derive(Debug)]
struct Capture {
    engine: String,
    name: String,
    config: PathBuf,
    exec: Option<PathBuf>,
}

fn all(request: &Request) -> Result<Vec<Capture>> {
    let mut found = Vec::new();
    for engine in ["containerd", "docker", "podman"] {
        if !request.engines.is_empty() && !request.engines.iter().any(|e| e == engine) {
            continue;
        }
        let dir = here().join("data/captures").join(engine);
        let mut files: Vec<PathBuf> = fs::read_dir(&dir)
            .with_context(|| dir.display().to_string())?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<_, _>>()?;
        files.sort();
        for config in files {
            let name = config.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".json") else {
                continue;
            };
            let asked = request.only.as_ref().is_none_or(|text| name.contains(text));
            if !asked || name.starts_with("seccomp-") || name.ends_with(".exec") {
                continue;
            }
            let exec = dir.join(format!("{name}.exec.json"));
            found.push(Capture {
                engine: engine.into(),
                name: name.into(),
                exec: exec.exists().then_some(exec),
                config,
            });
        }
    }
    Ok(found)
}

/// What the probe prints in the container, and what stands in its cgroups, or the runtime's error.
fn seen(capture: &Capture, runtime: &Runtime, work: &Path) -> Result<String> {
    let bundle = work.join(format!("bundle-{}", runtime.name));
    let _ = fs::remove_dir_all(&bundle);
    let cgroup = format!("/orlop-captures-{}", std::process::id());
    let mut config = prepare(capture, &bundle, work, &cgroup)?;
    let probe = json!(["/bin/sh", "/probe"]);
    let terminal = config["process"]["terminal"] == json!(true);
    config["process"]["args"] = if capture.exec.is_some() { json!(["/bin/sleep", "1000"]) } else { probe.clone() };
    if capture.exec.is_some() {
        config["process"]["terminal"] = json!(false);
    }
    fs::write(bundle.join("config.json"), config.to_string())?;
    let call = Call { runtime, bundle: &bundle, id: format!("orlop-captures-{}", std::process::id()) };
    let printed = match &capture.exec {
        Some(path) => call.exec(path, probe),
        None if terminal => call.run_with_terminal(),
        None => call.create_and_start(&cgroup),
    };
    call.quietly(&["delete", "--force", &call.id])?;
    for hierarchy in fs::read_dir("/sys/fs/cgroup")?.flatten() {
        let _ = fs::remove_dir(hierarchy.path().join(&cgroup[1..]));
    }
    let printed = printed?.replace(&bundle.display().to_string(), "BUNDLE").replace(&call.id, "CONTAINER");
    // What `script` types into the terminal at the end of its input, and the terminal's line ends.
    let printed = printed.replace('\r', "").replace("^@", "").replace("^D\u{8}\u{8}", "");
    fs::remove_dir_all(&bundle)?;
    Ok(printed)
}

/// Fills the placeholders of a recorded configuration in for this machine and makes the bundle's files.
fn prepare(capture: &Capture, bundle: &Path, work: &Path, cgroup: &str) -> Result<Value> {
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&capture.config)?)?;
    fs::create_dir_all(bundle.join("dir"))?;
    fs::write(bundle.join("file"), "a file of the engine\n")?;
    let rootfs = bundle.join("rootfs");
    copy_tree(&work.join("rootfs"), &rootfs)?;
    fs::copy(here().join("tools/probe"), rootfs.join("probe"))?;
    fs::write(rootfs.join("probe.host"), host_namespaces()?)?;
    let seccomp = &config["linux"]["seccomp"];
    if let Some(name) = seccomp.as_str() {
        let file = format!("{}.json", name.trim_matches('@').to_lowercase());
        let path = capture.config.with_file_name(file);
        config["linux"]["seccomp"] = serde_json::from_str(&fs::read_to_string(path)?)?;
    }
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        for namespace in namespaces {
            if namespace["path"] == json!("@NETNS@") {
                namespace.as_object_mut().map(|n| n.remove("path"));
            }
        }
    }
    if let Some(base) = config["linux"]["uidMappings"][0]["hostID"].as_u64() {
        let owned = Command::new("chown")
            .args(["-R", &format!("{base}:{base}")])
            .arg(&rootfs)
            .arg(bundle.join("dir"))
            .status()?;
        anyhow::ensure!(owned.success(), "chown of the root filesystem");
    }
    let text = config
        .to_string()
        .replace("@ROOTFS@", &rootfs.display().to_string())
        .replace("@DIR@", &bundle.join("dir").display().to_string())
        .replace("@FILE@", &bundle.join("file").display().to_string())
        .replace("@HOOK@", "/bin/true")
        .replace("@CGROUP@", cgroup);
    Ok(serde_json::from_str(&text)?)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    anyhow::ensure!(status.success(), "cp of the root filesystem");
    Ok(())
}

fn host_namespaces() -> Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir("/proc/self/ns")? {
        text.push_str(&fs::read_link(entry?.path())?.to_string_lossy());
        text.push('\n');
    }
    Ok(text)
}

/// How a runtime is called for one bundle.
#[derive(Debug)]
struct Call<'a> {
    runtime: &'a Runtime,
    bundle: &'a Path,
    id: String,
}

impl Call<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .args(["-k", "5", "30"])
            // Runtimes in Go raise the soft limit of open files; all begin with it raised.
            .args(["sh", "-c", "ulimit -Sn $(ulimit -Hn); exec \"$@\"", "sh"])
            .arg(&self.runtime.path)
            .arg("--root")
            .arg(self.bundle.join("state"))
            .args(words)
            .current_dir(self.bundle)
            .stdin(Stdio::null());
        command
    }

    fn quietly(&self, words: &[&str]) -> Result<bool> {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status()?.success())
    }

    /// Runs with both outputs in a file, which the container inherits; false when the command fails.
    fn recorded(&self, mut command: Command, name: &str) -> Result<bool> {
        let file = fs::File::create(self.bundle.join(name))?;
        command.stdout(file.try_clone()?).stderr(file);
        Ok(command.status()?.success())
    }

    fn read(&self, name: &str) -> Result<String> {
        let bytes = fs::read(self.bundle.join(name))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn create_and_start(&self, cgroup: &str) -> Result<String> {
        if !self.recorded(self.command(&["create", &self.id]), "output")? {
            return Ok(format!("create: {}", self.read("output")?));
        }
        let values = cgroup_values(cgroup)?;
        if !self.recorded(self.command(&["start", &self.id]), "started")? {
            return Ok(format!("start: {}", self.read("started")?));
        }
        self.wait()?;
        Ok(self.read("output")? + &values)
    }

    fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let state = self.command(&["state", &self.id]).output()?;
            let state: Value = serde_json::from_slice(&state.stdout).unwrap_or_default();
            if state["status"] == json!("stopped") || Instant::now() > deadline {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn run_with_terminal(&self) -> Result<String> {
        let inner = format!(
            "stty rows 30 cols 100; {} --root {}/state run {}",
            self.runtime.path.display(),
            self.bundle.display(),
            self.id
        );
        let mut command = Command::new("timeout");
        command
            .args(["-k", "5", "30", "script", "-qec", &inner, "/dev/null"])
            .current_dir(self.bundle)
            .stdin(Stdio::null());
        self.recorded(command, "output")?;
        self.read("output")
    }

    fn exec(&self, recorded: &Path, probe: Value) -> Result<String> {
        let mut process: Value = serde_json::from_str(&fs::read_to_string(recorded)?)?;
        process["args"] = probe;
        process["terminal"] = json!(false);
        let path = self.bundle.join("process.json");
        fs::write(&path, process.to_string())?;
        if !self.recorded(self.command(&["create", &self.id]), "output")?
            || !self.recorded(self.command(&["start", &self.id]), "output")?
        {
            return Ok(format!("create: {}", self.read("output")?));
        }
        let path = path.display().to_string();
        self.recorded(self.command(&["exec", "--process", &path, &self.id]), "printed")?;
        self.read("printed")
    }
}

/// Every setting in the container's cgroups that a config can ask for.
fn cgroup_values(cgroup: &str) -> Result<String> {
    const FILES: &[&str] = &[
        "memory/memory.limit_in_bytes",
        "memory/memory.memsw.limit_in_bytes",
        "memory/memory.soft_limit_in_bytes",
        "memory/memory.swappiness",
        "memory/memory.oom_control",
        "cpu/cpu.shares",
        "cpu/cpu.cfs_quota_us",
        "cpu/cpu.cfs_period_us",
        "cpuset/cpuset.cpus",
        "cpuset/cpuset.mems",
        "pids/pids.max",
        "devices/devices.list",
        "blkio/blkio.bfq.weight",
        "blkio/blkio.throttle.read_bps_device",
    ];
    let mut text = String::from("== cgroup settings\n");
    for file in FILES {
        let (hierarchy, name) = file.split_once('/').unwrap_or_default();
        let path = format!("/sys/fs/cgroup/{hierarchy}{cgroup}/{name}");
        if let Ok(value) = fs::read_to_string(&path) {
            let mut lines: Vec<&str> = value.lines().collect();
            lines.sort_unstable();
            text.push_str(&format!("{file}: {}\n", lines.join("; ")));
        }
    }
    for entry in fs::read_dir("/sys/fs/cgroup")?.flatten() {
        if entry.path().join(&cgroup[1..]).is_dir() {
            text.push_str(&format!("in {}\n", entry.file_name().to_string_lossy()));
        }
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].sort_unstable();
    Ok(lines.join("\n") + "\n")
}
