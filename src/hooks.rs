//! Hooks: programs of the bundle that run at points of the lifecycle (config.md, "POSIX-platform Hooks").

use crate::config::{Hook as Written, Spec};
use crate::error::{Context, Error, Ignore as _, IoContext, Result};
use crate::host_program;
use crate::sys::memory::{self, MemoryFile};
use crate::sys::process::{self, Clone, Cloned, Ended, Pid, SingleThreaded};
use crate::sys::{self, Failure, signal};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A checked hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hook {
    /// An absolute path: in the container for startContainer hooks, on the host for all others.
    pub path: CString,
    /// The arguments, beginning with the program's name; never empty.
    pub args: Vec<CString>,
    /// The whole environment. `None` stands for the environment of the process that runs the hook:
    /// the runtime, or for startContainer the container's process.
    pub env: Option<Vec<CString>>,
    /// The time after which the hook is killed.
    pub timeout: Option<Duration>,
}

/// The point of the lifecycle at which a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Moment {
    /// All of them.
    pub(crate) const ALL: [Moment; 6] = [
        Moment::Prestart,
        Moment::CreateRuntime,
        Moment::CreateContainer,
        Moment::StartContainer,
        Moment::Poststart,
        Moment::Poststop,
    ];

    /// The name of the list in config.json.
    pub(crate) fn word(self) -> &'static str {
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"][self as usize]
    }
}

/// The hooks of a container, one list for each [`Moment`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hooks([Vec<Hook>; 6]);

impl Hooks {
    /// Checks `hooks`.
    ///
    /// # Errors
    /// An error of kind `Config` that names the field's JSON path.
    pub(crate) fn parse(spec: &Spec<'_>) -> Result<Hooks> {
        let mut all = Hooks::default();
        let Some(hooks) = &spec.hooks else { return Ok(all) };
        let lists = [
            &hooks.prestart,
            &hooks.create_runtime,
            &hooks.create_container,
            &hooks.start_container,
            &hooks.poststart,
            &hooks.poststop,
        ];
        for (moment, list) in Moment::ALL.into_iter().zip(lists) {
            for (n, written) in list.iter().flatten().enumerate() {
                let hook = check(written).map_err(|(field, problem)| {
                    Error::config(format_args!("hooks.{}[{n}].{field}", moment.word()), problem)
                })?;
                all.0[moment as usize].push(hook);
            }
        }
        Ok(all)
    }

    /// Whether there are no hooks at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// The hooks of one moment, in the order of the config.
    pub(crate) fn at(&self, moment: Moment) -> &[Hook] {
        &self.0[moment as usize]
    }
}

fn check(written: &Written<'_>) -> std::result::Result<Hook, (String, String)> {
    let path = written.path.as_deref().unwrap_or_default();
    if !path.starts_with('/') {
        return Err(("path".into(), format!("{path:?} is not an absolute path")));
    }
    let c_string = |field: String, text: &str| CString::new(text).map_err(|_| (field, "holds a NUL byte".to_owned()));
    let list = |name: &str, texts: &Option<Vec<std::borrow::Cow<'_, str>>>| {
        let texts = texts.as_deref().unwrap_or_default().iter().enumerate();
        texts.map(|(n, text)| c_string(format!("{name}[{n}]"), text)).collect::<std::result::Result<Vec<_>, _>>()
    };
    let path = c_string("path".into(), path)?;
    let mut args = list("args", &written.args)?;
    if args.is_empty() {
        args.push(path.clone());
    }
    let timeout = match written.timeout {
        None => None,
        Some(seconds @ 1..) => Some(Duration::from_secs(seconds as u64)),
        Some(seconds) => return Err(("timeout".into(), format!("{seconds} must be greater than zero"))),
    };
    let env = written.env.is_some().then(|| list("env", &written.env)).transpose()?;
    Ok(Hook { path, args, env, timeout })
}

impl Hook {
    /// The error for a hook that failed, with the end of its output.
    pub(crate) fn failed(&self, ended: Ended, output: &[u8]) -> Error {
        let how = match ended {
            Ended::Exited(status) => format!("exit status {status}"),
            Ended::Signaled(signal) => format!("killed by signal {signal}"),
        };
        Error::system(how + &said(output))
    }

    /// The error for a hook that was killed at its timeout, with the end of its output.
    pub(crate) fn late(&self, output: &[u8]) -> Error {
        let seconds = self.timeout.unwrap_or_default().as_secs();
        Error::system(format!("did not end within its timeout of {seconds} s and was killed{}", said(output)))
    }
}

/// The beginning of an error of a hook.
pub(crate) fn name(moment: Moment, n: usize, hook: &Hook) -> String {
    format!("error running {} hook #{n} ({:?})", moment.word(), hook.path)
}

/// How many bytes of the end of a hook's output are kept, and quoted by an error.
const MOST_OUTPUT: usize = 1024;

fn said(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(&output[output.len().saturating_sub(MOST_OUTPUT)..]).trim().to_owned();
    match (text.is_empty(), output.len() < MOST_OUTPUT) {
        (true, _) => text,
        (_, true) => format!(", output: {text}"),
        (_, false) => format!(", the end of its output: {text}"),
    }
}

/// Runs the hooks of `moment` in the namespaces of this process, each with `state` (JSON) on
/// standard input, until one fails.
///
/// # Errors
/// A hook failed. The error names the hook, its exit status or signal, and the end of its output.
pub(crate) fn run(proof: &SingleThreaded, moment: Moment, hooks: &[Hook], state: &[u8]) -> Result<()> {
    run_for(None, proof, moment, hooks, state)
}

/// Like [`run`], but kills the hook if the process of the pidfd `container` ends: the hook may wait
/// for that process.
///
/// SIGTERM, SIGINT, SIGQUIT and SIGHUP do not end this process: the hook's process group is killed,
/// and the error lets the caller clean up.
///
/// # Errors
/// Those of [`run`]; the process of `container` ended.
pub(crate) fn run_for(
    container: Option<BorrowedFd<'_>>,
    proof: &SingleThreaded,
    moment: Moment,
    hooks: &[Hook],
    state: &[u8],
) -> Result<()> {
    if hooks.is_empty() {
        return Ok(());
    }
    let _held = signal::EndHeld::hold()?;
    let watched = Watched { container, signals: &signal::end_signals_as_fd()? };
    for (n, hook) in hooks.iter().enumerate() {
        run_one(&watched, proof, moment, hook, state).with_context(|| name(moment, n, hook))?;
    }
    Ok(())
}

/// The events that end a hook early.
struct Watched<'a> {
    /// The pidfd of the container's process.
    container: Option<BorrowedFd<'a>>,
    /// A signalfd of the signals that ask this command to end.
    signals: &'a OwnedFd,
}

fn run_one(watched: &Watched<'_>, proof: &SingleThreaded, moment: Moment, hook: &Hook, state: &[u8]) -> Result<()> {
    let stdin = memory::memfd("orlop-state", MemoryFile::Data)?;
    sys::file::write_all(&stdin, state)?;
    // Reopened, since the descriptor that wrote the state has its offset at the end.
    let stdin = sys::file::open(format!("/proc/self/fd/{}", stdin.as_raw_fd()), libc::O_RDONLY)?;
    let (reads, writes) = std::io::pipe().io_context(|| "pipe2()".into())?;
    let how = Clone::default();
    let (pid, pidfd) = match process::clone3(proof, &how)? {
        Cloned::Child => {
            drop(reads);
            execute(moment, hook, &stdin, &writes.into())
        }
        Cloned::Parent(pid, pidfd) => (pid, pidfd),
    };
    drop(writes);
    let mut output = Output { reads: Some(reads.into()), tail: Vec::new() };
    match wait(pid, &pidfd, hook.timeout, watched, &mut output)? {
        Outcome::Ended(Ended::Exited(0)) => Ok(()),
        Outcome::Ended(ended) => Err(hook.failed(ended, &output.tail)),
        Outcome::Orphaned => Err(Error::system("was killed because the container's process has ended")),
        Outcome::Interrupted(signal) => {
            let output = said(&output.tail);
            Err(Error::system(format!("was killed because signal {signal} ends this command{output}")))
        }
        Outcome::Late => Err(hook.late(&output.tail)),
    }
}

fn execute(moment: Moment, hook: &Hook, stdin: &OwnedFd, output: &OwnedFd) -> ! {
    // A process group of its own, so that its children are killed with it.
    let failure = match process::lead_group().and_then(|()| die_with_parent(moment, output)) {
        Err(failure) => failure,
        Ok(()) => {
            // Without an environment of its own a hook on the host has the runtime's, never the container's: that
            // one's LD_PRELOAD would run with the runtime's privileges (CVE-2025-23266).
            let env = hook.env.clone().unwrap_or_else(process::environment);
            host_program::execute(&hook.path, &hook.args, &env, [stdin, output, output].map(AsFd::as_fd))
        }
    };
    sys::file::write_all(output.as_fd(), failure.to_string().as_bytes()).ignore("the status says that it failed");
    process::exit_now(host_program::NOT_EXECUTED)
}

/// Has the kernel kill a hook of a container that is being made when the hook's parent is killed.
fn die_with_parent(moment: Moment, output: &OwnedFd) -> std::result::Result<(), Failure> {
    if !matches!(moment, Moment::Prestart | Moment::CreateRuntime | Moment::CreateContainer) {
        return Ok(());
    }
    process::end_with_parent()?;
    // The parent may have ended before this call; it alone holds the reading end.
    let [ready] = process::poll([(Some(output.as_fd()), 0)], 0)?;
    if ready & libc::POLLERR != 0 {
        process::exit_now(host_program::NOT_EXECUTED);
    }
    Ok(())
}

/// The result of the wait for a hook.
enum Outcome {
    /// The hook ended.
    Ended(Ended),
    /// The hook was killed at its timeout.
    Late,
    /// The hook was killed because the container's process ended.
    Orphaned,
    /// The hook was killed because this signal asked the command to end.
    Interrupted(i32),
}

/// Waits for the hook and reads its output; kills it at its timeout, when the container's process
/// ends, or when a signal asks this command to end.
fn wait(
    pid: Pid,
    pidfd: &OwnedFd,
    timeout: Option<Duration>,
    watched: &Watched<'_>,
    output: &mut Output,
) -> Result<Outcome> {
    // A timeout that overflows the clock is no timeout.
    let deadline = timeout.and_then(|time| std::time::Instant::now().checked_add(time));
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
        // Rounded up, since a wait of 0 ms would be a busy loop.
        let milliseconds = left.map_or(-1, |left| i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX));
        let fds = [Some(pidfd.as_fd()), watched.container, Some(watched.signals.as_fd()), output.as_fd()];
        let [ended, orphaned, signalled, said] = process::poll(fds.map(|fd| (fd, libc::POLLIN)), milliseconds)?;
        if said != 0 {
            output.read();
        }
        if ended != 0 {
            output.read_rest()?;
            return Ok(Outcome::Ended(process::wait(pid)?));
        }
        let signal = if signalled != 0 { signal::next_signal(watched.signals)? } else { None };
        let outcome = match signal.filter(|signal| !signal::ignores(*signal)) {
            Some(signal) => Outcome::Interrupted(signal),
            None if orphaned != 0 => Outcome::Orphaned,
            None if left.is_some_and(|left| left.is_zero()) => Outcome::Late,
            None => continue,
        };
        end(pid, pidfd)?;
        return Ok(outcome);
    }
}

/// Kills the hook's process group and reaps the hook.
fn end(pid: Pid, pidfd: &OwnedFd) -> Result<()> {
    // The group's number cannot be reused before the hook is reaped. ESRCH: the hook has not called
    // setpgid yet. EPERM: the group's processes are another user's.
    signal::kill(-pid, libc::SIGKILL).ignore("the hook itself is killed below");
    process::pidfd_send_signal(pidfd, libc::SIGKILL)?;
    process::wait(pid)?;
    Ok(())
}

/// The hook's output, of which only the end is kept.
struct Output {
    /// The pipe's reading end; `None` at the end of file.
    reads: Option<OwnedFd>,
    tail: Vec<u8>,
}

impl Output {
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.reads.as_ref().map(AsFd::as_fd)
    }

    /// Reads once; blocks if the pipe is empty.
    fn read(&mut self) {
        let mut bytes = [0; 16384];
        match self.reads.as_ref().map_or(Ok(0), |reads| sys::file::read(reads, &mut bytes)) {
            Ok(length @ 1..) => {
                self.tail.extend_from_slice(&bytes[..length]);
                self.tail.drain(..self.tail.len().saturating_sub(MOST_OUTPUT));
            }
            _ => self.reads = None,
        }
    }

    /// Reads the rest of the pipe. Processes that the hook has left behind may write on: reads at
    /// most the capacity of a pipe.
    fn read_rest(&mut self) -> Result<()> {
        for _ in 0..64 {
            let [ready] = process::poll([(self.as_fd(), libc::POLLIN)], 0)?;
            if ready == 0 {
                break;
            }
            self.read();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Hooks> {
        Hooks::parse(&crate::config::parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn every_wrong_thing_about_hooks_names_its_field() {
        for (json, text) in [
            (r#"{"hooks":{"prestart":[{"path":"x"}]}}"#, "hooks.prestart[0].path: \"x\" is not an absolute path"),
            (r#"{"hooks":{"poststop":[{}]}}"#, "hooks.poststop[0].path: \"\" is not an absolute path"),
            (
                r#"{"hooks":{"createRuntime":[{"path":"/x"},{"path":"/x","timeout":0}]}}"#,
                "hooks.createRuntime[1].timeout: 0 must be greater than zero",
            ),
            (
                r#"{"hooks":{"startContainer":[{"path":"/x","args":["a","\u0000"]}]}}"#,
                "hooks.startContainer[0].args[1]: holds a NUL byte",
            ),
        ] {
            assert_eq!(parse(json).expect_err(json).to_string(), text);
        }
    }

    #[test]
    fn a_hook_without_args_gets_its_path_as_its_name() {
        let hooks = parse(r#"{"hooks":{"poststart":[{"path":"/bin/x","timeout":3}]}}"#).unwrap();
        let hook = &hooks.at(Moment::Poststart)[0];
        assert_eq!(hook.args, [c"/bin/x".to_owned()]);
        assert_eq!(hook.timeout, Some(Duration::from_secs(3)));
    }

    #[test]
    fn no_environment_is_another_thing_than_an_empty_one() {
        let hooks = parse(r#"{"hooks":{"poststart":[{"path":"/x"},{"path":"/x","env":[]}]}}"#).unwrap();
        let given: Vec<_> = hooks.at(Moment::Poststart).iter().map(|hook| hook.env.clone()).collect();
        assert_eq!(given, [None, Some(Vec::new())]);
    }

    #[test]
    fn an_error_quotes_the_end_of_a_hooks_output() {
        let hooks = parse(r#"{"hooks":{"poststart":[{"path":"/x","timeout":3}]}}"#).unwrap();
        let hook = &hooks.at(Moment::Poststart)[0];
        assert_eq!(hook.failed(Ended::Exited(3), b" no\n").to_string(), "exit status 3, output: no");
        assert_eq!(hook.failed(Ended::Signaled(9), b"").to_string(), "killed by signal 9");
        let text = hook.late(&[[b'a'; 10].as_slice(), &[b'b'; MOST_OUTPUT]].concat()).to_string();
        let expected = "did not end within its timeout of 3 s and was killed, the end of its output: ";
        assert_eq!(text, format!("{expected}{}", "b".repeat(1024)));
    }
}
