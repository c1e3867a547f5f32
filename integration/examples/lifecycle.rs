//! A container's life, step by step: `lifecycle STATE-DIRECTORY BUNDLE ID`.
//!
//! The program that calls `create` is the parent of the container's init process, and reaps it.

#![forbid(unsafe_code)]

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use orlop::container::request::{
    ContainerId, CreateRequest, DeleteRequest, ExecRequest, KillRequest, ListRequest, Signal,
};
use orlop::container::{self, Context};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let [_, root, bundle, id] = <[String; 4]>::try_from(std::env::args().collect::<Vec<_>>())
        .map_err(|_| "usage: lifecycle STATE-DIRECTORY BUNDLE ID")?;
    let context = Context::new(std::path::absolute(root)?);
    let id = ContainerId::parse(&id)?;

    container::create(&context, &CreateRequest::new(id.clone(), bundle))?;
    let created: serde_json::Value = serde_json::from_str(&container::state(&context, &id)?)?;
    println!("{}", created["status"]);

    container::start(&context, &id)?;
    let code = container::exec(&context, &ExecRequest::new(id.clone(), ["/bin/sh", "-c", "exit 3"]))?;
    println!("exec ended with {code}");
    print!("{}", container::list(&context, &ListRequest::default())?);

    container::kill(&context, &KillRequest::new(id.clone(), Signal::parse("KILL")?))?;
    let pid = created["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).ok_or("a state without a pid")?;
    match waitpid(Pid::from_raw(pid), None)? {
        WaitStatus::Signaled(_, signal, _) => println!("killed by {signal}"),
        other => return Err(format!("the init process has not been killed: {other:?}").into()),
    }
    container::delete(&context, &DeleteRequest::new(id))?;
    Ok(())
}
