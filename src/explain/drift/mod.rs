//! The differences between a container's plan and the kernel.

mod cgroups;
mod credentials;
mod mounts;

use super::Drift;
use crate::container::parts::Parts;
use crate::error::Result;
use crate::idmap::IdMap;
use crate::namespaces::{NamespaceKind, Place, is_elsewhere};
use crate::state::{Record, Status};
use std::os::unix::fs::MetadataExt;

/// A container that is compared with its plan.
struct Comparison<'a> {
    parts: &'a Parts,
    record: &'a Record,
    /// Its first process.
    pid: i32,
    /// Whether the program has not run yet, so that it cannot have changed anything by itself.
    is_created: bool,
    found: Vec<Drift>,
}

/// Every difference; none if the container's first process has ended, or ends meanwhile.
pub(super) fn all(parts: &Parts, record: &Record) -> Result<Option<Vec<Drift>>> {
    let (status, init) = record.status_and_init()?;
    let (Some(init), true) = (record.init, init.is_some() && status != Status::Creating) else { return Ok(None) };
    let is_created = status == Status::Created;
    let mut comparison = Comparison { parts, record, pid: init.pid, is_created, found: Vec::new() };
    comparison.namespaces();
    comparison.id_maps();
    comparison.cgroups()?;
    comparison.mounts()?;
    comparison.credentials()?;
    comparison.limits();
    // Files of a process that ends meanwhile say nothing, and its number may be another's by now.
    Ok(if record.status()? == Status::Stopped { None } else { Some(comparison.found) })
}

impl Comparison<'_> {
    fn add(
        &mut self,
        section: &'static str,
        subject: impl Into<String>,
        planned: impl Into<String>,
        found: impl Into<String>,
    ) {
        let (subject, planned, found) = (subject.into(), planned.into(), found.into());
        self.found.push(Drift { section, subject, planned, found });
    }

    /// The content of a file in /proc/PID; empty if it cannot be read.
    fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.pid)).unwrap_or_default()
    }

    fn has_user_namespace(&self) -> bool {
        self.parts.plan.namespaces.has(NamespaceKind::User)
    }

    fn namespaces(&mut self) {
        let all = &self.parts.plan.namespaces;
        // A restored process has a time namespace of its own, with the clocks of the checkpoint.
        for kind in
            NamespaceKind::ALL.into_iter().filter(|kind| !(self.record.restored && *kind == NamespaceKind::Time))
        {
            let Ok(is_own) = is_elsewhere(self.pid, kind) else { continue };
            match all.place(kind).clone() {
                Place::New if !is_own => self.add("namespaces", kind.word(), "new", "the host's"),
                Place::Runtime if is_own => self.add("namespaces", kind.word(), "the host's", "another one"),
                Place::Join(path) if self.is_other(kind, &path) => {
                    self.add("namespaces", kind.word(), format!("joined: {path}"), "another one");
                }
                _ => {}
            }
        }
    }

    /// Whether the process is in another namespace than that at `path`; not where the path is gone.
    fn is_other(&self, kind: NamespaceKind, path: &str) -> bool {
        let identity = |path: &str| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        let (at_path, own) = (identity(path), identity(&format!("/proc/{}/ns/{}", self.pid, kind.file())));
        at_path.zip(own).is_some_and(|(one, other)| one != other)
    }

    fn id_maps(&mut self) {
        let Some(ids) = &self.parts.plan.namespaces.ids else { return };
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let maps: [(&str, &str, &IdMap); 2] = [("user ids", "uid_map", &ids.uids), ("group ids", "gid_map", &ids.gids)];
        for (subject, file, map) in maps {
            let (planned, found) = (words(&map.text()), words(&self.proc_file(file)));
            let by_first = |list: &[String]| {
                let mut ranges: Vec<Vec<String>> = list.chunks(3).map(<[String]>::to_vec).collect();
                ranges.sort();
                ranges
            };
            if by_first(&planned) != by_first(&found) {
                self.add("namespaces", subject, planned.join(" "), found.join(" "));
            }
        }
    }
}
