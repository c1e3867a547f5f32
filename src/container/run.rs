//! `run`: create and start in one; in the foreground also wait and delete.

use super::console::{self, Give};
use super::create::{self, Until};
use super::made::CreatedContainer;
use super::request::{CreateRequest, RunRequest};
use super::terminal::Relay;
use super::{Context, death, delete};
use crate::error::{Error, Result};
use crate::log;
use crate::sys::process::{self, SingleThreaded};
use std::os::fd::OwnedFd;

/// `run`: creates and starts a container; in the foreground it also waits for its program and
/// deletes the container. Returns the exit code of the program (128 and the signal's number if a
/// signal killed it), or 0 when detached.
///
/// The calling process must have one thread, and belongs to the runtime until `run` returns. In the
/// foreground every signal is blocked and passed on to the program; every child of the process is
/// reaped, not only the container's; the process is a child subreaper (prctl(2)) unless the request
/// forbids it; a terminal on standard input is in raw mode. The working directory is the bundle's.
/// Signal mask, subreaper attribute, terminal modes and working directory are restored at the end.
///
/// # Errors
/// As `create` and `start`; everything created is removed then.
pub fn run(context: &Context, request: &RunRequest) -> Result<u8> {
    let proof = &SingleThreaded::of_caller()?;
    let _caller = context.keep_caller()?;
    if request.detach {
        let give = Give::detached(&request.create.console_socket);
        let made = create::make(context, &request.create, proof, Until::Program, give)?;
        made.or_remove(made.run_poststart(proof), proof)?;
        if let Some(notify) = &made.notify {
            notify.pass_on(made.launched.pid, &made.launched.pidfd);
        }
        return Ok(0);
    }
    let give = foreground(&request.create, request.no_subreaper)?;
    let mut made = create::make(context, &request.create, proof, Until::Program, give)?;
    let ours = made.terminal.take();
    let master = made.or_remove(ours.map(|ours| console::master(&ours)).transpose(), proof)?.flatten();
    made.or_remove(made.run_poststart(proof), proof)?;
    attend(&mut made, master, request.keep, proof)
}

/// Serves the program in the foreground until its end, and then deletes the container.
pub(super) fn attend(
    made: &mut CreatedContainer,
    master: Option<OwnedFd>,
    keep: bool,
    proof: &SingleThreaded,
) -> Result<u8> {
    let signals = made.signals.take().ok_or_else(|| Error::internal("a foreground without signals"))?;
    log::begun();
    let relay = made.or_remove(master.map(Relay::new).transpose(), proof)?;
    log::step("wait for the program");
    let ended = super::terminal::serve(&made.launched, &signals, relay, made.notify.take())
        .inspect_err(|_| made.launched.kill());
    if let Ok(ended) = &ended {
        death::tell(made, *ended);
    }
    if !keep {
        delete::ended(&made.dir, &made.record, &made.hooks, proof)?;
    }
    ended.map(|ended| ended.status() as u8)
}

/// Prepares this process to wait for the new container.
pub(super) fn foreground(request: &CreateRequest, no_subreaper: bool) -> Result<Give> {
    let give = Give::foreground(&request.console_socket)?;
    if !no_subreaper {
        process::set_subreaper(true)?;
    }
    Ok(give)
}
