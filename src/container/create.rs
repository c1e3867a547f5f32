//! `create`: from a bundle to a process that waits at the gate. `run` shares this code.

use super::bundle::Bundle;
use super::console::Give;
use super::hand_over::hand_over;
use super::inherited::Inherited;
use super::made::{CreatedContainer, Source};
use super::notify::NotifyProxy;
use super::parts::Parts;
use super::query::hook_state;
use super::request::CreateRequest;
use super::watcher::Watcher;
use super::{Context, cgroup_setup};
use crate::cgroups::Layout;
use crate::error::{Error, Kind, Result};
use crate::hooks::Moment;
use crate::log;
use crate::namespaces::recipe::User;
use crate::namespaces::{self, NamespaceKind as Ns};
use crate::process::launch::{self, LaunchInput, Launched};
use crate::rootfs::Sources;
use crate::state::{ContainerDir, Record, Status, Store};
use crate::sys::credentials;
use crate::sys::process::{Pid, SingleThreaded};
use crate::sys::signal::{self, EndHeld};
use std::os::fd::{AsFd, OwnedFd};

/// The state in which the launch leaves the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// It waits at the gate.
    Gate,
    /// It runs the program.
    Program,
}

/// `create`: makes a container; its program waits for [`start`](super::start()).
///
/// The calling process must have one thread. Its working directory is the bundle's meanwhile; a
/// hook without an environment of its own inherits this process's. The container's process is a
/// child of the caller, which has to reap it.
///
/// # Errors
/// A fault of the request, the config or the machine; everything created so far is removed.
pub fn create(context: &Context, request: &CreateRequest) -> Result<()> {
    let proof = &SingleThreaded::of_caller()?;
    let _caller = context.keep_caller()?;
    make(context, request, proof, Until::Gate, Give::detached(&request.console_socket)).map(drop)
}

/// Makes a container and launches its process.
pub(super) fn make(
    context: &Context,
    request: &CreateRequest,
    proof: &SingleThreaded,
    until: Until,
    console: Give,
) -> Result<CreatedContainer> {
    log::step("read the configuration");
    let bundle = Bundle::open(request)?;
    let mut spec = bundle.spec()?;
    let store = Store::at(&context.root);
    let notifies = super::notify::manager().is_some();
    if notifies {
        super::notify::offer(&mut spec, &store.directory(request.id.as_str()));
    }
    let inherited = Inherited::take(request.preserve_fds)?;
    log::step("check the configuration");
    if until == Until::Program && spec.process.is_none() {
        let error = Error::config("process", "missing, so there is no program to run");
        return Err(error.hint("`create` makes a container without one, which can only be looked at and deleted"));
    }
    let _raised = super::files::raise(&spec, inherited.count())?;
    let mut parts = Parts::parse(context, request, &mut spec, &bundle, &inherited)?;
    let has_terminal = parts.plan.has_terminal();
    parts.plan.shown_on = if has_terminal { console.size() } else { None };
    let foreground = matches!(console, Give::Ours);
    let (console, terminal) = console.check(has_terminal)?;
    parts.plan.reports_ready = until == Until::Gate;
    parts.plan.waits_at_gate = until == Until::Gate;
    parts.notifies = notifies;
    if until == Until::Gate {
        super::listener::check(parts.plan.filter.as_ref())?;
    }
    // Until now a signal could end this command without a trace on the machine. From now on
    // termination signals are checked for, and in the foreground all signals are blocked, so that
    // none is lost.
    let _held = if foreground { None } else { Some(EndHeld::hold()?) };
    let signals = foreground.then(signal::all_signals_as_fd).transpose()?;

    let source = Source { store: &store, request, spec: &spec, bundle: &bundle, proof };
    let receiver = parts.receiver.take();
    source.make(
        parts,
        signals,
        |dir, record, parts| {
            let launched = build(dir, record, parts, &bundle, proof, console, until)?;
            Ok((launched, terminal))
        },
        |made| hand_over(&request.pidfd_socket, &request.pid_file, receiver.as_deref(), &made.launched),
    )
}

/// Every step that changes the machine.
fn build(
    dir: &ContainerDir,
    record: &mut Record,
    parts: &mut Parts,
    bundle: &Bundle,
    proof: &SingleThreaded,
    console: Option<OwnedFd>,
    until: Until,
) -> Result<Launched> {
    record.records_end = super::ended::is_recorded(&parts.plan);
    let mut cgroup = cgroup_setup::prepare(dir, record, parts, bundle, &Layout::read()?, false)?;
    if parts.notifies && until == Until::Program {
        parts.notify = NotifyProxy::open(dir);
    }
    let mut fds = cgroup.create()?;
    cgroup.renew(&mut record.cgroup);
    parts.new_cgroup = cgroup.is_new();
    record.new_cgroup = record.records_end && cgroup.is_new();
    cgroup.apply_early()?;
    let gate = if until == Until::Gate { Some(dir.make_gate()?) } else { None };
    let end_file = record.records_end.then(|| dir.make_end_file()).transpose()?;
    let born_in_cgroup = fds.clone_into().is_some() && !fds.has_v1();
    log::step("open what is to be mounted");
    let plan = &mut parts.plan;
    plan.recipe = namespaces::recipe::recipe(&plan.namespaces, |kind| plan.joined.owner(kind), born_in_cgroup);
    let view = cgroup_setup::view(&cgroup, plan)?;
    let rootfs = plan.rootfs.as_ref().ok_or_else(|| Error::internal("a container without a root filesystem"))?;
    let shows_or_fills = (view.namespace && !view.same) || rootfs.is_of_cgroups();
    if !plan.hooks.is_empty() || shows_or_fills || plan.program.is_none() {
        // Hooks expect the process in all its cgroups, as do mounts that show cgroups or are
        // charged to them. Without a program there would be no report of a failure in the stub.
        fds.join_all_now();
    }
    plan.cgroup_view = Some(view);
    // A child in a user namespace may lack search permission on the way to the sources; root opens
    // them for it.
    let by_parent = plan.recipe.user != User::Stays && credentials::effective_uid() == 0;
    let mut prepared = rootfs.prepare(if by_parent { Sources::ByParent } else { Sources::ByChild })?;
    super::idmap::prepare(rootfs, plan.joined.fd(Ns::User), &mut prepared.trees, proof)?;
    if by_parent {
        rootfs.make_nodes(&mut prepared, dir.path(), plan.joined.fd(Ns::User).map(AsFd::as_fd))?;
    }
    dir.unlock()?;
    // Needed by hooks only.
    let template = (!plan.hooks.is_empty()).then(|| record.clone());
    let state = |moment: Moment, pid: Pid| {
        let status = if moment == Moment::StartContainer { Status::Created } else { Status::Creating };
        template.as_ref().map_or_else(Vec::new, |record| hook_state(record, status, pid))
    };
    let (devices, moved) = (&parts.devices, &mut parts.moved);
    let cgroup = &mut cgroup;
    let mut watcher = Watcher { dir, record, cgroup, plan, proof, devices, moved, detour: None };
    let input = LaunchInput {
        proof,
        cgroup: Some(&fds),
        fallback_cgroup: None,
        prepared: Some(prepared),
        console,
        gate,
        end_file,
        state: &state,
    };
    let new_user = matches!(plan.recipe.user, User::Cloned | User::Unshared);
    let launched = launch::launch(plan, input, &mut watcher);
    launched.map_err(|e| super::rootless::explain(e, new_user)).map_err(|e| match e.kind() {
        Kind::Config => e,
        Kind::Execute => e.context("error during container init").context("unable to start container process"),
        _ => e.context("unable to start container process"),
    })
}
