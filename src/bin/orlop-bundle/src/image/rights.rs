//! Which owners the files of an image may have: those of a root, of a user's subordinate ids, or the user's alone.

use super::convert::{Mapping, Mappings};
use super::layer::Owners;
use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::fs;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};

/// The variable that says to the program, executed anew in its user namespace, which ids the namespace has.
const INSIDE: &str = "ORLOP_IMAGE_NAMESPACE";

/// The variable that says to the program, executed anew, which process it ends with.
const PARENT: &str = "ORLOP_IMAGE_PARENT";

/// The rights of this process over owners.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    pub(crate) owners: Owners,
    /// The user namespace of a container that has the written files as its root; `None` for root.
    pub(crate) mappings: Option<Mappings>,
}

impl Rights {
    /// Root's.
    fn of_root() -> Rights {
        Rights { owners: Owners::Archive, mappings: None }
    }
}

/// Gives this process the rights to write files of many owners. An ordinary user's process executes itself anew in a user
/// namespace, and `Err` has the exit status of that.
///
/// # Errors
/// The namespace cannot be made.
pub(crate) fn acquire() -> Result<std::result::Result<Rights, ExitStatus>> {
    follow_parent()?;
    if let Some(text) = std::env::var_os(INSIDE) {
        let mappings = decode(&text.to_string_lossy()).context("the ids of the user namespace")?;
        let owners = if mappings.is_single() { Owners::Caller } else { Owners::Archive };
        return Ok(Ok(Rights { owners, mappings: Some(mappings) }));
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(Ok(Rights::of_root()));
    }
    let mappings = subordinate();
    in_namespace(&mappings).map(Err)
}

/// This program with the same arguments, which ends with this process.
pub(crate) fn anew() -> Command {
    let mut again = Command::new("/proc/self/exe");
    again.args(std::env::args_os().skip(1)).env(PARENT, std::process::id().to_string());
    again
}

/// Ends with the process that executed the program anew: nothing is left where that is killed.
fn follow_parent() -> Result<()> {
    let Ok(parent) = std::env::var(PARENT) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL)).context("prctl(PR_SET_PDEATHSIG)")?;
    ensure!(nix::unistd::getppid().to_string() == parent, "the process that started this one has ended");
    Ok(())
}

/// Whether the caller is root, also for this process in its user namespace.
pub(crate) fn is_outer_root() -> bool {
    std::env::var_os(INSIDE).is_none() && nix::unistd::geteuid().is_root()
}

/// The caller's id as 0, and its subordinate ids from 1 on.
pub(crate) fn subordinate() -> Mappings {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let name = nix::unistd::User::from_uid(uid).ok().flatten().map(|user| user.name).unwrap_or_default();
    let ranges = |file: &str, own: u32| -> Vec<Mapping> {
        let text = fs::read_to_string(file).unwrap_or_default();
        let mut ranges = vec![(0, own, 1)];
        let mut next = 1;
        for line in text.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let [who, first, count] = fields[..] else { continue };
            let (Ok(first), Ok(count)) = (first.parse(), count.parse::<u32>()) else { continue };
            if (who == name || who == uid.to_string()) && count > 0 {
                ranges.push((next, first, count));
                next += count;
            }
        }
        ranges
    };
    let (uids, gids) = (ranges("/etc/subuid", uid.as_raw()), ranges("/etc/subgid", gid.as_raw()));
    let both = uids.len() > 1 && gids.len() > 1 && program("newuidmap").is_some() && program("newgidmap").is_some();
    let single = |ranges: Vec<Mapping>| if both { ranges } else { ranges.into_iter().take(1).collect() };
    Mappings { uids: single(uids), gids: single(gids) }
}

/// A helper program in the directories of the system.
fn program(name: &str) -> Option<std::path::PathBuf> {
    ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"]
        .iter()
        .map(|directory| std::path::Path::new(directory).join(name))
        .find(|path| path.is_file())
}

fn encode(mappings: &Mappings) -> String {
    let side = |ranges: &[Mapping]| ranges.iter().map(|(a, b, c)| format!("{a}:{b}:{c}")).collect::<Vec<_>>().join(",");
    format!("{};{}", side(&mappings.uids), side(&mappings.gids))
}

fn decode(text: &str) -> Result<Mappings> {
    let side = |text: &str| -> Result<Vec<Mapping>> {
        text.split(',')
            .map(|range| {
                let numbers: Vec<u32> = range.split(':').map(str::parse).collect::<std::result::Result<_, _>>()?;
                let [a, b, c] = numbers[..] else { bail!("{range:?} is no range of ids") };
                Ok((a, b, c))
            })
            .collect()
    };
    let (uids, gids) = text.split_once(';').context("no ids")?;
    Ok(Mappings { uids: side(uids)?, gids: side(gids)? })
}

/// Executes this program anew in a user namespace with the mappings.
///
/// A helper process, a child of this one, maps the ids: a process may not map more than its own id for itself.
fn in_namespace(mappings: &Mappings) -> Result<ExitStatus> {
    let pid = std::process::id().to_string();
    // The helper waits until its standard input ends, which is when this process has unshared.
    let many = mappings.uids.len() > 1;
    let helper = if many { Some(helper(&pid, mappings)?) } else { None };
    let (uid, gid) = (mappings.uids[0].1, mappings.gids[0].1);
    unshare(CloneFlags::CLONE_NEWUSER).context("unshare(CLONE_NEWUSER): a user needs user namespaces for images")?;
    match helper {
        Some(mut helper) => {
            drop(helper.stdin.take());
            let mut said = String::new();
            helper.stderr.take().map(|mut errors| errors.read_to_string(&mut said)).transpose()?;
            ensure!(helper.wait()?.success(), "newuidmap or newgidmap: {}", said.trim());
        }
        None => {
            let write = |path: &str, text: String| fs::write(path, text).with_context(|| format!("write to {path}"));
            write("/proc/self/setgroups", "deny".into())?;
            write("/proc/self/uid_map", format!("0 {uid} 1"))?;
            write("/proc/self/gid_map", format!("0 {gid} 1"))?;
        }
    }
    anew().env(INSIDE, encode(mappings)).uid(0).gid(0).status().context("execute /proc/self/exe")
}

fn helper(pid: &str, mappings: &Mappings) -> Result<std::process::Child> {
    let numbers = |ranges: &[Mapping]| -> String { ranges.iter().map(|(a, b, c)| format!(" {a} {b} {c}")).collect() };
    let path = |name| program(name).with_context(|| format!("{name} is not installed"));
    let script = format!(
        "read -r _; {} {pid}{} && {} {pid}{}",
        path("newuidmap")?.display(),
        numbers(&mappings.uids),
        path("newgidmap")?.display(),
        numbers(&mappings.gids)
    );
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    shell.spawn().context("execute /bin/sh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_survive_the_way_through_the_environment() {
        let mappings = Mappings { uids: vec![(0, 1000, 1), (1, 100_000, 65536)], gids: vec![(0, 100, 1)] };
        assert_eq!(decode(&encode(&mappings)).unwrap(), mappings);
        for text in ["", "1:2;3:4:5", "a:b:c;0:0:1"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
