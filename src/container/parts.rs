//! The checked parts of a new container.

use super::Context;
use super::bundle::Bundle;
use super::inherited::Inherited;
use super::notify::NotifyProxy;
use super::request::{CgroupManager, ContainerId, CreateRequest};
use crate::cgroups::{self, resctrl};
use crate::config::{self, Spec};
use crate::error::{Error, Result};
use crate::hooks::Hooks;
use crate::namespaces::{Joined, Moved, NamespaceKind as Ns, Namespaces, NetDevices, Place};
use crate::process::keyring::{self, Keyring};
use crate::process::launch;
use crate::process::plan::{self, Affinity, Label, LaunchPlan};
use crate::process::program::Program;
use crate::rootfs::Rootfs;
use crate::state::{self, ProcessId, Record, RuncConfig};
use crate::sys::{credentials, process};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The checked parts of a container.
pub(crate) struct Parts {
    pub(crate) plan: LaunchPlan,
    pub(crate) asked: cgroups::CgroupPlan,
    pub(super) resctrl: Option<resctrl::ResctrlPlan>,
    pub(crate) devices: NetDevices,
    /// The devices that are already in the container.
    pub(super) moved: Moved,
    /// Whether the program has a notify socket.
    pub(super) notifies: bool,
    /// The proxy of that socket, if this command serves it.
    pub(super) notify: Option<NotifyProxy>,
    /// Whether the cgroup was made for this container, so that its counters began with it.
    pub(super) new_cgroup: bool,
    /// A socket that receives the pidfd of init (`run.oci.pidfd_receiver`).
    pub(super) receiver: Option<PathBuf>,
}

impl Parts {
    /// Checks the config, and opens the namespaces that it joins.
    ///
    /// # Errors
    /// A fault of the config or the request.
    pub(super) fn parse(
        context: &Context,
        request: &CreateRequest,
        spec: &mut Spec<'_>,
        bundle: &Bundle,
        inherited: &Inherited,
    ) -> Result<Parts> {
        let joined = Joined::open(spec)?;
        let receiver = super::annotations::pidfd_receiver(spec)?.map(Path::to_owned);
        let checked = Parts::check(context, request, spec, bundle, inherited);
        let mut parts = checked.map_err(|e| joined.explain(e))?;
        parts.plan.joined = joined;
        parts.receiver = receiver;
        Ok(parts)
    }

    /// Checks a config as `create` does before it changes anything, and gives its part for cgroups.
    ///
    /// # Errors
    /// The first fault.
    pub(crate) fn examine(json: &[u8], bundle: &Path, systemd: bool) -> Result<cgroups::CgroupPlan> {
        let manager = if systemd { CgroupManager::Systemd } else { CgroupManager::Cgroupfs };
        let imagined = Imagined::new("examined", bundle, manager)?;
        let parts = imagined.parse(&mut config::parse(json)?)?;
        super::listener::check(parts.plan.filter.as_ref())?;
        Ok(parts.asked)
    }

    /// The parts of the container `id`, and the reason why this host refuses them. Where it lacks a namespace to join or a
    /// security module, they are those of a host that has them.
    ///
    /// # Errors
    /// As [`Parts::examine`], but for these two.
    pub(crate) fn imagine(
        json: &[u8],
        bundle: &Path,
        id: &str,
        manager: CgroupManager,
    ) -> Result<(Parts, Option<Error>)> {
        let imagined = Imagined::new(id, bundle, manager)?;
        let refusal = match imagined.parse(&mut config::parse(json)?) {
            Ok(parts) => return Ok((parts, None)),
            Err(refusal) => refusal,
        };
        let mut spec = config::parse(json)?;
        let labels =
            spec.process.as_mut().map(|process| (process.apparmor_profile.take(), process.selinux_label.take()));
        spec.linux.iter_mut().for_each(|linux| linux.mount_label = None);
        let Imagined { context, request, bundle, inherited } = &imagined;
        let Ok(mut parts) = Parts::check(context, request, &spec, bundle, inherited) else { return Err(refusal) };
        if let (Some(program), Some((apparmor, selinux))) = (&mut parts.plan.program, labels) {
            (program.apparmor, program.selinux) = (apparmor.map(Cow::into_owned), selinux.map(Cow::into_owned));
        }
        Ok((parts, Some(refusal)))
    }

    fn check(
        context: &Context,
        request: &CreateRequest,
        spec: &Spec<'_>,
        bundle: &Bundle,
        inherited: &Inherited,
    ) -> Result<Parts> {
        plan::check_version(spec)?;
        if spec.annotations.iter().flatten().any(|(key, _)| key.is_empty()) {
            return Err(Error::config("annotations", "a key must not be empty"));
        }
        let namespaces = Namespaces::parse(spec)?;
        let devices = NetDevices::parse(spec, &namespaces)?;
        let resctrl = resctrl::ResctrlPlan::parse(spec, request.id.as_str())?;
        let hooks = Hooks::parse(spec)?;
        let program = program(spec, &namespaces, inherited)?;
        let filter = super::filter::of(spec)?;
        let rootfs = rootfs(spec, bundle)?;
        if !namespaces.has(Ns::Mount) {
            let problem = "no mount namespace: the container would be in the runtime's own, and its mounts and its root on the host";
            return Err(Error::config("linux.namespaces", problem).hint("add {\"type\": \"mount\"}"));
        }
        let rootless = super::rootless::forgives(context.rootless);
        let notifies = filter.as_ref().is_some_and(|filter| filter.notify.is_some());
        let by_systemd = context.cgroup_manager == CgroupManager::Systemd;
        super::annotations::refuse_others(spec, super::annotations::ContainerFacts { by_systemd, notifies })?;
        let asked = cgroups::CgroupPlan::parse(spec, request.id.as_str(), context.cgroup_manager, rootless)?;
        let shim = super::shim::asked(request.init, spec)?;
        if shim.is_some() {
            super::shim::check_room(&asked.limits)?;
        }
        if let Some(filter) = filter.as_ref().filter(|_| shim.is_some()) {
            super::filter::check_init(filter)?;
        }
        let keyring = if request.no_new_keyring { Keyring::Callers } else { Keyring::New(keyring::new_name()?) };
        let plan = LaunchPlan {
            namespaces,
            affinity: [Affinity::Unchanged, Affinity::Cpuset],
            rootfs: Some(rootfs),
            hooks,
            label: program.as_ref().and_then(Label::of),
            program,
            filter,
            shim,
            keyring,
            no_pivot: request.no_pivot,
            kept_fds: inherited.count(),
            waiting_name: launch::new_waiting_name()?,
            moves_devices: !devices.is_empty(),
            memory_limit: asked.limits.memory.limit,
            ..LaunchPlan::default()
        };
        let moved = Moved::default();
        Ok(Parts {
            plan,
            asked,
            resctrl,
            devices,
            moved,
            notifies: false,
            notify: None,
            new_cgroup: false,
            receiver: None,
        })
    }
}

/// A request for a container that is not made.
struct Imagined {
    context: Context,
    request: CreateRequest,
    bundle: Bundle,
    inherited: Inherited,
}

impl Imagined {
    fn new(id: &str, bundle: &Path, manager: CgroupManager) -> Result<Imagined> {
        let mut context = Context::new("/");
        context.cgroup_manager = manager;
        let request = CreateRequest::new(ContainerId::parse(id)?, bundle);
        let bundle = Bundle { path: bundle.to_owned(), config: bundle.join("config.json"), json: Vec::new() };
        Ok(Imagined { context, request, bundle, inherited: Inherited::take(0)? })
    }

    fn parse(&self, spec: &mut Spec<'_>) -> Result<Parts> {
        Parts::parse(&self.context, &self.request, spec, &self.bundle, &self.inherited)
    }
}

fn program(spec: &Spec<'_>, namespaces: &Namespaces, inherited: &Inherited) -> Result<Option<Program>> {
    let linux = spec.linux.as_ref();
    let mut program = spec.process.as_ref().map(|p| Program::parse("process", p, linux)).transpose()?;
    if let Some(program) = &mut program {
        inherited.announce(&mut program.env);
        program.keep_groups = super::annotations::keep_groups(spec)?;
        super::security::check(program)?;
        if !namespaces.has(Ns::User) {
            program.limit_capabilities()?;
        }
    }
    Ok(program)
}

fn rootfs(spec: &Spec<'_>, bundle: &Bundle) -> Result<Rootfs> {
    let rootfs = Rootfs::parse(spec, &bundle.path, super::security::selinux())?;
    rootfs.warnings().into_iter().for_each(crate::log::warning);
    if crate::log::reads(crate::log::Level::Debug) {
        rootfs.unprotected().into_iter().for_each(|text| crate::log::debug(|| text));
    }
    Ok(rootfs)
}

/// The first record of a new container.
pub(super) fn first_record(request: &CreateRequest, spec: &Spec<'_>, bundle: &Bundle, parts: &Parts) -> Result<Record> {
    let annotations = spec.annotations.iter().flatten().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let name = String::from_utf8_lossy(&parts.plan.waiting_name[6..15]).into_owned();
    let rootfs = parts.plan.rootfs.as_ref().map_or(Path::new(""), |rootfs| &rootfs.path);
    Ok(Record {
        oci_version: spec.oci_version.clone().unwrap_or_default().into_owned(),
        id: request.id.to_string(),
        creator: ProcessId::of(process::pid())?,
        waiting_name: name,
        bundle: bundle.path.to_string_lossy().into_owned(),
        rootfs: rootfs.to_string_lossy().into_owned(),
        created: state::now(),
        owner: credentials::uid(),
        annotations,
        keyring: matches!(parts.plan.keyring, Keyring::New(_)),
        shares_pids: !matches!(parts.plan.namespaces.place(Ns::Pid), Place::New),
        runc: Some(RuncConfig::of(spec)),
        ..Record::default()
    })
}
