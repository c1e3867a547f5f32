//! `process.scheduler` and `process.ioPriority`.

use crate::bench::prelude::*;

const RESET_ON_FORK: u64 = 1;

fn needs_scheduler(t: &Trial) -> Result<()> {
    t.needs_version(1)
}

/// Realtime policies need a share of realtime in the cgroup where the kernel accounts it by groups.
fn realtime<'t>(t: &'t Trial, scheduler: Value) -> Result<crate::bench::bundle::Bundle<'t>> {
    t.needs_root()?;
    needs_scheduler(t)?;
    let b = t.bundle()?.set("/process/scheduler", scheduler);
    Ok(match t.realtime_share()? {
        Some(cpu) => b.set("/linux/resources/cpu", cpu),
        None => b,
    })
}

cases! {
    /// SCHED_BATCH with a nice value.
    ["process.scheduler", "process.scheduler.policy"]
    fn the_policy_batch_is_set(t) {
        needs_scheduler(t)?;
        let seen = t.bundle()?.set("/process/scheduler", json!({"policy": "SCHED_BATCH", "nice": 5})).observe()?;
        same("policy", seen.report("/scheduler/policy")?, libc::SCHED_BATCH)?;
        same("nice", seen.report("/scheduler/nice")?, 5)?;
    }

    /// SCHED_IDLE.
    ["process.scheduler.policy"]
    fn the_policy_idle_is_set(t) {
        needs_scheduler(t)?;
        let seen = t.bundle()?.set("/process/scheduler", json!({"policy": "SCHED_IDLE"})).observe()?;
        same("policy", seen.report("/scheduler/policy")?, libc::SCHED_IDLE)?;
    }

    /// SCHED_OTHER with a nice value.
    ["process.scheduler.nice"]
    fn the_nice_value_is_set(t) {
        needs_scheduler(t)?;
        let seen = t.bundle()?.set("/process/scheduler", json!({"policy": "SCHED_OTHER", "nice": 7})).observe()?;
        same("policy", seen.report("/scheduler/policy")?, libc::SCHED_OTHER)?;
        same("nice", seen.report("/scheduler/nice")?, 7)?;
    }

    /// A negative nice value, which needs CAP_SYS_NICE.
    ["process.scheduler.nice"]
    fn a_negative_nice_value_is_set(t) {
        t.needs_root()?;
        needs_scheduler(t)?;
        t.needs_capability(23, "CAP_SYS_NICE")?;
        let seen = t.bundle()?.set("/process/scheduler", json!({"policy": "SCHED_OTHER", "nice": -5})).observe()?;
        same("nice", seen.report("/scheduler/nice")?, -5)?;
    }

    /// Without a nice value it is 0.
    ["process.scheduler.nice"]
    fn the_nice_value_is_zero_by_default(t) {
        needs_scheduler(t)?;
        if t.bench.rootless && procfs::process::Process::myself()?.stat()?.nice > 0 {
            return skip("the suite itself has a nice value, which only root may lower");
        }
        let seen = t.bundle()?.set("/process/scheduler", json!({"policy": "SCHED_OTHER"})).observe()?;
        same("nice", seen.report("/scheduler/nice")?, 0)?;
    }

    /// SCHED_FLAG_RESET_ON_FORK.
    ["process.scheduler.flags"]
    fn the_flag_reset_on_fork_is_set(t) {
        needs_scheduler(t)?;
        let scheduler = json!({"policy": "SCHED_BATCH", "nice": 19, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
        let seen = t.bundle()?.set("/process/scheduler", scheduler).observe()?;
        let flags = seen.report("/scheduler/flags")?.as_u64().unwrap_or_default();
        ensure!(flags & RESET_ON_FORK != 0, "flags are {flags:#x}");
    }

    /// SCHED_FIFO with a priority.
    ["process.scheduler.priority"]
    fn the_policy_fifo_is_set_with_its_priority(t) {
        let seen = realtime(t, json!({"policy": "SCHED_FIFO", "priority": 11}))?.observe()?;
        same("policy", seen.report("/scheduler/policy")?, libc::SCHED_FIFO)?;
        same("priority", seen.report("/scheduler/priority")?, 11)?;
    }

    /// SCHED_RR with a priority.
    ["process.scheduler.priority"]
    fn the_policy_rr_is_set_with_its_priority(t) {
        let seen = realtime(t, json!({"policy": "SCHED_RR", "priority": 12}))?.observe()?;
        same("policy", seen.report("/scheduler/policy")?, libc::SCHED_RR)?;
        same("priority", seen.report("/scheduler/priority")?, 12)?;
    }

    /// SCHED_DEADLINE with its three times.
    ["process.scheduler.deadline"]
    fn the_policy_deadline_is_set_with_its_times(t) {
        let times = json!({"policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 5_000_000, "period": 9_000_000});
        let seen = realtime(t, times)?.observe()?;
        same("policy", seen.report("/scheduler/policy")?, 6)?;
        same("runtime", seen.report("/scheduler/runtime")?, 1_000_000)?;
        same("deadline", seen.report("/scheduler/deadline")?, 5_000_000)?;
        same("period", seen.report("/scheduler/period")?, 9_000_000)?;
    }

    /// Deadlines with runtime above the period, which the kernel refuses.
    ["process.scheduler.deadline", "valid-values"]
    fn a_deadline_that_the_kernel_refuses_is_an_error(t) {
        needs_scheduler(t)?;
        let times = json!({"policy": "SCHED_DEADLINE", "runtime": 9_000_000, "deadline": 5_000_000, "period": 5_000_000});
        t.bundle()?.set("/process/scheduler", times).never_runs()?;
    }

    /// A policy that does not exist.
    ["process.scheduler.policy", "valid-values"]
    fn an_unknown_policy_is_an_error(t) {
        needs_scheduler(t)?;
        t.bundle()?.set("/process/scheduler", json!({"policy": "SCHED_NO_SUCH"})).never_runs()?;
    }

    /// No policy.
    ["process.scheduler.policy"]
    fn a_scheduler_without_a_policy_is_an_error(t) {
        needs_scheduler(t)?;
        t.bundle()?.set("/process/scheduler", json!({"nice": 3})).never_runs()?;
    }

    /// A flag that does not exist.
    ["process.scheduler.flags", "valid-values"]
    fn an_unknown_scheduling_flag_is_an_error(t) {
        needs_scheduler(t)?;
        let scheduler = json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_NO_SUCH"]});
        t.bundle()?.set("/process/scheduler", scheduler).never_runs()?;
    }

    /// A realtime priority above 99.
    ["process.scheduler.priority", "valid-values"]
    fn a_priority_out_of_range_is_an_error(t) {
        needs_scheduler(t)?;
        t.bundle()?.set("/process/scheduler", json!({"policy": "SCHED_FIFO", "priority": 1000})).never_runs()?;
    }

    /// A nice value beyond 19.
    ["process.scheduler.nice", "valid-values"]
    fn a_nice_value_out_of_range_is_an_error(t) {
        needs_scheduler(t)?;
        t.bundle()?.set("/process/scheduler", json!({"policy": "SCHED_OTHER", "nice": 100})).never_runs()?;
    }

    /// Best effort, level 6.
    ["process.io-priority", "process.io-priority.class", "process.io-priority.priority"]
    fn the_io_priority_best_effort_is_set(t) {
        needs_scheduler(t)?;
        let seen = t.bundle()?.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6})).observe()?;
        same("ioprio", seen.report("/io_priority")?, json!({"class": 2, "priority": 6}))?;
    }

    /// Level 0, the highest.
    ["process.io-priority.priority"]
    fn the_highest_io_priority_is_set(t) {
        needs_scheduler(t)?;
        let seen = t.bundle()?.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 0})).observe()?;
        same("ioprio", seen.report("/io_priority")?, json!({"class": 2, "priority": 0}))?;
    }

    /// Idle.
    ["process.io-priority.class"]
    fn the_io_priority_idle_is_set(t) {
        needs_scheduler(t)?;
        let seen = t.bundle()?.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_IDLE", "priority": 4})).observe()?;
        same("class", seen.report("/io_priority/class")?, 3)?;
    }

    /// Realtime.
    ["process.io-priority.class"]
    fn the_io_priority_realtime_is_set(t) {
        t.needs_root()?;
        needs_scheduler(t)?;
        let seen = t.bundle()?.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_RT", "priority": 3})).observe()?;
        same("ioprio", seen.report("/io_priority")?, json!({"class": 1, "priority": 3}))?;
    }

    /// A class that does not exist.
    ["process.io-priority.class", "valid-values"]
    fn an_unknown_io_class_is_an_error(t) {
        needs_scheduler(t)?;
        t.bundle()?.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_NO_SUCH", "priority": 4})).never_runs()?;
    }

    /// A level beyond 7.
    ["process.io-priority.priority", "valid-values"]
    fn an_io_priority_out_of_range_is_an_error(t) {
        needs_scheduler(t)?;
        t.bundle()?.set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 8})).never_runs()?;
    }
}
