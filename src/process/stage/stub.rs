//! The stub's plan, and the execution of the stub.

use super::{Stage, pass_records_on};
use crate::error::Result;
use crate::hooks::{self, Moment};
use crate::path::InRoot;
use crate::process::stub::plan::{StubPlan, flag};
use crate::process::stub::{self, Image, Layout};
use crate::procfs::ProcFd;
use crate::sys::{file, process};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};

/// Lays out the stub's plan and executes the stub.
pub(in crate::process) fn execute_stub(stage: &mut Stage<'_>) -> Result<()> {
    let mut layout = Layout::new();
    pass_records_on(stage)?;
    let mut plan = stub_plan(stage, &mut layout)?;
    leave_gaps(&mut plan)?;
    let image = Image::new(&plan, layout);
    let sealed = stub::make(&image)?;
    // Only these descriptors stay open in the stub.
    let kept = [plan.sync, plan.gate, plan.page, plan.procfs, plan.cgroup_file, plan.end_file];
    let [sync, gate, page, procfs, cgroup, end] = kept;
    file::close_by_execute(stage.plan.first_fd(), &[sync, gate, page, procfs, cgroup, end, sealed.as_raw_fd()])?;
    for fd in kept.into_iter().filter(|fd| *fd >= 0) {
        file::keep_over_exec(fd)?;
    }
    Err(stub::execute(&sealed, &image))
}

/// Moves the stub's descriptors above the numbers that the program keeps. A number that the caller
/// left closed there stays closed in the program.
fn leave_gaps(plan: &mut StubPlan) -> Result<()> {
    let first = plan.first_closed;
    let StubPlan { sync, gate, page, procfs, cgroup_file, end_file, .. } = plan;
    for fd in [sync, gate, page, procfs, cgroup_file, end_file] {
        if (0..first).contains(fd) {
            *fd = file::duplicate_number_above(*fd, first)?.into_raw_fd();
        }
    }
    Ok(())
}

fn stub_plan(stage: &mut Stage<'_>, layout: &mut Layout) -> Result<StubPlan> {
    let plan = stage.plan;
    let mut out = plan.stub_plan(layout)?;
    if let Some(program) = &plan.program {
        let mut env = program.env.clone();
        if !env.iter().any(|entry| entry.starts_with("HOME=") && entry.len() > 5) {
            env.retain(|entry| !entry.starts_with("HOME="));
            env.push(format!("HOME={}", home_of(program.uid)?));
        }
        out.envp = layout.strings(&env).at;
        if let Some(label) = &plan.label {
            let procfs = match stage.procfs.take() {
                Some(procfs) => procfs,
                None => ProcFd::open()?.into(),
            };
            out.label_file = layout.string(label.file);
            out.label = layout.bytes(label.text.as_bytes());
            out.procfs = procfs.as_raw_fd();
            stage.procfs = Some(procfs);
        }
        if program.terminal.is_some() {
            out.flags |= flag::TERMINAL;
        }
    }
    let start = plan.hooks.at(Moment::StartContainer);
    if !start.is_empty() {
        let hooks: Vec<_> = start.iter().map(|hook| lay_hook(layout, hook, out.envp)).collect();
        out.hooks = layout.hooks(&hooks);
        (out.state, out.pid_at) = layout.state(&(stage.input.state)(Moment::StartContainer, process::pid()));
    }
    if let Some(tasks) = stage.cgroup.and_then(|fds| fds.deferred_memory.as_ref()) {
        out.cgroup_file = tasks.as_raw_fd();
        if plan.recipe.late_cgroup {
            out.flags |= flag::CGROUP_NAMESPACE;
        }
    }
    out.sync = stage.channel.as_fd().as_raw_fd();
    out.gate = stage.input.gate.as_ref().map_or(-1, |gate| gate.as_raw_fd());
    out.page = stage.report.as_raw_fd();
    out.end_file = stage.input.end_file.as_ref().map_or(-1, |file| file.as_raw_fd());
    out.flags |= crate::process::early::flags(plan, &out);
    Ok(out)
}

/// Lays out a startContainer hook; `envp` is the container's environment.
fn lay_hook(layout: &mut Layout, hook: &hooks::Hook, envp: u64) -> stub::plan::Hook {
    let bytes = |list: &[CString]| list.iter().map(|s| s.as_bytes().to_vec()).collect::<Vec<_>>();
    let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    stub::plan::Hook {
        path: layout.string(hook.path.as_bytes()),
        argv: layout.strings(bytes(&hook.args)).at,
        envp: hook.env.as_deref().map_or(envp, |env| layout.strings(bytes(env)).at),
        timeout: hook.timeout.map_or(0, milliseconds),
    }
}

/// The home directory of `uid` from the container's /etc/passwd, or `/`.
fn home_of(uid: u32) -> Result<String> {
    let root = crate::path::Root::from(file::open("/", libc::O_PATH | libc::O_DIRECTORY)?);
    // A missing or irregular /etc/passwd is no error: the program can run without it.
    let Ok(Some(passwd)) = root.read(&InRoot::new("/etc/passwd")) else { return Ok("/".into()) };
    let text = String::from_utf8_lossy(&passwd);
    let home = text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let of_uid = fields.len() >= 6 && fields[2].parse() == Ok(uid);
        of_uid.then(|| fields[5].to_owned())
    });
    Ok(home.filter(|home| !home.is_empty()).unwrap_or_else(|| "/".into()))
}
