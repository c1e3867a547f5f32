//! A command that fails once its program runs ends the program, and a new container is removed.
//!
//! The terminal on standard input is hung up just when the command sets its modes, which is after the
//! program has started. `RUNTIME` names another program than `out/orlop`. Without root, or without a
//! runtime, a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::bundle::Scene;
use nix::libc;
use nix::pty::PtyMaster;
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program: it tells that it runs.
const PROGRAM: &str = "touch /tmp/up; exec sleep 1000";

/// Runs a command with a terminal on standard input, which is hung up when the command sets the
/// terminal's modes: its exit code, and what it wrote to standard error.
fn hung_up(scene: &Scene, command: &Command) -> (Option<i32>, String) {
    let master = nix::pty::posix_openpt(nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    nix::pty::grantpt(&master).unwrap();
    nix::pty::unlockpt(&master).unwrap();
    let terminal = nix::pty::ptsname_r(&master).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("read -r go; exec \"$@\" < {terminal}"), "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).current_dir(&scene.dir);
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap());
    }
    let said = scene.dir.join("error");
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap());
    let code = follow(shell.spawn().unwrap(), master);
    (code, fs::read_to_string(said).unwrap())
}

/// Follows the command alone, not its children, to its first TCSETS.
fn follow(mut child: Child, master: PtyMaster) -> Option<i32> {
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEEXEC).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut master = Some(master);
    loop {
        let signal = match waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::Exited(_, code) => return Some(code),
            WaitStatus::Signaled(..) => return None,
            WaitStatus::PtraceSyscall(_) if sets_modes(pid) => {
                master = None;
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => None,
        };
        let _ = match master {
            Some(_) => ptrace::syscall(pid, signal),
            None => ptrace::cont(pid, signal),
        };
    }
}

/// Whether a stopped process is at a TCSETS of its standard input (`proc_pid_syscall(5)`).
fn sets_modes(pid: Pid) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    text.starts_with(&format!("{} 0x0 {:#x} ", libc::SYS_ioctl, libc::TCSETS))
}

/// The processes that have `entry` in their environment.
fn processes_with(entry: &str) -> Vec<String> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|known| known == entry.as_bytes()) {
            found.push(process.file_name().into_string().unwrap());
        }
    }
    found
}

fn exists(scene: &Scene) -> bool {
    scene.command(&["state"], &[]).stdout(Stdio::null()).status().unwrap().success()
}

/// A container with the program on a terminal; its processes have the id in their environment.
fn with_terminal() -> Option<Scene> {
    let mut scene = Scene::new()?;
    scene.config["process"]["args"] = json!(["/bin/sh", "-c", PROGRAM]);
    scene.config["process"]["env"] = json!(["PATH=/bin", format!("SCENE={}", scene.id)]);
    scene.config["process"]["terminal"] = true.into();
    let stopped = format!("cat > {}", scene.tmp("stopped").display());
    scene.config["hooks"] = json!({"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", stopped]}]});
    Some(scene)
}

/// The command has failed at the terminal, and nothing is left of the container.
fn assert_removed(scene: &Scene, (code, said): (Option<i32>, String)) {
    assert!(said.contains("tcsetattr(") || said.contains("TCSETS"), "{said}");
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    assert_eq!(processes_with(&format!("SCENE={}", scene.id)), [""; 0], "{said}");
    assert!(!exists(scene), "the container is still there: {said}");
    assert!(scene.tmp("stopped").exists(), "poststop hooks were not called: {said}");
}

#[test]
fn a_run_that_cannot_set_the_terminals_modes_ends_its_program_and_removes_the_container() {
    let Some(scene) = with_terminal() else { return };
    let ended = hung_up(&scene, &scene.command(&["run"], &[]));
    assert_removed(&scene, ended);
}

#[test]
fn an_exec_that_cannot_set_the_terminals_modes_ends_its_program_and_leaves_the_container() {
    let Some(mut scene) = with_terminal() else { return };
    scene.config["process"]["terminal"] = false.into();
    let run = scene.command(&["run", "--detach"], &[]).stdout(Stdio::null()).status();
    assert!(run.unwrap().success());
    let entry = format!("OF_EXEC={}", scene.id);
    let command = scene.command(&["exec", "--tty", "--env", &entry], &["/bin/sh", "-c", PROGRAM]);
    let (code, said) = hung_up(&scene, &command);
    assert!(said.contains("tcsetattr(") || said.contains("TCSETS"), "{said}");
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    assert_eq!(processes_with(&entry), [""; 0], "{said}");
    assert!(exists(&scene) && !scene.tmp("stopped").exists(), "{said}");
}

/// The limit is below the number of descriptors in a call of poll(2).
#[test]
fn an_exec_that_cannot_wait_ends_its_program() {
    let Some(mut scene) = with_terminal() else { return };
    scene.config["process"]["terminal"] = false.into();
    let run = scene.command(&["run", "--detach"], &[]).stdout(Stdio::null()).status();
    assert!(run.unwrap().success());
    let entry = format!("OF_EXEC={}", scene.id);
    let command = &mut scene.command(&["exec", "--env", &entry], &["/bin/sh", "-c", "touch /tmp/two; exec sleep 1000"]);
    let mut running = command.stdout(Stdio::null()).spawn().unwrap();
    scene.wait_for("two");
    let pid = running.id().to_string();
    until("the runtime waits", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.contains(") S ") && fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap().contains("poll")
    });
    assert!(Command::new("prlimit").args(["--pid", &pid, "--nofile=2:2"]).status().unwrap().success());
    nix::sys::signal::kill(Pid::from_raw(running.id() as i32), nix::sys::signal::Signal::SIGWINCH).unwrap();
    until("the runtime ends", || running.try_wait().unwrap().is_some());
    assert_eq!(processes_with(&entry), [""; 0]);
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_restore_that_cannot_set_the_terminals_modes_ends_its_program_and_removes_the_container() {
    let criu = Path::new(env!("CARGO_MANIFEST_DIR")).join("../out/criu/trixie");
    let Ok(criu) = criu.canonicalize() else {
        integration::skip::skip("no CRIU; `make checkpoint` gets one");
        return;
    };
    let Some(scene) = with_terminal() else { return };
    let images = scene.dir.join("images").display().to_string();
    let path = format!("{}:{}", criu.display(), std::env::var("PATH").unwrap());
    let mut running = scene.command(&["run"], &[]).stdout(Stdio::null()).spawn().unwrap();
    scene.wait_for("up");
    let saved = scene.command(&["checkpoint", "--image-path", &images], &[]).env("PATH", &path).status().unwrap();
    assert!(saved.success(), "checkpoint");
    running.wait().unwrap();
    fs::remove_file(scene.tmp("stopped")).unwrap();
    let mut command = scene.command(&["restore", "--image-path", &images], &[]);
    let ended = hung_up(&scene, command.env("PATH", &path));
    assert_removed(&scene, ended);
}
