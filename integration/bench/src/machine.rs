//! The view of the machine that all runtimes get, and the cgroups in which they work.

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};

/// The cgroup, in each hierarchy, below which everything is.
pub(crate) const PARENT: &str = "orlop-bench";
const CGROUPS: &str = "/sys/fs/cgroup";

/// Where cgroups are; removes its own at the end.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The mounted v1 hierarchies; none on v2.
    pub(crate) hierarchies: Vec<PathBuf>,
    /// The tree of a machine that has only v2, or where only that is looked at.
    pub(crate) unified: Option<PathBuf>,
    hidden: bool,
    /// Whether the controllers are v1's, which nobody sees.
    bare: bool,
    states: PathBuf,
}

impl Machine {
    /// Goes into a mount namespace of its own, in which no unified tree stands beside v1 (crun refuses such a machine), or
    /// where `only_unified`, nothing but that tree, and the state roots are in memory, below `states`, as /run is.
    ///
    /// # Errors
    /// There are no rights for it, or no cgroups.
    pub(crate) fn enter(states: &Path, only_unified: bool) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace (root is needed)")?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        nix::sys::prctl::set_child_subreaper(true)?;
        fs::create_dir_all(states)?;
        mount(Some("tmpfs"), states, Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .context("a tmpfs for the states")?;
        let root = Path::new(CGROUPS);
        let bare = only_unified && !root.join("cgroup.controllers").exists();
        if bare {
            // Not a new mount, which would set the options of the host's.
            let aside = states.join("unified");
            fs::create_dir_all(&aside)?;
            mount(Some(&root.join("unified")), &aside, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .context("unified")?;
            while umount2(root, MntFlags::MNT_DETACH).is_ok() {}
            mount(Some(&aside), root, None::<&str>, MsFlags::MS_MOVE, None::<&str>).context("cgroup v2")?;
            fs::remove_dir(&aside)?;
        }
        let unified = root.join("cgroup.controllers").exists().then(|| root.to_owned());
        let beside = root.join("unified");
        let hidden = beside.join("cgroup.procs").exists();
        if hidden {
            umount2(&beside, MntFlags::MNT_DETACH)?;
        }
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let hierarchies: Vec<PathBuf> = mounts
            .lines()
            .filter(|line| line.split(' ').nth(2) == Some("cgroup"))
            .filter_map(|line| line.split(' ').nth(1).map(PathBuf::from))
            .collect();
        if hierarchies.is_empty() && unified.is_none() {
            bail!("no cgroups are mounted below {CGROUPS}");
        }
        let machine = Self { hierarchies, unified, hidden, bare, states: states.to_owned() };
        machine.make_parents()?;
        Ok(machine)
    }

    fn make_parents(&self) -> Result<()> {
        for root in self.roots() {
            let dir = root.join(PARENT);
            fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if self.unified.is_none() && root.join(file).exists() {
                    fs::write(dir.join(file), fs::read(root.join(file))?)?;
                }
            }
        }
        if let Some(root) = &self.unified {
            let all = fs::read_to_string(root.join("cgroup.controllers"))?;
            for controller in all.split_whitespace() {
                for dir in [root.clone(), root.join(PARENT)] {
                    let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
        }
        Ok(())
    }

    fn roots(&self) -> impl Iterator<Item = &PathBuf> {
        self.hierarchies.iter().chain(&self.unified)
    }

    /// The hierarchy of a v1 controller, or the v2 tree.
    pub(crate) fn hierarchy(&self, controller: &str) -> PathBuf {
        self.unified.clone().unwrap_or_else(|| Path::new(CGROUPS).join(controller))
    }

    /// One line: kernel, processors, cgroups as all runtimes see them.
    pub(crate) fn conditions(&self) -> String {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let kernel = text("/proc/sys/kernel/osrelease");
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let info = text("/proc/cpuinfo");
        let model =
            info.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("").trim_start_matches([' ', '\t', ':']);
        let cgroups = match (&self.unified, self.hidden) {
            (Some(_), _) if self.bare => "cgroup v2 without controllers, v1's hierarchies hidden from all".into(),
            (Some(_), _) => "cgroup v2".into(),
            (None, hidden) => {
                let note = if hidden { ", the unified tree hidden from all" } else { "" };
                format!("cgroup v1, {} hierarchies{note}", self.hierarchies.len())
            }
        };
        format!("Linux {}, {processors} x {model}, {cgroups}", kernel.trim())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for root in self.roots() {
            remove(&root.join(PARENT));
        }
        let _ = umount2(&self.states, MntFlags::MNT_DETACH);
    }
}

/// A cgroup and those below it, with the processes that a measurement which failed has left there.
fn remove(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let processes = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        let _ = waitpid(Pid::from_raw(pid), None);
    }
    let _ = fs::remove_dir(dir);
}
