//! The foreground of `run` and `exec`: whatever the terminal that shows the container does, signals and the end get through.
//!
//! `RUNTIME` names another program than `out/orlop`. Without root, or without a runtime, a test says so and does nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // The whole program is a test.

use integration::bundle::Scene;
use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

/// Runs a container that sleeps.
fn sleeps(scene: &mut Scene) {
    scene.config["process"]["args"] = json!(["/bin/sleep", "100"]);
    let run = scene.command(&["run", "--detach"], &[]).stdout(Stdio::null()).status();
    assert!(run.unwrap().success());
}

trait OnATerminal {
    fn on_a_terminal(&mut self, by: &str, script: &str, stdout: OwnedFd) -> Running;
}

impl OnATerminal for Scene {
    /// `script` on a terminal, by `run` or by `exec` in a container that sleeps, with this standard output.
    fn on_a_terminal(&mut self, by: &str, script: &str, stdout: OwnedFd) -> Running {
        self.config["process"]["terminal"] = (by == "run").into();
        let mut command = if by == "run" {
            self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
            self.command(&["run"], &[])
        } else {
            sleeps(self);
            self.command(&["exec", "--tty"], &["/bin/sh", "-c", script])
        };
        Running(command.stdout(stdout).spawn().unwrap())
    }
}

/// A command that may hang.
struct Running(Child);

impl Running {
    fn terminate(&self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    /// Its exit code; none if it had to be killed.
    fn ended(mut self) -> Option<i32> {
        for _ in 0..2000 {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        None
    }
}

/// Waits until nothing more can be written to `stdout`, and the runtime sleeps.
fn wait_until_full(stdout: &OwnedFd, running: &Running) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    loop {
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
        let full = poll(&mut fds, PollTimeout::ZERO).unwrap() == 0;
        let stat = fs::read_to_string(format!("/proc/{}/stat", running.0.id())).unwrap();
        if full && stat.contains(") S ") {
            return;
        }
        std::thread::yield_now();
    }
}

/// Standard outputs with the side that nobody reads, and their names.
fn unread() -> [(&'static str, OwnedFd, OwnedFd); 3] {
    let (reader, writer) = std::io::pipe().unwrap();
    let terminal = nix::pty::openpty(None, None).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    [
        ("a pipe", writer.into(), reader.into()),
        ("a terminal", terminal.slave, terminal.master),
        ("a socket", theirs.into(), ours.into()),
    ]
}

#[test]
fn a_signal_reaches_the_program_while_nobody_reads_the_terminal() {
    const SCRIPT: &str = "trap 'exit 7' TERM; yes | head -c 900000 & touch /tmp/ready; wait; exit 1";
    for by in ["run", "exec"] {
        for (name, stdout, _reader) in unread() {
            let Some(mut scene) = Scene::new() else { return };
            let ours = stdout.try_clone().unwrap();
            let running = scene.on_a_terminal(by, SCRIPT, stdout);
            scene.wait_for("ready");
            wait_until_full(&ours, &running);
            running.terminate();
            assert_eq!(running.ended(), Some(7), "{by}, {name}");
        }
    }
}

#[test]
fn the_end_of_the_program_is_noticed_while_nobody_reads_the_terminal() {
    const SCRIPT: &str =
        "yes | head -c 900000 & touch /tmp/ready; while ! test -e /tmp/go; do true; done; kill -9 $!; exit 5";
    for by in ["run", "exec"] {
        for (name, stdout, _reader) in unread() {
            let Some(mut scene) = Scene::new() else { return };
            let ours = stdout.try_clone().unwrap();
            let running = scene.on_a_terminal(by, SCRIPT, stdout);
            scene.wait_for("ready");
            wait_until_full(&ours, &running);
            fs::write(scene.tmp("go"), "").unwrap();
            assert_eq!(running.ended(), Some(5), "{by}, {name}");
        }
    }
}

#[test]
fn a_program_that_does_not_read_its_terminal_is_sent_signals_and_its_end_is_noticed() {
    const SCRIPT: &str = "trap 'exit 7' TERM; touch /tmp/ready; sleep 100 & wait; exit 1";
    for by in ["run", "exec"] {
        let Some(mut scene) = Scene::new() else { return };
        fs::write(scene.dir.join("input"), "line\n".repeat(100_000)).unwrap();
        scene.config["process"]["terminal"] = (by == "run").into();
        let input = fs::File::open(scene.dir.join("input")).unwrap();
        let mut command = if by == "run" {
            scene.config["process"]["args"] = json!(["/bin/sh", "-c", SCRIPT]);
            scene.command(&["run"], &[])
        } else {
            scene.config["process"]["args"] = json!(["/bin/sleep", "100"]);
            let run = scene.command(&["run", "--detach"], &[]).stdout(Stdio::null()).status();
            assert!(run.unwrap().success());
            scene.command(&["exec", "--tty"], &["/bin/sh", "-c", SCRIPT])
        };
        let running = Running(command.stdin(input).stdout(Stdio::null()).spawn().unwrap());
        scene.wait_for("ready");
        running.terminate();
        assert_eq!(running.ended(), Some(7), "{by}");
    }
}

#[test]
fn all_of_the_output_arrives_at_a_reader_that_is_slower_than_the_program() {
    for by in ["run", "exec"] {
        for (name, stdout, reader) in unread() {
            let Some(mut scene) = Scene::new() else { return };
            let running = scene.on_a_terminal(by, "yes | head -c 300000; echo end", stdout);
            let mut reader = fs::File::from(reader);
            let (mut all, mut piece) = (Vec::new(), [0; 4096]);
            while !all.ends_with(b"end\n") && !all.ends_with(b"end\r\n") {
                match reader.read(&mut piece) {
                    Ok(count @ 1..) => all.extend_from_slice(&piece[..count]),
                    end => panic!("{by}, {name}: {end:?} after {} bytes", all.len()),
                }
                std::thread::sleep(std::time::Duration::from_micros(500));
            }
            all.retain(|byte| *byte != b'\r');
            assert_eq!(all.len(), 300_004, "{by}, {name}");
            assert_eq!(running.ended(), Some(0), "{by}, {name}");
        }
    }
}

#[test]
fn standard_output_is_as_the_caller_has_it_and_a_file_is_written_from_where_it_stands() {
    let flags = |fd: &OwnedFd| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        // O_CLOEXEC is shown there too, and is the descriptor's.
        i64::from_str_radix(flags.trim(), 8).unwrap() & !0o2000000
    };
    for (name, stdout, _reader) in unread() {
        let Some(mut scene) = Scene::new() else { return };
        let before = flags(&stdout);
        let ours = stdout.try_clone().unwrap();
        let running = scene.on_a_terminal("run", "touch /tmp/ready; while ! test -e /tmp/go; do true; done", stdout);
        scene.wait_for("ready");
        assert_eq!(flags(&ours), before, "{name}");
        fs::write(scene.tmp("go"), "").unwrap();
        assert_eq!(running.ended(), Some(0), "{name}");
        assert_eq!(flags(&ours), before, "{name}");
    }
    let Some(mut scene) = Scene::new() else { return };
    let path = scene.dir.join("file");
    let mut file = fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut file, b"before ").unwrap();
    assert_eq!(scene.on_a_terminal("run", "echo after", file.into()).ended(), Some(0));
    assert_eq!(fs::read_to_string(path).unwrap(), "before after\n");
}

/// A script by `run`, or by `exec` in a container that sleeps, with standard error on a terminal, or elsewhere: its exit code
/// and the text that was written there.
fn with_stderr(scene: &mut Scene, by: &str, script: &str, on_terminal: bool) -> (Option<i32>, String) {
    let (mut reader, stderr): (fs::File, OwnedFd) = if on_terminal {
        let terminal = nix::pty::openpty(None, None).unwrap();
        (terminal.master.into(), terminal.slave)
    } else {
        let (reader, writer) = std::io::pipe().unwrap();
        (OwnedFd::from(reader).into(), writer.into())
    };
    let mut command = if by == "run" {
        scene.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        scene.command(&["run"], &[])
    } else {
        if !scene.dir.join("state").join(&scene.id).exists() {
            sleeps(scene);
        }
        scene.command(&["exec"], &["/bin/sh", "-c", script])
    };
    std::os::unix::process::CommandExt::arg0(&mut command, "orlop");
    let running = Running(command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap());
    drop(command);
    let code = running.ended();
    let mut text = Vec::new();
    // A terminal that nothing has open any more ends with EIO.
    let _ = reader.read_to_end(&mut text);
    (code, String::from_utf8(text).unwrap().replace("\r\n", "\n"))
}

#[test]
fn a_death_by_signal_is_told_in_one_line_at_a_terminal_and_nowhere_else() {
    const MIB: u64 = 1 << 20;
    const KILLED: &str = "orlop: the program was killed by ";
    let cases: [(&str, &str, i32, &str); 8] = [
        ("kill -SEGV $$", "", 139, "SIGSEGV: it accessed memory that it does not have\n"),
        ("kill -KILL $$", "", 137, "SIGKILL: another process sent it\n"),
        ("kill -TERM $$", "", 143, "SIGTERM\n"),
        ("kill -ABRT $$", "", 134, "SIGABRT: it ended itself (abort)\n"),
        ("mkdir /tmp/x", "mkdir", 159, "SIGSYS: linux.seccomp refuses "),
        ("x=a; while :; do x=$x$x; done", "memory", 137, "SIGKILL: out of memory (linux.resources.memory.limit 16 MiB"),
        ("exit 3", "", 3, ""),
        ("exit 139", "", 139, ""),
    ];
    for (script, with, code, expected) in cases {
        for (by, on_terminal) in [("run", true), ("run", false), ("exec", true), ("exec", false)] {
            let Some(mut scene) = Scene::new() else { return };
            let busybox = scene.dir.join("rootfs/bin/mkdir");
            std::os::unix::fs::symlink("busybox", busybox).unwrap();
            // A process 1 is not ended by signals of its own.
            scene.config["linux"]["namespaces"] = json!([{"type": "mount"}]);
            match with {
                "mkdir" => {
                    let rule = json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"});
                    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
                    scene.config["linux"]["seccomp"] = profile;
                }
                "memory" => {
                    scene.config["linux"]["resources"] = json!({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}});
                }
                _ => {}
            }
            let script = if with == "mkdir" { format!("exec {script}") } else { script.to_owned() };
            let (ended, said) = with_stderr(&mut scene, by, &script, on_terminal);
            assert_eq!(ended, Some(code), "{by}: {script}");
            if !on_terminal || expected.is_empty() {
                assert_eq!(said, "", "{by}: {script}");
            } else {
                assert!(said.starts_with(&format!("{KILLED}{expected}")), "{by}: {script}: {said}");
                assert_eq!(said.lines().count(), 1, "{by}: {script}: {said}");
            }
        }
    }
}

#[test]
fn a_kill_for_want_of_memory_before_exec_is_not_its_own() {
    const MIB: u64 = 1 << 20;
    let Some(mut scene) = Scene::new() else { return };
    scene.config["linux"]["resources"] = json!({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}});
    let (_, said) = with_stderr(&mut scene, "exec", "x=a; while :; do x=$x$x; done", true);
    assert!(said.contains("out of memory"), "{said}");
    let (code, said) = with_stderr(&mut scene, "exec", "kill -KILL $$", true);
    let expected = "orlop: the program was killed by SIGKILL: another process sent it\n";
    assert_eq!((code, said.as_str()), (Some(137), expected));
}

#[test]
fn the_end_of_the_container_is_the_reason_of_a_kill_in_exec() {
    let Some(mut scene) = Scene::new() else { return };
    sleeps(&mut scene);
    let kill = scene.command(&["kill"], &["KILL"]);
    let killer = std::thread::spawn({
        let up = scene.tmp("up");
        let mut kill = kill;
        move || {
            while !up.exists() {
                std::thread::yield_now();
            }
            assert!(kill.status().unwrap().success());
        }
    });
    let (code, said) = with_stderr(&mut scene, "exec", "touch /tmp/up; sleep 1000", true);
    killer.join().unwrap();
    let expected = "orlop: the program was killed by SIGKILL: the container's first process has ended\n";
    assert_eq!((code, said.as_str()), (Some(137), expected));
}

/// Runs the scene's container in a pid namespace of its own, where the runtime's pids are not those of the kernel's log, and a
/// script in it by `exec`: its exit code and the text on the terminal.
fn in_another_pid_namespace(scene: &mut Scene, script: &str) -> (Option<i32>, String) {
    scene.config["process"]["args"] = json!(["/bin/sleep", "100"]);
    let run = scene.command(&["run", "--detach"], &[]);
    let exec = scene.command(&["exec"], &["/bin/sh", "-c", script]);
    let quoted = |command: &std::process::Command| {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| format!("'{}' ", word.to_str().unwrap())).collect::<String>()
    };
    let both = format!("{} 2> /dev/null && exec {}", quoted(&run), quoted(&exec));
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut command = std::process::Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "sh", "-c", &both]);
    command.current_dir(&scene.dir).stdin(Stdio::null());
    let running = Running(command.stdout(Stdio::null()).stderr(terminal.slave).spawn().unwrap());
    drop(command);
    let code = running.ended();
    let mut text = Vec::new();
    let _ = fs::File::from(terminal.master).read_to_end(&mut text);
    (code, String::from_utf8(text).unwrap().replace("\r\n", "\n"))
}

#[test]
fn outside_of_the_first_pid_namespace_the_kernels_log_names_no_process_of_exec() {
    const MIB: u64 = 1 << 20;
    let rule = json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"});
    for (script, code, expected) in [
        ("x=a; while :; do x=$x$x; done", 137, "SIGKILL: another process sent it, or memory ran out\n"),
        ("kill -KILL $$", 137, "SIGKILL: another process sent it\n"),
        (
            "exec mkdir /tmp/x",
            159,
            "SIGSYS: linux.seccomp refuses a system call (the kernel's audit log may name it)\n",
        ),
        ("exit 3", 3, ""),
    ] {
        let Some(mut scene) = Scene::new() else { return };
        std::os::unix::fs::symlink("busybox", scene.dir.join("rootfs/bin/mkdir")).unwrap();
        scene.config["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
        scene.config["linux"]["resources"] = json!({"memory": {"limit": 16 * MIB, "swap": 16 * MIB}});
        let (ended, said) = in_another_pid_namespace(&mut scene, script);
        let start = if expected.is_empty() { "" } else { "orlop: the program was killed by " };
        assert_eq!((ended, said), (Some(code), format!("{start}{expected}")), "{script}");
    }
}
