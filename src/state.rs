//! What is kept of a container between two commands: a directory below the state root.
//!
//! `state.json` holds facts, never the status, which is computed. It is replaced atomically. Beside it lie the copy of
//! config.json that `create` took, the gate, and a link that names the first process once more. `state` and `list` take no lock; whoever changes or removes a container holds
//! its [`Entry`], an open and locked directory, and never while a hook or the container's code runs.

mod glance;
mod witness;

pub(crate) use glance::Glance;

use crate::calendar;
use crate::cgroups;
use crate::error::{Context, Error, IoContext, Kind, Result};
use crate::json::{self, Value, readable};
use crate::process::keyring;
use crate::sys::process::{self, Pid};
use crate::sys::{self, file, socket};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The largest state.json that is read, in bytes: annotations may be long.
const LARGEST: usize = 16 << 20;

/// A process: its pid, and the time of its start in clock ticks since boot, without which a pid means nothing later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ProcessId {
    /// In the pid namespace of the runtime.
    pub pid: Pid,
    /// Field 22 of /proc/PID/stat.
    pub start: u64,
}

/// The facts about a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Of the config.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The container's first process; none until it is born.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<ProcessId>,
    /// The runtime that is about to make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creator: Option<ProcessId>,
    /// The random part of the name that init has until it executes the program.
    pub waiting_name: String,
    /// Absolute.
    pub bundle: String,
    /// The root filesystem's path on the host.
    pub rootfs: String,
    /// RFC 3339, with nanoseconds.
    pub created: String,
    /// The user id of who made it.
    pub owner: u32,
    /// The config's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where its cgroups are.
    pub cgroup: cgroups::Record,
    /// Where it is in the resctrl filesystem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resctrl: Option<cgroups::resctrl::Record>,
    /// Whether it has a session keyring of its own.
    pub keyring: bool,
    /// Its session keyring, once it is made; an older version wrote none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_keyring: Option<keyring::Made>,
    /// Whether its pid namespace is not its own, so that its processes do not die with the first one.
    #[serde(skip_serializing_if = "is_false")]
    pub shares_pids: bool,
    /// Whether CRIU made its processes, in a time namespace of theirs whose clocks go on where they stood.
    #[serde(skip_serializing_if = "is_false")]
    pub restored: bool,
    /// What a newer version wrote and this one does not know, as JSON.
    #[serde(skip)]
    pub unknown: BTreeMap<String, Vec<u8>>,
}

readable! { ProcessId { pid = "pid", start = "start" } }

readable! {
    Record {
        oci_version = "ociVersion",
        id = "id",
        init = "init",
        creator = "creator",
        waiting_name = "waitingName",
        bundle = "bundle",
        rootfs = "rootfs",
        created = "created",
        owner = "owner",
        annotations = "annotations",
        cgroup = "cgroup",
        resctrl = "resctrl",
        keyring = "keyring",
        session_keyring = "sessionKeyring",
        shares_pids = "sharesPids",
        restored = "restored",
    } others in unknown
}

fn is_false(it: &bool) -> bool {
    !*it
}

/// What a container is doing (runtime.md, "State").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The spec's own words, and `paused`, which runc has too.
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    /// The word in outputs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// What /proc/PID/stat says.
pub(crate) struct Stat {
    /// The name, `comm`.
    pub name: String,
    /// Whether it has ended.
    pub dead: bool,
    /// When it was started, in clock ticks since boot.
    pub start: u64,
}

/// What is known of the process that has this pid now.
pub(crate) fn look_at(pid: Pid) -> Option<Stat> {
    stat_of(pid)
}

fn stat_of(pid: Pid) -> Option<Stat> {
    // What opening needs of the stack is given back before reading needs it: each page of a stack is a fault.
    #[inline(never)]
    fn open(pid: Pid) -> Option<OwnedFd> {
        file::open(format!("/proc/{pid}/stat"), libc::O_RDONLY).ok()
    }
    read_stat(open(pid)?)
}

#[inline(never)]
fn read_stat(fd: OwnedFd) -> Option<Stat> {
    let mut buffer = [0u8; 1024];
    let length = file::read(fd, &mut buffer).ok()?;
    let text = &buffer[..length];
    let (open, close) = (text.iter().position(|b| *b == b'(')?, text.iter().rposition(|b| *b == b')')?);
    let mut fields = text.get(close + 2..)?.split(|b| *b == b' ');
    let dead = matches!(fields.next()?, b"Z" | b"X" | b"x");
    // The state is field 3, the start time field 22.
    let start = std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
    Some(Stat { name: String::from_utf8_lossy(&text[open + 1..close]).into_owned(), dead, start })
}

impl ProcessId {
    /// The process that has this pid now.
    pub(crate) fn of(pid: Pid) -> Option<ProcessId> {
        stat_of(pid).map(|stat| ProcessId { pid, start: stat.start })
    }

    /// Whether it is still there and not a zombie.
    pub(crate) fn lives(self) -> bool {
        stat_of(self.pid).is_some_and(|stat| stat.start == self.start && !stat.dead)
    }

    /// Whether it is about to be gone, or is gone: it is exiting, or SIGKILL waits for it.
    pub(crate) fn is_ending(self) -> bool {
        const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);
        /// PF_EXITING and PF_SIGNALED of the kernel.
        const LEAVING: u32 = 0x4 | 0x400;
        let text = |name: &str| {
            let fd = file::open(format!("/proc/{}/{name}", self.pid), libc::O_RDONLY).ok()?;
            Some(String::from_utf8_lossy(&file::read_to_end(fd, 1 << 16).ok()?).into_owned())
        };
        // What waits first: a signal that is taken between the two looks has left its mark for the second.
        let pending = text("status").is_some_and(|status| {
            let sets = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
            sets.filter_map(|set| u64::from_str_radix(set.trim(), 16).ok()).any(|set| set & SIGKILL_BIT != 0)
        });
        let flags = text("stat").and_then(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(6)?.parse::<u32>().ok());
        pending || flags.is_some_and(|flags| flags & LEAVING != 0) || !self.lives()
    }

    /// A descriptor of this very process; None if it has ended.
    pub(crate) fn open(self) -> Result<Option<OwnedFd>> {
        let pidfd = self.open_number()?;
        // The descriptor was opened before the look: if the start time agrees now, it did then.
        Ok(pidfd.filter(|_| self.lives()))
    }

    /// A descriptor of the process that has this pid now.
    fn open_number(self) -> Result<Option<OwnedFd>> {
        match process::pidfd_open(self.pid) {
            Err(e) if e.is(libc::ESRCH) || e.is(libc::EINVAL) => Ok(None),
            other => Ok(Some(other?)),
        }
    }
}

/// Whether a killed process has given up its memory, files and namespaces, so that nothing but its number is left: the first
/// process of a pid namespace keeps that until every other one has been waited for, and those that `exec` brought in have
/// a parent outside, which may take its time.
pub(crate) fn has_left(pid: Pid) -> bool {
    std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_err_and(|e| e.raw_os_error() == Some(libc::ENOENT))
}

/// How the name of init begins while it builds the container.
const BUILDING: &str = "orlop;";
/// How it begins while init waits for the program to be executed.
pub(crate) const WAITING: &str = "orlop:";

/// What a container is doing now, but for `paused`, which only the freezer knows.
fn status_of_process(init: Option<ProcessId>, creator: Option<ProcessId>, waiting: &str) -> Status {
    let Some(init) = init else {
        let creating = creator.is_some_and(ProcessId::lives);
        return if creating { Status::Creating } else { Status::Stopped };
    };
    match stat_of(init.pid) {
        Some(stat) if stat.start == init.start && !stat.dead => match stat.name.split_at_checked(6) {
            Some((BUILDING, random)) if random == waiting => Status::Creating,
            Some((WAITING, random)) if random == waiting => Status::Created,
            // Only `restore` names both: what CRIU makes has the program's name before it is whole.
            _ if creator.is_some_and(ProcessId::lives) => Status::Creating,
            _ => Status::Running,
        },
        _ => Status::Stopped,
    }
}

fn status(
    init: Option<ProcessId>,
    creator: Option<ProcessId>,
    waiting: &str,
    frozen: impl FnOnce() -> Result<bool>,
) -> Result<Status> {
    let status = status_of_process(init, creator, waiting);
    let is_paused = matches!(status, Status::Running | Status::Created) && frozen()?;
    Ok(if is_paused { Status::Paused } else { status })
}

impl Record {
    /// What the bytes of a state.json say.
    ///
    /// # Errors
    /// They are no record, or not those that were written.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Record> {
        let record = Record::parse_changed(bytes)?;
        intact(bytes).map(|()| record)
    }

    /// What a record says that may have been changed: nothing of it is sure.
    ///
    /// # Errors
    /// They are no record.
    pub(crate) fn parse_changed(bytes: &[u8]) -> Result<Record> {
        let mut record: Record = document(bytes)?;
        record.unknown.remove("sum");
        let texts =
            [&record.oci_version, &record.id, &record.waiting_name, &record.bundle, &record.rootfs, &record.created];
        complete(texts.map(|text| &**text), [record.init, record.creator])?;
        if !record.cgroup.is_whole() {
            return Err(damaged("it does not say where a cgroup is"));
        }
        Ok(record)
    }

    fn to_json(&self) -> Result<Vec<u8>> {
        let internal = |e: serde_json::Error| Error::internal(e.to_string());
        let mut bytes = serde_json::to_vec(self).map_err(internal)?;
        for (key, value) in &self.unknown {
            // Before the brace at the end, behind the fields that there always are.
            bytes.pop();
            bytes.push(b',');
            serde_json::to_writer(&mut bytes, key).map_err(internal)?;
            bytes.push(b':');
            bytes.extend_from_slice(value);
            bytes.push(b'}');
        }
        bytes.pop();
        let sum = sum_of(&bytes);
        write!(bytes, "{SUM}{sum:016x}\"}}").map_err(|e| Error::internal(e.to_string()))?;
        Ok(bytes)
    }

    /// What the container is doing now.
    ///
    /// # Errors
    /// The freezer cannot be read.
    pub(crate) fn status(&self) -> Result<Status> {
        status(self.init, self.creator, &self.waiting_name, || self.cgroup.frozen())
    }

    /// What the container is doing now, and a descriptor of its first process where that has not ended.
    ///
    /// # Errors
    /// The freezer cannot be read.
    pub(crate) fn status_and_init(&self) -> Result<(Status, Option<OwnedFd>)> {
        let pidfd = self.init.map(ProcessId::open_number).transpose()?.flatten();
        // The look that comes after the opening tells whose descriptor it is.
        let status = self.status()?;
        Ok((status, pidfd.filter(|_| status != Status::Stopped)))
    }

    /// Its cgroup.
    pub(crate) fn cgroup(&self) -> cgroups::Cgroup {
        cgroups::Cgroup::open(self.cgroup.clone())
    }
}

/// The state root: where the containers of one kind of caller are kept.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// The store at `root`, which need not exist yet.
    pub(crate) fn at(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    /// The directory of a container.
    pub(crate) fn directory(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// Its state.json.
    pub(crate) fn file(&self, id: &str) -> PathBuf {
        self.directory(id).join("state.json")
    }

    /// Makes the directory of a new container, locked.
    ///
    /// # Errors
    /// `container with given ID already exists`.
    pub(crate) fn create(&self, id: &str) -> Result<Entry> {
        let path = self.directory(id);
        let make =
            |path: &Path, recursive: bool| std::fs::DirBuilder::new().mode(0o711).recursive(recursive).create(path);
        let mut made = make(&path, false);
        if made.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound) {
            std::fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(&self.root)
                .call(|| format!("mkdir({:?})", self.root))
                .map_err(|e| e.hint("--root names the state directory"))?;
            made = make(&path, false);
        }
        match made {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::state("container with given ID already exists"));
            }
            other => other.call(|| format!("mkdir({path:?})"))?,
        }
        Entry::open(path)
    }

    /// The directory of a container, locked; `container does not exist` if there is none.
    pub(crate) fn open(&self, id: &str) -> Result<Entry> {
        Entry::open(self.directory(id))
    }

    /// What is known of a container.
    ///
    /// # Errors
    /// `container does not exist`; a state.json that cannot be read.
    pub(crate) fn read(&self, id: &str) -> Result<Record> {
        let path = self.file(id);
        Record::parse(&read_state(&path)?).with(|| format!("{path:?}"))
    }

    /// The copy of config.json that `create` took.
    pub(crate) fn config(&self, id: &str) -> Result<Vec<u8>> {
        let path = self.directory(id).join("config.json");
        let fd = file::open(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_NONBLOCK)?;
        Ok(file::read_to_end(fd, crate::container::LARGEST_CONFIG)?)
    }

    /// The names of all directories in it, in order.
    ///
    /// # Errors
    /// The directory cannot be read. If there is none, there are no names.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        let root = match file::open(self.root.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY) {
            Err(e) if e.is(libc::ENOENT) => return Ok(Vec::new()),
            other => other?,
        };
        let names = sys::fs::directories(root)?;
        let mut ids: Vec<String> = names.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}

fn read_state(path: &Path) -> Result<Vec<u8>> {
    match file::open(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_NONBLOCK) {
        Ok(fd) => Ok(file::read_regular(fd, LARGEST)?),
        Err(e) if e.is(libc::ENOENT) && path.parent().is_some_and(Path::is_dir) => Err(without_record()),
        Err(e) if e.is(libc::ENOENT) || e.is(libc::ENOTDIR) => Err(absent()),
        Err(e) => Err(e.into()),
    }
}

fn absent() -> Error {
    Error::new(Kind::NotFound, "container does not exist")
}

/// Of a container that is being made, or whose record was removed.
pub(crate) fn without_record() -> Error {
    absent().hint("its directory has no state.json: it is being made, or `delete --force` removes what is left of it")
}

fn document<'a, T: Value<'a> + Default>(bytes: &'a [u8]) -> Result<T> {
    json::document(bytes).map_err(|fault| damaged(format_args!("{}: {}", fault.place(bytes), fault.problem())))
}

/// The last field of a record, up to its value.
const SUM: &str = ",\"sum\":\"";
/// The field's length, with its value of 16 digits and the brace behind.
const SUM_LENGTH: usize = SUM.len() + 16 + 2;

/// FNV-1a: a broken disk or a slip of an editor changes it. It keeps nobody out who may write to the state directory.
fn sum_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The bytes of a record are those that were written: its last field is a sum of what stands before. A record without one is an
/// older version's.
fn intact(bytes: &[u8]) -> Result<()> {
    let Some((text, rest)) = bytes.split_at_checked(bytes.len().saturating_sub(SUM_LENGTH)) else { return Ok(()) };
    let is_intact = match rest.strip_prefix(SUM.as_bytes()) {
        Some(sum) => sum == format!("{:016x}\"}}", sum_of(text)).as_bytes(),
        None => !bytes.windows(SUM.len()).any(|window| window == SUM.as_bytes()),
    };
    match is_intact {
        true => Ok(()),
        false => Err(damaged("its sum is not that of its text: it was changed after it was written")),
    }
}

fn damaged(what: impl Display) -> Error {
    Error::system(format!("state.json is damaged: {what}"))
}

/// Of what every record says nothing is missing, and the processes that it names are some.
fn complete(texts: [&str; 6], processes: [Option<ProcessId>; 2]) -> Result<()> {
    if texts.contains(&"") {
        return Err(damaged("it does not say what every record says"));
    }
    if processes.into_iter().flatten().any(|process| process.pid <= 0 || process.start == 0) {
        return Err(damaged("it does not say which process it means"));
    }
    Ok(())
}

/// The directory of a container, open and locked.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
    directory: OwnedFd,
}

impl Entry {
    fn open(path: PathBuf) -> Result<Entry> {
        let open = || file::open(path.as_os_str().as_bytes(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW);
        let directory = match open() {
            Err(e) if e.is(libc::ENOENT) => return Err(absent()),
            other => other?,
        };
        let entry = Entry { path, directory };
        entry.lock()?;
        Ok(entry)
    }

    /// Takes the lock again, after [`Entry::unlock`]. Others hold it for moments only.
    pub(crate) fn lock(&self) -> Result<()> {
        Ok(file::flock(&self.directory, libc::LOCK_EX)?)
    }

    /// Lets others at it while a hook or the container's code runs. It is the lock of every copy of the descriptor that goes.
    pub(crate) fn unlock(&self) -> Result<()> {
        Ok(file::flock(&self.directory, libc::LOCK_UN)?)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the record, replacing the one before at once.
    ///
    /// # Errors
    /// Also when the directory was removed meanwhile: the container was deleted.
    pub(crate) fn save(&self, record: &Record) -> Result<()> {
        self.replace("state.json", &record.to_json()?)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let new = format!(".{name}");
        self.write(&new, bytes)?;
        Ok(file::rename_at(&self.directory, &new, name)?)
    }

    /// Makes a file with these bytes, in the place of one that a killed command has left.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
        let make = || file::open_at(&self.directory, name, flags, 0o600);
        let fd = match make() {
            Err(e) if e.is(libc::EEXIST) => {
                file::unlink_at(&self.directory, name, 0)?;
                make()?
            }
            made => made?,
        };
        Ok(file::write_all(fd, bytes)?)
    }

    /// The bytes of the record, None where none was kept.
    pub(crate) fn bytes(&self) -> Result<Option<Vec<u8>>> {
        match self.read("state.json", LARGEST) {
            Err(e) if e.errno() == libc::ENOENT => Ok(None),
            read => read.map(Some),
        }
    }

    /// A file in it, of at most `limit` bytes.
    pub(crate) fn read(&self, name: &str, limit: usize) -> Result<Vec<u8>> {
        let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
        Ok(file::read_to_end(file::open_at(&self.directory, name, flags, 0)?, limit)?)
    }

    /// A name in it that fits a socket's address, however long the path is.
    pub(crate) fn socket_path(&self, name: &str) -> String {
        format!("/proc/self/fd/{}/{name}", self.directory.as_raw_fd())
    }

    /// Makes the gate: a listening socket that its owner alone may connect to.
    pub(crate) fn make_gate(&self) -> Result<OwnedFd> {
        let gate = socket::unix(libc::SOCK_SEQPACKET)?;
        // `bind` takes the mode from the socket.
        sys::fs::chmod(&gate, 0o600)?;
        socket::bind(&gate, self.socket_path("gate"))?;
        socket::listen(&gate, 8)?;
        Ok(gate)
    }

    /// Connects to the gate; ECONNREFUSED or ENOENT where nobody waits.
    pub(crate) fn knock(&self) -> sys::Result<OwnedFd> {
        let connection = socket::unix(libc::SOCK_SEQPACKET)?;
        socket::connect(&connection, self.socket_path("gate"))?;
        Ok(connection)
    }

    /// Removes the directory and all in it, unless it is not the one at its path any more.
    pub(crate) fn remove(&self) -> Result<()> {
        let here = sys::namespace::identity(&self.directory)?;
        let there = file::open(self.path.as_os_str().as_bytes(), libc::O_PATH | libc::O_NOFOLLOW);
        if there.and_then(sys::namespace::identity).is_ok_and(|there| there == here) {
            let unlink = |name: &str| file::unlink_at(&self.directory, name, 0).is_ok();
            // The record goes last: whoever finds what a killed removal has left still knows whose it was.
            let _ = ["config.json", witness::NAME, "state.json"].map(unlink);
            let mut removed = std::fs::remove_dir(&self.path);
            let more = removed.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::DirectoryNotEmpty);
            if more && ["gate", ".state.json"].map(unlink).contains(&true) {
                removed = std::fs::remove_dir(&self.path);
            }
            match removed {
                Err(e) if e.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                    std::fs::remove_dir_all(&self.path).call(|| format!("remove {:?}", self.path))?;
                }
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                other => other.call(|| format!("rmdir({:?})", self.path))?,
            }
        }
        Ok(())
    }
}

/// The time now, RFC 3339 in UTC with nanoseconds, as Go prints it.
pub(crate) fn now() -> String {
    let time = calendar::now();
    format!("{}.{:09}Z", calendar::utc(time), time.subsec_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_what_it_does_not_know() {
        let json = r#"{"ociVersion":"1.3.0","id":"x","waitingName":"w","bundle":"/b","rootfs":"/r","created":"t","owner":0,"cgroup":{"branches":[]},"newer": [1], "a \"b\"" :{"c": null } }"#;
        let record = Record::parse(json.as_bytes()).unwrap();
        assert_eq!(
            record.unknown,
            BTreeMap::from([("newer".into(), b"[1]".into()), ("a \"b\"".into(), b"{\"c\": null }".into())])
        );
        let written = record.to_json().unwrap();
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&written).unwrap()["a \"b\""],
            serde_json::json!({"c": null})
        );
        assert_eq!(Record::parse(&written).unwrap(), record);
    }

    #[test]
    fn a_glance_shows_what_the_record_says() {
        let me = ProcessId::of(process::pid()).unwrap();
        let cgroups = [
            r#"{}"#,
            r#"{"path":"/orlop-gone \"x\"","hierarchies":["cpu,cpuacct","freezer",""]}"#,
            r#"{"path":"/orlop-gone","hierarchies":[""]}"#,
            r#"{"branches":[{"controllers":["freezer"],"mount":"/sys/fs/cgroup/freezer","path":"/orlop-gone"}]}"#,
        ];
        for (cgroup, start) in cgroups.into_iter().flat_map(|cgroup| [(cgroup, me.start), (cgroup, me.start + 1)]) {
            let pid = me.pid;
            let json = format!(
                r#"{{"ociVersion":"1.3.0","id":"x","init":{{"pid":{pid},"start":{start}}},"waitingName":"w",
                    "bundle":"/b \"q\" \u00e9","rootfs":"/r","created":"t","owner":7,"annotations":{{"a\n":"b"}},
                    "cgroup":{cgroup},"newer":[1]}}"#
            );
            let (record, glance) = (Record::parse(json.as_bytes()).unwrap(), Glance::parse(json.as_bytes()).unwrap());
            assert_eq!(glance.status().unwrap(), record.status().unwrap(), "{cgroup}");
            assert_eq!(record.status().unwrap() == Status::Stopped, start != me.start);
            assert_eq!(glance.init, record.init);
            let texts = [&glance.oci_version, &glance.id, &glance.bundle, &glance.rootfs, &glance.created];
            let kept = [&record.oci_version, &record.id, &record.bundle, &record.rootfs, &record.created];
            assert!(texts.into_iter().eq(kept.into_iter().map(|text| &text[..])), "{glance:?}");
            let kept: Vec<_> =
                record.annotations.iter().map(|(key, value)| (key[..].into(), value[..].into())).collect();
            assert_eq!((glance.owner, glance.annotations), (record.owner, kept));
        }
        assert!(Glance::parse(b"{").unwrap_err().to_string().contains("state.json is damaged"));
    }

    /// Three changes of every byte, and every length: what is not seen must mean the same.
    #[test]
    fn a_record_that_was_cut_off_or_changed_is_no_record() {
        let record = Record {
            oci_version: "1.3.0".into(),
            id: "web".into(),
            init: Some(ProcessId { pid: 1234, start: 98_765 }),
            waiting_name: "abcdefghi".into(),
            bundle: "/srv/web".into(),
            rootfs: "/srv/web/rootfs".into(),
            created: now(),
            annotations: BTreeMap::from([("a".into(), "b".into())]),
            ..Record::default()
        };
        let bytes = record.to_json().unwrap();
        assert_eq!(Record::parse(&bytes).unwrap(), record);
        for at in 0..bytes.len() {
            assert!(Record::parse(&bytes[..at]).is_err() && Glance::parse(&bytes[..at]).is_err(), "cut at {at}");
            for change in [bytes[at] ^ 1, bytes[at] ^ 4, bytes[at] ^ 32, 0, b' '] {
                let mut changed = bytes.clone();
                changed[at] = change;
                // The name of the sum itself: then there is none.
                let same = |found: Record| Record { unknown: BTreeMap::new(), ..found } == record;
                assert!(Record::parse(&changed).map_or(true, same), "byte {at} is {change}");
                let same = |glance: Glance<'_>| glance.init == record.init && glance.id == record.id;
                assert!(Glance::parse(&changed).map_or(true, same), "byte {at} is {change}");
            }
        }
    }

    #[test]
    fn a_record_that_does_not_say_what_it_means_is_damaged() {
        let whole = |init: &str, cgroup: &str| {
            format!(
                r#"{{"ociVersion":"1.3.0","id":"x","init":{init},"waitingName":"w","bundle":"/b","rootfs":"/r","created":"t",
                    "owner":0,"cgroup":{cgroup}}}"#
            )
        };
        let process = r#"{"pid":7,"start":9}"#;
        assert!(Record::parse(whole(process, r#"{"path":"/x","hierarchies":["cpu"]}"#).as_bytes()).is_ok());
        for init in ["{}", r#"{"pid":7}"#, r#"{"pid":-1,"start":9}"#] {
            assert!(Record::parse(whole(init, "{}").as_bytes()).is_err(), "{init}");
            assert!(Glance::parse(whole(init, "{}").as_bytes()).is_err(), "{init}");
        }
        for cgroup in
            [r#"{"hierarchies":["cpu"]}"#, r#"{"branches":[{"mount":"/m"}]}"#, r#"{"branches":[{"path":"/x"}]}"#]
        {
            assert!(Record::parse(whole(process, cgroup).as_bytes()).is_err(), "{cgroup}");
        }
        for missing in ["ociVersion", "id", "waitingName", "bundle", "rootfs", "created"] {
            let json = whole(process, "{}").replace(missing, "other");
            assert!(Record::parse(json.as_bytes()).is_err() && Glance::parse(json.as_bytes()).is_err(), "{missing}");
        }
    }

    #[test]
    fn a_process_is_itself_and_not_another_with_its_pid() {
        let me = ProcessId::of(process::pid()).unwrap();
        assert!(me.lives());
        assert!(!ProcessId { start: me.start + 1, ..me }.lives());
        assert!(me.open().unwrap().is_some());
    }
}
