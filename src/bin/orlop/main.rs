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

use std::process::ExitCode;

#[global_allocator]
static HEAP: orlop::sys::heap::Heap = orlop::sys::heap::Heap::new();

fn main() -> ExitCode {
    orlop::sys::memory::protect_relocated();
    dispatch::run(lexopt::Parser::from_env()).into()
}
