//! `delete --force` of a container whose record cannot be trusted: its processes are looked for by all that is still known, and
//! the container is forgotten only when none lives.

use super::clues::{Clues, Told};
use super::request::ContainerId;
use crate::cgroups::{self, Cgroup};
use crate::error::{Error, Result};
use crate::mountinfo;
use crate::state::{self, Entry, ProcessId, Record, Store};
use crate::sys::process::{self, Pid};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How many processes a message names.
const NAMED: usize = 8;

/// How long processes that were killed may take to end.
const ENDING: Duration = Duration::from_secs(2);

/// What may be left of a container.
pub(super) struct Remains {
    id: String,
    clues: Clues,
    /// The root filesystem's device and inode.
    root: Option<(u64, u64)>,
    own_root: Option<(u64, u64)>,
    others: Others,
    /// Whether there was a cgroup that was the container's.
    had_cgroup: bool,
}

/// The other containers of the same state root.
#[derive(Default)]
struct Others {
    mount_namespaces: BTreeSet<PathBuf>,
    cgroups: BTreeSet<String>,
}

impl Remains {
    /// Looks at what is in the container's directory, and at the containers beside it.
    pub(super) fn of(store: &Store, entry: &Entry, id: &ContainerId) -> Remains {
        let clues = Clues::gather(entry, id.as_str());
        let root = clues.rootfs.as_ref().and_then(|path| identity(path));
        Remains {
            root,
            clues,
            own_root: identity("/"),
            others: Others::read(store, id),
            id: id.to_string(),
            had_cgroup: false,
        }
    }

    /// Kills what is in the cgroups that the container must have, and removes them: those that the record names, if it can be read,
    /// and those that its config asks for. A cgroup that another container's record names is let alone, as is all of another runtime's.
    ///
    /// # Errors
    /// A cgroup that cannot be removed.
    pub(super) fn end(&mut self, record: Option<&Record>) -> Result<()> {
        let mut cgroups: Vec<Cgroup> = record.iter().map(|record| record.cgroup()).collect();
        if let (Some(path), None) = (&self.clues.asked, self.clues.writer.foreign()) {
            cgroups.extend(cgroups::expected(path.as_deref(), &self.id).unwrap_or_default());
        }
        // A process that is not in it is not the container's, whatever its root is called and whenever it was started.
        self.had_cgroup = cgroups.iter().any(Cgroup::exists);
        let is_own =
            |cgroup: &Cgroup| cgroup.branches().iter().all(|branch| !self.others.cgroups.contains(&branch.path));
        cgroups.iter().filter(|cgroup| is_own(cgroup)).try_for_each(Cgroup::remove)
    }

    /// Refuses to forget the container while something of it may live.
    ///
    /// # Errors
    /// There are processes that may be the container's: they are named, with the reason.
    pub(super) fn refuse_living(&self, why: &str) -> Result<()> {
        let deadline = Instant::now() + ENDING;
        let living = loop {
            let living = self.living();
            if living.is_empty() {
                return Ok(());
            }
            // Those that were killed just now have left their cgroup, but have not ended yet.
            let ending = |(pid, _): &(Pid, String)| ProcessId::of(*pid).is_none_or(ProcessId::is_ending);
            if !living.iter().all(ending) || Instant::now() >= deadline {
                break living;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let named: Vec<String> =
            living.iter().take(NAMED).map(|(pid, evidence)| format!("{pid} ({evidence})")).collect();
        let more = if living.len() > NAMED { format!(" and {} more", living.len() - NAMED) } else { String::new() };
        let text =
            format!("cannot delete container {}: {why}, and processes of it live: {}{more}", self.id, named.join(", "));
        Err(Error::state(text).hint(match self.clues.writer.foreign() {
            Some(runtime) => format!("delete it with {runtime}"),
            None => "end these processes if they are the container's (kill -KILL PID), and delete it again".to_owned(),
        }))
    }

    /// Who wrote the record, if it was another runtime.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        self.clues.writer.foreign()
    }

    /// The processes that may be the container's, with the reason.
    fn living(&self) -> Vec<(Pid, String)> {
        let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<Pid>().ok());
        let mut found: Vec<(Pid, String)> = pids
            .filter(|pid| *pid != process::pid())
            .filter_map(|pid| self.evidence(pid).map(|evidence| (pid, evidence)))
            .collect();
        found.sort_unstable();
        found
    }

    /// What makes a process one of the container's.
    fn evidence(&self, pid: Pid) -> Option<String> {
        let seen = state::look_at(pid).filter(|seen| !seen.dead && !state::has_left(pid))?;
        let waits = |name: &String| seen.name.strip_prefix("orlop").and_then(|rest| rest.get(1..)) == Some(&**name);
        if self.clues.waiting_name.as_ref().is_some_and(waits) {
            return Some("it waits for start".into());
        }
        if self.clues.processes.iter().any(|told| is_meant(*told, pid, seen.start)) {
            return Some("the record names it".into());
        }
        if let Some(path) = self.cgroup_of(pid) {
            return Some(format!("cgroup {path}"));
        }
        if self.others.has(pid) {
            return None;
        }
        let root = identity(&format!("/proc/{pid}/root")).filter(|root| Some(*root) != self.own_root)?;
        match (self.root, &self.clues.rootfs) {
            (Some(known), Some(path)) => (root == known).then(|| format!("root filesystem {path}")),
            _ if self.had_cgroup => None,
            _ if self.clues.processes.iter().any(|told| told.start == Some(seen.start)) => {
                Some("started when the record says".into())
            }
            _ => self.tail_of_root(pid),
        }
    }

    /// The cgroup of a process, if it is the container's and no other one's.
    fn cgroup_of(&self, pid: Pid) -> Option<String> {
        let text = std::fs::read(format!("/proc/{pid}/cgroup")).ok()?;
        let members = cgroups::membership::Membership::parse_all(&String::from_utf8_lossy(&text));
        let is_others = |path: &str| self.others.cgroups.iter().any(|other| path.starts_with(&**other));
        members.into_iter().map(|member| member.path).find(|path| self.clues.is_in_cgroup(path) && !is_others(path))
    }

    /// Where only the end of the root filesystem's path is known: whether that of a process ends so.
    fn tail_of_root(&self, pid: Pid) -> Option<String> {
        let tail = self.clues.root_tail.as_ref().filter(|tail| !tail.is_empty())?;
        let table = mountinfo::table(&pid.to_string()).ok()?;
        let root = mountinfo::mounts(&table).rfind(|mount| mount.point() == b"/")?.root();
        root.ends_with(format!("/{tail}").as_bytes()).then(|| format!("root filesystem .../{tail}"))
    }
}

/// Whether a record that may be damaged means a process: by its pid and its start, of which one digit may be wrong.
fn is_meant(told: Told, pid: Pid, start: u64) -> bool {
    let is_pid = told.pid.is_some_and(|told| told == u64::from(pid.unsigned_abs()));
    is_pid && told.start.is_none_or(|told| resembles(&told.to_string(), &start.to_string()))
}

/// Whether a number was cut off, or has at most one wrong digit.
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
            let Ok(record) = store.read(other) else { continue };
            others.cgroups.extend(record.cgroup.branches.iter().map(|branch| branch.path.clone()));
            let init = record.init.filter(|init| init.lives());
            others.mount_namespaces.extend(init.and_then(|init| mount_namespace(init.pid)));
        }
        others
    }

    fn has(&self, pid: Pid) -> bool {
        mount_namespace(pid).is_some_and(|namespace| self.mount_namespaces.contains(&namespace))
    }
}

fn mount_namespace(pid: Pid) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

fn identity(path: &str) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_meant_although_a_digit_of_the_record_is_wrong_or_missing() {
        let told = |pid, start| Told { pid: Some(pid), start };
        assert!(is_meant(told(7, Some(123)), 7, 123) && is_meant(told(7, None), 7, 123));
        assert!(is_meant(told(7, Some(193)), 7, 123) && is_meant(told(7, Some(12)), 7, 123));
        assert!(!is_meant(told(8, Some(123)), 7, 123) && !is_meant(told(7, Some(456)), 7, 123));
    }
}
