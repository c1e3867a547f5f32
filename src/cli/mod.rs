//! The command line: arguments to a request, a request to [`crate::container`], its answer to one line and an exit code.

mod caller;
mod dispatch;
mod help;
mod nearest;
mod parse;
mod perform;
mod requests;
mod table;
#[cfg(test)]
mod tests;

pub use table::{Command, Count, Flag, GLOBAL, Value};

use crate::sys::process::SingleThreaded;
use std::process::ExitCode;

/// Does what the process's arguments say (`std::env::args_os`): the whole of the program `orlop`.
///
/// It makes the calling program's relocated data read-only, installs a panic hook, and writes to standard output, standard
/// error or the log that the arguments name. It takes it for granted that the process has one thread, as at the start of `main`. The exit code is the container's program's, or says that the command failed.
pub fn main() -> ExitCode {
    crate::sys::memory::protect_relocated();
    let _ = SingleThreaded::at_start();
    dispatch::run(lexopt::Parser::from_env()).into()
}
