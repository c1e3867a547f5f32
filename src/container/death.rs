//! The line for a person at a terminal about a program that a signal killed in the foreground.

use super::made::CreatedContainer;
use super::request::Signal;
use crate::cgroups::{Cgroup, OomKills};
use crate::log;
use crate::namespaces::in_first_pid_namespace;
use crate::process::seccomp;
use crate::state::{Record, has_left};
use crate::sys::process::{self, Ended, Pid};

/// The exit status that a shell gives for a child that SIGKILL ended.
const SHELL_KILLED: i32 = 128 + libc::SIGKILL;

/// A program in the foreground.
struct Foreground<'a> {
    pid: Pid,
    /// Whether the process is the reaping init, whose exit status tells the end of the program.
    reaps: bool,
    /// The kills of the OOM killer while the program ran; none where that is not known.
    kills: &'a dyn Fn() -> Option<OomKills>,
    /// The reason of a SIGKILL that is not the OOM killer's.
    killer: &'a dyn Fn() -> &'static str,
}

const OTHER: &str = "another process sent it";

/// Tells how the first process of a container ended. The cgroup must still be there: one that was there before the container
/// has others in its count.
pub(super) fn tell(made: &CreatedContainer, ended: Ended) {
    let kills = || if made.new_cgroup { made.record.cgroup().oom_kills() } else { None };
    Foreground { pid: made.launched.pid, reaps: made.reaps, kills: &kills, killer: &|| OTHER }.tell(ended);
}

/// Tells how a process of `exec` ended. The cgroup counts kills of other processes too; the kernel's log names this one.
pub(super) fn tell_joined(record: &Record, pid: Pid, cgroup: &Cgroup, ended: Ended) {
    let kills = || {
        let kills = cgroup.oom_kills()?;
        let is_own = kills.count > 0 && kernel_log()?.contains(&format!("Killed process {pid} ("));
        Some(if is_own { kills } else { OomKills { count: 0, ..kills } })
    };
    // Only then is this process reaped: the first one may not be a zombie yet.
    let has_ended = || record.init.is_some_and(|init| has_left(init.pid));
    let killer = || if has_ended() { "the container's first process has ended" } else { OTHER };
    Foreground { pid, reaps: false, kills: &kills, killer: &killer }.tell(ended);
}

impl Foreground<'_> {
    /// Tells the reason of a death by signal, if standard error is a terminal.
    fn tell(&self, ended: Ended) {
        match ended {
            Ended::Signaled(signal) => log::tell_person(|| Some(self.by_signal(signal))),
            Ended::Exited(status @ 129..=192) if self.reaps => log::tell_person(|| Some(self.by_signal(status - 128))),
            Ended::Exited(SHELL_KILLED) => log::tell_person(|| {
                let kills = (self.kills)().filter(|kills| kills.count > 0)?;
                Some(format!("a process of the container was killed by SIGKILL: {}", out_of_memory(&kills)))
            }),
            Ended::Exited(_) => {}
        }
    }

    fn by_signal(&self, signal: i32) -> String {
        let name = Signal::of(signal);
        let reason = match signal {
            libc::SIGKILL => match (self.kills)() {
                Some(kills) if kills.count > 0 => out_of_memory(&kills),
                Some(_) => (self.killer)().to_owned(),
                None => format!("{}, or memory ran out", (self.killer)()),
            },
            libc::SIGSYS => match refused_call(self.pid) {
                Some(call) => format!("linux.seccomp refuses {call}"),
                None => "linux.seccomp refuses a system call (the kernel's audit log may name it)".to_owned(),
            },
            libc::SIGSEGV => "it accessed memory that it does not have".to_owned(),
            libc::SIGBUS => "it accessed memory behind the end of a file, or not aligned".to_owned(),
            libc::SIGILL => "it executed an instruction that this processor lacks".to_owned(),
            libc::SIGFPE => "a calculation failed, such as a division by zero".to_owned(),
            libc::SIGABRT => "it ended itself (abort)".to_owned(),
            libc::SIGXCPU => "it used up RLIMIT_CPU of process.rlimits".to_owned(),
            libc::SIGXFSZ => "it wrote a file beyond RLIMIT_FSIZE of process.rlimits".to_owned(),
            libc::SIGPIPE => "the reader of its output is gone".to_owned(),
            _ => return format!("the program was killed by {name}"),
        };
        format!("the program was killed by {name}: {reason}")
    }
}

fn out_of_memory(kills: &OomKills) -> String {
    let peak = kills.peak.map_or_else(String::new, |peak| format!(", peak {}", size(peak)));
    match kills.limit {
        Some(limit) => {
            let (limit, count) = (size(limit), kills.count);
            format!("out of memory (linux.resources.memory.limit {limit}{peak}, oom_kill {count})")
        }
        None => format!("out of memory on the host or in a cgroup above (oom_kill {}{peak})", kills.count),
    }
}

fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        MIB.. if bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        // A float would bring a formatter of 10 KB into the program.
        MIB.. => format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB),
        KIB.. => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} bytes"),
    }
}

/// The system call for which a filter killed the process `pid`, from the audit record in the kernel's log.
fn refused_call(pid: Pid) -> Option<String> {
    audited(&kernel_log()?, pid)
}

/// The end of the kernel's log, if this user may read it, and its pids are those of this namespace.
fn kernel_log() -> Option<String> {
    if !in_first_pid_namespace() {
        return None;
    }
    let mut buffer = vec![0; 64 << 10];
    let length = process::kernel_log(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(buffer.get(..length)?).into_owned())
}

/// The call of the last record of type 1326 (AUDIT_SECCOMP) about the process.
fn audited(log: &str, pid: Pid) -> Option<String> {
    let pid = format!(" pid={pid} ");
    let record = log.lines().rev().find(|line| line.contains("type=1326 ") && line.contains(&pid))?;
    // A name of the program's own choice stands in the middle, in quotes or as hexadecimal digits.
    let field = |name: &str| record.rsplit_once(name).and_then(|(_, rest)| rest.split(' ').next());
    let architecture = u32::from_str_radix(field(" arch=")?, 16).ok()?;
    let number = field(" syscall=")?.parse().ok()?;
    Some(match seccomp::names_of(architecture, number) {
        Some((_, name)) => format!("{name}(2)"),
        None => format!("the system call {number}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_record_of_the_process_names_the_call() {
        let record = |pid: i32, number: i32| {
            let arch = if cfg!(target_arch = "aarch64") { "c00000b7" } else { "c000003e" };
            format!(
                "<5>[1.0] audit: type=1326 audit(1.0:1): uid=0 pid={pid} comm=\"a pid=9 \" sig=31 arch={arch} syscall={number} compat=0\n"
            )
        };
        let mkdirat = libc::SYS_mkdirat as i32;
        let log = record(7, 1) + &record(7, mkdirat) + &record(8, 2) + "noise\n";
        assert_eq!(audited(&log, 7).as_deref(), Some("mkdirat(2)"));
        assert_eq!(audited(&log, 6), None);
        assert_eq!(audited(&record(7, 9999), 7).as_deref(), Some("the system call 9999"));
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!([17, 2048, 4 << 20, 1_572_864].map(size), ["17 bytes", "2 KiB", "4 MiB", "1.5 MiB"]);
    }
}
