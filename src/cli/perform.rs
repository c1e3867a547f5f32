//! The commands: each a call of the library.

use super::caller::Caller;
use super::dispatch::print;
use super::parse::{self, Given, Line};
use super::requests::text;
use super::table::Name;
use crate::container::request::{CgroupManager, ContainerId, Rootless};
use crate::container::{self, Context};
use crate::error::{Context as _, Error, IoContext, Kind, Result};
use crate::features::Features;
use crate::state::Store;
use crate::sys::regex::Pattern;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Carries a command out; its exit code.
pub(crate) fn perform(caller: &Caller, given: &Given, line: &Line) -> Result<u8> {
    let criu = given.last("criu").unwrap_or(OsStr::new("criu"));
    let context = context(caller, given)?;
    match line.command.name {
        Name::Checkpoint => apart(|| container::checkpoint(&context, &line.checkpoint(criu)?))?,
        Name::Create => apart(|| container::create(&context, &line.create()?))?,
        Name::Delete => each(&context, line, |id| container::delete(&context, &line.delete(id)))?,
        Name::Events => container::events(&context, &line.events()?, &mut std::io::stdout())?,
        Name::Exec => return apart(|| container::exec(&context, &line.exec()?)),
        Name::Features => print(&(Features::new().to_json()? + "\n"))?,
        Name::Kill => {
            let signal = line.signal()?;
            each(&context, line, |id| container::kill(&context, &line.kill(id, signal)))?;
        }
        Name::List => print(&container::list(&context, &line.list(given)?)?)?,
        Name::Pause => container::pause(&context, &line.id()?)?,
        Name::Ps => print(&container::ps(&context, &line.ps()?)?)?,
        Name::Restore => return apart(|| container::restore(&context, &line.restore(criu)?)),
        Name::Resume => container::resume(&context, &line.id()?)?,
        Name::Run => return apart(|| container::run(&context, &line.run()?)),
        Name::Spec => container::spec(&line.spec())?,
        Name::Start => container::start(&context, &line.id()?)?,
        Name::State => print(&container::state(&context, &line.id()?)?)?,
        Name::Update => apart(|| container::update(&context, &line.update()?))?,
    }
    Ok(0)
}

/// Keeps what the larger commands need out of the stack frame of the short ones: each page of a stack is a fault.
#[inline(never)]
fn apart<T>(act: impl FnOnce() -> T) -> T {
    act()
}

/// Does something with the container that is named, or with each one whose id matches.
fn each(context: &Context, line: &Line, mut act: impl FnMut(ContainerId) -> Result<()>) -> Result<()> {
    if line.given.switch("regex") != Some(true) {
        return act(line.id()?);
    }
    let expression = line.operands.first().map(|id| id.to_string_lossy()).unwrap_or_default();
    let pattern = Pattern::new(&expression)?;
    let mut outcome = Ok(());
    for id in Store::at(&context.root).ids()?.iter().filter(|id| pattern.matches(id)) {
        // The others must not suffer for one that fails.
        let done = ContainerId::parse(id).and_then(&mut act).with_context(|| format!("container {id}"));
        outcome = outcome.and(done);
    }
    outcome
}

/// The global options, as the library takes them.
fn context(caller: &Caller, given: &Given) -> Result<Context> {
    let root = match given.last("root").filter(|root| !root.is_empty()) {
        Some(root) if is_plain(root) => PathBuf::from(root),
        Some(root) => std::path::absolute(root).io_context(|| format!("absolute path of {}", root.display()))?,
        None => caller.default_root(),
    };
    if root.as_os_str().as_bytes().iter().all(|byte| *byte == b'/') {
        return Err(Error::new(Kind::Config, "Option --root argument should not be set to /"));
    }
    let (cgroup_manager, rootless) = (cgroup_manager(given)?, rootless(given)?);
    Ok(Context { root, cgroup_manager, rootless, is_whole_process: true })
}

/// Whether a path is absolute as it stands: std's code that takes paths apart is a twentieth of what `state` executes.
fn is_plain(path: &OsStr) -> bool {
    let bytes = path.as_bytes();
    bytes.starts_with(b"/") && !bytes.windows(2).any(|pair| matches!(pair, b"//" | b"/."))
}

fn cgroup_manager(given: &Given) -> Result<CgroupManager> {
    let systemd = given.switch("systemd-cgroup") == Some(true);
    match given.last("cgroup-manager").map(|manager| text(manager, "cgroup-manager")).transpose()?.as_deref() {
        Some("disabled") => Ok(CgroupManager::Disabled),
        Some("systemd") => Ok(CgroupManager::Systemd),
        None if systemd => Ok(CgroupManager::Systemd),
        Some("cgroupfs") if systemd => {
            Err(Error::new(Kind::Config, "--systemd-cgroup and --cgroup-manager=cgroupfs exclude one another"))
        }
        _ => Ok(CgroupManager::Cgroupfs),
    }
}

fn rootless(given: &Given) -> Result<Rootless> {
    let Some(when) = given.last("rootless").map(|when| when.to_string_lossy()) else { return Ok(Rootless::Auto) };
    match parse::boolean(&when) {
        Some(true) => Ok(Rootless::Yes),
        Some(false) => Ok(Rootless::No),
        None if when == "auto" => Ok(Rootless::Auto),
        None => Err(Error::new(Kind::Config, format!("invalid value for rootless: {when:?} (true, false or auto)"))),
    }
}
