//! The command reference, docs/commands.md.

use orlop::cli::{Command, Flag, GLOBAL, Value};
use std::fmt::Write;

const HEAD: &str = include_str!("reference.md");

/// The whole document.
pub(crate) fn text() -> String {
    let mut text = HEAD.replace("@GLOBAL\n", &flags(&GLOBAL));
    for item in Command::all() {
        command(&mut text, &item);
    }
    text
}

fn command(text: &mut String, command: &Command) {
    let options = if command.flags.is_empty() { "" } else { " [options]" };
    let operands = if command.operands.is_empty() { String::new() } else { format!(" {}", command.operands) };
    // Writing to a String cannot fail.
    let _ = write!(text, "\n### {}\n\n    orlop {}{options}{operands}\n", command.word, command.word);
    for paragraph in command.paragraphs() {
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
