//! A container is made, or nothing is left of it.

use super::bundle::Bundle;
use super::notify::NotifyProxy;
use super::parts::{self, Parts};
use super::query::hook_state;
use super::request::CreateRequest;
use crate::config::Spec;
use crate::error::{Ignore as _, Result};
use crate::hooks::{self, Hooks, Moment};
use crate::log;
use crate::process::launch::Launched;
use crate::state::{ContainerDir, Record, Status, Store};
use crate::sys::credentials;
use crate::sys::process::{self, SingleThreaded};
use std::os::fd::OwnedFd;

/// A container that was made.
pub(super) struct Made {
    pub(super) launched: Launched,
    pub(super) entry: ContainerDir,
    pub(super) record: Record,
    pub(super) hooks: Hooks,
    /// The program's messages of being ready are passed on from here.
    pub(super) notify: Option<NotifyProxy>,
    /// The terminal's master, or the socket by which it comes, if this command shows it.
    pub(super) terminal: Option<OwnedFd>,
    /// Where signals for the container come, if this command stays in the foreground.
    pub(super) signals: Option<OwnedFd>,
}

/// The source of a container.
pub(super) struct Source<'a> {
    pub(super) store: &'a Store,
    pub(super) request: &'a CreateRequest,
    pub(super) spec: &'a Spec<'a>,
    pub(super) bundle: &'a Bundle,
    pub(super) proof: &'a SingleThreaded,
}

impl Source<'_> {
    /// Makes the container of `parts`: `build` does everything that leaves a trace on the machine and gives the process and the
    /// terminal, `tell` tells the caller of it.
    ///
    /// # Errors
    /// Those of the two; nothing is left then.
    pub(super) fn make(
        &self,
        mut parts: Parts,
        signals: Option<OwnedFd>,
        build: impl FnOnce(&ContainerDir, &mut Record, &mut Parts) -> Result<(Launched, Option<OwnedFd>)>,
        tell: impl FnOnce(&Made) -> Result<()>,
    ) -> Result<Made> {
        log::step("write the state");
        let _umask = credentials::OwnUmask::set();
        let entry = self.store.create(self.request.id.as_str())?;
        let mut record = parts::first_record(self.request, self.spec, self.bundle, &parts);
        let (launched, terminal) = match build(&entry, &mut record, &mut parts) {
            Ok(built) => built,
            Err(error) => {
                parts.moved.give_back();
                clean_up(&entry, &record, &parts.plan.hooks, self.proof);
                return Err(error);
            }
        };
        let made = Made { launched, entry, record, hooks: parts.plan.hooks, notify: parts.notify, terminal, signals };
        match tell(&made) {
            Ok(()) => Ok(made),
            Err(error) => {
                parts.moved.give_back();
                made.kill();
                clean_up(&made.entry, &made.record, &made.hooks, self.proof);
                Err(error)
            }
        }
    }
}

impl Made {
    /// Kills the container's first process, and reaps it.
    pub(super) fn kill(&self) {
        process::pidfd_send_signal(&self.launched.pidfd, libc::SIGKILL).ignore("it may have ended by itself");
        process::wait(self.launched.pid).ignore("a process that is gone has been reaped");
    }

    /// Runs the poststart hooks.
    ///
    /// # Errors
    /// That of a hook.
    pub(super) fn run_poststart(&self, proof: &SingleThreaded) -> Result<()> {
        let hooks = self.hooks.at(Moment::Poststart);
        if hooks.is_empty() {
            return Ok(());
        }
        let state = hook_state(&self.record, Status::Running, self.launched.pid);
        hooks::run(proof, Moment::Poststart, hooks, &state)
    }
}

/// Undoes what was built, and, as the lifecycle has it (runtime.md, steps 12 and 13), runs the poststop hooks.
fn clean_up(entry: &ContainerDir, record: &Record, hooks: &Hooks, proof: &SingleThreaded) {
    record.resctrl.iter().for_each(|group| group.remove());
    let removed = record.cgroup().remove().and_then(|()| entry.lock()).and_then(|()| entry.remove());
    if let Err(error) = removed {
        crate::log::warning(error.to_string());
    }
    if record.init.is_some() {
        super::delete::run_poststop(record, hooks, proof);
    }
}
