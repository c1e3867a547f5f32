//! Follows a command and all processes that it makes from system call to system call; kills one of them at an entry,
//! fails the call, or acts while the process is stopped there.

use super::failure::{Failure, may_fail, registers};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Which process is killed, and when. Processes are numbered as they appear; 0 is the command itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Nobody.
    Never,
    /// Nobody, and the paths of the calls are kept.
    Record,
    /// A process at the entry of its n-th system call, counted from 0.
    Entry { process: usize, call: usize },
    /// The command as soon as a process appears, which does nothing before the command is dead.
    Birth { process: usize },
    /// A system call of a process fails: the first one with this number from the n-th of the runtime's own calls on.
    Fail { process: usize, call: usize, number: u64, way: Failure },
    /// An action takes place while a process is stopped at the entry of the n-th of the runtime's own calls, and once more
    /// `calls` entries later.
    Act { process: usize, call: usize, calls: usize },
}

/// The action of [`Point::Act`].
pub(crate) type Action<'a> = &'a mut (dyn FnMut(Pid) + Send);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The processes in the order of their appearance.
    pub(crate) processes: Vec<Process>,
    /// Whether the point was reached.
    pub(crate) killed: bool,
    /// Whether the command did not end by itself, and was killed.
    pub(crate) hung: bool,
    /// The call that failed, or at which the first action took place, as /proc/PID/syscall has it: its number and arguments.
    pub(crate) failed: String,
    /// The code with which the command ended by itself.
    pub(crate) code: Option<i32>,
}

/// A process and its system calls.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Field 22 of /proc/PID/stat.
    pub(crate) start: u64,
    /// The numbers of its system calls.
    pub(crate) calls: Vec<u64>,
    /// The paths that each call names, with [`Point::Record`].
    pub(crate) paths: Vec<String>,
    /// Where each call is made: the stack pointer and the instruction pointer, which tell one path to a call from another.
    pub(crate) sites: Vec<[u64; 2]>,
    /// The part of `calls` that the runtime makes: from its execution to that of a program which is not its own.
    pub(crate) own: std::ops::Range<usize>,
    /// How many calls it had made when it executed the runtime or another program of its own.
    pub(crate) begun: Vec<usize>,
}

/// Runs `command` until it ends. What it leaves goes on untraced.
pub(crate) fn follow(command: &[String], point: Point) -> Result<Seen> {
    follow_into(command, point, &[Path::new("/dev/null"), Path::new("/dev/null")])
}

/// The same with standard output and error output in these files.
pub(crate) fn follow_into(command: &[String], point: Point, output: &[&Path; 2]) -> Result<Seen> {
    follow_acting(command, point, output, &mut |_| ())
}

/// The same with the action of a [`Point::Act`].
pub(crate) fn follow_acting(command: &[String], point: Point, output: &[&Path; 2], act: Action<'_>) -> Result<Seen> {
    // What a thread traces is let go when the thread ends.
    let follow = Follow { point, act, seen: Seen::default(), failing: None, let_go: Vec::new() };
    let followed = std::thread::scope(|scope| scope.spawn(|| follow.run(command, output)).join());
    followed.unwrap_or_else(|_| anyhow::bail!("the tracing thread panicked"))
}

/// How long a command may take, one of whose processes was killed.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

struct Follow<'a> {
    point: Point,
    act: Action<'a>,
    seen: Seen,
    /// The process whose call is to fail when it ends, and the length that it had asked for.
    failing: Option<(Pid, Failure, u64)>,
    /// Processes that are let go, since they trace others themselves.
    let_go: Vec<Pid>,
}

impl Follow<'_> {
    fn run(mut self, command: &[String], [output, errors]: &[&Path; 2]) -> Result<Seen> {
        let mut shell = Command::new("sh")
            .args(["-c", "read -r go; out=$1 err=$2; shift 2; exec \"$@\" </dev/null >\"$out\" 2>\"$err\"", "sh"])
            .args([output, errors])
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
                    self.seen.code = if let WaitStatus::Exited(_, code) = status { Some(code) } else { None };
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
            WaitStatus::PtraceEvent(pid, _, event) => {
                if event == nix::libc::PTRACE_EVENT_EXEC {
                    self.executed(pid);
                }
                (pid, None)
            }
            _ => return Ok(()),
        };
        let process = self.number(pid);
        if self.point == (Point::Birth { process }) && !self.seen.killed {
            self.seen.killed = true;
            let command = Pid::from_raw(self.seen.processes[0].pid);
            kill(command, Signal::SIGKILL)?;
            wait_for_death(command);
        }
        self.go_on(pid, signal)
    }

    /// Lets a process go on to its next call; to its next program or end, where no later call matters.
    fn go_on(&self, pid: Pid, signal: Option<Signal>) -> Result<()> {
        let is_done = matches!(self.point, Point::Fail { .. }) && self.seen.killed && self.failing.is_none();
        let gone_on = match () {
            () if self.let_go.contains(&pid) => ptrace::detach(pid, signal),
            () if is_done => ptrace::cont(pid, signal),
            () => ptrace::syscall(pid, signal),
        };
        match gone_on {
            // It was killed meanwhile.
            Err(Errno::ESRCH) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Counts an entry, and kills at the right one.
    fn call(&mut self, pid: Pid) -> Result<()> {
        let process = self.number(pid);
        let (number, site) = match ptrace::syscall_info(pid) {
            Ok(info) if info.op == nix::libc::PTRACE_SYSCALL_INFO_ENTRY => {
                (entry_number(pid), [info.stack_pointer, info.instruction_pointer])
            }
            Ok(_) if self.failing.is_some_and(|(failing, ..)| failing == pid) => return self.fail(),
            Ok(_) | Err(Errno::ESRCH) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        self.seen.processes[process].sites.push(site);
        let calls = &mut self.seen.processes[process].calls;
        calls.push(number);
        let call = calls.len() - 1;
        if self.point == Point::Record {
            let paths = super::paths::of_call(pid, number);
            self.seen.processes[process].paths.push(paths);
        }
        if self.point == (Point::Entry { process, call }) && !self.seen.killed {
            self.seen.killed = true;
            kill(pid, Signal::SIGKILL)?;
        }
        let own = self.seen.processes[process].own.clone();
        if let Point::Act { process: of, call: from, calls } = self.point
            && of == process
            && own.contains(&call)
            && (call - own.start == from || call - own.start == from + calls)
        {
            if !self.seen.killed {
                self.seen.failed = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
            }
            self.seen.killed = true;
            (self.act)(pid);
        }
        if let Point::Fail { process: of, call: from, number: wanted, way } = self.point
            && (of, wanted) == (process, number)
            && own.contains(&call)
            && call - own.start >= from
            && !self.seen.killed
            && may_fail(pid, way)
        {
            self.seen.killed = true;
            self.seen.failed = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
            let length = match way {
                Failure::Short => registers::halve_length(pid)?,
                // `close(2)` closes the descriptor though it fails.
                _ if number == nix::libc::SYS_close.cast_unsigned() => 0,
                _ => registers::skip_call(pid).map(|()| 0)?,
            };
            self.failing = Some((pid, way, length));
        }
        Ok(())
    }

    /// At the end of the call that fails.
    fn fail(&mut self) -> Result<()> {
        match self.failing.take() {
            Some((pid, Failure::Errno(errno), _)) => registers::set_result(pid, errno),
            Some((pid, Failure::End, _)) => registers::set_result(pid, 0),
            Some((pid, Failure::Short, length)) => registers::set_length(pid, length),
            None => Ok(()),
        }
    }

    /// A process executes the runtime, its init image, or a program that is not the runtime's.
    fn executed(&mut self, pid: Pid) {
        let process = self.number(pid);
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let name = exe.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_own = name.contains("orlop");
        if name == "criu" {
            self.let_go.push(pid);
        }
        let Process { own, calls, begun, .. } = &mut self.seen.processes[process];
        if is_own {
            begun.push(calls.len());
        }
        if is_own && own.start == own.end {
            *own = calls.len()..usize::MAX;
        } else if !is_own {
            own.end = own.end.min(calls.len());
        }
    }

    fn number(&mut self, pid: Pid) -> usize {
        let known = self.seen.processes.iter().position(|p| p.pid == pid.as_raw());
        known.unwrap_or_else(|| {
            let start = start_time(pid.as_raw()).unwrap_or(0);
            // A child of the runtime's is the runtime until it executes a program; that of a program is none.
            let parent = parent(pid.as_raw());
            let parent = self.seen.processes.iter().find(|known| Some(known.pid) == parent);
            let is_own = parent.is_some_and(|known| known.own.end == usize::MAX);
            let own = 0..if is_own { usize::MAX } else { 0 };
            self.seen.processes.push(Process {
                pid: pid.as_raw(),
                start,
                calls: Vec::new(),
                paths: Vec::new(),
                sites: Vec::new(),
                own,
                begun: Vec::new(),
            });
            self.seen.processes.len() - 1
        })
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

/// Field 4 of /proc/PID/stat.
fn parent(pid: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text[text.rfind(')')? + 2..].split(' ').nth(1)?.parse().ok()
}

fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

/// Whether a process lives that began at `start` (0: whenever).
pub(crate) fn alive(pid: i32, start: u64) -> bool {
    stat(pid).is_some_and(|(state, began)| (start == 0 || began == start) && !matches!(state.as_str(), "Z" | "X"))
}
