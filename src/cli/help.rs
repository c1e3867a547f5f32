//! Help texts, from the table of commands.

use super::companion;
use super::identity::Identity;
use super::table::{Command, Flag, GLOBAL, Value};

/// The line width of help texts.
const WIDTH: usize = 96;

/// The column where explanations begin.
const COLUMN: usize = 34;

/// Help for the whole program.
pub(crate) fn program(identity: &Identity) -> String {
    let name = &identity.name;
    let mut text = format!("{name} runs OCI containers.\n\nUsage: {name} [global options] COMMAND [options] [ID]\n");
    text.push_str("\nCommands:\n");
    for command in Command::all() {
        entry(&mut text, command.word, command.summary, 14);
    }
    if identity.is_person() {
        text.push_str("\nFor people with a bundle (from the package orlop-bundle):\n");
        for (word, summary) in companion::WORDS {
            entry(&mut text, word, summary, 14);
        }
    }
    text.push_str("\nGlobal options (they stand before the command):\n");
    flags(&mut text, &GLOBAL, Some(&format!("(default: {})", identity.default_root().display())));
    text.push_str(&format!("\nA container from nothing:\n{}", first_steps(name)));
    text.push_str(&format!("\nMore about a command: {name} COMMAND --help\n"));
    text
}

fn first_steps(name: &str) -> String {
    let steps = [
        ("mkdir -p web/rootfs && cd web", "a bundle is a directory"),
        ("tar -C rootfs -xf FILES.tar", "with a root filesystem"),
        ("@ spec", "and a config.json"),
        ("@ run web", "that says what to run"),
    ];
    steps.iter().map(|(step, why)| format!("  {:<32}# {why}\n", step.replace('@', name))).collect()
}

/// Help for one command.
pub(crate) fn command(identity: &Identity, command: &Command) -> String {
    let name = &identity.name;
    let options = if command.flags.is_empty() { "" } else { " [options]" };
    let operands = if command.operands.is_empty() { String::new() } else { format!(" {}", command.operands) };
    let mut text = format!("{name} {}: {}\n\n", command.word, command.summary);
    text.push_str(&format!("Usage: {name} {}{options}{operands}\n", command.word));
    for paragraph in command.paragraphs() {
        text.push('\n');
        wrap(&mut text, paragraph, 0, 0);
    }
    if !command.flags.is_empty() {
        text.push_str("\nOptions:\n");
        flags(&mut text, command.flags, None);
    }
    if let Some(longest) = command.examples().map(|(typed, _)| typed.len()).max() {
        text.push_str("\nExamples:\n");
        let width = longest + name.len();
        for (typed, why) in command.examples() {
            text.push_str(&format!("  {:<w$}  # {why}\n", format!("{name} {typed}"), w = width + 1));
        }
    }
    text
}

fn flags(text: &mut String, flags: &[Flag], root: Option<&str>) {
    for flag in flags.iter().filter(|f| !f.hidden) {
        let short = flag.short.map_or("    ".to_owned(), |c| format!("-{c}, "));
        let value = match flag.value {
            Value::Switch => String::new(),
            Value::Path(name) | Value::Text(name) | Value::List(name) | Value::Number(name) => format!(" {name}"),
            Value::Choice(words) => format!(" {words}"),
        };
        let help = match root.filter(|_| flag.long == "root") {
            Some(root) => format!("{} {root}", flag.help),
            None => flag.help.to_string(),
        };
        entry(text, &format!("{short}--{}{value}", flag.long), &help, COLUMN);
    }
}

fn entry(text: &mut String, name: &str, help: &str, column: usize) {
    text.push_str("  ");
    text.push_str(name);
    let used = 2 + name.len();
    if used + 2 > column {
        text.push('\n');
        wrap(text, help, column, 0);
    } else {
        wrap(text, help, column, used);
    }
}

/// Appends `words` in lines that begin in `column`, the first one `used` columns in.
fn wrap(text: &mut String, words: &str, column: usize, used: usize) {
    let mut at = used;
    for word in words.split(' ') {
        if at > column && at + 1 + word.len() > WIDTH {
            text.push('\n');
            at = 0;
        }
        if at < column {
            text.extend(std::iter::repeat_n(' ', column - at));
            at = column;
        } else if at > column {
            text.push(' ');
            at += 1;
        }
        text.push_str(word);
        at += word.len();
    }
    text.push('\n');
}
