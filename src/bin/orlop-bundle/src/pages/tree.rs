//! Every command as clap's: the runtime's table and the companion's words. Pages and completions read it; it parses nothing.

use crate::arguments;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ValueHint};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use orlop::cli::{COMPANION, Command, Count, Flag, GLOBAL, Value};
use orlop::explain;
use std::ffi::OsStr;

/// The summary of `help`, which both programs have.
const HELP: &str = "print the help of the program or of a command";

const ABOUT: &str = "orlop is a low-level container runtime: it makes containers from bundles as the OCI runtime specification \
    says, for engines such as containerd, Docker, Podman and CRI-O, and for people. It has the commands and flags of runc.\n\n\
    A bundle is a directory with a config.json and a root filesystem. Some commands are for people with a bundle; the program \
    orlop-bundle, which stands beside orlop or in its libexec directory, has them.";
const ABOUT_COMPANION: &str = "orlop-bundle is the companion of orlop for people with a bundle. Its commands are typed as \
    `orlop COMMAND`: orlop executes it in its own place. Both must be of the same version.";

/// Both programs as one; the first operand of a command that takes a container has the candidates `ids`.
pub(crate) fn program(ids: &ArgValueCandidates) -> clap::Command {
    let tree = clap::Command::new("orlop")
        .about("run OCI containers")
        .long_about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(GLOBAL.iter().map(argument))
        .subcommands(Command::all().map(|row| command(row, ids)));
    with_help(companion(ids).into_iter().fold(tree, clap::Command::subcommand))
}

/// The companion alone, as it is when it is called without `orlop`.
pub(crate) fn companion_alone(ids: &ArgValueCandidates) -> clap::Command {
    let tree = clap::Command::new("orlop-bundle")
        .about("check, explain and watch OCI bundles and containers")
        .long_about(ABOUT_COMPANION)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(GLOBAL.iter().filter(|flag| flag.long != "help").map(argument));
    with_help(companion(ids).into_iter().fold(tree, clap::Command::subcommand))
}

/// The words of the companion that are shown.
pub(crate) fn companion(ids: &ArgValueCandidates) -> Vec<clap::Command> {
    let all = arguments::command();
    let shown = all.get_subcommands().filter(|word| !word.is_hide_set());
    let mut words: Vec<clap::Command> = shown.map(|word| of_companion(word.clone(), ids)).collect();
    words.sort_by(|one, other| one.get_name().cmp(other.get_name()));
    words
}

/// A word as the runtime's table would have it, and the words below it.
fn of_companion(word: clap::Command, ids: &ArgValueCandidates) -> clap::Command {
    let summary = word.get_about().map(ToString::to_string).unwrap_or_default();
    let about = word.get_long_about().map_or_else(|| summary.clone(), ToString::to_string);
    word.about(lower(&summary))
        .long_about(about)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .mut_args(|arg| operand(arg, ids))
        .arg(help())
        .mut_subcommands(|word| of_companion(word, ids))
}

fn help() -> Arg {
    Arg::new("help").long("help").short('h').action(ArgAction::SetTrue).help("print the help of the command")
}

/// The text with a small first letter, as the summaries of the runtime's table have it.
pub(crate) fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

fn operand(arg: Arg, ids: &ArgValueCandidates) -> Arg {
    match arg.get_id().as_str() {
        "id" | "ids" | "subject" => arg.add(ids.clone()),
        _ => arg,
    }
}

fn with_help(tree: clap::Command) -> clap::Command {
    let words = Command::all().map(|row| row.word).chain(COMPANION.iter().map(|(word, _)| *word));
    let mut words: Vec<_> = words.filter(|word| tree.find_subcommand(word).is_some()).collect();
    words.sort_unstable();
    let order = |word: clap::Command| {
        let place = words.iter().position(|known| *known == word.get_name());
        word.display_order(place.unwrap_or(words.len()))
    };
    let tree = tree.mut_subcommands(order);
    let word = Arg::new("COMMAND").value_parser(PossibleValuesParser::new(words)).hide_possible_values(true);
    tree.subcommand(clap::Command::new("help").about(HELP).disable_help_flag(true).arg(word))
}

fn command(row: Command, ids: &ArgValueCandidates) -> clap::Command {
    let about: Vec<&str> = row.about.lines().collect();
    let options = if row.flags.is_empty() { "" } else { "[options] " };
    let usage = format!("orlop {} {options}{}", row.word, row.operands);
    let tree = clap::Command::new(row.word)
        .about(row.summary)
        .long_about(about.join("\n\n"))
        .override_usage(usage.trim_end().to_owned())
        .disable_help_flag(true)
        .args(row.flags.iter().map(argument))
        .arg(help());
    // The container of these is not there yet.
    let makes = ["create", "restore", "run"].contains(&row.word);
    let id = Arg::new("ID").required(true).help("the name of the container");
    let id = if makes { id } else { id.add(ids.clone()) };
    match row.count {
        Count::Exactly(0) => tree,
        Count::Exactly(_) => tree.arg(id),
        Count::Between(..) => {
            let signal = Arg::new("SIGNAL").help("a number or a name; TERM if it is left out");
            tree.arg(id).arg(signal.add(ArgValueCompleter::new(signals)))
        }
        Count::AtLeast(_) => {
            let rest = Arg::new("ARGS").help("what belongs to the program").num_args(0..).trailing_var_arg(true);
            tree.arg(id).arg(rest)
        }
    }
}

/// A flag of the runtime's table.
pub(crate) fn argument(flag: &'static Flag) -> Arg {
    let argument = Arg::new(flag.long).long(flag.long).help(flag.help).hide(flag.hidden);
    let argument = flag.short.map_or(argument.clone(), |letter| argument.short(letter));
    let choices = choices(flag);
    match &flag.value {
        Value::Switch => argument.action(ArgAction::SetTrue),
        Value::Path(name) if *name == "DIR" => argument.value_name("DIR").value_hint(ValueHint::DirPath),
        Value::Path(name) => argument.value_name(name).value_hint(ValueHint::FilePath),
        Value::List("CAP") => {
            argument.value_name("CAP").action(ArgAction::Append).add(ArgValueCandidates::new(capabilities))
        }
        Value::List(name) => argument.value_name(name).action(ArgAction::Append),
        Value::Choice(words) => {
            argument.value_name(words).hide_possible_values(true).value_parser(words.split('|').collect::<Vec<_>>())
        }
        Value::Text(name) | Value::Number(name) if choices.is_empty() => argument.value_name(name),
        Value::Text(name) | Value::Number(name) => argument
            .value_name(name)
            .hide_possible_values(true)
            .value_parser(PossibleValuesParser::new(choices.iter().copied())),
    }
}

/// The choices of a flag that the table describes as text; its help names them.
fn choices(flag: &Flag) -> &'static [&'static str] {
    match (flag.long, flag.value) {
        ("format", Value::Text(_)) => &["table", "json"],
        ("log-format", _) => &["text", "json"],
        ("log-level", _) => &["error", "warning", "debug"],
        ("rootless", Value::Text(_)) => &["true", "false", "auto"],
        ("manage-cgroups-mode", _) => &["soft", "full", "strict", "ignore"],
        ("network-lock", _) => &["iptables", "nftables", "skip"],
        ("cpu-idle", _) => &["0", "1"],
        _ => &[],
    }
}

fn capabilities() -> Vec<CompletionCandidate> {
    explain::capabilities().map(CompletionCandidate::new).collect()
}

/// The names of signals, with `SIG` where the word begins so.
fn signals(begun: &OsStr) -> Vec<CompletionCandidate> {
    let begun = begun.to_string_lossy();
    let name = |signal: nix::sys::signal::Signal| {
        let name = signal.as_str();
        if begun.starts_with("SIG") { name } else { name.trim_start_matches("SIG") }
    };
    let names = nix::sys::signal::Signal::iterator().map(name);
    names.filter(|name| name.starts_with(&*begun)).map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_nothing_wrong_with_the_commands() {
        let none = ArgValueCandidates::new(Vec::new);
        program(&none).debug_assert();
        companion_alone(&none).debug_assert();
    }

    #[test]
    fn choices_are_the_words_of_the_help() {
        let flags = || GLOBAL.iter().chain(Command::all().flat_map(|row| row.flags));
        let mut found = 0;
        for flag in flags() {
            for word in choices(flag) {
                let placeholder = format!("{:?}", flag.value);
                assert!(flag.help.contains(word) || placeholder.contains(word), "--{} {word}", flag.long);
                found += 1;
            }
            let promises = flag.help.contains(" or json") || flag.help.contains("skip");
            assert!(!promises || !choices(flag).is_empty(), "--{}", flag.long);
        }
        assert!(found > 15);
    }

    #[test]
    fn the_runtime_names_the_words_of_the_companion_and_says_of_them_what_they_say() {
        let none = ArgValueCandidates::new(Vec::new);
        let own: Vec<_> = companion(&none)
            .iter()
            .map(|word| (word.get_name().to_owned(), word.get_about().unwrap().to_string()))
            .collect();
        let of_runtime = COMPANION.iter().map(|(word, summary)| ((*word).into(), (*summary).into()));
        assert_eq!(own, of_runtime.collect::<Vec<_>>());
    }
}
