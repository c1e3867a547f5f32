//! `orlop-bundle`, the companion of orlop for people: it executes the words that `orlop` hands over.

#![forbid(unsafe_code)]

mod arguments;
mod check;
mod doctor;
mod elf;
mod explain;
mod finding;
mod image;
mod inspect;
mod observe;
mod pages;
mod place;
mod style;
mod top;

use arguments::{Arguments, Word};
use std::process::ExitCode;

/// The exit code of a command line that cannot be carried out.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap prints help and versions to standard output, with the exit code 0.
            if !error.use_stderr() {
                let _ = error.print();
                return ExitCode::SUCCESS;
            }
            error.render().to_string().lines().for_each(|line| eprintln!("{}", orlop::explain::shown(line)));
            return ExitCode::from(USAGE);
        }
    };
    let done = match &arguments.word {
        Word::Check(word) => check::run(&arguments.global, word),
        Word::Completion(word) => pages::complete::run(word),
        Word::Pages(word) => pages::run(word),
        Word::Doctor(word) => doctor::run(word),
        Word::Image(word) => image::run(word),
        Word::Run(word) => image::run::run(&arguments.global, arguments.runtime, word),
        Word::Top(word) => top::run(&arguments.global, word),
        Word::Inspect(word) => inspect::run(&arguments.global, word),
        Word::ProbeNamespaces { user } => doctor::namespaces::probe(*user),
        Word::ProbeProc { directory } => doctor::namespaces::probe_proc(directory),
        Word::Explain(word) => explain::run(&arguments.global, word),
    };
    done.unwrap_or_else(|error| {
        eprintln!("orlop: {}", orlop::explain::shown(&format!("{error:#}")));
        ExitCode::from(USAGE)
    })
}
