//! The command reference, docs/commands.md.

use super::{texts, tree};
use clap_complete::engine::ArgValueCandidates;
use orlop::cli::{Command, Flag, GLOBAL, Value};
use std::fmt::Write;

const HEAD: &str = include_str!("head.md");

/// The whole document.
pub(crate) fn text() -> String {
    let mut commands = String::new();
    Command::all().for_each(|item| command(&mut commands, &item));
    let mut words = String::new();
    let mut companion = tree::companion(&ArgValueCandidates::new(Vec::new));
    companion.iter_mut().for_each(|item| word(&mut words, item, ""));
    HEAD.replace("@GLOBAL\n", &flags(&GLOBAL))
        .replace("@EXIT\n", &rows("exit code", "when", &texts::EXIT))
        .replace("@ENVIRONMENT\n", &rows("variable", "meaning", &texts::ENVIRONMENT))
        .replace("@COMMANDS\n", &commands)
        .replace("@COMPANION\n", &words)
}

fn command(text: &mut String, command: &Command) {
    let options = if command.flags.is_empty() { "" } else { " [options]" };
    let operands = if command.operands.is_empty() { String::new() } else { format!(" {}", command.operands) };
    // Writing to a String cannot fail.
    let _ = write!(text, "\n### {}\n\n    orlop {}{options}{operands}\n", command.word, command.word);
    for paragraph in command.about.lines() {
        let _ = write!(text, "\n{paragraph}\n");
    }
    if !command.flags.is_empty() {
        let _ = write!(text, "\n{}", flags(command.flags));
    }
    for (n, (typed, why)) in command.examples().enumerate() {
        let before = if n == 0 { "\n" } else { "" };
        let _ = writeln!(text, "{before}    orlop {typed}    # {why}");
    }
}

/// A word of the companion.
fn word(text: &mut String, word: &mut clap::Command, before: &str) {
    let name = format!("{before}{}", word.get_name());
    *word = word.clone().bin_name(format!("orlop {name}"));
    word.build();
    let usage = word.render_usage().to_string().replace("Usage: ", "").replace("[OPTIONS]", "[options]");
    let about = word.get_long_about().map(ToString::to_string).unwrap_or_default();
    // The first paragraph is the summary, which stands alone where there is no other.
    let about = about.split_once("\n\n").map_or(&*about, |(_, rest)| rest);
    let _ = write!(text, "\n### {name}\n\n    {usage}\n\n{about}\n");
    let is_shown = |argument: &&clap::Arg| !argument.is_hide_set() && argument.get_long() != Some("help");
    let shown: Vec<&clap::Arg> = word.get_arguments().filter(is_shown).collect();
    if !shown.is_empty() {
        text.push_str("\n| option | meaning |\n| --- | --- |\n");
    }
    for argument in shown {
        let mut help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let choices: Vec<String> =
            argument.get_possible_values().iter().map(|word| word.get_name().to_owned()).collect();
        if argument.get_action().takes_values() && !choices.is_empty() {
            help = format!("{help}: {}", choices.join(", "));
        }
        for default in argument.get_default_values().iter().filter(|_| argument.get_action().takes_values()) {
            help = format!("{help} (default: {})", default.to_string_lossy());
        }
        let _ = writeln!(text, "| `{}` | {} |", argument.to_string().replace('|', "\\|"), tree::lower(&help));
    }
    let below: Vec<clap::Command> = word.get_subcommands().cloned().collect();
    below.into_iter().for_each(|mut item| self::word(text, &mut item, &format!("{name} ")));
}

fn rows(name: &str, meaning: &str, rows: &[texts::Row]) -> String {
    let row = |row: &texts::Row| format!("| {} | {} |\n", row.name, row.meaning);
    format!("| {name} | {meaning} |\n| --- | --- |\n{}", rows.iter().map(row).collect::<String>())
}

fn flags(flags: &[Flag]) -> String {
    let mut text = String::from("| option | meaning |\n| --- | --- |\n");
    for flag in flags {
        let short = flag.short.map_or(String::new(), |letter| format!("`-{letter}`, "));
        let value = match flag.value {
            Value::Switch => String::new(),
            Value::Path(name) | Value::Text(name) | Value::List(name) | Value::Number(name) => format!(" {name}"),
            Value::Choice(words) => format!(" {}", words.replace('|', "\\|")),
        };
        let hidden = if flag.hidden { " (for callers that pass it; not in the help)" } else { "" };
        let value = value.replace("0|1", "0\\|1");
        let _ = writeln!(text, "| {short}`--{}{value}` | {}{hidden} |", flag.long, flag.help);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_in_docs_is_the_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/commands.md");
        let written = std::fs::read_to_string(path).unwrap();
        assert!(written == super::text(), "docs/commands.md is not what `make reference` writes");
    }
}
