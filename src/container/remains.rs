//! `delete --force` of a container with a record that cannot be trusted: missing, empty, truncated,
//! changed, or another runtime's.
//!
//! Two rules conflict. No container is forgotten while a process of it lives. And no foreign
//! process is signalled, or keeps a container from being deleted. So each piece of evidence has its
//! weight:
//!
//! | evidence | proves | done |
//! | --- | --- | --- |
//! | the link beside the record (its sum is right) names a pid and a start time that live | that is init | killed |
//! | without the link: init's random name while it waits for `start` is the record's | that is init | killed |
//! | without the link: pid and start time are the record's, and the process is in the container's cgroup or root | that is init | killed |
//! | a process is in the cgroup in which init is proved to be, at the path that the config (or the id) gives it | it is the container's | killed, cgroup removed |
//! | no pid namespace, no cgroup: a process is in the mount namespace that was made for init | it is the container's | killed |
//! | the link's process is dead, and the config has a new pid namespace | all are dead: a process in a cgroup of its name is another container's | record removed, the cgroup stays |
//! | init is not proved, or dead without a pid namespace of its own: a process is in a cgroup of the container's name or the record's path | suspicion | refused, with pid and cgroup |
//! | without the link: a pid of the record, with a start time like the record's, outside the caller's mount namespace | suspicion | refused, with the pid |
//! | without the link, and no process named: a process has the very root directory (device and inode) of the container | suspicion | refused, with pid and path |
//! | a process that another runtime's record names | another runtime's container | refused, with pid and runtime |
//! | an equal end of the root's path; an equal start time; a pid that was given out again; a process of another container of this state root | nothing | - |
//! | none of these | nothing lives | cgroups that are empty and the record are removed |
//!
//! A record in doubt never selects a process, cgroup or unit to kill: one wrong byte would name
//! another one.

use super::clues::{Clues, NamedProcess};
use super::request::ContainerId;
use crate::cgroups::{self, Cgroup};
use crate::error::{Error, Ignore as _, Result};
use crate::log;
use crate::state::{self, ContainerDir, ProcessId, Stat, Store};
use crate::sys::process::{self, Pid};
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The most processes that a message names.
const NAMED: usize = 8;

/// The time killed processes may take to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// The remains of a container.
pub(super) struct Remains {
    id: String,
    clues: Clues,
    init: Init,
    /// The root filesystem's device and inode.
    root: Option<(u64, u64)>,
    own_root: Option<(u64, u64)>,
    own_mounts: Option<OsString>,
    others: Others,
    /// Whether there was a cgroup at a path of the container.
    had_cgroup: bool,
}

/// The container's first process, if it is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Init {
    Lives(ProcessId),
    Ended,
    Unknown,
}

/// The other containers of the same state root.
#[derive(Default)]
struct Others {
    mount_namespaces: Vec<OsString>,
    cgroups: Vec<String>,
}

impl Remains {
    /// Reads the container's directory and the records of the other containers.
    pub(super) fn of(store: &Store, dir: &ContainerDir, id: &ContainerId) -> Remains {
        let clues = Clues::gather(dir, id.as_str());
        let root = clues.rootfs.as_ref().and_then(|path| identity(path));
        let mut remains = Remains {
            root,
            clues,
            init: Init::Unknown,
            own_root: identity("/"),
            own_mounts: mount_namespace(process::pid()),
            others: Others::read(store, id),
            id: id.to_string(),
            had_cgroup: false,
        };
        remains.init = match dir.witness() {
            Some(init) if init.lives() => Init::Lives(init),
            Some(_) => Init::Ended,
            None if remains.foreign().is_some() => Init::Unknown,
            None => remains.prove(),
        };
        remains
    }

    /// Searches for the first process if the link does not name it.
    fn prove(&self) -> Init {
        let proven = |pid: &Pid| {
            state::look_at(*pid).is_ok_and(|seen| seen.is_some_and(|it| !it.dead && self.proves(*pid, &it)))
        };
        let found: Vec<Pid> = pids().filter(proven).collect();
        match found[..] {
            [pid] => ProcessId::of(pid).ok().flatten().map_or(Init::Unknown, Init::Lives),
            _ => Init::Unknown,
        }
    }

    fn proves(&self, pid: Pid, seen: &Stat) -> bool {
        let is_named =
            |told: &NamedProcess| told.pid == Some(u64::from(pid.unsigned_abs())) && told.start == Some(seen.start);
        let is_at_home = || self.cgroup_of(pid).is_some() || (self.root.is_some() && root_of(pid) == self.root);
        self.waits(seen)
            || (self.clues.processes.iter().any(is_named)
                && self.is_apart(pid)
                && !self.others.has(pid)
                && is_at_home())
    }

    /// Whether the process has init's random waiting name.
    fn waits(&self, seen: &Stat) -> bool {
        let random = seen.name.strip_prefix("orlop").and_then(|rest| rest.get(1..));
        self.clues.waiting_name.as_deref().is_some_and(|name| random == Some(name))
    }

    /// Whether the process is in another mount namespace than the caller, as every container is.
    fn is_apart(&self, pid: Pid) -> bool {
        mount_namespace(pid).is_some_and(|namespace| Some(namespace) != self.own_mounts)
    }

    /// Kills the first process and the processes of its cgroup that are proved to be the
    /// container's, and removes the cgroup. Of unproved cgroups, only empty ones are removed.
    ///
    /// # Errors
    /// A process does not exit; a cgroup cannot be removed; the runtime itself is in it.
    pub(super) fn end(&mut self) -> Result<()> {
        if self.foreign().is_some() {
            return Ok(());
        }
        let asked = self.clues.config.as_ref().and_then(|config| config.cgroups_path.clone());
        let expected = cgroups::expected(asked.as_deref(), &self.id).unwrap_or_default();
        self.had_cgroup = expected.iter().any(Cgroup::exists);
        let mut paths = self.clues.cgroup_paths();
        paths.extend(expected.iter().flat_map(Cgroup::cgroups).map(|one| one.path.clone()));
        if let Init::Lives(init) = self.init {
            let own = |path: &str| self.clues.own_part(path).filter(|path| !self.others.cgroups.contains(path));
            let cgroup = cgroups::around(init.pid, asked.as_deref(), &self.id, own)?;
            paths.extend(cgroup.cgroups().iter().map(|one| one.path.clone()));
            cgroup.refuse_own()?;
            let pidfd = init.open()?;
            // The namespace is read while the pid is surely the first process's.
            let companions = self.companions(init.pid, &cgroup).filter(|_| init.lives());
            super::delete::end_process(init, &cgroup)?;
            companions.map_or(Ok(()), |namespace| end_all_in(&namespace))?;
            cgroup.remove()?;
            if let Some(pidfd) = pidfd {
                // Its exit waits for the processes of its pid namespace. A zombie that an outside
                // parent has not reaped does not count as living.
                process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], EXIT_TIMEOUT.as_millis() as i32)?;
            }
            self.init = Init::Ended;
        }
        paths.retain(|path| !self.others.cgroups.contains(path));
        paths.sort_unstable();
        paths.dedup();
        cgroups::remove_empty(&paths)?;
        if self.are_all_dead() {
            let left =
                expected.iter().flat_map(Cgroup::cgroups).filter(|one| paths.contains(&one.path) && one.exists());
            if let Some(one) = left.into_iter().next() {
                let directory = one.directory();
                log::warning(format!(
                    "{directory} stays: it has processes, and none of them is container {}'s",
                    self.id
                ));
            }
        }
        Ok(())
    }

    /// Whether the first process has exited, and with it every other one of its pid namespace.
    fn are_all_dead(&self) -> bool {
        self.init == Init::Ended && self.clues.config.as_ref().is_some_and(|config| config.own_pids)
    }

    /// The mount namespace of processes that do not die with the first one and have no cgroup: only
    /// it identifies them.
    fn companions(&self, init: Pid, cgroup: &Cgroup) -> Option<OsString> {
        let config = self.clues.config.as_ref()?;
        let lost = config.own_mounts && !config.own_pids && cgroup.cgroups().is_empty() && self.is_apart(init);
        mount_namespace(init).filter(|_| lost)
    }

    /// Refuses to forget the container while a process of it may live.
    ///
    /// # Errors
    /// Processes may be the container's; the error names them, with the reason.
    pub(super) fn refuse_living(&self, why: &str) -> Result<()> {
        let deadline = Instant::now() + EXIT_TIMEOUT;
        let living = loop {
            let living = self.living();
            if living.is_empty() {
                return Ok(());
            }
            // Processes that were just killed have left their cgroup, but may still be exiting.
            let ending =
                |(pid, _): &(Pid, String)| ProcessId::of(*pid).is_ok_and(|it| it.is_none_or(ProcessId::is_ending));
            if !living.iter().all(ending) || Instant::now() >= deadline {
                break living;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let named: Vec<String> =
            living.iter().take(NAMED).map(|(pid, evidence)| format!("{pid} ({evidence})")).collect();
        let more = if living.len() > NAMED { format!(" and {} more", living.len() - NAMED) } else { String::new() };
        let text = format!(
            "cannot delete container {}: {why}, and processes that may be its own live: {}{more}",
            self.id,
            named.join(", ")
        );
        Err(Error::state(text).hint(match self.foreign() {
            Some(runtime) => format!("delete it with {runtime}"),
            None => {
                "end these processes if they are the container's (kill -KILL PID), or move them out of its cgroup; then delete it again"
                    .to_owned()
            }
        }))
    }

    /// Whether a record is there, and neither it nor another file tells of a process or a place: a
    /// container without a copy of config.json is not one of ours.
    pub(super) fn name_nothing(&self) -> bool {
        self.clues.name_nothing() && self.init == Init::Unknown
    }

    /// The runtime that wrote the record, if it is another one.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        self.clues.writer.foreign()
    }

    /// The processes that may be the container's, with the reason.
    fn living(&self) -> Vec<(Pid, String)> {
        if self.are_all_dead() {
            return Vec::new();
        }
        let mut found: Vec<(Pid, String)> =
            pids().filter_map(|pid| self.suspicion(pid).map(|reason| (pid, reason))).collect();
        found.sort_unstable();
        found
    }

    /// The reason why a process may be the container's.
    fn suspicion(&self, pid: Pid) -> Option<String> {
        let seen = match state::look_at(pid) {
            Ok(seen) => seen.filter(|seen| !seen.dead && !state::has_left(pid))?,
            // A mount of procfs may hide the processes of other users (`hidepid` of proc(5)).
            Err(e) if matches!(e.errno(), libc::EACCES | libc::EPERM) => return None,
            Err(e) => return Some(e.to_string()),
        };
        if let Some(path) = self.cgroup_of(pid) {
            return Some(format!("cgroup {path}"));
        }
        if self.init == Init::Ended {
            return None;
        }
        if self.waits(&seen) {
            return Some("it waits for start".into());
        }
        let is_foreign = self.foreign().is_some();
        if (is_foreign || self.is_apart(pid)) && !self.others.has(pid) {
            let is_named =
                |told: &NamedProcess| is_meant(*told, pid, seen.start) && (!is_foreign || self.is_older(pid, *told));
            if self.clues.processes.iter().any(is_named) {
                return Some("the record names it".into());
            }
        }
        let names_init = self.clues.processes.iter().any(|told| told.pid.is_some() && told.start.is_some());
        if self.had_cgroup || names_init || self.others.has(pid) || !self.is_apart(pid) {
            return None;
        }
        let root = root_of(pid).filter(|root| Some(*root) != self.own_root && Some(*root) == self.root)?;
        let path = self.clues.rootfs.as_deref().unwrap_or_default();
        Some(format!("root filesystem {path}, inode {}", root.1))
    }

    /// Whether a process that another runtime's record names by pid only is older than the record's
    /// last write.
    fn is_older(&self, pid: Pid, told: NamedProcess) -> bool {
        told.start.is_some() || self.clues.written.is_none_or(|written| began(pid).is_none_or(|began| began <= written))
    }

    /// The cgroup of a process, if it may be the container's and is no other container's.
    fn cgroup_of(&self, pid: Pid) -> Option<String> {
        let text = std::fs::read(format!("/proc/{pid}/cgroup")).ok()?;
        let members = cgroups::membership::Membership::parse_all(&String::from_utf8_lossy(&text));
        let is_others = |path: &str| self.others.cgroups.iter().any(|other| is_at_or_below(path, other));
        members.into_iter().map(|member| member.path).find(|path| self.clues.is_in_cgroup(path) && !is_others(path))
    }
}

/// Whether a cgroup path is `other` or below it, name by name.
fn is_at_or_below(path: &str, other: &str) -> bool {
    std::path::Path::new(path).starts_with(other)
}

/// All processes but this one.
fn pids() -> Box<dyn Iterator<Item = Pid>> {
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<Pid>().ok());
    Box::new(pids.filter(|pid| *pid != process::pid()))
}

/// Kills every process of a mount namespace, including new ones, and waits for them.
fn end_all_in(namespace: &OsString) -> Result<()> {
    let deadline = Instant::now() + EXIT_TIMEOUT;
    let is_in = |pid: &Pid| mount_namespace(*pid).as_ref() == Some(namespace);
    loop {
        let mut left = 0;
        for pid in pids().filter(is_in) {
            let Ok(pidfd) = process::pidfd_open(pid) else { continue };
            // The pidfd is open: if the process is still in the namespace, the pid was not reused.
            if is_in(&pid) {
                left += 1;
                process::pidfd_send_signal(&pidfd, libc::SIGKILL).ignore("it may have ended by itself");
                process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], 100)?;
            }
        }
        if left == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::system(format!("{left} processes without a cgroup did not end within 2 s of SIGKILL")));
        }
    }
}

/// Whether a record that may be damaged names a process: by pid and start time, with at most one
/// wrong digit.
fn is_meant(told: NamedProcess, pid: Pid, start: u64) -> bool {
    let is_pid = told.pid.is_some_and(|told| told == u64::from(pid.unsigned_abs()));
    is_pid && told.start.is_none_or(|told| resembles(&told.to_string(), &start.to_string()))
}

/// Whether a number was truncated, or has at most one wrong digit.
fn resembles(told: &str, number: &str) -> bool {
    let wrong = told.bytes().zip(number.bytes()).filter(|(a, b)| a != b).count();
    (told.len() == number.len() && wrong <= 1)
        || (!told.is_empty() && number.starts_with(told))
        || told.starts_with(number)
}

impl Others {
    fn read(store: &Store, id: &ContainerId) -> Others {
        let mut others = Others::default();
        for other in store.ids().unwrap_or_default().iter().filter(|other| **other != id.as_str()) {
            let record = store.read(other).ok();
            others.cgroups.extend(record.iter().flat_map(|it| &it.cgroup.cgroups).map(|one| one.path.clone()));
            // If its record is damaged too, its link names the process.
            let init = record.and_then(|it| it.init).or_else(|| store.witness(other)).filter(|init| init.lives());
            others.mount_namespaces.extend(init.and_then(|init| mount_namespace(init.pid)));
        }
        others
    }

    fn has(&self, pid: Pid) -> bool {
        mount_namespace(pid).is_some_and(|namespace| self.mount_namespaces.contains(&namespace))
    }
}

fn mount_namespace(pid: Pid) -> Option<OsString> {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok().map(PathBuf::into_os_string)
}

fn root_of(pid: Pid) -> Option<(u64, u64)> {
    identity(&format!("/proc/{pid}/root"))
}

/// The start of a process in seconds since 1970, exact to a second.
fn began(pid: Pid) -> Option<i64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: i64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    /// USER_HZ is 100 on every supported architecture.
    const HZ: u64 = 100;
    Some(boot + (state::look_at(pid).ok()??.start / HZ) as i64 - 1)
}

fn identity(path: &str) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_meant_although_a_digit_of_the_record_is_wrong_or_missing() {
        let told = |pid, start| NamedProcess { pid: Some(pid), start };
        assert!(is_meant(told(7, Some(123)), 7, 123) && is_meant(told(7, None), 7, 123));
        assert!(is_meant(told(7, Some(193)), 7, 123) && is_meant(told(7, Some(12)), 7, 123));
        assert!(!is_meant(told(8, Some(123)), 7, 123) && !is_meant(told(7, Some(456)), 7, 123));
    }
}
