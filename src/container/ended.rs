//! The end of a program under the reaping init, as that init recorded it.
//!
//! The record is a file in the state directory that the init holds open for writing. A process of
//! the container could reach it through /proc/1/fd only with CAP_SYS_PTRACE, since the init is not
//! dumpable; such a process could then fill the host's file system. So there is a record only
//! where no process of the container's own has that capability. The reader takes one record of a
//! fixed length, and the number in it can only become an exit code or a signal.

use super::request::Signal;
use crate::namespaces::{NamespaceKind, Place};
use crate::process::plan::LaunchPlan;
use crate::process::stub::plan::end_record;
use crate::state::{self, Record, Store};
use serde::Serialize;

const CAP_SYS_PTRACE: u32 = 19;

/// Whether the reaping init of this plan can record the end of the program.
pub(super) fn is_recorded(plan: &LaunchPlan) -> bool {
    let Some(program) = plan.program.as_ref().filter(|_| plan.shim.is_some()) else { return false };
    let sets = program.capabilities;
    let all = sets.bounding | sets.effective | sets.permitted | sets.inheritable | sets.ambient;
    // Processes of another container may have the capability.
    let own_pids = *plan.namespaces.place(NamespaceKind::Pid) == Place::New;
    let write = (libc::SYS_write as u32, [0, 0, end_record(0).len() as u64, 0, 0, 0]);
    let filter = plan.filter.as_ref();
    own_pids && all & 1 << CAP_SYS_PTRACE == 0 && filter.is_none_or(|filter| filter.check(&[write]).is_ok())
}

/// The end of a program, for `state`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndOfProgram {
    /// 128 and the signal's number after a death by signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<String>,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

/// Reads the record of a stopped container; `None` where there is none.
pub(super) fn read(store: &Store, record: &Record) -> Option<EndOfProgram> {
    let (bytes, time) = store.end(&record.id)?;
    let out_of_memory = || record.new_cgroup && record.cgroup().oom_kill_count().is_some_and(|count| count > 0);
    let Some(status) = parse(&bytes) else {
        // Without a record, the init itself was killed.
        let reason = if out_of_memory() { "out-of-memory" } else { "init-killed" };
        return bytes.is_empty().then_some(EndOfProgram { exit_code: None, signal: None, reason, time: None });
    };
    let signal = Some(status & 0x7f).filter(|signal| *signal != 0);
    let exit_code = signal.map_or(status >> 8 & 0xff, |signal| 128 + signal);
    let reason = match signal {
        _ if exit_code == 128 + libc::SIGKILL as u32 && out_of_memory() => "out-of-memory",
        Some(_) => "signal",
        None => "exited",
    };
    // The clock of file times lags by up to a tick: no container ends before it was created.
    let time = Some(state::rfc3339(time).max(record.created.clone()));
    Some(EndOfProgram {
        exit_code: Some(exit_code),
        signal: signal.map(|signal| Signal::of(signal as i32).to_string()),
        reason,
        time,
    })
}

/// The wait status in a record; it must be exactly the output of [`end_record`].
fn parse(bytes: &[u8]) -> Option<u32> {
    let status = u32::from_le_bytes(*bytes.last_chunk()?);
    (end_record(status) == bytes && status <= 0xffff && status & 0x7f < 0x7f).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_record_with_the_status_of_an_ended_process_is_taken() {
        for status in [0, 3 << 8, 9, 11 | 0x80] {
            let whole = end_record(status);
            assert_eq!(parse(&whole), Some(status));
            assert!((0..whole.len()).all(|length| parse(&whole[..length]).is_none()));
            assert_eq!(parse(&[&whole[..], b"\n"].concat()), None);
        }
        // Stopped, continued, and no wait status at all.
        for status in [0x137f, 0xffff, 1 << 16, u32::MAX] {
            assert_eq!(parse(&end_record(status)), None, "{status:#x}");
        }
    }

    #[test]
    fn no_end_is_recorded_where_a_process_of_the_container_could_reach_the_file() {
        use crate::process::program::Program;
        let plan = |bounding| {
            let mut program = Program::default();
            program.capabilities.bounding = bounding;
            let mut plan = LaunchPlan { program: Some(program), shim: Some(0), ..LaunchPlan::default() };
            let own_pids = crate::config::parse(br#"{"linux":{"namespaces":[{"type":"pid"}]}}"#).unwrap();
            plan.namespaces = crate::namespaces::Namespaces::parse(&own_pids).unwrap();
            plan
        };
        assert!(is_recorded(&plan(1 << 5)));
        assert!(!is_recorded(&plan(1 << CAP_SYS_PTRACE)));
        assert!(!is_recorded(&LaunchPlan { namespaces: Default::default(), ..plan(0) }));
        assert!(!is_recorded(&LaunchPlan { shim: None, ..plan(0) }));
    }
}
