//! The table as clap's commands: clap only writes pages here, it never parses.

use clap::{Arg, ArgAction, ValueHint};
use orlop::cli::{Command, Count, Flag, GLOBAL, Value};

/// The whole program.
pub(crate) fn program() -> clap::Command {
    clap::Command::new("orlop")
        .about("runs OCI containers")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(GLOBAL.iter().map(argument))
        .subcommands(Command::all().map(command))
}

fn command(command: Command) -> clap::Command {
    let about: Vec<&str> = command.paragraphs().collect();
    let examples: Vec<String> = command.examples().map(|(typed, why)| format!("orlop {typed}    # {why}")).collect();
    let tree = clap::Command::new(command.word)
        .about(command.summary)
        .long_about(about.join("\n\n"))
        .disable_help_flag(true)
        .args(command.flags.iter().map(argument));
    let tree = if examples.is_empty() { tree } else { tree.after_long_help(examples.join("\n\n")) };
    match command.count {
        Count::Exactly(0) => tree,
        Count::Exactly(_) => tree.arg(id()),
        Count::Between(..) => tree.arg(id()).arg(Arg::new("SIGNAL")),
        Count::AtLeast(_) => tree
            .arg(id())
            .arg(Arg::new("COMMAND").num_args(0..).trailing_var_arg(true).value_hint(ValueHint::CommandWithArguments)),
    }
}

fn id() -> Arg {
    Arg::new("ID").required(true)
}

fn argument(flag: &'static Flag) -> Arg {
    let argument = Arg::new(flag.long).long(flag.long).help(flag.help).hide(flag.hidden);
    let argument = match flag.short {
        Some(letter) => argument.short(letter),
        None => argument,
    };
    match &flag.value {
        Value::Switch => argument.action(ArgAction::SetTrue),
        Value::Path(name) if *name == "DIR" => argument.value_name("DIR").value_hint(ValueHint::DirPath),
        Value::Path(name) => argument.value_name(name).value_hint(ValueHint::FilePath),
        Value::Text(name) | Value::Number(name) => argument.value_name(name),
        Value::List(name) => argument.value_name(name).action(ArgAction::Append),
        Value::Choice(words) => argument.value_parser(words.split('|').collect::<Vec<_>>()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn clap_finds_nothing_wrong_with_the_table() {
        super::program().debug_assert();
    }
}
