//! The runtime on a kernel that cannot tell the context of a procfs its pid namespace (before 6.17), played by ptrace(2) where the
//! kernel can: `fsconfig(FSCONFIG_SET_STRING, "pidns")` is EINVAL. From then on nothing is traced.

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// Whether this kernel knows the parameter, so that its absence has to be played.
pub(crate) fn is_played() -> bool {
    let version = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = version.split(['.', '-']).map_while(|word| word.parse::<u32>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 17)
}

/// Runs `command`, to which the parameter is unknown: its exit code.
pub(crate) fn run(command: &Command) -> Option<i32> {
    let mut shell = Command::new("sh");
    shell.args(["-c", "read -r go; exec \"$@\" < /dev/null", "sh"]).arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(dir) = command.get_current_dir() {
        shell.current_dir(dir);
    }
    let mut child = shell.spawn().unwrap();
    if is_played() { refused(&mut child) } else { followed(&mut child) }
}

fn followed(child: &mut Child) -> Option<i32> {
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    child.wait().unwrap().code()
}

fn refused(child: &mut Child) -> Option<i32> {
    let first = Pid::from_raw(child.id().try_into().unwrap());
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE;
    ptrace::seize(first, options).unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut traced = BTreeSet::from([first]);
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap() {
            WaitStatus::Exited(pid, code) if pid == first => return Some(code),
            WaitStatus::Signaled(pid, ..) if pid == first => return None,
            status if step(status, &mut traced) => break,
            _ => {}
        }
    }
    let ended = traced.iter().filter_map(|pid| Some((*pid, let_go(*pid)?))).find(|(pid, _)| *pid == first);
    ended.map_or_else(|| child.wait().unwrap().code(), |(_, code)| Some(code))
}

/// Lets one stopped process go on: whether the parameter was refused.
fn step(status: WaitStatus, traced: &mut BTreeSet<Pid>) -> bool {
    let (pid, signal) = match status {
        WaitStatus::PtraceSyscall(pid) if is_asked(pid) => {
            refuse(pid);
            return true;
        }
        WaitStatus::PtraceSyscall(pid) | WaitStatus::PtraceEvent(pid, ..) => (pid, None),
        WaitStatus::Stopped(pid, signal) => (pid, Some(signal).filter(|signal| *signal != Signal::SIGSTOP)),
        WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
            traced.remove(&pid);
            return false;
        }
        _ => return false,
    };
    traced.insert(pid);
    let _ = ptrace::syscall(pid, signal);
    false
}

/// Whether the process is about to set the parameter.
fn is_asked(pid: Pid) -> bool {
    const SET_STRING: u64 = 1;
    let Ok(info) = ptrace::syscall_info(pid) else { return false };
    let Ok(registers) = ptrace::getregs(pid) else { return false };
    let is_entry = info.op == libc::PTRACE_SYSCALL_INFO_ENTRY;
    if !is_entry || registers.orig_rax != libc::SYS_fsconfig as u64 || registers.rsi != SET_STRING {
        return false;
    }
    let word = ptrace::read(pid, registers.rdx as ptrace::AddressType).unwrap_or(0);
    word.to_ne_bytes().starts_with(b"pidns\0")
}

/// Has the system call of the process fail.
fn refuse(pid: Pid) {
    let mut registers = ptrace::getregs(pid).unwrap();
    registers.orig_rax = u64::MAX;
    ptrace::setregs(pid, registers).unwrap();
    ptrace::syscall(pid, None).unwrap();
    waitpid(pid, Some(WaitPidFlag::__WALL)).unwrap();
    registers.rax = (-i64::from(libc::EINVAL)) as u64;
    ptrace::setregs(pid, registers).unwrap();
}

/// Traces a process no longer; its exit code where it has ended.
fn let_go(pid: Pid) -> Option<i32> {
    while ptrace::detach(pid, None).is_err() {
        // It runs: it is stopped first.
        ptrace::interrupt(pid).ok()?;
        if let WaitStatus::Exited(_, code) = waitpid(pid, Some(WaitPidFlag::__WALL)).ok()? {
            return Some(code);
        }
    }
    None
}
