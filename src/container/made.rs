//! Creation of a container: complete, or undone.

use super::bundle::Bundle;
use super::delete;
use super::notify::NotifyProxy;
use super::parts::{self, Parts};
use super::request::CreateRequest;
use super::start::run_poststart;
use crate::config::Spec;
use crate::error::Result;
use crate::hooks::Hooks;
use crate::log;
use crate::process::launch::Launched;
use crate::state::{ContainerDir, Record, Store};
use crate::sys::credentials;
use crate::sys::process::SingleThreaded;
use std::os::fd::OwnedFd;

/// A created container.
pub(super) struct CreatedContainer {
    pub(super) launched: Launched,
    pub(super) dir: ContainerDir,
    pub(super) record: Record,
    pub(super) hooks: Hooks,
    /// Passes on the program's READY=1.
    pub(super) notify: Option<NotifyProxy>,
    /// Whether the cgroup was made for this container.
    pub(super) new_cgroup: bool,
    /// Whether the first process is the reaping init, whose exit status tells the end of the program.
    pub(super) reaps: bool,
    /// The terminal's master, or the socket that receives it, if this command shows the terminal.
    pub(super) terminal: Option<OwnedFd>,
    /// The signalfd, if this command stays in the foreground.
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
    /// Makes the container of `parts`. `build` does everything that changes the machine, and
    /// returns the process and the terminal; `tell` reports them to the caller.
    ///
    /// # Errors
    /// Those of the two; everything is undone then.
    pub(super) fn make(
        &self,
        mut parts: Parts,
        signals: Option<OwnedFd>,
        build: impl FnOnce(&ContainerDir, &mut Record, &mut Parts) -> Result<(Launched, Option<OwnedFd>)>,
        tell: impl FnOnce(&CreatedContainer) -> Result<()>,
    ) -> Result<CreatedContainer> {
        log::step("write the state");
        let _umask = credentials::OwnUmask::set();
        let dir = self.store.create(self.request.id.as_str())?;
        let mut record = parts::first_record(self.request, self.spec, self.bundle, &parts)?;
        let (launched, terminal) = match build(&dir, &mut record, &mut parts) {
            Ok(built) => built,
            Err(error) => {
                parts.moved.give_back();
                clean_up(&dir, &record, &parts.plan.hooks, self.proof);
                return Err(error);
            }
        };
        let Parts { plan, moved, notify, new_cgroup, .. } = parts;
        let reaps = plan.shim.is_some();
        let made =
            CreatedContainer { launched, dir, record, hooks: plan.hooks, notify, new_cgroup, reaps, terminal, signals };
        match tell(&made) {
            Ok(()) => Ok(made),
            Err(error) => {
                moved.give_back();
                made.launched.kill();
                clean_up(&made.dir, &made.record, &made.hooks, self.proof);
                Err(error)
            }
        }
    }
}

impl CreatedContainer {
    /// Passes `result` on; with an error the container is killed and removed.
    pub(super) fn or_remove<T>(&self, result: Result<T>, proof: &SingleThreaded) -> Result<T> {
        result.map_err(|error| {
            self.launched.kill();
            delete::after_failure(&self.dir, &self.record, &self.hooks, proof, error)
        })
    }

    /// Runs the poststart hooks.
    ///
    /// # Errors
    /// A hook's error.
    pub(super) fn run_poststart(&self, proof: &SingleThreaded) -> Result<()> {
        run_poststart(&self.record, &self.hooks, self.launched.pid, proof)
    }
}

/// Undoes the creation, and runs the poststop hooks as the lifecycle has it (runtime.md, steps 12
/// and 13).
fn clean_up(dir: &ContainerDir, record: &Record, hooks: &Hooks, proof: &SingleThreaded) {
    // A hook may have waited while `delete --force` removed the container: then the cgroup of its
    // name may be another container's, and its poststop hooks have run.
    if dir.lock().and_then(|()| dir.is_in_place()).is_ok_and(|in_place| !in_place) {
        return;
    }
    record.resctrl.iter().for_each(|group| group.remove());
    if let Err(error) = record.cgroup().remove().and_then(|()| dir.remove()) {
        crate::log::warning(error.to_string());
    }
    if record.init.is_some() {
        super::delete::run_poststop(record, hooks, proof);
    }
}
