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
use std::ffi::OsStr;
use std::path::Path;

/// Carries a command out; its exit code.
pub(crate) fn perform(caller: &Caller, given: &Given, line: &Line) -> Result<u8> {
    let criu = given.last("criu").unwrap_or(OsStr::new("criu"));
    let context = context(caller, given)?;
    match line.command.name {
        Name::Checkpoint => drop(line.checkpoint(criu)?),
        Name::Create => drop(line.create()?),
        Name::Delete => drop(line.delete(line.id()?)),
        Name::Events => drop(line.events()?),
        Name::Exec => drop(line.exec()?),
        Name::Kill => drop(line.kill(line.id()?)?),
        Name::List => drop(line.list()?),
        Name::Ps => drop(line.ps()?),
        Name::Restore => drop(line.restore(criu)?),
        Name::Run => drop(line.run()?),
        Name::Spec => return container::spec(&line.spec()).map(|()| 0),
        Name::Update => drop(line.update()?),
        Name::Pause | Name::Resume | Name::Start | Name::State => drop(line.id()?),
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
