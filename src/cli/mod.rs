//! The command line: turns arguments into a request to [`crate::container`], and the result into
//! output and an exit code.

mod companion;
mod dispatch;
mod help;
mod identity;
mod parse;
mod perform;
mod requests;
mod table;
#[cfg(test)]
mod tests;

pub use {
    companion::WORDS as COMPANION,
    table::{Command, Count, Flag, GLOBAL, Value},
};

use std::process::ExitCode;

/// The directory of the containers' state where `--root` names none.
pub fn default_root() -> std::path::PathBuf {
    identity::Identity::new(None).default_root()
}

/// Carries out the command in the process's arguments (`std::env::args_os`): the whole of the program `orlop`.
///
/// It is meant to be all that a program does: it makes the calling program's relocated data read-only, installs a panic hook,
/// gives SIGCHLD and SIGPIPE their default disposition, writes to standard output, standard error or the log that the
/// arguments name, and leaves the signal mask, the working directory and the subreaper attribute as the command needs them.
/// The exit code is that of the container's program, or says that the command failed.
pub fn main() -> ExitCode {
    crate::sys::memory::protect_relocated();
    dispatch::run(lexopt::Parser::from_env()).into()
}
