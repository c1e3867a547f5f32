//! Containers that runc or crun created below the same state root: their records, read as ours.
//!
//! runc writes `state.json` (its libcontainer state), crun a file `status`. Neither is ever
//! rewritten. Unknown fields of later versions are ignored. The first process and the cgroups are
//! compared with each other: a record in which they disagree is an error, because every command
//! would act on a stranger.

use super::process::{ProcessId, look_at};
use super::record::Record;
use crate::cgroups::{self, CgroupRecord};
use crate::error::{Context, Error, Result};
use crate::json::{self, readable};
use crate::sys::file;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The fifo at which an init process of either runtime waits for `start`.
pub(crate) const FIFO: &str = "exec.fifo";

/// The other runtime that wrote a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// Its name.
    pub runtime: &'static str,
    /// The fifo of a container that waits for `start`.
    fifo: PathBuf,
}

impl Foreign {
    /// Whether the container waits for `start`.
    pub(super) fn waits(&self) -> bool {
        self.fifo.exists()
    }
}

readable! {
    /// The fields of both runtimes' records that matter here.
    #[derive(Default)]
    struct Written {
        // Both.
        created: Option<String> = "created",
        // runc's state.json.
        init_process_pid: i32 = "init_process_pid",
        init_process_start: u64 = "init_process_start",
        cgroup_paths: json::Map<String> = "cgroup_paths",
        config: Config = "config",
        // crun's status.
        pid: i32 = "pid",
        start: u64 = "process-start-time",
        cgroup_path: Option<String> = "cgroup-path",
        scope: Option<String> = "scope",
        rootfs: Option<String> = "rootfs",
        bundle: Option<String> = "bundle",
        // Fields of our own records, which are never taken for another runtime's.
        waiting_name: Option<String> = "waitingName",
        sum: Option<String> = "sum",
    }

    /// runc's configuration of the container.
    #[derive(Default)]
    struct Config {
        version: Option<String> = "version",
        rootfs: Option<String> = "rootfs",
        labels: Option<Vec<String>> = "labels",
        namespaces: Option<Vec<Namespace>> = "namespaces",
        cgroups: Option<Cgroups> = "cgroups",
    }

    #[derive(Default)]
    struct Namespace {
        kind: Option<String> = "type",
        path: Option<String> = "path",
    }

    #[derive(Default)]
    struct Cgroups {
        name: Option<String> = "name",
        path: Option<String> = "path",
        scope_prefix: Option<String> = "scope_prefix",
        systemd: bool = "Systemd",
    }

    /// The fields of crun's copy of config.json that matter here.
    #[derive(Default)]
    struct Spec {
        version: Option<String> = "ociVersion",
        annotations: json::Map<String> = "annotations",
        linux: Linux = "linux",
    }

    #[derive(Default)]
    struct Linux {
        namespaces: Option<Vec<Namespace>> = "namespaces",
        cgroups_path: Option<String> = "cgroupsPath",
    }
}

fn lacks(field: &str) -> Error {
    Error::system(format!("the field {field:?} is missing"))
}

/// Whether a new namespace of this kind was made for the container.
fn has_own(namespaces: &[Namespace], kind: &str) -> bool {
    let is_new = |one: &Namespace| one.path.as_ref().is_none_or(String::is_empty);
    namespaces.iter().any(|one| one.kind.as_deref() == Some(kind) && is_new(one))
}

const FLAGS: i32 = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// The name of crun's record.
pub(super) const STATUS: &str = "status";

/// The record of another runtime; `None` if the text is none of runc's or crun's.
///
/// # Errors
/// It lacks a field, or its first process is not in its cgroups.
pub(super) fn read(bytes: &[u8], directory: &Path) -> Result<Option<Record>> {
    let Ok(written) = json::document::<Written>(bytes) else { return Ok(None) };
    if written.waiting_name.is_some() || written.sum.is_some() {
        return Ok(None);
    }
    let runtime = match (&written.cgroup_path, &written.bundle) {
        _ if written.init_process_pid > 0 => "runc",
        (Some(_), Some(_)) if written.pid > 0 => "crun",
        _ => return Ok(None),
    };
    // The directory has the id as its name; a changed field would give it another one.
    let id = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let record = || -> Result<Record> {
        let mut record = if runtime == "runc" { written.of_runc(id)? } else { written.of_crun(id, directory)? };
        record.id = id.to_owned();
        record.created = written.created.clone().ok_or_else(|| lacks("created"))?;
        // runc records no owner; the directory belongs to the creator.
        record.owner = std::fs::metadata(directory).map_or(0, |found| found.uid());
        record.foreign = Some(Foreign { runtime, fifo: directory.join(FIFO) });
        Ok(record)
    };
    record().map(Some).with_context(|| format!("the state that {runtime} wrote"))
}

impl Written {
    fn of_runc(&self, id: &str) -> Result<Record> {
        let config = &self.config;
        let labels = config.labels.iter().flatten().filter_map(|label| label.split_once('='));
        let mut annotations: json::Map<String> =
            labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let bundle = annotations.remove("bundle").ok_or_else(|| lacks("config.labels"))?;
        let namespaces = config.namespaces.as_ref().ok_or_else(|| lacks("config.namespaces"))?;
        let init = ProcessId { pid: self.init_process_pid, start: self.init_process_start };
        let cgroups = cgroups::of_directories(&self.cgroup_paths)?;
        let unit = config.cgroups.as_ref().filter(|cgroups| cgroups.systemd).and_then(Cgroups::unit);
        let own = config.cgroups.as_ref().map(|cgroups| [&cgroups.name, &cgroups.path]);
        let names = Names::of(id, own.into_iter().flatten().flatten(), unit.as_ref());
        let record = Record {
            oci_version: config.version.clone().unwrap_or_else(|| "1.0.0".into()),
            init: Some(init),
            bundle,
            rootfs: config.rootfs.clone().ok_or_else(|| lacks("config.rootfs"))?,
            annotations,
            cgroup: CgroupRecord { cgroups, unit: unit.map(cgroups::systemd::Unit::of_caller) },
            keyring: true,
            shares_pids: !has_own(namespaces, "NEWPID"),
            ..Record::default()
        };
        agree(&record, init, &names)?;
        Ok(record)
    }

    fn of_crun(&self, id: &str, directory: &Path) -> Result<Record> {
        let mut init = ProcessId { pid: self.pid, start: self.start };
        let path = self.cgroup_path.as_deref().unwrap_or_default();
        let cgroups = cgroups::at_path(path)?;
        if cgroups.is_empty() && path.len() > 1 && init.lives() {
            return Err(Error::system(format!("the cgroup {path:?} does not exist, and process {} lives", init.pid)));
        }
        if init.start == 0 {
            // crun before 1.0 recorded no start time: the cgroup alone identifies the process.
            init.start = ProcessId::of(self.pid)?.map_or(1, |found| found.start);
        }
        let unit = self.scope.clone().filter(|name| !name.is_empty());
        let bundle = self.bundle.clone().ok_or_else(|| lacks("bundle"))?;
        let rootfs = self.rootfs.as_ref().ok_or_else(|| lacks("rootfs"))?;
        let bytes = file::open(directory.join("config.json").as_os_str().as_bytes(), FLAGS)
            .and_then(|fd| file::read_to_end(fd, super::store::LARGEST));
        let bytes = bytes.context("crun's copy of config.json")?;
        let spec: Spec = json::document(&bytes).map_err(|_| lacks("linux of config.json"))?;
        let names = Names::of(id, spec.linux.cgroups_path.iter(), unit.as_ref());
        let namespaces = spec.linux.namespaces.unwrap_or_default();
        let record = Record {
            oci_version: spec.version.unwrap_or_else(|| "1.0.0".into()),
            init: Some(init),
            rootfs: Path::new(&bundle).join(rootfs).display().to_string(),
            bundle,
            annotations: spec.annotations,
            shares_pids: !has_own(&namespaces, "pid"),
            cgroup: CgroupRecord { cgroups, unit: unit.map(cgroups::systemd::Unit::of_caller) },
            keyring: true,
            ..Record::default()
        };
        agree(&record, init, &names)?;
        Ok(record)
    }
}

/// The names that the container's own cgroup may have, one of which is a component of its path.
struct Names {
    all: Vec<String>,
    unit: Option<String>,
}

impl Names {
    fn of<'a>(id: &str, paths: impl Iterator<Item = &'a String>, unit: Option<&String>) -> Names {
        let last = |path: &String| path.rsplit('/').next().map(str::to_owned);
        let mut all: Vec<String> = paths.filter_map(last).filter(|name| !name.is_empty()).collect();
        all.extend([id.to_owned(), format!("crun-{id}"), format!("runc-{id}")]);
        all.extend(unit.cloned());
        Names { all, unit: unit.cloned() }
    }

    /// Whether the path has a component of these; with a unit, the unit's name.
    fn are_in(&self, path: &str) -> bool {
        path.split('/').any(|part| match &self.unit {
            Some(unit) => part == unit,
            None => self.all.iter().any(|name| part == name),
        })
    }
}

impl Cgroups {
    /// The name that runc gives the unit.
    fn unit(&self) -> Option<String> {
        let name = self.name.as_ref().filter(|name| !name.is_empty())?;
        match self.scope_prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
            _ if name.ends_with(".slice") => Some(name.clone()),
            Some(prefix) => Some(format!("{prefix}-{name}.scope")),
            None => Some(format!("{name}.scope")),
        }
    }
}

/// Refuses a record that the kernel contradicts: its first process lives outside of its cgroups, or,
/// without any, in the mount namespace of this runtime; or a process that would have died with the
/// first one lives in a cgroup of the record. A path or unit that is another container's would cost
/// that one its processes, so its name must be the container's wherever no process proves it.
fn agree(record: &Record, init: ProcessId, names: &Names) -> Result<()> {
    let cgroups = &record.cgroup.cgroups;
    let strange = cgroups.iter().find(|cgroup| !names.are_in(&cgroup.path));
    if let (Some(cgroup), true) = (strange, !init.lives() || names.unit.is_some()) {
        let text = format!("the cgroup {} does not have the container's name", cgroup.path);
        return Err(Error::system(text).hint(DISAGREE));
    }
    if !init.lives() {
        let lives = |pid: &i32| look_at(*pid).map_or(true, |seen| seen.is_some_and(|seen| !seen.dead));
        let left = if record.shares_pids { Vec::new() } else { cgroups::processes_of_each(cgroups)? };
        return match left.into_iter().find(lives) {
            None => Ok(()),
            Some(pid) => {
                let text = format!("process {} is dead, but process {pid} lives in the container's cgroup", init.pid);
                Err(Error::system(text).hint(DISAGREE))
            }
        };
    }
    let elsewhere = match cgroups.is_empty() {
        true => namespace_of("self").filter(|own| Some(own) == namespace_of(&init.pid.to_string()).as_ref()),
        false => cgroups::outside(init.pid, cgroups, &|path| names.are_in(path))
            .unwrap_or_else(|error| Some(error.to_string())),
    };
    // A process that exits leaves its cgroups first.
    match elsewhere.filter(|_| !init.is_ending()) {
        None => Ok(()),
        Some(elsewhere) => {
            let text = format!("process {} is not in the container's cgroup, but in {elsewhere}", init.pid);
            Err(Error::system(text).hint(DISAGREE))
        }
    }
}

const DISAGREE: &str = "record and process disagree: look at the process before you end it";

fn namespace_of(pid: &str) -> Option<String> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()?;
    Some(format!("the mount namespace {}", link.display()))
}
