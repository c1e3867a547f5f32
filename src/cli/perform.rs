//! Runs the commands: each is one call of the library.

use super::dispatch::print;
use super::identity::Identity;
use super::parse::{self, Flags, Invocation};
use super::requests::text;
use super::table::Name;
use crate::container::request::{CgroupManager, ContainerId, Rootless};
use crate::container::{self, Context};
use crate::error::{Context as _, Error, IoContext, Kind, Result};
use crate::features;
use crate::state::Store;
use crate::sys::regex::Pattern;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Runs a command; returns its exit code.
pub(crate) fn perform(identity: &Identity, flags: &Flags, invocation: &Invocation) -> Result<u8> {
    let criu = flags.last("criu").unwrap_or(OsStr::new("criu"));
    let context = context(identity, flags)?;
    match invocation.command.name {
        Name::Checkpoint => apart(|| container::checkpoint(&context, &invocation.checkpoint(criu)?))?,
        Name::Create => apart(|| container::create(&context, &invocation.create()?))?,
        Name::Delete => each(&context, invocation, |id| container::delete(&context, &invocation.delete(id)))?,
        Name::Events => container::events(&context, &invocation.events()?, &mut std::io::stdout())?,
        Name::Exec => return apart(|| container::exec(&context, &invocation.exec()?)),
        Name::Features => print(&(features::document()? + "\n"))?,
        Name::Kill => {
            let signal = invocation.signal()?;
            each(&context, invocation, |id| container::kill(&context, &invocation.kill(id, signal)))?;
        }
        Name::List => print(&container::list(&context, &invocation.list(flags)?)?)?,
        Name::Mounts => apart(|| container::mounts(&context, &invocation.mounts()?))?,
        Name::Pause => container::pause(&context, &invocation.id()?)?,
        Name::Ps => print(&container::ps(&context, &invocation.ps()?)?)?,
        Name::Restore => return apart(|| container::restore(&context, &invocation.restore(criu)?)),
        Name::Resume => container::resume(&context, &invocation.id()?)?,
        Name::Run => return apart(|| container::run(&context, &invocation.run()?)),
        Name::Spec => container::spec(&invocation.spec())?,
        Name::Start => container::start(&context, &invocation.id()?)?,
        Name::State => print(&container::state(&context, &invocation.id()?)?)?,
        Name::Update => apart(|| container::update(&context, &invocation.update()?))?,
    }
    Ok(0)
}

/// Adds a hint with the state directory that was searched, and another one that has the container.
pub(crate) fn not_found(error: Error, identity: &Identity, flags: &Flags, invocation: &Invocation) -> Error {
    const OTHERS: [&str; 5] =
        ["/run/orlop", "/run/runc", "/run/crun", "/run/docker/runtime-runc/moby", "/run/containerd/runc/k8s.io"];
    let (true, Kind::NotFound, Ok(id)) = (identity.is_person(), error.kind(), invocation.id()) else { return error };
    let Ok(Context { root, .. }) = context(identity, flags) else { return error };
    let has_it = |other: &&str| root.as_os_str() != *other && Path::new(other).join(id.as_str()).is_dir();
    let elsewhere = match OTHERS.into_iter().find(has_it) {
        Some(other) => format!("; --root {other} has one"),
        None => ": `list` shows those that are, --root names another state directory".to_owned(),
    };
    error.hint(format!("there is no {:?} in {}{elsewhere}", id.as_str(), root.display()))
}

/// Keeps the large stack frames of some commands out of the short ones: each stack page is a page
/// fault.
#[inline(never)]
fn apart<T>(act: impl FnOnce() -> T) -> T {
    act()
}

/// Applies `act` to the named container, or to each one with a matching id.
fn each(context: &Context, invocation: &Invocation, mut act: impl FnMut(ContainerId) -> Result<()>) -> Result<()> {
    if invocation.flags.switch("regex") != Some(true) {
        return act(invocation.id()?);
    }
    let expression = invocation.operands.first().map(|id| id.to_string_lossy()).unwrap_or_default();
    let pattern = Pattern::new(&expression)?;
    let mut outcome = Ok(());
    for id in Store::at(&context.root).ids()?.iter().filter(|id| pattern.matches(id)) {
        // One failure must not stop the others.
        let done = ContainerId::parse(id).and_then(&mut act).with_context(|| format!("container {id}"));
        outcome = outcome.and(done);
    }
    outcome
}

/// The global options as the library's context.
fn context(identity: &Identity, flags: &Flags) -> Result<Context> {
    let root = match flags.last("root").filter(|root| !root.is_empty()) {
        Some(root) if is_plain(root) => PathBuf::from(root),
        Some(root) => std::path::absolute(root).io_context(|| format!("absolute path of {}", root.display()))?,
        None => identity.default_root(),
    };
    if root.as_os_str().as_bytes().iter().all(|byte| *byte == b'/') {
        return Err(Error::new(Kind::Config, "Option --root argument should not be set to /"));
    }
    let (cgroup_manager, rootless) = (cgroup_manager(flags)?, rootless(flags)?);
    Ok(Context { root, cgroup_manager, rootless, is_whole_process: true })
}

/// Whether a path is absolute and normalized. std's path code would be a twentieth of the
/// instructions of `state`.
fn is_plain(path: &OsStr) -> bool {
    let bytes = path.as_bytes();
    bytes.starts_with(b"/") && !bytes.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
}

fn cgroup_manager(flags: &Flags) -> Result<CgroupManager> {
    let systemd = flags.switch("systemd-cgroup") == Some(true);
    match flags.last("cgroup-manager").map(|manager| text(manager, "cgroup-manager")).transpose()?.as_deref() {
        Some("disabled") => Ok(CgroupManager::Disabled),
        Some("systemd") => Ok(CgroupManager::Systemd),
        None if systemd => Ok(CgroupManager::Systemd),
        Some("cgroupfs") if systemd => {
            Err(Error::new(Kind::Config, "--systemd-cgroup and --cgroup-manager=cgroupfs exclude one another"))
        }
        _ => Ok(CgroupManager::Cgroupfs),
    }
}

fn rootless(flags: &Flags) -> Result<Rootless> {
    let Some(when) = flags.last("rootless").map(|when| when.to_string_lossy()) else { return Ok(Rootless::Auto) };
    match parse::boolean(&when) {
        Some(true) => Ok(Rootless::Yes),
        Some(false) => Ok(Rootless::No),
        None if when == "auto" => Ok(Rootless::Auto),
        None => Err(Error::new(Kind::Config, format!("invalid value for rootless: {when:?} (true, false or auto)"))),
    }
}
