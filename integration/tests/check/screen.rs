//! What a terminal shows: of 80 and 200 columns, without colours, and where there is no terminal.

use super::Bundle;
use super::damages::base;
use nix::pty::{Winsize, openpty};
use serde_json::json;
use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};

/// What a terminal with so many columns is sent by `check`, and the exit code.
fn screen(bundle: &Bundle, columns: u16, environment: &[(&str, &str)]) -> (String, i32) {
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(Some(&size), None).unwrap();
    let mut command = bundle.command(&["check"]);
    command.env_remove("NO_COLOR").env("TERM", "xterm").envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(terminal.slave.try_clone().unwrap()).stderr(terminal.slave);
    let mut child = command.spawn().unwrap();
    // Its copies of the terminal go, so that the last one of the child ends the reading (EIO).
    drop(command);
    let mut seen = Vec::new();
    let _ = fs::File::from(terminal.master).read_to_end(&mut seen);
    (String::from_utf8(seen).unwrap().replace("\r\n", "\n"), child.wait().unwrap().code().unwrap())
}

fn damaged() -> Option<Bundle> {
    let bundle = Bundle::rich()?;
    let mut config = base();
    config["hostnam"] = json!("x");
    config["process"]["cwd"] = json!("relative");
    config["process"]["args"][0] = json!("/bin/script");
    config["linux"]["seccomp"]["syscalls"][0]["names"][0] = json!("a\u{1b}[31m\u{202e}b");
    config["linux"]["maskedPaths"] = json!([]);
    config["linux"]["sysctl"]["net.ipv4.ip_forward"] = json!("many");
    // One long line, so that a part of it is shown.
    fs::write(bundle.directory.join("config.json"), config.to_string()).unwrap();
    Some(bundle)
}

/// The text without colours, and the codes of those.
fn split(screen: &str) -> (String, Vec<String>) {
    let mut parts = screen.split("\u{1b}[");
    let mut text = parts.next().unwrap().to_owned();
    let mut codes = Vec::new();
    for part in parts {
        let (code, rest) = part.split_once('m').unwrap();
        codes.push(code.to_owned());
        text += rest;
    }
    (text, codes)
}

#[test]
fn lines_end_within_the_terminal_and_carets_point_at_the_place() {
    let Some(bundle) = damaged() else { return };
    for columns in [80, 200] {
        let (screen, code) = screen(&bundle, columns, &[]);
        let (text, _) = split(&screen);
        assert_eq!(code, 1, "{text}");
        let lines: Vec<&str> = text.lines().collect();
        let long = lines.iter().find(|line| line.chars().count() > columns.into() && line.trim().contains(' '));
        // A path is one word, which is not broken.
        let long = long.filter(|line| line.split(' ').all(|word| word.chars().count() < 60));
        assert_eq!(long, None, "{columns} columns:\n{text}");
        let widest = lines.iter().filter(|line| line.starts_with("   | ")).map(|line| line.chars().count()).max();
        assert!(widest.unwrap() > usize::from(columns) - 20, "{columns} columns:\n{text}");
        let at = lines.iter().position(|line| line.starts_with("error: process.cwd: Cwd must be")).unwrap();
        let (excerpt, caret) = (lines[at + 2], lines[at + 3]);
        let begin = caret.find('^').unwrap();
        let pointed: String = excerpt.chars().skip(begin).take(10).collect();
        assert_eq!(pointed, "\"relative\"", "{text}");
        assert!(text.contains("On this host, for this user:"), "{text}");
    }
}

#[test]
fn colours_are_those_that_light_and_dark_backgrounds_show() {
    let Some(bundle) = damaged() else { return };
    let (screen, _) = screen(&bundle, 80, &[]);
    let (_, codes) = split(&screen);
    assert!(codes.len() > 10 && codes.contains(&"1;31".to_owned()), "{screen:?}");
    // Bold, bold red, magenta, and the end of each; the document's own escape sequence is none of them.
    let known = |code: &&String| !["0", "1", "1;31", "35"].contains(&code.as_str());
    assert_eq!(codes.iter().find(known), None, "{screen:?}");
}

#[test]
fn nothing_but_text_is_printed_where_colours_are_not_wanted() {
    let Some(bundle) = damaged() else { return };
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let (screen, code) = screen(&bundle, 80, &[environment]);
        let other = screen.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert!(code == 1 && other.is_none() && screen.contains("error: "), "{environment:?}: {screen:?}");
    }
    let output = bundle.command(&["check"]).env("TERM", "xterm").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{202e}']) && text.contains("\\u{1b}[31m\\u{202e}b"), "{text}");
    let output = bundle.command(&["check", "--format", "json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
}

#[test]
fn names_from_the_command_line_are_escaped_too() {
    let Some(bundle) = Bundle::new() else { return };
    for words in [&["check", "/no/\u{1b}[31mred"][..], &["check", "--format", "\u{1b}[31m"]] {
        let output = bundle.command(words).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && !text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn a_reader_that_is_gone_is_no_panic() {
    let Some(bundle) = damaged() else { return };
    let mut command: Command = bundle.command(&["check"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
}
