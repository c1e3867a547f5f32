//! The commands that are interleaved, by the state of the container. The first is stopped at each of its system calls,
//! the others run meanwhile. `ID` is the container, `OTHER` a second one whose config names the same cgroup.

use crate::kills::scene::From::{self, Created, Nothing, Running, Stopped};

#[derive(Debug)]
pub(super) struct Group {
    pub(super) from: From,
    pub(super) commands: &'static [&'static str],
    /// Outcomes of no order of whole commands, which are right all the same.
    pub(super) extra: &'static [&'static str],
}

const fn group(from: From, commands: &'static [&'static str]) -> Group {
    Group { from, commands, extra: &[] }
}

const fn with(group: Group, extra: &'static [&'static str]) -> Group {
    Group { extra, ..group }
}

pub(super) const GROUPS: &[Group] = &[
    group(Nothing, &["create ID", "create ID"]),
    // A cgroup with processes is refused, but nothing keeps two commands apart between this check and the join: the
    // container that is deleted first then ends the other. Callers give each container a cgroup of its own.
    with(
        group(Nothing, &["create ID", "create OTHER"]),
        &["create succeeds, create succeeds, then created and created"],
    ),
    group(Nothing, &["create ID", "start ID"]),
    // The container is killed, or removed, while it is made.
    with(group(Nothing, &["create ID", "kill ID KILL"]), &["create fails, kill succeeds, then none and none"]),
    group(Nothing, &["create ID", "delete ID"]),
    with(group(Nothing, &["create ID", "delete --force ID"]), &["create fails, delete succeeds, then none and none"]),
    group(Nothing, &["create ID", "state ID"]),
    group(Nothing, &["create ID", "list"]),
    group(Nothing, &["run --detach ID", "run --detach ID"]),
    group(Nothing, &["run --detach ID", "exec ID /bin/true"]),
    with(
        group(Nothing, &["run --detach ID", "delete --force ID"]),
        &["run fails, delete succeeds, then none and none"],
    ),
    group(Created, &["start ID", "start ID"]),
    group(Created, &["start ID", "delete ID"]),
    group(Created, &["start ID", "delete --force ID"]),
    group(Created, &["start ID", "kill ID KILL"]),
    group(Created, &["start ID", "exec ID /bin/true"]),
    group(Created, &["start ID", "pause ID"]),
    group(Created, &["start ID", "update --pids-limit 50 ID"]),
    group(Created, &["start ID", "state ID"]),
    group(Created, &["start ID", "list"]),
    group(Created, &["delete --force ID", "start ID"]),
    group(Created, &["delete --force ID", "create ID"]),
    group(Created, &["kill ID KILL", "start ID"]),
    group(Created, &["pause ID", "start ID"]),
    group(Running, &["kill ID KILL", "delete ID"]),
    with(
        group(Running, &["kill ID KILL", "kill ID KILL"]),
        &[
            "kill succeeds, kill succeeds, then stopped and none",
            "kill succeeds, kill fails, then stopped and none",
            "kill fails, kill succeeds, then stopped and none",
        ],
    ),
    group(Running, &["kill ID KILL", "exec ID /bin/true"]),
    group(Running, &["delete --force ID", "exec ID /bin/true"]),
    group(Running, &["delete --force ID", "delete --force ID"]),
    group(Running, &["delete --force ID", "update --pids-limit 50 ID"]),
    group(Running, &["delete --force ID", "pause ID"]),
    group(Running, &["delete --force ID", "create ID"]),
    group(Running, &["exec ID /bin/true", "delete --force ID"]),
    group(Running, &["exec ID /bin/true", "kill ID KILL"]),
    group(Running, &["exec ID /bin/true", "pause ID"]),
    group(Running, &["exec ID /bin/true", "exec ID /bin/true"]),
    group(Running, &["exec ID /bin/true", "update --pids-limit 50 ID"]),
    group(Running, &["pause ID", "exec ID /bin/true"]),
    group(Running, &["pause ID", "pause ID"]),
    // In order the killed process may still live when the other command looks; in a frozen cgroup of v1 it lives on.
    with(
        group(Running, &["pause ID", "kill ID KILL"]),
        &[
            "pause fails, kill succeeds, then stopped and none",
            "pause succeeds, kill succeeds, then stopped and none",
            "pause succeeds, kill succeeds, then paused and none",
        ],
    ),
    group(Running, &["pause ID", "delete --force ID"]),
    group(Running, &["update --pids-limit 50 --memory 50000000 ID", "update --pids-limit 60 --memory 60000000 ID"]),
    group(Running, &["update --pids-limit 50 ID", "delete --force ID"]),
    group(Running, &["update --pids-limit 50 ID", "pause ID"]),
    group(Running, &["state ID", "delete --force ID"]),
    group(Running, &["list", "delete --force ID"]),
    group(Running, &["ps ID", "delete --force ID"]),
    group(Running, &["list", "create OTHER"]),
    group(Stopped, &["delete ID", "delete ID"]),
    group(Stopped, &["delete ID", "delete --force ID"]),
    group(Stopped, &["delete ID", "create ID"]),
    group(Stopped, &["delete ID", "start ID"]),
    group(Stopped, &["delete ID", "state ID"]),
    group(Stopped, &["delete ID", "list"]),
    group(Stopped, &["state ID", "delete ID"]),
    with(
        group(Nothing, &["create ID", "create ID", "delete --force ID"]),
        &["create fails, create fails, delete succeeds, then none and none"],
    ),
    with(
        group(Nothing, &["create ID", "delete --force ID", "create ID"]),
        &[
            "create fails, delete succeeds, create succeeds, then created and none",
            // The deletion waits for the lock of the first, which still has the id.
            "create fails, delete succeeds, create fails, then none and none",
        ],
    ),
    with(
        group(Nothing, &["create ID", "delete --force ID", "create OTHER"]),
        &[
            "create fails, delete succeeds, create succeeds, then none and created",
            "create fails, delete succeeds, create succeeds, then none and stopped",
            "create succeeds, delete succeeds, create succeeds, then none and stopped",
        ],
    ),
    group(Created, &["start ID", "kill ID KILL", "delete ID"]),
    group(Created, &["start ID", "delete --force ID", "create ID"]),
    group(Running, &["exec ID /bin/true", "kill ID KILL", "delete ID"]),
    group(Running, &["update --pids-limit 50 ID", "pause ID", "delete --force ID"]),
    group(Running, &["delete --force ID", "delete --force ID", "create ID"]),
    group(Stopped, &["delete ID", "create ID", "start ID"]),
];
