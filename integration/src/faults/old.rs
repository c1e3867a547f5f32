//! Old kernels: a system call that is not there fails each time, in every process. A command then does without, or is refused
//! with a message that names the call, as the table of the kernel's features in ARCHITECTURE.md says.
//!
//! A seccomp filter around the command gives the error, at the full speed of all other calls.

use super::trial::{Done, Trial, difference, tells};
use crate::kills::failure::Failure;
use crate::kills::follow::Seen;
use crate::kills::scene::Tested;
use crate::kills::settle;
use anyhow::{Context, Result};
use nix::errno::Errno::ENOSYS;
use nix::libc;
use std::fs::File;
use std::process::{Command, Stdio};

/// What becomes of a container without a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    /// `create`, `run` and `exec` are refused.
    Refused,
    /// It is as ever.
    Same,
    /// It is as ever, or what needs the call is refused.
    Told,
}

const CALLS: &[(&str, i64, Without)] = &[
    ("clone3", libc::SYS_clone3, Without::Refused),
    ("pidfd_open", libc::SYS_pidfd_open, Without::Told),
    ("pidfd_getfd", libc::SYS_pidfd_getfd, Without::Told),
    ("openat2", libc::SYS_openat2, Without::Refused),
    ("fsopen", libc::SYS_fsopen, Without::Refused),
    ("open_tree", libc::SYS_open_tree, Without::Refused),
    ("move_mount", libc::SYS_move_mount, Without::Refused),
    ("close_range", libc::SYS_close_range, Without::Same),
    ("mount_setattr", libc::SYS_mount_setattr, Without::Same),
    ("statx", libc::SYS_statx, Without::Told),
    ("faccessat2", libc::SYS_faccessat2, Without::Same),
];

/// Commands of the runtime that are tried, by default the three that make most calls; those of CRIU need its calls, too.
pub(super) fn is_tried(command: &Tested) -> bool {
    let words = command.words;
    if std::env::var_os("FAULTS").is_none() {
        return matches!(command.name, "create, with hooks" | "run" | "exec");
    }
    matches!(
        words[0],
        "create" | "start" | "run" | "exec" | "state" | "pause" | "update" | "kill" | "delete" | "mounts"
    ) && !words.contains(&"--image")
}

/// The failures of a command without each of the calls.
pub(super) fn all(trial: &Trial<'_>) -> Result<Vec<String>> {
    const NONE: i64 = 0x7fff_ffff;
    let usual = once(trial, NONE)?;
    let right = usual.picture.context("with a filter that refuses nothing")?;
    settle(trial.scene, &usual.seen);
    let mut wrong = Vec::new();
    for (name, number, without) in CALLS {
        let done = once(trial, *number)?;
        let is_told = tells(&done.said, Failure::Errno(ENOSYS as i32)) && done.said.contains(name);
        let makes = matches!(trial.command.words[0], "create" | "run" | "exec");
        // The tools are a mount that only the new process sees, made read-only with its parts.
        let is_tools = *name == "mount_setattr" && trial.command.words.contains(&"--tools");
        let without = if is_tools { Without::Told } else { *without };
        let failure = match (done.seen.code, &done.picture, without) {
            (Some(0), Ok(picture), _) if *picture != right => Some(difference(&right, picture)),
            (Some(0), Err(error), _) => Some(format!("{error:#}")),
            // `exec` makes no mounts.
            (Some(0), _, Without::Refused) if makes && trial.command.words[0] != "exec" => Some("success".to_owned()),
            (Some(0), ..) => None,
            (_, _, Without::Refused | Without::Told) if is_told => None,
            (code, ..) => Some(format!("code {code:?}: {}", done.said)),
        };
        wrong.extend(failure.map(|failure| format!("     without {name}: {failure}")));
        wrong.extend(settle(trial.scene, &done.seen).map(|left| format!("     without {name}: {left}")));
    }
    Ok(wrong)
}

fn once(trial: &Trial<'_>, number: i64) -> Result<Done> {
    /// Loads a filter with ENOSYS for the call of the first argument, and executes the others.
    const FILTER: &str = "my ($seccomp, $n) = splice @ARGV, 0, 2;
        my $filter = pack '(SCCL)*', 32,0,0,0, 21,0,1,$n, 6,0,0,0x50026, 6,0,0,0x7fff0000;
        syscall($seccomp + 0, 1, 0, my $program = pack 'Sx6P', 4, $filter) == 0 or die \"seccomp: $!\";
        exec @ARGV or die";
    trial.scene.reach()?;
    let status = Command::new("timeout")
        .args(["30", "perl", "-e", FILTER, &libc::SYS_seccomp.to_string(), &number.to_string()])
        .args(trial.scene.command())
        .stdin(Stdio::null())
        .stdout(File::create(&trial.output)?)
        .stderr(File::create(&trial.errors)?)
        .status()?;
    trial.done(Seen { code: status.code(), hung: status.code() == Some(124), ..Seen::default() })
}
