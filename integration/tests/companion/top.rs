//! `orlop top`: one table, JSON, and the screen of a terminal, which is as before when it ends.

use integration::bundle::Scene;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

/// A container that uses half a processor at most; `None` where the test cannot run.
fn busy() -> Option<Scene> {
    let mut scene = Scene::new()?;
    if !scene.runtime.with_file_name("orlop-bundle").exists() {
        integration::skip::skip("no orlop-bundle beside the runtime");
        return None;
    }
    scene.config["process"]["args"] = json!(["/bin/sh", "-c", "touch /tmp/up; while :; do :; done"]);
    scene.config["linux"]["cgroupsPath"] = Scene::cgroups_path(&scene.id).into();
    scene.config["linux"]["resources"] = json!({
        "memory": {"limit": 64 << 20}, "cpu": {"quota": 10000, "period": 20000}
    });
    let run = scene.command(&["run", "--detach"], &[]).stdout(Stdio::null()).status();
    assert!(run.unwrap().success());
    scene.wait_for("up");
    Some(scene)
}

/// `top` of all containers of the scene.
fn top(scene: &Scene, words: &[&str]) -> Command {
    let mut command = Command::new(&scene.runtime);
    command.arg("--root").arg(scene.dir.join("state")).arg("top").args(words).stdin(Stdio::null());
    command
}

#[test]
fn one_table_has_the_values_of_the_interval() {
    let Some(scene) = busy() else { return };
    let output = top(&scene, &["--format", "json", "--interval", "0.5"]).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let rows = document["containers"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((&row["id"], &row["status"]), (&json!(scene.id), &json!("running")));
    // A quota is a bound from above; how much of it a loaded machine gives is open.
    let cpu = row["cpuPercent"].as_f64().unwrap();
    assert!(cpu > 0.0 && cpu < 75.0, "{row:#}");
    assert!(row["usage"]["cpu"]["time"].as_u64().unwrap() > 0);
    assert_eq!((&row["usage"]["cpu"]["quota"], &row["usage"]["memory"]["limit"]), (&json!(0.5), &json!(64 << 20)));
    let output = top(&scene, &["--interval", "0.1"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("ID ") && text.contains("/64.0M") && !text.contains('\x1b'), "{text}");
}

#[test]
fn a_missing_container_and_no_container_are_told_apart() {
    let Some(scene) = busy() else { return };
    let missing = top(&scene, &["none"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("none: container does not exist"), "{missing:?}");
    assert!(scene.command(&["delete", "--force"], &[]).status().unwrap().success());
    let empty = top(&scene, &["--once", "--interval", "0.1"]).output().unwrap();
    assert!(empty.status.success() && String::from_utf8_lossy(&empty.stdout).contains("no containers"), "{empty:?}");
    assert_eq!(top(&scene, &["--interval", "0"]).output().unwrap().status.code(), Some(2));
}

/// A terminal with `top` on it.
struct Terminal {
    master: File,
    slave: OwnedFd,
    child: Child,
    seen: String,
    /// The modes before `top` began, as `stty -g` gives them.
    before: String,
}

impl Terminal {
    fn new(scene: &Scene, columns: u16) -> Terminal {
        let pair = nix::pty::openpty(None, None).unwrap();
        let mut terminal = Terminal {
            master: File::from(pair.master),
            child: Command::new("true").spawn().unwrap(),
            slave: pair.slave,
            seen: String::new(),
            before: String::new(),
        };
        terminal.child.wait().unwrap();
        terminal.stty(&["cols", &columns.to_string(), "rows", "12"]);
        terminal.before = terminal.stty(&["-g"]);
        let side = || Stdio::from(terminal.slave.try_clone().unwrap());
        let mut command = top(scene, &["--interval", "0.1"]);
        command.env("TERM", "xterm").stdin(side()).stdout(side()).stderr(side());
        terminal.child = command.spawn().unwrap();
        terminal
    }

    fn stty(&self, words: &[&str]) -> String {
        let slave = Stdio::from(self.slave.try_clone().unwrap());
        let output = Command::new("stty").args(words).stdin(slave).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Reads until the screen has had the text since the last call.
    fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let mut watched = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut watched, PollTimeout::from(20_000_u16)).unwrap();
            assert!(ready > 0, "no {text:?} in {:?}", self.seen);
            let mut bytes = [0; 4096];
            let count = self.master.read(&mut bytes).unwrap();
            self.seen += &String::from_utf8_lossy(&bytes[..count]);
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

#[test]
fn the_screen_is_renewed_follows_the_window_and_is_restored_by_every_end() {
    let Some(scene) = busy() else { return };
    let ends: [(&str, i32); 4] = [("q", 0), ("INT", 0), ("TERM", 143), ("HUP", 129)];
    for (end, code) in ends {
        let mut terminal = Terminal::new(&scene, 80);
        let before = terminal.before.clone();
        terminal.wait_for(ENTER);
        for _ in 0..3 {
            let frame = terminal.wait_for("\x1b[J");
            let table: Vec<&str> = frame.split("\r\n").collect();
            assert!(frame.contains("/64.0M") && !frame.contains("PSI-CPU"), "{frame}");
            // Apart from escape sequences a line has at most the window's width.
            assert!(
                table.iter().skip(1).all(|line| line.trim_end_matches("\x1b[J").chars().count() <= 84),
                "{table:?}"
            );
        }
        assert_ne!(terminal.stty(&["-g"]), before);
        terminal.stty(&["cols", "200"]);
        terminal.signal(Signal::SIGWINCH);
        terminal.wait_for("PSI-CPU");
        match end {
            "q" => terminal.master.write_all(b"q").unwrap(),
            "INT" => terminal.signal(Signal::SIGINT),
            "TERM" => terminal.signal(Signal::SIGTERM),
            _ => terminal.signal(Signal::SIGHUP),
        }
        terminal.wait_for(LEAVE);
        assert_eq!(terminal.child.wait().unwrap().code(), Some(code), "{end}");
        assert_eq!(terminal.stty(&["-g"]), before, "{end}");
    }
}

#[test]
fn a_stopped_top_gives_the_screen_back_and_takes_it_again() {
    let Some(scene) = busy() else { return };
    let mut terminal = Terminal::new(&scene, 80);
    let before = terminal.before.clone();
    terminal.wait_for("/64.0M");
    terminal.signal(Signal::SIGTSTP);
    terminal.wait_for(LEAVE);
    let status = format!("/proc/{}/stat", terminal.child.id());
    while !fs::read_to_string(&status).unwrap().contains(") T ") {
        std::thread::yield_now();
    }
    assert_eq!(terminal.stty(&["-g"]), before);
    terminal.signal(Signal::SIGCONT);
    terminal.wait_for(ENTER);
    terminal.wait_for("/64.0M");
    // A container that is deleted meanwhile leaves the table; the program goes on.
    assert!(scene.command(&["delete", "--force"], &[]).status().unwrap().success());
    terminal.wait_for("no containers");
    terminal.signal(Signal::SIGINT);
    terminal.wait_for(LEAVE);
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
}
