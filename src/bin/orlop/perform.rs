//! The commands: each a call of the library.

use crate::caller::Caller;
use crate::dispatch::print;
use crate::parse::{Given, Line};
use crate::requests::text;
use crate::table::Name;
use orlop::container::request::{CgroupManager, Rootless};
use orlop::container::{self, Context};
use orlop::error::{Error, IoContext, Kind, Result};
use orlop::features::Features;
use orlop::sys::process::SingleThreaded;
use std::ffi::OsStr;
use std::path::Path;

/// Carries a command out; its exit code.
pub(crate) fn perform(caller: &Caller, given: &Given, line: &Line) -> Result<u8> {
    let criu = given.last("criu").unwrap_or(OsStr::new("criu"));
    let context = context(caller, given)?;
    let proof = SingleThreaded::at_start();
    match line.command.name {
        Name::Checkpoint => drop(line.checkpoint(criu)?),
        Name::Create => return container::create(&context, &line.create()?, &proof).map(|()| 0),
        Name::Delete => return container::delete(&context, &line.delete(line.id()?), &proof).map(|()| 0),
        Name::Events => drop(line.events()?),
        Name::Exec => drop(line.exec()?),
        Name::Kill => return container::kill(&context, &line.kill(line.id()?)?).map(|()| 0),
        Name::List => return print(&container::list(&context, &line.list()?)?).map(|()| 0),
        Name::Ps => drop(line.ps()?),
        Name::Restore => drop(line.restore(criu)?),
        Name::Run => return container::run(&context, &line.run()?, &proof),
        Name::Spec => return container::spec(&line.spec()).map(|()| 0),
        Name::Update => drop(line.update()?),
        Name::Start => return container::start(&context, &line.id()?, &proof).map(|()| 0),
        Name::State => return print(&container::state(&context, &line.id()?)?).map(|()| 0),
        Name::Pause | Name::Resume => drop(line.id()?),
        Name::Features => return print(&(Features::new().to_json()? + "\n")).map(|()| 0),
    }
    drop(context);
    Err(Error::internal(format!("{} is not in this build", line.command.word)))
}

/// The global options, as the library takes them.
fn context(caller: &Caller, given: &Given) -> Result<Context> {
    let root = match given.last("root").filter(|root| !root.is_empty()) {
        Some(root) => std::path::absolute(root).call(|| format!("absolute path of {}", root.display()))?,
        None => caller.default_root(),
    };
    if root == Path::new("/") {
        return Err(Error::new(Kind::Config, "Option --root argument should not be set to /"));
    }
    Ok(Context {
        root,
        cgroup_manager: cgroup_manager(given)?,
        rootless: rootless(given)?,
        trace: given.last("trace").filter(|file| !file.is_empty()).map(Into::into),
    })
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
    match given.last("rootless").map(|when| when.to_string_lossy()).as_deref() {
        None | Some("auto") => Ok(Rootless::Auto),
        Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(Rootless::Yes),
        Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(Rootless::No),
        Some(when) => {
            Err(Error::new(Kind::Config, format!("invalid value for rootless: {when:?} (true, false or auto)")))
        }
    }
}
