//! Attributes that the process sets for itself.

use super::Stage;
use crate::error::{Context, Result};
use crate::namespaces::recipe::{Fork, User};
use crate::process::plan::Affinity;
use crate::sys::{file, scheduling};

/// Sets the CPUs that the process uses before it joins its cgroups.
pub(in crate::process) fn set_initial_affinity(stage: &mut Stage<'_>) -> Result<()> {
    set_affinity(&stage.plan.affinity[0], "initial")
}

/// Sets the CPUs once the cgroups are joined: joining resets them.
pub(in crate::process) fn set_final_affinity(stage: &mut Stage<'_>) -> Result<()> {
    set_affinity(&stage.plan.affinity[1], "final")
}

fn set_affinity(affinity: &Affinity, which: &str) -> Result<()> {
    match affinity {
        Affinity::Unchanged => Ok(()),
        Affinity::Only(mask) => {
            scheduling::sched_setaffinity(0, mask).with_context(|| format!("process.execCPUAffinity.{which}"))
        }
        Affinity::Cpuset => {
            crate::process::attributes::use_the_cpuset();
            Ok(())
        }
    }
}

/// Sets resource limits and scheduling where the process has the privileges: without a user
/// namespace of its own.
pub(in crate::process) fn set_attributes(stage: &mut Stage<'_>) -> Result<()> {
    let Some(program) = &stage.plan.program else { return Ok(()) };
    program.attributes.apply_own()?;
    if stage.plan.recipe.user != User::Stays {
        return Ok(());
    }
    if stage.plan.recipe.fork != Fork::Late {
        // SCHED_FLAG_RESET_ON_FORK would undo it at the late fork: then the runtime sets it.
        program.attributes.apply_scheduling(0)?;
    }
    Ok(())
}

/// Sets the OOM score while /proc is the host's. In a user namespace a process may raise but not
/// lower its score: there the runtime sets it.
pub(in crate::process) fn set_oom_score(stage: &mut Stage<'_>) -> Result<()> {
    let score = stage.plan.program.as_ref().and_then(|program| program.attributes.oom_score_adj);
    let Some(score) = score else { return Ok(()) };
    let opened = file::open("/proc/self/oom_score_adj", libc::O_WRONLY);
    match opened.and_then(|fd| file::write_value(fd, score.to_string().as_bytes())) {
        Err(_) if stage.plan.recipe.user != User::Stays => Ok(()),
        other => other.context("process.oomScoreAdj").map(drop),
    }
}
