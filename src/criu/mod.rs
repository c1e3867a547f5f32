//! CRIU, which saves processes to images and makes them again (<https://criu.org>), driven by its own protocol: `criu swrk FD`
//! takes one request from a socket, asks back at its steps, and answers.
//!
//! CRIU is a program of the host's, found like any other; nothing of it is linked.

mod message;
mod options;
mod saved;

pub(crate) use options::Options;
pub use options::{ManageCgroups, NetworkLock};
pub(crate) use saved::{SavedMount, check_pages, mounts};

use crate::error::{Error, IoContext, Result};
use crate::log;
use crate::sys::memory::{self, MemoryFile};
use crate::sys::process::{self, Clone, Cloned, Pid, SingleThreaded};
use crate::sys::{file, socket};
use message::{Field, Message, fields, number};
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is asked (`enum criu_req_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // CRIU's own words.
pub(crate) enum Task {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    FeatureCheck = 9,
}

/// `NOTIFY` of `enum criu_req_type`.
const NOTIFY: u64 = 6;

impl Task {
    fn word(self) -> &'static str {
        match self {
            Task::Dump => "DUMP",
            Task::Restore => "RESTORE",
            Task::PreDump => "PRE_DUMP",
            Task::FeatureCheck => "FEATURE_CHECK",
        }
    }
}

/// What CRIU needs of the kernel for some of its options (`criu_features`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// The kernel notes which pages change.
    pub memory_tracking: bool,
    /// Memory can be moved when it is used.
    pub lazy_pages: bool,
}

/// A step of CRIU's, at which it waits for its caller.
#[derive(Debug)]
pub(crate) struct Step {
    /// CRIU's name of it, such as `setup-namespaces`.
    pub name: String,
    /// The first of the processes, where it is there.
    pub pid: Option<Pid>,
    /// The master of a terminal, at `orphan-pts-master`.
    pub master: Option<OwnedFd>,
}

/// The program's place: a path as it is, a name in `$PATH`.
///
/// # Errors
/// There is none.
pub(crate) fn find(program: &Path) -> Result<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return std::path::absolute(program).call(|| format!("absolute path of {program:?}"));
    }
    let executes = |path: &PathBuf| path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let path = search_path();
    let found = std::env::split_paths(&path).map(|directory| directory.join(program)).find(executes);
    found.ok_or_else(|| {
        let text = format!("CRIU version check failed: exec: {program:?}: executable file not found in $PATH");
        Error::system(text)
            .hint("checkpoint and restore need CRIU (https://criu.org): install it, or name it with --criu")
    })
}

/// `$PATH`, in which CRIU itself looks for its tools; engines do not always give one.
fn search_path() -> OsString {
    const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    std::env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| USUAL.into())
}

/// How CRIU is started.
pub(crate) struct Start<'a> {
    /// The program.
    pub program: &'a Path,
    /// CLONE_NEW* flags of its process.
    pub flags: u64,
    /// The v2 cgroup that it is born in, if not the caller's.
    pub into_cgroup: Option<BorrowedFd<'a>>,
    /// What its process does before it executes the program. It gives descriptors that CRIU has as [`inherited`]`(0)`, and so on:
    /// a directory that was opened in another mount namespace is none in which CRIU could mount anything.
    pub prepare: &'a dyn Fn() -> Result<Vec<OwnedFd>>,
    /// More descriptors for CRIU, with the next numbers.
    pub inherited: &'a [BorrowedFd<'a>],
}

/// How long CRIU's next word is waited for before it is looked who has ended, in milliseconds.
const LOOK: i32 = 1000;

/// How long CRIU may take to see that the process which it restores was killed, and to end, in milliseconds.
const PATIENCE: i32 = 5000;

/// How many of CRIU's complaints are in an error.
const MOST: usize = 3;

/// The number of CRIU's end of the socket.
const SOCKET: RawFd = 3;

/// The number in CRIU of a descriptor of [`Start::prepare`] or [`Start::inherited`].
pub(crate) fn inherited(index: usize) -> RawFd {
    SOCKET + 1 + index as RawFd
}

/// A running CRIU.
#[derive(Debug)]
pub(crate) struct Criu {
    socket: OwnedFd,
    pid: Pid,
    pidfd: OwnedFd,
    family: Family,
    /// The first of the processes that are restored, once CRIU has named it.
    first: Option<OwnedFd>,
    restores: bool,
    /// What it wrote to standard error.
    said: OwnedFd,
}

impl Criu {
    /// Starts it.
    ///
    /// # Errors
    /// A process cannot be made. That the program cannot be executed is an error of [`Criu::ask`].
    pub(crate) fn start(start: &Start<'_>, proof: &SingleThreaded) -> Result<Criu> {
        let (first, last) = socket::pair(libc::SOCK_SEQPACKET)?;
        let said = memory::memfd("orlop-criu", MemoryFile::Data)?;
        let family = Family::gather()?;
        match process::clone3(proof, &Clone { flags: start.flags, into_cgroup: start.into_cgroup })? {
            Cloned::Parent(pid, pidfd) => {
                drop(last);
                Ok(Criu { socket: first, pid, pidfd, family, first: None, restores: false, said })
            }
            Cloned::Child => {
                drop(first);
                let error = execute(start, &last, &said);
                let _ = file::write_all(&said, error.to_string().as_bytes());
                process::exit_now(127)
            }
        }
    }

    /// Asks for `task`, and has `watch` do what is the caller's at each step: the process that was restored, if one was.
    ///
    /// # Errors
    /// The first error of `watch`; CRIU has undone what it did then. Or CRIU's own, with what its log, `log`, says.
    pub(crate) fn ask(
        self,
        task: Task,
        options: &Options,
        log: &Path,
        watch: &mut dyn FnMut(Step) -> Result<()>,
    ) -> Result<Option<Pid>> {
        // One of an earlier run would be taken for this one's, if CRIU comes to no log.
        let _ = std::fs::remove_file(log);
        let is_stale = log.exists();
        let mut request = Message::default();
        request.number(1, task as u64);
        request.message(2, options.message());
        let (answer, said) = self.converse(task, &request, watch)?;
        if answer.success {
            return Ok(answer.restored);
        }
        let has_log = !is_stale && log.exists();
        let mut causes = if has_log { complaints(log) } else { Vec::new() };
        if causes.is_empty() {
            causes.extend(complaint(&answer.text).map(str::to_owned));
        }
        if causes.is_empty() {
            // What it says before it has a log.
            causes.extend(said.lines().filter_map(complaint).take(MOST).map(str::to_owned));
        }
        if causes.is_empty() {
            causes.extend(said.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned));
        }
        let unknown = causes.iter().any(|cause| cause.starts_with("Can't lookup mount"));
        let cause = if causes.is_empty() { String::new() } else { format!(": {}", causes.join("; ")) };
        let (task, errno) = (task.word(), answer.errno);
        let place = if has_log { format!(", log file: {}", log.display()) } else { String::new() };
        let error = Error::system(format!("criu failed: type {task} errno {errno}{cause}{place}"));
        Err(match (unknown, has_log) {
            (true, _) => error.hint("that file is in no mount of the container's; a terminal needs --shell-job"),
            (_, false) => error.hint("CRIU could not make its log: --work-path names a directory that it may write to"),
            _ => error,
        })
    }

    /// What CRIU finds of this machine.
    ///
    /// # Errors
    /// CRIU cannot say.
    pub(crate) fn features(self) -> Result<Features> {
        let mut wanted = Message::default();
        wanted.flag(1, true);
        wanted.flag(2, true);
        let mut request = Message::default();
        request.number(1, Task::FeatureCheck as u64);
        request.message(5, &wanted);
        let (answer, _) = self.converse(Task::FeatureCheck, &request, &mut |_| Ok(()))?;
        if answer.success { Ok(answer.features) } else { Err(Error::system("criu failed: type FEATURE_CHECK")) }
    }

    /// CRIU takes the numbers of descriptors for those of the process that made the socket. It makes it itself, and hands us
    /// our end: so they are its own.
    fn connect(&mut self) -> Result<()> {
        let (_, fd) = self.receive()?;
        self.socket = fd.ok_or_else(|| Error::system("it ended before it began"))?;
        Ok(())
    }

    /// The next packet, and the descriptor in it.
    fn receive(&self) -> Result<(Vec<u8>, Option<OwnedFd>)> {
        let ended = || Error::system("it ended without an answer");
        // Processes that it has made may have the socket too, and outlive it.
        let socket = (Some(self.socket.as_fd()), libc::POLLIN);
        let pidfd = (Some(self.pidfd.as_fd()), libc::POLLIN);
        let first = (self.first.as_ref().map(AsFd::as_fd), libc::POLLIN);
        let lost =
            || self.restores && self.first.is_none() && process::ended_child().is_some_and(|pid| pid != self.pid);
        let [mut ready, gone, over] = loop {
            let found = process::poll([socket, pidfd, first], LOOK)?;
            // Before CRIU has said who it is, it is a child of ours that has ended.
            if found != [0; 3] || lost() {
                break found;
            }
        };
        if (ready, gone) == (0, 0) && (over != 0 || lost()) {
            // Whoever is restored was killed. CRIU sees that at once, or waits for it for ever.
            [ready, _] = process::poll([socket, pidfd], PATIENCE)?;
            if ready == 0 {
                let _ = process::pidfd_send_signal(&self.pidfd, libc::SIGKILL);
                return Err(Error::system("the restored process was killed"));
            }
        }
        let length = match ready {
            0 => 0,
            _ => match socket::next_length(&self.socket) {
                // What it had not read when it ended makes a reset of the end.
                Err(e) if e.is(libc::ECONNRESET) => 0,
                other => other?,
            },
        };
        if length == 0 {
            return Err(ended());
        }
        let mut bytes = vec![0; length];
        let mut packet = socket::receive(&self.socket, &mut bytes)?;
        bytes.truncate(packet.length);
        Ok((bytes, packet.fds.pop()))
    }

    /// CRIU's answer, and what it wrote to standard error.
    fn converse(
        mut self,
        task: Task,
        request: &Message,
        watch: &mut dyn FnMut(Step) -> Result<()>,
    ) -> Result<(Answer, String)> {
        self.restores = task == Task::Restore;
        let mut refused = None;
        let sent = self.connect().and_then(|()| Ok(socket::send(&self.socket, &request.0, &[])?));
        let answer = sent.and_then(|()| self.listen(watch, &mut refused));
        let succeeded = answer.as_ref().is_ok_and(|answer| answer.success) && refused.is_none();
        let said = self.end(succeeded);
        if let Some(error) = refused {
            return Err(error);
        }
        match answer {
            Ok(answer) => Ok((answer, said)),
            Err(error) if said.is_empty() => Err(error.at(format!("criu failed: type {}", task.word()))),
            Err(_) => Err(Error::system(format!("criu failed: type {}: {said}", task.word()))),
        }
    }

    /// Serves CRIU's steps until it answers.
    fn listen(&mut self, watch: &mut dyn FnMut(Step) -> Result<()>, refused: &mut Option<Error>) -> Result<Answer> {
        loop {
            let (bytes, fd) = self.receive()?;
            let (answer, step) = Answer::parse(&bytes, fd)?;
            let Some(step) = step else { return Ok(answer) };
            log::debug(|| format!("criu: {}", step.name));
            if let (None, "setup-namespaces", Some(pid)) = (&self.first, step.name.as_str(), step.pid) {
                self.first = process::pidfd_open(pid).ok();
            }
            let done = if refused.is_none() { watch(step) } else { Ok(()) };
            let mut reply = Message::default();
            reply.number(1, NOTIFY);
            reply.number(3, u64::from(done.is_ok() && refused.is_none()));
            if let Err(error) = done {
                *refused = Some(error);
            }
            socket::send(&self.socket, &reply.0, &[])?;
        }
    }

    /// Waits for its end: what it wrote to standard error. Unless it has `succeeded`, nothing of what it made is left.
    fn end(self, succeeded: bool) -> String {
        let Criu { socket, pid, pidfd, family, said, .. } = self;
        // Without a socket nothing keeps it, but perhaps a process that was killed and that it waits for.
        drop(socket);
        let ended = process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], PATIENCE);
        if !matches!(ended, Ok([ready]) if ready != 0) {
            let _ = process::pidfd_send_signal(&pidfd, libc::SIGKILL);
        }
        let _ = process::wait(pid);
        if !succeeded {
            family.end_strangers();
        }
        let path = format!("/proc/self/fd/{}", said.as_raw_fd());
        let text = file::open(path, libc::O_RDONLY).and_then(|fd| file::read_to_end(fd, 1 << 20));
        String::from_utf8_lossy(&text.unwrap_or_default()).trim().to_owned()
    }
}

/// The children of this process, which adopts what loses its parent below it for as long as CRIU runs: when CRIU is killed, those
/// whom it has made would wait for it for ever.
#[derive(Debug)]
struct Family {
    before: Vec<Pid>,
    was_subreaper: bool,
}

impl Family {
    fn gather() -> Result<Family> {
        let was_subreaper = process::is_subreaper()?;
        process::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)?;
        Ok(Family { before: children(), was_subreaper })
    }

    fn end_strangers(&self) {
        loop {
            let strangers: Vec<Pid> = children().into_iter().filter(|pid| !self.before.contains(pid)).collect();
            if strangers.is_empty() {
                return;
            }
            for pid in strangers {
                let _ = process::kill(pid, libc::SIGKILL);
                let _ = process::wait(pid);
            }
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let _ = process::prctl(libc::PR_SET_CHILD_SUBREAPER, u64::from(self.was_subreaper), 0, 0, 0);
    }
}

/// This process's children (`proc_pid_task(5)`); none where the kernel does not tell.
fn children() -> Vec<Pid> {
    let list = std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// In the child, which hands its caller's end of the new socket to `caller`: comes back only on failure.
fn execute(start: &Start<'_>, caller: &OwnedFd, said: &OwnedFd) -> Error {
    let exec = || -> Result<Error> {
        let prepared = (start.prepare)()?;
        process::reset_signals();
        // When we are killed, by Ctrl-C at a terminal too, CRIU must live to undo what it has begun.
        process::lead_group()?;
        process::ignore_broken_pipes();
        let (ours, theirs) = socket::pair(libc::SOCK_SEQPACKET)?;
        socket::send(caller, b"criu", &[theirs.as_raw_fd()])?;
        let null = file::open("/dev/null", libc::O_RDWR)?;
        // Out of the way of the numbers that they are to have.
        let least = inherited(prepared.len() + start.inherited.len());
        let above = |fd: BorrowedFd<'_>| file::duplicate_above(fd, least);
        let given = prepared.iter().map(AsFd::as_fd).chain(start.inherited.iter().copied());
        let given = given.map(above).collect::<crate::sys::Result<Vec<_>>>()?;
        let (socket, said) = (above(ours.as_fd())?, above(said.as_fd())?);
        file::duplicate_to(&null, 0, false)?;
        file::duplicate_to(&null, 1, false)?;
        file::duplicate_to(&said, 2, false)?;
        file::duplicate_to(&socket, SOCKET, false)?;
        for (index, fd) in given.iter().enumerate() {
            file::duplicate_to(fd, inherited(index), false)?;
        }
        file::close_by_execute(least, &[])?;
        let program = CString::new(start.program.as_os_str().as_bytes()).map_err(|_| Error::system("a NUL byte"))?;
        let environment = environment();
        let environment: Vec<&CStr> = environment.iter().map(|entry| &**entry).collect();
        Ok(process::execute(&program, &[c"criu", c"swrk", c"3"], &environment).into())
    };
    exec().unwrap_or_else(|error| error)
}

/// This process's environment, with a `$PATH`.
fn environment() -> Vec<CString> {
    let entry = |name: &OsStr, value: &OsStr| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).unwrap_or_default()
    };
    let others = std::env::vars_os().filter(|(name, _)| name != "PATH");
    let path = (OsString::from("PATH"), search_path());
    others.chain([path]).map(|(name, value)| entry(&name, &value)).collect()
}

/// What CRIU says in the end (`criu_resp`).
#[derive(Debug, Default)]
struct Answer {
    success: bool,
    restored: Option<Pid>,
    errno: i32,
    text: String,
    features: Features,
}

impl Answer {
    /// A packet of CRIU's: its answer, or a step.
    fn parse(bytes: &[u8], master: Option<OwnedFd>) -> Result<(Answer, Option<Step>)> {
        let (mut answer, mut step, mut kind) = (Answer::default(), Step { name: String::new(), pid: None, master }, 0);
        for field in fields(bytes)? {
            match field {
                (1, Field::Number(n)) => kind = n,
                (2, Field::Number(n)) => answer.success = n != 0,
                (4, Field::Bytes(restored)) => answer.restored = number(restored, 1)?.map(|pid| pid as Pid),
                (5, Field::Bytes(notice)) => {
                    step.pid = number(notice, 2)?.map(|pid| pid as Pid);
                    for field in fields(notice)? {
                        if let (1, Field::Bytes(name)) = field {
                            step.name = String::from_utf8_lossy(name).into_owned();
                        }
                    }
                }
                (7, Field::Number(n)) => answer.errno = n as i32,
                (8, Field::Bytes(features)) => {
                    answer.features.memory_tracking = number(features, 1)? == Some(1);
                    answer.features.lazy_pages = number(features, 2)? == Some(1);
                }
                (9, Field::Bytes(text)) => answer.text = String::from_utf8_lossy(text).trim().to_owned(),
                _ => {}
            }
        }
        Ok((answer, (kind == NOTIFY).then_some(step)))
    }
}

/// The first errors in CRIU's log, without the time and the place in its sources: mostly the first is the cause, and those
/// after it say what was given up for it.
fn complaints(log: &Path) -> Vec<String> {
    let Ok(file) = std::fs::File::open(log).call(|| format!("open({log:?})")) else { return Vec::new() };
    let lines = BufReader::new(file).split(b'\n').map_while(std::io::Result::ok);
    let texts = lines.filter_map(|line| complaint(&String::from_utf8_lossy(&line)).map(str::to_owned));
    texts.take(MOST).collect()
}

/// What an error line says, if it is one that matters: CRIU also wants more open files than this machine gives, and goes on.
fn complaint(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("Error (")?;
    let (_, text) = rest.split_once("): ")?;
    let told = text.starts_with("rlimit: ") || text.trim().ends_with(" FAILED.");
    (!told).then(|| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_answers_are_told_apart() {
        let mut notice = Message::default();
        notice.bytes(1, "setup-namespaces");
        notice.number(2, 4711);
        let mut message = Message::default();
        message.number(1, NOTIFY);
        message.flag(2, true);
        message.message(5, &notice);
        let step = Answer::parse(&message.0, None).unwrap().1.unwrap();
        assert_eq!((step.name.as_str(), step.pid), ("setup-namespaces", Some(4711)));

        let mut restored = Message::default();
        restored.number(1, 12);
        let mut message = Message::default();
        message.number(1, Task::Restore as u64);
        message.flag(2, true);
        message.message(4, &restored);
        let (answer, step) = Answer::parse(&message.0, None).unwrap();
        assert!(step.is_none());
        assert_eq!((answer.success, answer.restored, answer.errno), (true, Some(12), 0));
    }

    #[test]
    fn the_log_says_why() {
        let line = "(00.161399) Error (criu/files-reg.c:1790): Can't lookup mount=27 for fd=1 path=/tmp/out";
        assert_eq!(complaint(line), Some("Can't lookup mount=27 for fd=1 path=/tmp/out"));
        assert_eq!(complaint("(00.1) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self"), None);
        assert_eq!(complaint("(00.1) Error (criu/cr-dump.c:2111): Dumping FAILED."), None);
        assert_eq!(complaint("(00.1) Warn  (criu/cr-dump.c:1): x"), None);
    }

    #[test]
    fn a_program_that_is_nowhere_is_named() {
        let error = find(Path::new("orlop-no-such-criu")).unwrap_err().to_string();
        assert!(error.contains("exec: \"orlop-no-such-criu\": executable file not found in $PATH"), "{error}");
        assert_eq!(find(Path::new("/x/criu")).unwrap(), Path::new("/x/criu"));
    }
}
