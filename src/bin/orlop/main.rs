//! The program `orlop`: arguments to a request, a request to the library, its answer to one line and an exit code.

#![cfg_attr(not(test), no_main)]

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

use orlop::word;

#[global_allocator]
static HEAP: orlop::sys::heap::Heap = orlop::sys::heap::Heap::new();

#[cfg(not(test))]
orlop::program!(run);

#[cfg_attr(test, allow(dead_code))]
fn run(arguments: &[std::ffi::OsString]) -> u8 {
    dispatch::run(lexopt::Parser::from_iter(arguments))
}
