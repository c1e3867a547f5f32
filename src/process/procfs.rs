//! A procfs of a joined pid namespace, for kernels where procfs has no `pidns` option (before Linux
//! 6.17).
//!
//! A procfs shows the pid namespace of the process that called `fsopen(2)`. So a process must exist
//! there, among untrusted processes that may be able to trace it. It holds no privilege or
//! descriptor that is worth an attack:
//!
//! ```text
//!   runtime     clones the helper, in the runtime's own pid namespace
//!   helper      joins the pid namespace for its children, takes an empty root, executes the init stub
//!   (stub)      user without files, user, mount, network, ipc, uts and cgroup namespace of its own, no capability but
//!               CAP_SYS_ADMIN over those, a filter that allows only the calls that follow
//!               forks                                              -> F {pidfd}
//!   the child   fsopen("proc") for each mount                      -> p {context}
//!   runtime     reaps both; the process that builds the root filesystem makes the superblocks, with its own rights
//! ```
//!
//! The received descriptors are limited in number and not trusted: at the mount, each is checked to
//! be the context of a procfs (`rootfs/filesystem.rs`).

use super::launch::Launched;
use super::plan::LaunchPlan;
use super::protocol::{self, ChildEnd, FromChild};
use super::report::Report;
use super::stub::plan::{self as init, StubStep, flag};
use super::stub::{self, Image, Layout};
use crate::error::{Context, Error, Ignore as _, Result};
use crate::namespaces::{NamespaceKind, Owner, enter};
use crate::sys::mount::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MountArgs};
use crate::sys::process::{self, Clone, Cloned, SingleThreaded};
use crate::sys::socket::{self, SockType};
use crate::sys::{Errno, Failure, file, fs, signal};
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// The time the helper may take: a process of the joined pid namespace may stop its child.
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);

/// A context for each of `count` mounts.
pub(super) fn contexts(proof: &SingleThreaded, plan: &LaunchPlan, count: usize) -> Result<Vec<OwnedFd>> {
    let (parent, child) = protocol::pair()?;
    let (ours, theirs) = socket::pair(SockType::SeqPacket)?;
    let report = Report::new()?;
    let helper = match process::clone3(proof, &Clone::default())? {
        Cloned::Parent(pid, pidfd) => Launched { pid, pidfd },
        Cloned::Child => {
            drop((parent, ours));
            let Err(error) = become_helper(plan, &theirs, &child, &report, count);
            child.send(&FromChild::Failed(error)).ignore("the runtime sees the end of the socket");
            process::exit_now(1)
        }
    };
    drop::<(ChildEnd, OwnedFd)>((child, theirs));
    // The stub closes its end: a message before that comes from this program.
    let begun = match parent.receive() {
        Ok(FromChild::Failed(error)) => Err(error),
        other => other.map(drop),
    };
    let contexts = begun.and_then(|()| collect(&ours, count));
    helper.kill();
    let contexts = contexts?;
    if contexts.len() == count { Ok(contexts) } else { Err(missing(&report)) }
}

/// Receives from the helper and its child until both have closed their ends. Kills the child if the
/// exchange fails.
fn collect(socket: &OwnedFd, count: usize) -> Result<Vec<OwnedFd>> {
    let mut child = None;
    let contexts = collect_until(socket, count, &mut child, Instant::now() + HELPER_TIMEOUT);
    if contexts.is_err() {
        stop(child.as_ref());
    }
    contexts
}

/// The order is open: the helper and its child send on one socket.
fn collect_until(
    socket: &OwnedFd,
    count: usize,
    child: &mut Option<OwnedFd>,
    deadline: Instant,
) -> Result<Vec<OwnedFd>> {
    let mut contexts = Vec::with_capacity(count);
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis() as i32;
        if process::poll([(Some(socket.as_fd()), libc::POLLIN)], left)? == [0] {
            if left > 0 {
                continue;
            }
            let text = "a process of the joined pid namespace was stopped while it opened a procfs";
            return Err(Error::system(text).hint("processes in that namespace may trace and stop others"));
        }
        let mut tag = [0u8; 1];
        let mut packet = socket::receive(socket, &mut tag)?;
        match (packet.length, tag[0], packet.fds.pop()) {
            (0, ..) => return Ok(contexts),
            (_, b'F', Some(pidfd)) if child.is_none() => *child = Some(pidfd),
            (_, b'p', Some(context)) if contexts.len() < count => contexts.push(context),
            _ => return Err(Error::system("what came from the joined pid namespace was no context of a procfs")),
        }
    }
}

/// Kills the helper's child, if its pidfd has arrived.
fn stop(child: Option<&OwnedFd>) {
    if let Some(child) = child {
        process::pidfd_send_signal(child, libc::SIGKILL).ignore("it may have ended by itself");
    }
}

/// The reason why contexts are missing, from the report page.
fn missing(report: &Report) -> Error {
    let Some((step, errno)) = report.failure() else {
        return Error::system("a process in the joined pid namespace was ended while it opened a procfs");
    };
    let failed = |call: &str| Error::from(Failure::new(call, errno));
    match step {
        s if s == StubStep::UserNamespace as u32 => failed("unshare(CLONE_NEWUSER | ...)")
            .hint("before Linux 6.17 a procfs of a joined pid namespace needs user namespaces: see user_namespaces(7)"),
        s if s == StubStep::Hide as u32 => failed("prctl(PR_SET_DUMPABLE, 0)"),
        s if s == StubStep::ParentSignal as u32 => failed("prctl(PR_SET_PDEATHSIG, SIGKILL)"),
        s if s == StubStep::Filter as u32 => failed("seccomp(SECCOMP_SET_MODE_FILTER)"),
        s if s == StubStep::Fork as u32 => no_birth(errno),
        _ => failed(&format!("step {step} of the init image")),
    }
}

/// The error of a fork into a joined pid namespace.
pub(super) fn no_birth(errno: Errno) -> Error {
    Error::from(Failure::new("clone()", errno))
        .hint_on(libc::ENOMEM, "the namespace's first process has ended, so that no other can begin there")
        .hint_on(libc::EAGAIN, "a limit of processes is reached (RLIMIT_NPROC or pids.max)")
}

/// The helper: joins the user namespace that it needs, takes an empty root, and executes the stub.
fn become_helper(
    plan: &LaunchPlan,
    socket: &OwnedFd,
    channel: &ChildEnd,
    report: &Report,
    count: usize,
) -> Result<Infallible> {
    process::end_with_parent()?;
    process::set_dumpable(false)?;
    signal::reset_signals();
    if plan.joined.owner(NamespaceKind::Pid) == Owner::JoinedUser {
        enter::join(&plan.joined, &[NamespaceKind::User])?;
        enter::become_root()?;
    }
    enter::join(&plan.joined, &[NamespaceKind::Pid])?;
    make_empty_root().context("make an empty root")?;
    let mut layout = Layout::new();
    let image = {
        let plan = init::StubPlan {
            waiting_name: plan.waiting_name,
            flags: flag::PROCFS,
            sync: socket.as_raw_fd(),
            gate: -1,
            page: report.file().as_raw_fd(),
            procfs: -1,
            cgroup_file: -1,
            contexts: u32::try_from(count).unwrap_or(u32::MAX),
            cwd: layout.string("/"),
            ..init::StubPlan::default()
        };
        Image::new(&plan, layout)
    };
    let sealed = stub::make(&image)?;
    let kept = [socket.as_raw_fd(), report.file().as_raw_fd()];
    // Standard input and output are closed too. The other descriptors may be needed until the stub
    // is executed.
    file::close_by_execute(0, &[kept[0], kept[1], channel.as_fd().as_raw_fd(), sealed.as_raw_fd()])?;
    for fd in kept {
        file::keep_over_exec(fd)?;
    }
    Err(stub::execute(&sealed, &image))
}

/// Enters a mount namespace in which an empty, read-only filesystem covers the root. In a mount
/// namespace of a child user namespace the cover cannot be unmounted (mount_namespaces(7),
/// "locked").
fn make_empty_root() -> Result<()> {
    enter::unshare(NamespaceKind::Mount.flag())?;
    mount::mount("/", &MountArgs { flags: libc::MS_REC | libc::MS_PRIVATE, ..MountArgs::default() })?;
    let context = mount::fsopen("tmpfs")?;
    mount::fsconfig_create(&context)?;
    let attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let empty = mount::fsmount(&context, attributes)?;
    mount::move_mount(&empty, file::open("/", libc::O_PATH | libc::O_DIRECTORY)?)?;
    fs::change_dir_to(&empty)?;
    Ok(fs::change_root_here()?)
}
