//! What happens before the first thread: the suite leaves the host's mount and network namespaces, and becomes the parent of orphans.

use crate::bench::machine::Machine;
use crate::bench::runtime::Runtime;
use crate::bench::trial::Bench;
use crate::command::Common;
use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PROBE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/probe"));

/// The version that configs claim when the runtime does not say what it knows.
const OLDEST_CLAIMED: &str = "1.0.2";
const NEWEST_CLAIMED: &str = "1.3.0";

/// As root, everything that is mounted from here on goes with the suite.
pub(crate) fn isolate(common: &Common) -> Result<()> {
    let percent = if common.defect.is_some() { 30 } else { 100 };
    crate::bench::runtime::stretch_deadlines(common.patience.saturating_mul(percent));
    nix::sys::prctl::set_child_subreaper(true).context("become a subreaper")?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o22));
    if !nix::unistd::geteuid().is_root() {
        ensure!(common.rootless, "an ordinary user can try a runtime with --rootless alone");
        return Ok(());
    }
    // The network namespace is for cases that make devices.
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).context("make a mount and a network namespace")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("make all mounts private")?;
    if common.v1_only {
        let machine = Machine::survey()?;
        if let Some(unified) = machine.unified.as_ref().filter(|_| machine.is_hybrid()) {
            umount2(unified, MntFlags::MNT_DETACH).with_context(|| format!("unmount {}", unified.display()))?;
        }
    }
    Ok(())
}

/// Removes what a run made, when it goes.
pub(crate) struct Workplace {
    pub(crate) bench: Arc<Bench>,
}

impl Workplace {
    pub(crate) fn new(runtime: &Path, common: &Common) -> Result<Self> {
        let path = program(runtime)?;
        let work = std::env::temp_dir().join(format!("oci-runtime-tests.{}", std::process::id()));
        std::fs::create_dir(&work).with_context(|| format!("create {}", work.display()))?;
        let workplace = Self::furnish(work.clone(), path, common);
        if workplace.is_err() {
            crate::bench::mounts::detach_below(&work);
            // The error that is on its way says more.
            let _ = std::fs::remove_dir_all(&work);
        }
        workplace
    }

    fn furnish(work: PathBuf, mut path: PathBuf, common: &Common) -> Result<Self> {
        std::fs::set_permissions(&work, std::fs::Permissions::from_mode(0o755))?;
        if nix::unistd::geteuid().is_root() {
            // The place for temporary files is often mounted with nosuid and nodev, which would spoil root filesystems.
            crate::bench::mounts::bind(&work, &work)?;
            crate::bench::mounts::propagation(&work, MsFlags::MS_BIND | MsFlags::MS_REMOUNT)?;
        }
        let probe = work.join("probe");
        std::fs::write(&probe, PROBE).context("write the probe")?;
        std::fs::set_permissions(&probe, std::fs::Permissions::from_mode(0o755))?;
        let mut options: Vec<OsString> = vec!["--root".into(), work.join("state").into()];
        if common.systemd {
            options.push("--systemd-cgroup".into());
        }
        if let Some(manager) = &common.cgroup_manager {
            options.extend(["--cgroup-manager".into(), manager.into()]);
        }
        options.extend(common.runtime_option.iter().map(OsString::from));
        if let Some(defect) = &common.defect {
            options.splice(0..0, ["mutant".into(), defect.into(), path.into()]);
            path = std::env::current_exe().context("find the suite's own executable")?;
        }
        let runtime = Runtime::new(path, options, &work)?;
        let version = claimed_version(runtime.features.as_ref());
        let machine = Machine::survey()?;
        let bench = Bench {
            runtime,
            machine,
            work,
            rootless: common.rootless,
            systemd: common.systemd || common.cgroup_manager.as_deref() == Some("systemd"),
            cgroup: format!("/oci-runtime-tests.{}", std::process::id()),
            probe,
            version,
        };
        let workplace = Workplace { bench: Arc::new(bench) };
        clear_on_interruption(&workplace.bench)?;
        Ok(workplace)
    }
}

/// A name without a slash is looked up in `PATH`; a path is made absolute, as commands run elsewhere.
fn program(runtime: &Path) -> Result<PathBuf> {
    if runtime.components().count() > 1 {
        return runtime.canonicalize().with_context(|| format!("find {}", runtime.display()));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|dir| dir.join(runtime));
    places.find(|place| place.is_file()).with_context(|| format!("{} is not in PATH", runtime.display()))
}

fn claimed_version(features: Option<&Value>) -> String {
    let most = features.and_then(|f| f["ociVersionMax"].as_str()).unwrap_or(OLDEST_CLAIMED);
    let numbers = |v: &str| -> Vec<u32> {
        v.split('-').next().unwrap_or(v).split('.').filter_map(|part| part.parse().ok()).collect()
    };
    let newest = if numbers(most) >= numbers(NEWEST_CLAIMED) { NEWEST_CLAIMED } else { most };
    newest.to_owned()
}

impl Drop for Workplace {
    fn drop(&mut self) {
        clear(&self.bench);
    }
}

/// Removes all that a run made: processes, cgroups, mounts, files.
fn clear(bench: &Bench) {
    end_descendants();
    for hierarchy in bench.machine.hierarchies() {
        crate::bench::cgroup::remove_tree(&hierarchy.join(bench.cgroup.trim_start_matches('/')));
    }
    crate::bench::mounts::detach_below(&bench.work);
    // Nothing more can be done about a file that stays.
    let _ = std::fs::remove_dir_all(&bench.work);
}

/// Clears up while other threads are in the middle of their cases.
fn clear_for_good(bench: &Bench) {
    crate::bench::runtime::start_nothing_more();
    // What was about to be started by then is there after a moment; a case that was about to write makes its directory again.
    for _ in 0..3 {
        clear(bench);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    clear(bench);
}

/// Signals that ask for the end are waited for by a thread of their own, which clears up first; a panic does so too.
/// Programs that the suite starts get an empty mask, as the standard library sees to.
fn clear_on_interruption(bench: &Arc<Bench>) -> Result<()> {
    use nix::sys::signal::{SigSet, Signal};
    let mut asked = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        asked.add(signal);
    }
    asked.thread_block().context("block signals")?;
    let interrupted = bench.clone();
    std::thread::spawn(move || {
        if let Ok(signal) = asked.wait() {
            clear_for_good(&interrupted);
            std::process::exit(128 + signal as i32);
        }
    });
    let panicked = bench.clone();
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        clear_for_good(&panicked);
        std::process::exit(2);
    }));
    Ok(())
}

/// Kills what runtimes left running: as a subreaper the suite is the ancestor of all of it.
fn end_descendants() {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    for _ in 0..50 {
        let found = descendants();
        for &pid in &found {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        while matches!(
            nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG)),
            Ok(status) if status.pid().is_some()
        ) {}
        if found.is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn descendants() -> Vec<i32> {
    let Ok(all) = procfs::process::all_processes() else {
        return Vec::new();
    };
    let parents: Vec<(i32, i32)> = all.flatten().filter_map(|p| p.stat().ok()).map(|s| (s.pid, s.ppid)).collect();
    let mut family = HashSet::from([std::process::id().cast_signed()]);
    loop {
        let before = family.len();
        family.extend(
            parents.iter().filter(|(_, parent)| family.contains(parent)).map(|(pid, _)| *pid).collect::<Vec<_>>(),
        );
        if family.len() == before {
            break;
        }
    }
    family.remove(&std::process::id().cast_signed());
    family.into_iter().collect()
}
