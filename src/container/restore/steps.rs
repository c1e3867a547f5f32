//! The runtime's actions at CRIU's notifications (`post-restore` and the like).

use super::terminal::{self, Terminal};
use crate::cgroups::Cgroup;
use crate::container::parts::Parts;
use crate::container::{forked, watcher};
use crate::criu::{CriuNotification, SavedMount};
use crate::error::{Context as _, Error, Ignore as _, Result};
use crate::mountinfo;
use crate::namespaces::{NamespaceKind as Ns, Place};
use crate::process::keyring::CreatedKeyring;
use crate::process::launch::Launched;
use crate::rootfs::Rootfs;
use crate::state::{ContainerDir, Record};
use crate::sys::process::{self, Pid, SingleThreaded};
use crate::sys::{file, namespace, scheduling, signal};
use std::os::fd::OwnedFd;

/// The runtime's actions at CRIU's notifications.
pub(super) struct Steps<'a> {
    pub(super) dir: &'a ContainerDir,
    pub(super) record: &'a mut Record,
    pub(super) parts: &'a mut Parts,
    /// The terminal's.
    pub(super) master: Option<OwnedFd>,
    pub(super) saved: &'a [SavedMount],
    /// Whether the mounts were checked.
    pub(super) is_protected: bool,
    /// Whether the network namespace is new regardless of the config (`--empty-ns`).
    pub(super) empty_network: bool,
    pub(super) proof: &'a SingleThreaded,
}

impl Steps<'_> {
    pub(super) fn serve(&mut self, step: CriuNotification) -> Result<()> {
        match step.name.as_str() {
            "setup-namespaces" => {
                let pid = step.pid.ok_or_else(|| Error::system("criu did not say which process it makes"))?;
                self.born(pid)?;
                self.set_up_network(pid)
            }
            // All processes exist, and none runs yet.
            "post-restore" => self.protect(),
            "orphan-pts-master" => {
                self.master = step.master;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Records the process. Until CRIU answers, the status is `creating`, since the record's
    /// creator lives.
    fn born(&mut self, pid: Pid) -> Result<()> {
        watcher::born(self.dir, self.record, pid)
    }

    /// Sets up the network namespace as at a start, and runs the runtime's hooks.
    fn set_up_network(&mut self, pid: Pid) -> Result<()> {
        let parts = &mut *self.parts;
        if *parts.plan.namespaces.place(Ns::Network) == Place::New || self.empty_network {
            bring_loopback_up(pid)?;
        }
        let is_joined = matches!(parts.plan.namespaces.place(Ns::Network), Place::Join(_)) && !self.empty_network;
        parts.moved = match is_joined {
            true => parts.devices.move_again_to(pid)?,
            false => parts.devices.move_to(pid)?,
        };
        watcher::run_runtime_hooks(self.record, &parts.plan.hooks, pid, self.proof)
    }

    /// Checks that no mount has lost a restricting attribute such as read-only or nosuid.
    fn protect(&mut self) -> Result<()> {
        let pid =
            self.record.init.map(|init| init.pid).ok_or_else(|| Error::internal("a container without a process"))?;
        let table = mountinfo::table(&pid.to_string())?;
        let each = || self.saved.iter().try_for_each(|saved| Rootfs::restrict(&saved.point, saved.flags, &table));
        in_mount_namespace(pid, self.proof, &each).context("check the restored mounts")?;
        self.is_protected = true;
        Ok(())
    }

    /// Records the running process and sends its terminal; kills it on failure.
    pub(super) fn finish(
        mut self,
        pid: Pid,
        keyring: Result<Option<CreatedKeyring>>,
        cgroup: &mut Cgroup,
        terminal: &Terminal,
    ) -> Result<(Launched, Option<OwnedFd>)> {
        let launched = keyring.and_then(|keyring| {
            self.record.session_keyring = keyring;
            self.settle(pid, cgroup)
        });
        match (launched, terminal::give(self.master.take(), terminal)) {
            (Ok(launched), Ok(given)) => Ok((launched, given)),
            (launched, given) => {
                signal::kill(pid, libc::SIGKILL).ignore("it may have ended by itself");
                process::wait(pid).ignore("a process that is gone has been reaped");
                Err(launched.err().or(given.err()).unwrap_or_else(|| Error::internal("no error")))
            }
        }
    }

    /// Records the running process, and sets the attributes that CRIU does not restore.
    fn settle(&mut self, pid: Pid, cgroup: &mut Cgroup) -> Result<Launched> {
        let pidfd = process::pidfd_open(pid)?;
        if !self.is_protected {
            return Err(Error::system("criu ran the container before its mounts could be looked at"));
        }
        // One write also records the keyring.
        self.record.creator = None;
        self.record.restored = true;
        self.born(pid)?;
        watcher::limit(self.record, cgroup, pid)?;
        // CRIU does not restore the I/O priority.
        if let Some(value) = self.parts.plan.program.as_ref().and_then(|program| program.attributes.io_priority) {
            scheduling::ioprio_set(pid, value).context("process.ioPriority")?;
        }
        Ok(Launched { pid, pidfd })
    }
}

/// Runs `act` in the mount namespace of the process `pid`.
fn in_mount_namespace(pid: Pid, proof: &SingleThreaded, act: &dyn Fn() -> Result<()>) -> Result<()> {
    let theirs = file::open(format!("/proc/{pid}/ns/mnt"), libc::O_RDONLY)?;
    let entered = || namespace::setns(&theirs, libc::CLONE_NEWNS).map_err(Error::from);
    forked::run(proof, &|| entered().and_then(|()| act()).map(|()| Vec::new()), &|_| ()).map(drop)
}

fn bring_loopback_up(pid: Pid) -> Result<()> {
    let open = |path: String| file::open(path, libc::O_RDONLY);
    let (ours, theirs) = (open("/proc/self/ns/net".into())?, open(format!("/proc/{pid}/ns/net"))?);
    namespace::setns(&theirs, libc::CLONE_NEWNET)?;
    let up = namespace::loopback_up();
    namespace::setns(&ours, libc::CLONE_NEWNET)?;
    Ok(up?)
}
