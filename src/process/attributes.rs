//! Attributes of a process that are set by its pid: resource limits, scheduling, OOM score, memory policy, personality.
//!
//! They are parsed here. The process applies them itself; if it is in a user namespace, its parent
//! does, which still has the privileges.

use crate::config::{IoPriority, Linux, MemoryPolicy, Personality, Process, Rlimit, Scheduler};
use crate::cpulist;
use crate::error::{Context, Error, Result};
use crate::sys::limits::{self, Limit};
use crate::sys::process::{self, Pid};
use crate::sys::scheduling::{self, SchedAttr};
use crate::text;
use std::borrow::Cow;

/// The checked attributes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attributes {
    /// The resource limits, with their names.
    pub rlimits: Vec<(Limit, &'static str)>,
    /// For /proc/PID/oom_score_adj.
    pub oom_score_adj: Option<i32>,
    /// For `sched_setattr(2)`.
    pub scheduler: Option<SchedAttr>,
    /// For `ioprio_set(2)`: class << 13 | level.
    pub io_priority: Option<i32>,
    /// For `personality(2)`.
    pub personality: Option<u64>,
    /// For `set_mempolicy(2)`: the mode with its flags, and the nodes.
    pub memory_policy: Option<(i32, Vec<u64>)>,
}

impl Attributes {
    /// Checks the attributes in `process` and `linux`; `field` is the JSON path of the process.
    pub(crate) fn parse(field: &str, written: &Process<'_>, linux: Option<&Linux<'_>>) -> Result<Attributes> {
        let linux_personality = linux.and_then(|linux| linux.personality.as_ref());
        let linux_policy = linux.and_then(|linux| linux.memory_policy.as_ref());
        Ok(Attributes {
            rlimits: rlimits(field, written.rlimits.as_deref().unwrap_or_default())?,
            oom_score_adj: written.oom_score_adj.map(|value| oom_score_adj(field, value)).transpose()?,
            scheduler: written.scheduler.as_ref().map(|s| scheduler(&format!("{field}.scheduler"), s)).transpose()?,
            io_priority: written
                .io_priority
                .as_ref()
                .map(|p| io_priority(&format!("{field}.ioPriority"), p))
                .transpose()?,
            personality: linux_personality.map(personality).transpose()?,
            memory_policy: linux_policy.map(memory_policy).transpose()?.flatten(),
        })
    }

    /// Sets scheduler and I/O priority of `pid` (0: this process), which the parent may do as well.
    pub(crate) fn apply_scheduling(&self, pid: Pid) -> Result<()> {
        if let Some(attr) = &self.scheduler {
            scheduling::sched_setattr(pid, attr).context("process.scheduler")?;
        }
        if let Some(value) = self.io_priority {
            scheduling::ioprio_set(pid, value).context("process.ioPriority")?;
        }
        Ok(())
    }

    /// Raises the hard limits of this process to those of the program: the init stub can only lower
    /// them.
    pub(crate) fn raise_rlimits(&self) -> Result<()> {
        for (limit, name) in &self.rlimits {
            let hint = match *name {
                "RLIMIT_NOFILE" => "it is above the sysctl fs.nr_open, or the runtime has no CAP_SYS_RESOURCE",
                _ => "a hard limit above the runtime's own needs CAP_SYS_RESOURCE",
            };
            limits::raise_hard(limit.resource, limit.hard)
                .with_context(|| format!("process.rlimits: error setting rlimit type {name} ({})", limit.resource))
                .hint_on(libc::EPERM, hint)?;
        }
        Ok(())
    }

    /// Sets personality and memory policy, which a process can only set for itself.
    pub(crate) fn apply_own(&self) -> Result<()> {
        if let Some(persona) = self.personality {
            process::personality(persona).context("linux.personality")?;
        }
        if let Some((mode, nodes)) = &self.memory_policy {
            scheduling::set_mempolicy(*mode, nodes).context("linux.memoryPolicy")?;
        }
        Ok(())
    }
}

// musl's constants are of another integer type than glibc's.
#[allow(clippy::unnecessary_cast)]
static RLIMITS: [(&str, u32); 16] = [
    ("RLIMIT_CPU", libc::RLIMIT_CPU as u32),
    ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE as u32),
    ("RLIMIT_DATA", libc::RLIMIT_DATA as u32),
    ("RLIMIT_STACK", libc::RLIMIT_STACK as u32),
    ("RLIMIT_CORE", libc::RLIMIT_CORE as u32),
    ("RLIMIT_RSS", libc::RLIMIT_RSS as u32),
    ("RLIMIT_NPROC", libc::RLIMIT_NPROC as u32),
    ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE as u32),
    ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK as u32),
    ("RLIMIT_AS", libc::RLIMIT_AS as u32),
    ("RLIMIT_LOCKS", libc::RLIMIT_LOCKS as u32),
    ("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING as u32),
    ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE as u32),
    ("RLIMIT_NICE", libc::RLIMIT_NICE as u32),
    ("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO as u32),
    ("RLIMIT_RTTIME", libc::RLIMIT_RTTIME as u32),
];

fn rlimits(field: &str, written: &[Rlimit<'_>]) -> Result<Vec<(Limit, &'static str)>> {
    let mut list: Vec<(Limit, &'static str)> = Vec::new();
    for (n, limit) in written.iter().enumerate() {
        let problem = |name: &str, text: String| Err(Error::config(format_args!("{field}.rlimits[{n}].{name}"), text));
        let word = limit.type_.as_deref().unwrap_or_default();
        let Some((name, resource)) = RLIMITS.iter().find(|(name, _)| *name == word) else {
            return problem("type", format!("invalid rlimit type {word:?}"));
        };
        if list.iter().any(|(known, _)| known.resource == *resource) {
            return problem("type", format!("{name} was already given"));
        }
        let (Some(soft), Some(hard)) = (limit.soft, limit.hard) else {
            return problem(if limit.soft.is_none() { "soft" } else { "hard" }, "is missing".into());
        };
        if soft > hard {
            return problem("soft", format!("{soft} is above the hard limit of {hard}"));
        }
        list.push((Limit { resource: *resource, soft, hard }, *name));
    }
    Ok(list)
}

fn oom_score_adj(field: &str, value: i64) -> Result<i32> {
    match value {
        -1000..=1000 => Ok(value as i32),
        _ => Err(Error::config(format_args!("{field}.oomScoreAdj"), format_args!("{value} is not from -1000 to 1000"))),
    }
}

/// The value of a word in a table; the error names the field and the word.
fn look_up<T: Copy>(field: &str, word: &Option<Cow<'_, str>>, table: &[(&'static str, T)]) -> Result<T> {
    let word = word.as_deref().unwrap_or_default();
    table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<_> = table.iter().map(|(name, _)| *name).collect();
        Error::config(field, format_args!("{word:?} is none of {}", known.join(", ")))
    })
}

fn scheduler(field: &str, written: &Scheduler<'_>) -> Result<SchedAttr> {
    static POLICIES: [(&str, u32); 7] = [
        ("SCHED_OTHER", 0),
        ("SCHED_FIFO", 1),
        ("SCHED_RR", 2),
        ("SCHED_BATCH", 3),
        ("SCHED_ISO", 4),
        ("SCHED_IDLE", 5),
        ("SCHED_DEADLINE", 6),
    ];
    static FLAGS: [(&str, u64); 7] = [
        ("SCHED_FLAG_RESET_ON_FORK", 0x01),
        ("SCHED_FLAG_RECLAIM", 0x02),
        ("SCHED_FLAG_DL_OVERRUN", 0x04),
        ("SCHED_FLAG_KEEP_POLICY", 0x08),
        ("SCHED_FLAG_KEEP_PARAMS", 0x10),
        ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
        ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
    ];
    let policy = look_up(&format!("{field}.policy"), &written.policy, &POLICIES)?;
    let mut flags = 0;
    for (n, word) in written.flags.iter().flatten().enumerate() {
        flags |= look_up(&format!("{field}.flags[{n}]"), &Some(word.clone()), &FLAGS)?;
    }
    let problem = |name: &str, text: &str| Err(Error::config(format_args!("{field}.{name}"), text));
    let (nice, priority) = (written.nice.unwrap_or(0), written.priority.unwrap_or(0));
    let (runtime, deadline, period) =
        (written.runtime.unwrap_or(0), written.deadline.unwrap_or(0), written.period.unwrap_or(0));
    if !(-20..=19).contains(&nice) {
        return problem("nice", "must be from -20 to 19");
    }
    if priority != 0 && !matches!(policy, 1 | 2) {
        return problem("priority", "can only be specified for SCHED_FIFO or SCHED_RR");
    }
    let Ok(priority) = u32::try_from(priority) else { return problem("priority", "must not be negative") };
    if policy != 6 && (runtime, deadline, period) != (0, 0, 0) {
        return problem("runtime", "runtime, deadline and period can only be specified for SCHED_DEADLINE");
    }
    Ok(SchedAttr { size: 0, policy, flags, nice, priority, runtime, deadline, period })
}

fn io_priority(field: &str, written: &IoPriority<'_>) -> Result<i32> {
    static CLASSES: [(&str, i32); 3] = [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
    let class = look_up(&format!("{field}.class"), &written.class, &CLASSES)?;
    match written.priority.unwrap_or(0) {
        level @ 0..=7 => Ok(class << 13 | level as i32),
        level => Err(Error::config(format_args!("{field}.priority"), format_args!("{level} is not from 0 to 7"))),
    }
}

fn personality(written: &Personality<'_>) -> Result<u64> {
    static DOMAINS: [(&str, u64); 2] = [("LINUX", 0), ("LINUX32", 8)];
    if written.flags.as_ref().is_some_and(|flags| !flags.is_empty()) {
        return Err(Error::config("linux.personality.flags", "the spec defines no flags"));
    }
    look_up("linux.personality.domain", &written.domain, &DOMAINS)
}

/// Every memory policy that a config may name (set_mempolicy(2)).
pub(crate) static POLICY_MODES: [(&str, i32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// Flags of memory policies.
pub(crate) static POLICY_FLAGS: [(&str, i32); 3] =
    [("MPOL_F_NUMA_BALANCING", 1 << 13), ("MPOL_F_RELATIVE_NODES", 1 << 14), ("MPOL_F_STATIC_NODES", 1 << 15)];

fn memory_policy(written: &MemoryPolicy<'_>) -> Result<Option<(i32, Vec<u64>)>> {
    if written.mode.as_deref().unwrap_or_default().is_empty() && written.nodes.is_none() && written.flags.is_none() {
        return Ok(None);
    }
    let mut mode = look_up("linux.memoryPolicy.mode", &written.mode, &POLICY_MODES)?;
    let plain = mode;
    for (n, word) in written.flags.iter().flatten().enumerate() {
        mode |= look_up(&format!("linux.memoryPolicy.flags[{n}]"), &Some(word.clone()), &POLICY_FLAGS)?;
    }
    let nodes = bits("linux.memoryPolicy.nodes", written.nodes.as_deref().unwrap_or_default(), 1023)?;
    if matches!(plain, 0 | 4) && !nodes.is_empty() {
        return Err(Error::config("linux.memoryPolicy.nodes", "this mode takes no nodes"));
    }
    if matches!(plain, 2 | 3 | 5 | 6) && nodes.is_empty() {
        return Err(Error::config("linux.memoryPolicy.nodes", "this mode needs nodes"));
    }
    Ok(Some((mode, nodes)))
}

/// Lets this process use every CPU of its cpuset, whatever the caller's affinity.
pub(crate) fn use_the_cpuset() {
    // The kernel takes the part of a mask that the cpuset allows, and has at most 8192 CPUs.
    const EVERY: [u64; 128] = [u64::MAX; 128];
    if let Err(e) = scheduling::sched_setaffinity(0, &EVERY) {
        crate::log::warning(format!("the container keeps the caller's CPU affinity: {}", e.errno()));
    }
}

/// Parses the list of CPUs or memory nodes at `field` into a mask of 64 bits a word. No number may
/// be above `highest`.
pub(crate) fn bits(field: &str, list: &str, highest: u32) -> Result<Vec<u64>> {
    cpulist::parse(list, highest).ok_or_else(|| {
        let list = text::excerpt(list, 200);
        Error::config(field, format_args!("{list:?} is not a list such as 0-3,7, of numbers up to {highest}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(process: &str, linux: &str) -> String {
        let json = format!(r#"{{"process":{process},"linux":{linux}}}"#);
        let spec = crate::config::parse(json.as_bytes()).unwrap();
        let process = spec.process.unwrap();
        Attributes::parse("process", &process, spec.linux.as_ref()).expect_err(&json).to_string()
    }

    #[test]
    fn every_wrong_attribute_names_its_field() {
        for (process, linux, begins) in [
            (r#"{"rlimits":[{"type":"RLIMIT_X"}]}"#, "{}", "process.rlimits[0].type: invalid rlimit type"),
            (r#"{"rlimits":[{"type":"RLIMIT_CPU","hard":1}]}"#, "{}", "process.rlimits[0].soft: is missing"),
            (r#"{"rlimits":[{"type":"RLIMIT_CPU","hard":1,"soft":2}]}"#, "{}", "process.rlimits[0].soft: 2 is above"),
            (
                r#"{"rlimits":[{"type":"RLIMIT_CPU","hard":1,"soft":1},{"type":"RLIMIT_CPU","hard":1,"soft":1}]}"#,
                "{}",
                "process.rlimits[1].type: RLIMIT_CPU was already given",
            ),
            (r#"{"oomScoreAdj":1001}"#, "{}", "process.oomScoreAdj: 1001 is not"),
            (r#"{"scheduler":{"policy":"X"}}"#, "{}", "process.scheduler.policy: \"X\" is none of SCHED_OTHER"),
            (r#"{"scheduler":{"policy":"SCHED_FIFO","nice":20}}"#, "{}", "process.scheduler.nice: must be"),
            (r#"{"scheduler":{"policy":"SCHED_OTHER","period":1}}"#, "{}", "process.scheduler.runtime: "),
            (r#"{"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":8}}"#, "{}", "process.ioPriority.priority: 8"),
            ("{}", r#"{"personality":{"domain":"X"}}"#, "linux.personality.domain: \"X\" is none of"),
            ("{}", r#"{"memoryPolicy":{"mode":"MPOL_BIND"}}"#, "linux.memoryPolicy.nodes: this mode needs nodes"),
            ("{}", r#"{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"1-x"}}"#, "linux.memoryPolicy.nodes: \"1-x\""),
            ("{}", r#"{"memoryPolicy":{"mode":"MPOL_BIND","nodes":"3-1"}}"#, "linux.memoryPolicy.nodes: \"3-1\""),
        ] {
            let text = error(process, linux);
            assert!(text.starts_with(begins), "{text}");
        }
    }
}
