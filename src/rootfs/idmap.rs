//! Id mappings of mounts, and the user namespaces that pass them to the kernel.

use crate::error::{Context, Result};
use crate::idmap::{IdMap, IdMaps};
use crate::procfs::ProcFd;
use crate::sys::file;
use crate::sys::process::{self, Clone, Cloned, Pid, SingleThreaded};
use std::os::fd::OwnedFd;

/// Parses `uids=0-1-10#10-11-10;gids=@0-100-10`: the first id on the filesystem, the first id of
/// the mount, and the number of ids. After an `@` the second is an id in the container's user
/// namespace, which has the mappings `container`.
pub(crate) fn ranges(text: &str, container: &IdMaps) -> std::result::Result<IdMaps, String> {
    let mut ids = IdMaps::default();
    for list in text.split(';') {
        let (list, container) = match list.split_once('=') {
            Some(("uids", ranges)) => ((ranges, &mut ids.uids), &container.uids),
            Some(("gids", ranges)) => ((ranges, &mut ids.gids), &container.gids),
            _ => return Err(format!("{list:?} is neither uids=... nor gids=...")),
        };
        let (text, place) = list;
        *place = IdMap::default();
        for range in text.split('#') {
            place.push(one_range(range, container)?)?;
        }
    }
    match (ids.uids.is_empty(), ids.gids.is_empty()) {
        (false, false) => Ok(ids),
        _ => Err("uids and gids are both needed".into()),
    }
}

fn one_range(text: &str, container: &IdMap) -> std::result::Result<[u32; 3], String> {
    let wrong = || format!("{text:?} is not a range such as 0-1000-10");
    let (numbers, relative) = text.strip_prefix('@').map_or((text, false), |rest| (rest, true));
    let numbers = numbers.split('-').map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>().ok_or_else(wrong)?;
    let [inside, mut outside, size] = <[u32; 3]>::try_from(numbers).map_err(|_| wrong())?;
    if size == 0 {
        return Err(wrong());
    }
    if relative {
        outside = container
            .to_host(outside)
            .ok_or_else(|| format!("the container's user namespace does not map the id {outside} of {text:?}"))?;
    }
    Ok([inside, outside, size])
}

/// Creates a user namespace with these mappings and without processes, for
/// [`super::Rootfs::map_ids`].
///
/// Its first process only waits, and is killed once the namespace's file is open.
///
/// # Errors
/// EPERM without CAP_SETUID and CAP_SETGID; EINVAL for overlapping ranges.
pub(crate) fn user_namespace(single: &SingleThreaded, ids: &IdMaps) -> Result<OwnedFd> {
    let how = Clone { flags: libc::CLONE_NEWUSER as u64, into_cgroup: None };
    match process::clone3(single, &how).context("make a user namespace for id mappings")? {
        Cloned::Child => wait_to_be_ended(),
        Cloned::Parent(pid, pidfd) => {
            let namespace = mapped(pid, ids).context("make a user namespace for id mappings");
            let ended = process::pidfd_send_signal(&pidfd, libc::SIGKILL).and_then(|()| process::wait(pid));
            let namespace = namespace?;
            ended?;
            Ok(namespace)
        }
    }
}

fn wait_to_be_ended() -> ! {
    // Dies with the parent. If the parent is dead already, an idle orphan remains, which does no
    // harm.
    let tied = process::end_with_parent();
    while tied.is_ok() && process::poll([], -1).is_ok() {}
    process::exit_now(1)
}

fn mapped(pid: Pid, ids: &IdMaps) -> Result<OwnedFd> {
    let proc = ProcFd::open()?;
    proc.write_of(pid, "uid_map", ids.uids.text())?;
    proc.write_of(pid, "gid_map", ids.gids.text())?;
    let namespaces = proc.file(&format!("{pid}/ns"), libc::O_RDONLY | libc::O_DIRECTORY)?;
    Ok(file::open_at(&namespaces, "user", libc::O_RDONLY, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ranges: &[[u32; 3]]) -> IdMap {
        let mut map = IdMap::default();
        ranges.iter().for_each(|range| map.push(*range).unwrap());
        map
    }

    #[test]
    fn ranges_are_absolute_or_relative_to_the_container() {
        let container = IdMaps { uids: map(&[[0, 0, 1], [1, 2, 1000]]), gids: map(&[[0, 500, 10]]) };
        let of = |text: &str| ranges(text, &container);
        let ids = of("uids=0-1-10#10-11-10;gids=0-100-10").unwrap();
        assert_eq!((ids.uids, ids.gids), (map(&[[0, 1, 10], [10, 11, 10]]), map(&[[0, 100, 10]])));
        let ids = of("gids=@0-5-2;uids=@1-3-10").unwrap();
        assert_eq!((ids.uids, ids.gids), (map(&[[1, 4, 10]]), map(&[[0, 505, 2]])));
    }

    #[test]
    fn wrong_ranges_are_told_apart() {
        let none = IdMaps::default();
        for (text, why) in [
            ("", "\"\" is neither uids=... nor gids=..."),
            ("uids=0-0-1", "uids and gids are both needed"),
            ("uids=0-0;gids=0-0-1", "\"0-0\" is not a range such as 0-1000-10"),
            ("uids=0-0-0;gids=0-0-1", "\"0-0-0\" is not a range such as 0-1000-10"),
            ("uids=4294967295-0-2;gids=0-0-1", "the range goes beyond the last id, 4294967294"),
            ("uids=0-0-2#1-5-1;gids=0-0-1", "the range overlaps with another one"),
            ("uids=@0-7-1;gids=0-0-1", "the container's user namespace does not map the id 7 of \"@0-7-1\""),
        ] {
            assert_eq!(ranges(text, &none).unwrap_err(), why);
        }
    }
}
