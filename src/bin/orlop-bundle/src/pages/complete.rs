//! `orlop completion SHELL`: the script of a shell, and the words with which a command line may go on.
//!
//! The scripts call this program for each completion, so that they are short and the same in all shells.

use super::tree;
use crate::arguments::{Completion, Shell};
use anyhow::{Context as _, Result};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use orlop::cli::{Flag, GLOBAL, Value};
use orlop::container::request::ListRequest;
use orlop::container::{self, Context};
use orlop::explain::shown;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Letters that end a word in bash, beside blanks (`COMP_WORDBREAKS`): it completes the part behind.
const BREAKS: [char; 2] = ['=', ':'];

/// The whole command.
pub(crate) fn run(word: &Completion) -> Result<ExitCode> {
    let text = match (&word.line, &word.words[..]) {
        (Some(line), _) => candidates(&split(line), true)?,
        (None, []) => script(word.shell).to_owned(),
        (None, words) => candidates(words, false)?,
    };
    std::io::stdout().lock().write_all(text.as_bytes()).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// The script of a shell.
pub(crate) fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("scripts/orlop.bash"),
        Shell::Zsh => include_str!("scripts/orlop.zsh"),
        Shell::Fish => include_str!("scripts/orlop.fish"),
    }
}

/// The words of a command line as a shell reads it; the last one may be unfinished.
fn split(line: &str) -> Vec<OsString> {
    let closed = ["", "\"", "'"].iter().find_map(|quote| shlex::split(&format!("{line}{quote}")));
    let mut words = closed.unwrap_or_default();
    if line.ends_with([' ', '\t']) || words.is_empty() {
        words.push(String::new());
    }
    words.into_iter().map(OsString::from).collect()
}

/// The words that may stand in place of the last one, each in a line with an explanation behind a tab; for bash without an
/// explanation and without the part that it takes for another word.
fn candidates(words: &[OsString], of_bash: bool) -> Result<String> {
    let words = &joined(words)[..];
    let (Some(program), Some(last)) = (words.first(), words.last()) else { return Ok(String::new()) };
    let (last, last_index) = (last.to_string_lossy(), words.len() - 1);
    if belongs_to_another(words) {
        return Ok(String::new());
    }
    let root = root(words);
    let ids = ArgValueCandidates::new(move || ids(&root));
    let is_companion = program.as_encoded_bytes().ends_with(b"orlop-bundle");
    let mut tree = if is_companion { tree::companion_alone(&ids) } else { tree::program(&ids) };
    let current = std::env::current_dir().ok();
    let mut words = words.to_vec();
    // A single dash is the beginning of long names too; letters alone say little.
    if last == "-" {
        words[last_index] = "--".into();
    }
    let mut found = clap_complete::engine::complete(&mut tree, words, last_index, current.as_deref())?;
    // Options are offered where one has begun, or nothing else can follow.
    let is_option = |candidate: &CompletionCandidate| candidate.get_value().as_encoded_bytes().starts_with(b"-");
    if !last.starts_with('-') && !found.iter().all(is_option) {
        found.retain(|candidate| !is_option(candidate));
    }
    let skipped = if of_bash { last.rfind(BREAKS).map_or(0, |at| at + 1) } else { 0 };
    let line = |candidate: &CompletionCandidate| {
        let value = candidate.get_value().to_string_lossy();
        let value = shown(value.get(skipped..).unwrap_or_default());
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.lines().next().unwrap_or_default().to_owned();
        if of_bash { value + "\n" } else { format!("{value}\t{help}\n") }
    };
    Ok(found.iter().map(line).collect())
}

/// The words with each global option and its value as one (`--root=DIR`), so that a value is not taken for a command.
fn joined(words: &[OsString]) -> Vec<OsString> {
    let mut all = Vec::new();
    let mut rest = words.iter().enumerate();
    while let Some((n, word)) = rest.next() {
        let name = word.to_str().filter(|_| n > 0).and_then(|word| word.strip_prefix('-'));
        let name = name.map(|name| name.strip_prefix('-').unwrap_or(name));
        let is_named = |flag: &&Flag| flag.value != Value::Switch && Some(flag.long) == name;
        match GLOBAL.iter().find(is_named).filter(|_| n + 2 < words.len()) {
            Some(flag) => {
                let mut one = OsString::from(format!("--{}=", flag.long));
                one.extend(rest.next().map(|(_, value)| value.as_os_str()));
                all.push(one);
            }
            None => all.push(word.clone()),
        }
        // Behind the program and its global options stands the command.
        if n > 0 && !word.as_encoded_bytes().starts_with(b"-") {
            all.extend(rest.map(|(_, word)| word.clone()));
            break;
        }
    }
    all
}

/// Whether the last word belongs to a program: everything behind the id of `exec` and `ps`.
fn belongs_to_another(words: &[OsString]) -> bool {
    let tree = tree::program(&ArgValueCandidates::new(Vec::new));
    let matches = tree.ignore_errors(true).try_get_matches_from(&words[..words.len() - 1]);
    let matches = matches.ok();
    let sub = matches.as_ref().and_then(|matches| matches.subcommand());
    sub.is_some_and(|(word, given)| ["exec", "ps"].contains(&word) && given.contains_id("ID"))
}

/// The directory of the state: that of the last `--root`, in words that are [`joined`].
fn root(words: &[OsString]) -> PathBuf {
    let given = words[..words.len() - 1].iter().filter_map(|word| word.to_str()?.strip_prefix("--root=")).next_back();
    given.map_or_else(orlop::cli::default_root, |root| of_home(root.into()))
}

/// The path with the caller's home directory for a tilde, which a shell has not replaced yet.
fn of_home(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(below), Some(home)) => PathBuf::from(home).join(below),
        _ => path,
    }
}

/// The containers below `root`; none where it cannot be read.
fn ids(root: &std::path::Path) -> Vec<CompletionCandidate> {
    let mut request = ListRequest::default();
    request.quiet = true;
    let listed = container::list(&Context::new(root), &request).unwrap_or_default();
    listed.lines().map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Vec<String> {
        candidates(&split(line), true).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_command_line_goes_on_with_commands_options_and_choices() {
        let all = asked("orlop ");
        for word in ["create", "check", "completion", "help", "top"] {
            assert!(all.contains(&word.to_owned()), "{word}: {all:?}");
        }
        assert!(all.iter().all(|word| !word.starts_with('-')), "{all:?}");
        assert_eq!(asked("orlop res"), ["restore", "resume"]);
        assert_eq!(asked("orlop help res"), ["restore", "resume"]);
        assert_eq!(asked("orlop --cgroup-manager "), ["cgroupfs", "systemd", "disabled"]);
        assert_eq!(asked("orlop --cgroup-manager=s"), ["systemd"]);
        assert_eq!(asked("orlop --log-format json --log-level d"), ["debug"]);
        assert_eq!(asked("orlop list --format "), ["table", "json"]);
        assert_eq!(asked("orlop list -f j"), ["json"]);
        assert_eq!(asked("orlop check --format "), ["text", "json"]);
        assert_eq!(asked("orlop exec --cap CAP_SYS_A"), ["CAP_SYS_ADMIN"]);
        assert_eq!(asked("orlop --root state --log run list --f"), ["--format"]);
        assert_eq!(asked("orlop kill web TE"), ["TERM"]);
        assert_eq!(asked("orlop kill web SIGTE"), ["SIGTERM"]);
        assert_eq!(asked("orlop create --pid"), ["--pidfd-socket", "--pid-file"]);
        assert_eq!(asked("orlop completion "), ["bash", "zsh", "fish"]);
        assert_eq!(asked("orlop-bundle st"), [""; 0]);
        assert_eq!(asked("orlop-bundle --root /x ch"), ["check"]);
    }

    #[test]
    fn the_program_of_exec_is_not_completed() {
        for line in ["orlop exec web ", "orlop exec -t web sh -", "orlop --root /x ps web --f"] {
            assert_eq!(asked(line), [""; 0], "{line}");
        }
        assert!(asked("orlop exec -").contains(&"--tty".into()));
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        assert_eq!(split("orlop --root '/a b' st"), ["orlop", "--root", "/a b", "st"]);
        assert_eq!(split("orlop --root \"/a b"), ["orlop", "--root", "/a b"]);
        assert_eq!(split("orlop state "), ["orlop", "state", ""]);
        assert_eq!(split(""), [""]);
    }

    #[test]
    fn the_last_root_counts() {
        let of = |line: &str| root(&joined(&split(line)));
        assert_eq!(of("orlop --root /a --root=/b state "), PathBuf::from("/b"));
        assert_eq!(of("orlop -root /c state "), PathBuf::from("/c"));
        assert_eq!(of("orlop --log /a state "), orlop::cli::default_root());
        assert_eq!(of("orlop state "), orlop::cli::default_root());
    }
}
