//! Id mappings of mounts, and the user namespaces that carry them to the kernel.

use super::mount::IdMappings;
use crate::config;
use crate::error::{Context, Error, Result};
use crate::procfs::ProcFd;
use crate::sys::file;
use crate::sys::process::{self, Clone, Cloned, Pid, SingleThreaded};
use std::fmt::{Arguments, Display, Write};
use std::os::fd::OwnedFd;

/// The list of mappings at `at` in the config, each as first id inside, first id outside, and how many.
pub(crate) fn mappings(ids: Option<&[config::IdMapping]>, at: impl Display) -> Result<Vec<[u32; 3]>> {
    ids.unwrap_or_default().iter().enumerate().map(|(n, id)| mapping(id, format_args!("{at}[{n}]"))).collect()
}

fn mapping(id: &config::IdMapping, at: Arguments<'_>) -> Result<[u32; 3]> {
    let [inside, outside, size] = [id.container_id, id.host_id, id.size].map(Option::unwrap_or_default);
    if size == 0 {
        return Err(Error::config(format_args!("{at}.size"), "must be at least 1"));
    }
    checked([inside, outside, size]).map_err(|why| Error::config(at, why))
}

/// The host's id for one of a container with these mappings.
pub(crate) fn to_host(ids: &[[u32; 3]], id: u32) -> Option<u32> {
    let range = ids.iter().find(|[first, _, size]| (*first..first.saturating_add(*size)).contains(&id))?;
    Some(range[1].saturating_add(id - range[0]))
}

fn checked(range: [u32; 3]) -> std::result::Result<[u32; 3], String> {
    let [inside, outside, size] = range;
    if inside.checked_add(size - 1).is_none() || outside.checked_add(size - 1).is_none() {
        return Err("the range goes beyond the last id".into());
    }
    Ok(range)
}

/// Reads `uids=0-1-10#10-11-10;gids=@0-100-10`: first id on the filesystem, first id outside, how many. With an `@` the second
/// is an id of the container's user namespace, whose mappings are `container`.
pub(crate) fn ranges(text: &str, container: &IdMappings) -> std::result::Result<IdMappings, String> {
    let mut ids = IdMappings::default();
    for list in text.split(';') {
        let (list, container) = match list.split_once('=') {
            Some(("uids", ranges)) => ((ranges, &mut ids.uids), &container.uids),
            Some(("gids", ranges)) => ((ranges, &mut ids.gids), &container.gids),
            _ => return Err(format!("{list:?} is neither uids=... nor gids=...")),
        };
        let (text, place) = list;
        *place = text.split('#').map(|range| one_range(range, container)).collect::<std::result::Result<_, _>>()?;
    }
    match (ids.uids.is_empty(), ids.gids.is_empty()) {
        (false, false) => Ok(ids),
        _ => Err("uids and gids are both needed".into()),
    }
}

fn one_range(text: &str, container: &[[u32; 3]]) -> std::result::Result<[u32; 3], String> {
    let wrong = || format!("{text:?} is not a range such as 0-1000-10");
    let (numbers, relative) = text.strip_prefix('@').map_or((text, false), |rest| (rest, true));
    let numbers = numbers.split('-').map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>().ok_or_else(wrong)?;
    let [inside, mut outside, size] = <[u32; 3]>::try_from(numbers).map_err(|_| wrong())?;
    if size == 0 {
        return Err(wrong());
    }
    if relative {
        outside = to_host(container, outside)
            .ok_or_else(|| format!("the container's user namespace does not map the id {outside} of {text:?}"))?;
    }
    checked([inside, outside, size])
}

/// A user namespace with these mappings and nobody in it, for [`super::Rootfs::map_ids`].
///
/// A namespace begins with a process in it: one that only waits, and is ended as soon as its namespace is held.
///
/// # Errors
/// EPERM without CAP_SETUID and CAP_SETGID; EINVAL for ranges that overlap.
pub(crate) fn user_namespace(single: &SingleThreaded, ids: &IdMappings) -> Result<OwnedFd> {
    let how = Clone { flags: libc::CLONE_NEWUSER as u64, into_cgroup: None };
    match process::clone3(single, &how).at("make a user namespace for id mappings")? {
        Cloned::Child => wait_to_be_ended(),
        Cloned::Parent(pid, pidfd) => {
            let namespace = mapped(pid, ids).at("make a user namespace for id mappings");
            let ended = process::pidfd_send_signal(&pidfd, libc::SIGKILL).and_then(|()| process::wait(pid));
            let namespace = namespace?;
            ended?;
            Ok(namespace)
        }
    }
}

fn wait_to_be_ended() -> ! {
    // Should the parent die first; if it already has, the process is at worst an idle orphan with no descriptor but copies.
    let tied = process::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64, 0, 0, 0);
    while tied.is_ok() && process::poll([], -1).is_ok() {}
    process::exit_now(1)
}

impl IdMappings {
    /// Those of the container's new user namespace, if it is to have one.
    ///
    /// # Errors
    /// With the JSON path of what is wrong.
    pub(crate) fn of_container(spec: &config::Spec<'_>) -> Result<Option<IdMappings>> {
        let Some(linux) = &spec.linux else { return Ok(None) };
        if !linux.namespaces.iter().flatten().any(|ns| ns.type_.as_deref() == Some("user")) {
            return Ok(None);
        }
        let uids = mappings(linux.uid_mappings.as_deref(), "linux.uidMappings")?;
        Ok(Some(IdMappings { uids, gids: mappings(linux.gid_mappings.as_deref(), "linux.gidMappings")? }))
    }
}

fn mapped(pid: Pid, ids: &IdMappings) -> Result<OwnedFd> {
    let proc = ProcFd::open()?;
    proc.write_of(pid, "uid_map", lines(&ids.uids))?;
    proc.write_of(pid, "gid_map", lines(&ids.gids))?;
    let namespaces = proc.file(&format!("{pid}/ns"), libc::O_RDONLY | libc::O_DIRECTORY)?;
    Ok(file::open_at(&namespaces, "user", libc::O_RDONLY, 0)?)
}

/// As the kernel reads mappings (user_namespaces(7)).
fn lines(ids: &[[u32; 3]]) -> String {
    ids.iter().fold(String::new(), |mut text, [inside, outside, size]| {
        let _ = writeln!(text, "{inside} {outside} {size}");
        text
    })
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn ranges_are_absolute_or_relative_to_the_container() {
        let container = IdMappings { uids: vec![[0, 0, 1], [1, 2, 1000]], gids: vec![[0, 500, 10]] };
        let of = |text: &str| ranges(text, &container);
        let ids = of("uids=0-1-10#10-11-10;gids=0-100-10").unwrap();
        assert_eq!((ids.uids, ids.gids), (vec![[0, 1, 10], [10, 11, 10]], vec![[0, 100, 10]]));
        let ids = of("gids=@0-5-2;uids=@1-3-10").unwrap();
        assert_eq!((ids.uids, ids.gids), (vec![[1, 4, 10]], vec![[0, 505, 2]]));
    }

    #[test]
    fn wrong_ranges_are_told_apart() {
        let none = IdMappings::default();
        for (text, why) in [
            ("", "\"\" is neither uids=... nor gids=..."),
            ("uids=0-0-1", "uids and gids are both needed"),
            ("uids=0-0;gids=0-0-1", "\"0-0\" is not a range such as 0-1000-10"),
            ("uids=0-0-0;gids=0-0-1", "\"0-0-0\" is not a range such as 0-1000-10"),
            ("uids=4294967295-0-2;gids=0-0-1", "the range goes beyond the last id"),
            ("uids=@0-7-1;gids=0-0-1", "the container's user namespace does not map the id 7 of \"@0-7-1\""),
        ] {
            assert_eq!(ranges(text, &none).unwrap_err(), why);
        }
    }
}
