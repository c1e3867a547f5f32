//! A conformance suite for OCI runtimes: what the runtime specification demands, clause by clause, tried on any runtime.

mod bench;
mod case;
mod cases;
mod clause;
mod command;
mod compare;
mod coverage;
mod mutant;
mod output;
mod pairs;
mod runner;
mod setup;
mod skips;
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("oci-runtime-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}
