//! Follows a command and all processes that it makes from system call to system call, and kills one of them at an entry.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::Write;
use std::process::{Command, Stdio};

/// Which process is killed, and when. Processes are numbered as they appear; 0 is the command itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Nobody.
    Never,
    /// A process at the entry of its n-th system call, counted from 0.
    Entry { process: usize, call: usize },
    /// The command as soon as a process appears, which does nothing before the command is dead.
    Birth { process: usize },
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The processes in the order of their appearance.
    pub(crate) processes: Vec<Process>,
    /// Whether the point was reached.
    pub(crate) killed: bool,
    /// Whether the command did not end by itself, and was killed.
    pub(crate) hung: bool,
}

/// A process and its system calls.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Field 22 of /proc/PID/stat.
    pub(crate) start: u64,
    /// The numbers of its system calls.
    pub(crate) calls: Vec<u64>,
}

/// Runs `command` until it ends. What it leaves goes on untraced.
pub(crate) fn follow(command: &[String], point: Point) -> Result<Seen> {
    // What a thread traces is let go when the thread ends.
    let followed = std::thread::scope(|scope| scope.spawn(|| Follow::new(point).run(command)).join());
    followed.unwrap_or_else(|_| anyhow::bail!("the tracing thread panicked"))
}

/// How long a command may take, one of whose processes was killed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

struct Follow {
    point: Point,
    seen: Seen,
}

impl Follow {
    fn new(point: Point) -> Self {
        Self { point, seen: Seen::default() }
    }

    fn run(mut self, command: &[String]) -> Result<Seen> {
        let mut shell = Command::new("sh")
            .args(["-c", "read -r go; exec \"$@\" </dev/null >/dev/null 2>&1", "sh"])
            .args(command)
            .stdin(Stdio::piped())
            .spawn()?;
        let first = Pid::from_raw(i32::try_from(shell.id())?);
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC;
        ptrace::seize(first, options).context("trace the command")?;
        self.number(first);
        drop(shell.stdin.take().map(|mut go| go.write_all(b"go\n")));
        let (over, ended) = std::sync::mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            let hung = ended.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
            hung && kill(first, Signal::SIGKILL).is_ok()
        });
        let waited = self.wait_for_end(first);
        drop(over);
        self.seen.hung = watchdog.join().unwrap_or(false);
        waited.map(|()| self.seen)
    }

    fn wait_for_end(&mut self, first: Pid) -> Result<()> {
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
                Err(Errno::ECHILD) => return Ok(()),
                Err(Errno::EINTR) => continue,
                other => other?,
            };
            if let WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) = status {
                if pid == first {
                    return Ok(());
                }
                continue;
            }
            self.stopped(status)?;
        }
    }

    fn stopped(&mut self, status: WaitStatus) -> Result<()> {
        let (pid, signal) = match status {
            WaitStatus::PtraceSyscall(pid) => {
                self.call(pid)?;
                (pid, None)
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            WaitStatus::PtraceEvent(pid, ..) => (pid, None),
            _ => return Ok(()),
        };
        let process = self.number(pid);
        if self.point == (Point::Birth { process }) && !self.seen.killed {
            self.seen.killed = true;
            let command = Pid::from_raw(self.seen.processes[0].pid);
            kill(command, Signal::SIGKILL)?;
            wait_for_death(command);
        }
        go_on(pid, signal)
    }

    /// Counts an entry, and kills at the right one.
    fn call(&mut self, pid: Pid) -> Result<()> {
        let process = self.number(pid);
        let number = match ptrace::syscall_info(pid) {
            Ok(info) if info.op == nix::libc::PTRACE_SYSCALL_INFO_ENTRY => entry_number(pid),
            Ok(_) | Err(Errno::ESRCH) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let calls = &mut self.seen.processes[process].calls;
        calls.push(number);
        let call = calls.len() - 1;
        if self.point == (Point::Entry { process, call }) && !self.seen.killed {
            self.seen.killed = true;
            kill(pid, Signal::SIGKILL)?;
        }
        Ok(())
    }

    fn number(&mut self, pid: Pid) -> usize {
        let known = self.seen.processes.iter().position(|p| p.pid == pid.as_raw());
        known.unwrap_or_else(|| {
            let start = start_time(pid.as_raw()).unwrap_or(0);
            self.seen.processes.push(Process { pid: pid.as_raw(), start, calls: Vec::new() });
            self.seen.processes.len() - 1
        })
    }
}

fn go_on(pid: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(pid, signal) {
        // It was killed meanwhile.
        Err(Errno::ESRCH) => Ok(()),
        other => Ok(other?),
    }
}

/// A killed process is dead when only its zombie is left, which the loop then reaps.
fn wait_for_death(pid: Pid) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while alive(pid.as_raw(), 0) && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
}

/// The number of the system call that a stopped process is about to make, from /proc/PID/syscall (`proc_pid_syscall(5)`).
fn entry_number(pid: Pid) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(u64::MAX)
}

fn stat(pid: i32) -> Option<(String, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text[text.rfind(')')? + 2..].split(' ');
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

/// Whether a process lives that began at `start` (0: whenever).
pub(crate) fn alive(pid: i32, start: u64) -> bool {
    stat(pid).is_some_and(|(state, began)| (start == 0 || began == start) && !matches!(state.as_str(), "Z" | "X"))
}
