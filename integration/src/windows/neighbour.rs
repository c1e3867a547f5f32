//! A process in namespaces that the container joins, with CAP_SYS_PTRACE and CAP_KILL, and the one that asks it.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill as send};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

struct Running {
    shell: Child,
    pid: i32,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// The process by the namespaces of which a config joins; 0 without one.
pub(super) fn pid() -> i32 {
    RUNNING.lock().map_or(0, |running| running.as_ref().map_or(0, |running| running.pid))
}

/// Begins a process in new namespaces of these kinds.
pub(super) fn begin(kinds: &[&str]) -> Result<()> {
    end();
    let exe = std::env::current_exe()?;
    let rights = "+sys_ptrace,+kill,+dac_override";
    // A mapped root has all rights in its namespace by executing a program.
    let script = match kinds.contains(&"user") {
        true => "read go; exec sh -c 'mount -t proc proc /proc; exec \"$0\" neighbour' \"$0\"".to_owned(),
        false => format!(
            "read go; mount -t proc proc /proc; exec setpriv --bounding-set=-all,{rights} --inh-caps=-all,{rights} \
             \"$0\" neighbour"
        ),
    };
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "--fork"]);
    shell.args(kinds.iter().filter(|kind| **kind != "mount").map(|kind| format!("--{kind}")));
    let mut shell = shell
        .args(["sh", "-c", &script])
        .arg(exe)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("unshare")?;
    let mut input = shell.stdin.take().context("its input")?;
    let output = BufReader::new(shell.stdout.take().context("its output")?);
    let pid = child(shell.id())?;
    if kinds.contains(&"user") {
        for map in ["uid_map", "gid_map"] {
            fs::write(format!("/proc/{pid}/{map}"), "0 0 65536").with_context(|| map.to_owned())?;
        }
    }
    writeln!(input, "go")?;
    if let Ok(mut running) = RUNNING.lock() {
        *running = Some(Running { shell, pid, input, output });
    }
    look().map(drop)
}

fn child(parent: u32) -> Result<i32> {
    for _ in 0..10_000 {
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        if let Some(pid) = children.split_whitespace().next() {
            return Ok(pid.parse()?);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    bail!("the neighbour does not begin")
}

pub(super) fn end() {
    if let Ok(mut running) = RUNNING.lock()
        && let Some(mut running) = running.take()
    {
        let _ = send(Pid::from_raw(running.pid), Signal::SIGKILL);
        let _ = running.shell.wait();
    }
}

/// Has the neighbour look at each process that it sees: what it could do with them beyond its own rights.
pub(super) fn look() -> Result<Vec<String>> {
    ask("look")
}

/// Has it kill them.
pub(super) fn kill() -> Result<()> {
    ask("kill").map(drop)
}

fn ask(word: &str) -> Result<Vec<String>> {
    let mut running = RUNNING.lock().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
    let Some(running) = running.as_mut() else { return Ok(Vec::new()) };
    writeln!(running.input, "{word}")?;
    let mut found = Vec::new();
    loop {
        let mut line = String::new();
        if running.output.read_line(&mut line)? == 0 {
            bail!("the neighbour has ended");
        }
        match line.trim_end() {
            "." => return Ok(found),
            line => found.push(line.to_owned()),
        }
    }
}

/// The program of the neighbour, the first process of its pid namespace: answers until its input ends.
pub(crate) fn serve() -> Result<bool> {
    for line in std::io::stdin().lines() {
        let line = line?;
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status.pid().is_some()) {}
        for entry in fs::read_dir("/proc")?.flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            match &*line {
                _ if pid == std::process::id() => {}
                "kill" => drop(send(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)),
                _ => found(pid).into_iter().for_each(|found| println!("process {pid}: {found}")),
            }
        }
        println!(".");
    }
    Ok(true)
}

/// What there is to gain from a process: it may be traced, and has what the neighbour has not.
fn found(pid: u32) -> Option<String> {
    let proc = format!("/proc/{pid}");
    // Who may open this may trace it.
    fs::File::open(format!("{proc}/mem")).ok()?;
    let exe = fs::read_link(format!("{proc}/exe")).ok()?.display().to_string();
    if exe.contains("busybox") || exe.ends_with("/integration") {
        return None;
    }
    if !exe.contains("orlop-init") {
        return Some(format!("its program is {exe}"));
    }
    let names = |dir: &str| -> Vec<std::path::PathBuf> {
        fs::read_dir(format!("{proc}/{dir}")).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    if let Some(host) =
        names("root/").iter().find(|path| ["usr", "boot", "root"].iter().any(|name| path.ends_with(name)))
    {
        return Some(format!("its root is the host's: {}", host.display()));
    }
    let harmless =
        ["socket:", "anon_inode:[pidfd]", "anon_inode:[fscontext]", "pipe:", "/dev/null", "/memfd:orlop-report"];
    for path in names("fd") {
        let target = fs::read_link(&path).unwrap_or_default().display().to_string();
        let is_output = ["output", "errors"].iter().any(|name| target.ends_with(name));
        if !is_output && !harmless.iter().any(|name| target.starts_with(name)) {
            return Some(format!("descriptor {} is {target}", path.display()));
        }
    }
    let status = fs::read_to_string(format!("{proc}/status")).ok()?;
    let capabilities = |of: &str, name: &str| {
        let line = of.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        u64::from_str_radix(line.trim(), 16).unwrap_or(0)
    };
    let own = fs::read_to_string("/proc/self/status").ok()?;
    let has = capabilities(&status, "CapEff:") | capabilities(&status, "CapPrm:");
    let user = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    let is_same = user(&pid.to_string()) == user("self");
    let kill = 1 << 5;
    let more = has & !(capabilities(&own, "CapPrm:") | kill);
    (is_same && more != 0).then(|| format!("it has the capabilities {more:#x} more"))
}
