//! Control groups: they count and limit the processes of a container.
//!
//! [`CgroupPlan::parse`] checks the config, [`Layout::read`] reads the mounted hierarchies, and
//! [`Cgroup::prepare`] derives the paths of the container's cgroup and the values of its limits.
//! The next steps, in this order:
//!
//! ```text
//! record()        is saved in the container's state first, so that delete --force finds the cgroup
//! create()        creates a directory in each hierarchy and opens it for joining
//! apply_early()   limits that must be in effect when the first process joins
//!                 the child joins: v2 by clone3 with clone_into(), v1 by join_self()
//! enter(pid)      with systemd: starts the scope around the child, which waits for it
//! apply_late()    limits that the launch itself might exceed
//! ...             freeze, thaw, kill_all, update, stats
//! remove()
//! ```

mod apply;
mod beneath;
mod cgroup;
pub(crate) mod cgroups_path;
mod detour;
pub(crate) mod devices;
mod expected;
mod fds;
pub(crate) mod filter;
mod foreign;
mod freezer;
mod hierarchy_cgroup;
mod kill;
mod layout;
pub(crate) mod limits;
pub(crate) mod membership;
mod oom;
mod operations;
mod owner;
mod plan;
mod planned;
mod prepare;
mod record;
mod remove;
pub(crate) mod resctrl;
mod scope;
pub(crate) mod stats;
pub(crate) mod systemd;
mod undo;
mod unified;
mod update;
pub(crate) mod v1;
pub(crate) mod v2;
mod view;
pub(crate) mod write;

pub(crate) use cgroup::Cgroup;
pub(crate) use cgroups_path::CgroupsPath;
pub(crate) use detour::Detour;
pub(crate) use expected::{around, expected, remove_empty};
pub(crate) use fds::CgroupFds;
pub(crate) use foreign::{at_path, of_directories, outside, processes_of_each};
pub(crate) use hierarchy_cgroup::HierarchyCgroup;
pub(crate) use layout::{Hierarchy, Layout, Mode, is_first_cgroup_namespace};
pub(crate) use limits::Limits;
pub(crate) use oom::{Oom, OomEvents, OomKills};
pub use plan::CgroupManager;
pub(crate) use plan::CgroupPlan;
pub(crate) use planned::PlannedWrite;
pub(crate) use record::CgroupRecord;
pub(crate) use stats::Stats;

#[cfg(test)]
mod tests;
