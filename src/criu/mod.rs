//! Running CRIU, which checkpoints processes to images and restores them (<https://criu.org>).
//! `criu swrk FD` receives one request from a socket, sends notifications at certain steps, and
//! then sends its response.
//!
//! CRIU is a program on the host; no library of it is linked.

mod answer;
mod family;
#[cfg(any(test, fuzzing))]
#[path = "../../integration/fuzz/targets/criu.rs"]
pub(crate) mod fuzz;
mod message;
mod options;
mod program;
mod saved;

pub(crate) use answer::{CriuNotification, Features, Task};
pub(crate) use options::{CriuFlag, CriuOpts, CriuText};
pub use options::{ManageCgroups, NetworkLock};
pub(crate) use program::{Start, find, inherited};
pub(crate) use saved::{SavedMount, check_pages, mounts};

use crate::error::{Error, Ignore as _, Result};
use crate::log;
use crate::sys::file;
use crate::sys::memory::{self, MemoryFile};
use crate::sys::process::{self, Clone, Cloned, Pid, SingleThreaded};
use crate::sys::socket::{self, SockType};
use answer::{Answer, MOST, NOTIFY, complaint, complaints};
use family::Family;
use message::CriuMessage;
use program::execute;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// How long to wait for CRIU's next packet before checking for dead processes, in milliseconds.
const CHECK_INTERVAL: i32 = 1000;

/// How long CRIU may take to notice that the restored process was killed, and to exit, in
/// milliseconds.
const EXIT_TIMEOUT: i32 = 5000;

/// A running CRIU.
#[derive(Debug)]
pub(crate) struct Criu {
    socket: OwnedFd,
    pid: Pid,
    pidfd: OwnedFd,
    family: Family,
    /// A pidfd of the restored root process, once CRIU has reported its pid.
    first: Option<OwnedFd>,
    restores: bool,
    /// The file for CRIU's standard error.
    said: OwnedFd,
}

impl Criu {
    /// Starts CRIU.
    ///
    /// # Errors
    /// A process cannot be created. If the program cannot be executed, [`Criu::ask`] fails.
    pub(crate) fn start(start: &Start<'_>, proof: &SingleThreaded) -> Result<Criu> {
        let (first, last) = socket::pair(SockType::SeqPacket)?;
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
                file::write_all(&said, error.to_string().as_bytes()).ignore("the status says that it failed");
                process::exit_now(127)
            }
        }
    }

    /// Requests `task` and calls `watch` at each notification. Returns the restored root process,
    /// if there is one.
    ///
    /// # Errors
    /// The first error of `watch`, after CRIU has undone its work; or an error of CRIU with the
    /// first errors in its log file `log`.
    pub(crate) fn ask(
        self,
        task: Task,
        options: &CriuOpts,
        log: &Path,
        watch: &mut dyn FnMut(CriuNotification) -> Result<()>,
    ) -> Result<Option<Pid>> {
        // CRIU may fail before it creates its log, and a log of an earlier run would be mistaken
        // for it.
        std::fs::remove_file(log).ignore("the next line looks whether it is there");
        let is_stale = log.exists();
        let mut request = CriuMessage::default();
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
            // Without a log, its errors are on standard error.
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
            (true, _) => error.hint("the file is not in a mount of the container; a terminal needs --shell-job"),
            (_, false) => error.hint("CRIU could not create its log: --work-path must be a directory it can write to"),
            _ => error,
        })
    }

    /// Asks CRIU for the features of this kernel.
    ///
    /// # Errors
    /// CRIU cannot check them.
    pub(crate) fn features(self) -> Result<Features> {
        let mut wanted = CriuMessage::default();
        wanted.flag(1, true);
        wanted.flag(2, true);
        let mut request = CriuMessage::default();
        request.number(1, Task::FeatureCheck as u64);
        request.message(5, &wanted);
        let (answer, _) = self.converse(Task::FeatureCheck, &request, &mut |_| Ok(()))?;
        if answer.success { Ok(answer.features) } else { Err(Error::system("criu failed: type FEATURE_CHECK")) }
    }

    /// Receives the socket for the request. CRIU looks up the descriptors of a request in the
    /// process that created the socket, so CRIU's process creates it itself and sends the other
    /// end.
    fn connect(&mut self) -> Result<()> {
        let (_, fd) = self.receive()?;
        self.socket = fd.ok_or_else(|| Error::system("it exited before the request"))?;
        Ok(())
    }

    /// Receives the next packet and the descriptor in it.
    fn receive(&self) -> Result<(Vec<u8>, Option<OwnedFd>)> {
        let ended = || Error::system("it exited without a response");
        // The socket alone does not show that CRIU has exited: processes that it created may hold
        // the socket, too.
        let socket = (Some(self.socket.as_fd()), libc::POLLIN);
        let pidfd = (Some(self.pidfd.as_fd()), libc::POLLIN);
        let first = (self.first.as_ref().map(AsFd::as_fd), libc::POLLIN);
        let lost =
            || self.restores && self.first.is_none() && process::ended_child().is_some_and(|pid| pid != self.pid);
        let [mut ready, gone, over] = loop {
            let found = process::poll([socket, pidfd, first], CHECK_INTERVAL)?;
            // Before CRIU reports its pid, a killed root process shows only as a dead child of this
            // process.
            if found != [0; 3] || lost() {
                break found;
            }
        };
        if (ready, gone) == (0, 0) && (over != 0 || lost()) {
            // The restored process was killed. CRIU notices that at once, or never.
            [ready, _] = process::poll([socket, pidfd], EXIT_TIMEOUT)?;
            if ready == 0 {
                process::pidfd_send_signal(&self.pidfd, libc::SIGKILL).ignore("it may have ended by itself");
                return Err(Error::system("the restored process was killed"));
            }
        }
        let length = match ready {
            0 => 0,
            _ => match socket::next_length(&self.socket) {
                // An exit with unread data in the socket is ECONNRESET.
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

    /// Sends the request and serves notifications. Returns CRIU's response and its standard error.
    fn converse(
        mut self,
        task: Task,
        request: &CriuMessage,
        watch: &mut dyn FnMut(CriuNotification) -> Result<()>,
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
            Err(error) if said.is_empty() => Err(error.context(format!("criu failed: type {}", task.word()))),
            // CRIU's end of the socket is closed by then, which is all that CRIU knows.
            Err(error) if error.errno() != 0 => {
                Err(error.context(format!("criu failed: type {}: {said}", task.word())))
            }
            Err(_) => Err(Error::system(format!("criu failed: type {}: {said}", task.word()))),
        }
    }

    /// Serves CRIU's notifications until its response arrives.
    fn listen(
        &mut self,
        watch: &mut dyn FnMut(CriuNotification) -> Result<()>,
        refused: &mut Option<Error>,
    ) -> Result<Answer> {
        loop {
            let (bytes, fd) = self.receive()?;
            let (answer, step) = Answer::parse(&bytes, fd)?;
            let Some(step) = step else { return Ok(answer) };
            log::debug(|| format!("criu: {}", step.name));
            if let (None, "setup-namespaces", Some(pid)) = (&self.first, step.name.as_str(), step.pid) {
                self.first = process::pidfd_open(pid).ok();
            }
            let done = if refused.is_none() { watch(step) } else { Ok(()) };
            let mut reply = CriuMessage::default();
            reply.number(1, NOTIFY);
            reply.number(3, u64::from(done.is_ok() && refused.is_none()));
            if let Err(error) = done {
                *refused = Some(error);
            }
            socket::send(&self.socket, &reply.0, &[])?;
        }
    }

    /// Waits until CRIU exits, kills it at a timeout, and returns its standard error. Unless it
    /// `succeeded`, the processes that it created are killed.
    fn end(self, succeeded: bool) -> String {
        let Criu { socket, pid, pidfd, family, said, .. } = self;
        // CRIU exits when the socket is closed, unless it waits for a process that was killed.
        drop(socket);
        let ended = process::poll([(Some(pidfd.as_fd()), libc::POLLIN)], EXIT_TIMEOUT);
        if !matches!(ended, Ok([ready]) if ready != 0) {
            process::pidfd_send_signal(&pidfd, libc::SIGKILL).ignore("it may have ended by itself");
        }
        process::wait(pid).ignore("a process that is gone has been reaped");
        if !succeeded {
            family.end_strangers();
        }
        let path = format!("/proc/self/fd/{}", said.as_raw_fd());
        let text = file::open(path, libc::O_RDONLY).and_then(|fd| file::read_to_end(fd, 1 << 20));
        String::from_utf8_lossy(&text.unwrap_or_default()).trim().to_owned()
    }
}
