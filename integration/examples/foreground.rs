//! Runs a bundle's program in the foreground: `foreground STATE-DIRECTORY BUNDLE ID`.
//!
//! `container::run` has the calling process to itself until the program has ended: one thread, every signal, every child.

#![forbid(unsafe_code)]

use orlop::container::request::{ContainerId, CreateRequest, RunRequest};
use orlop::container::{self, Context};
use std::error::Error;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let [_, root, bundle, id] = <[String; 4]>::try_from(std::env::args().collect::<Vec<_>>())
        .map_err(|_| "usage: foreground STATE-DIRECTORY BUNDLE ID")?;
    let context = Context::new(std::path::absolute(root)?);
    let before = std::env::current_dir()?;
    let code = container::run(&context, &RunRequest::new(CreateRequest::new(ContainerId::parse(&id)?, bundle)))?;
    assert_eq!(before, std::env::current_dir()?, "the working directory is given back");
    Ok(ExitCode::from(code))
}
