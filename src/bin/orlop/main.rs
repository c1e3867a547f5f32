//! The program `orlop`: arguments to a request, a request to the library, its answer to one line and an exit code.

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

fn main() -> std::process::ExitCode {
    dispatch::run(lexopt::Parser::from_env())
}
