//! Control groups: where a container's processes are counted and limited.
//!
//! [`CgroupPlan::parse`] checks what the config asks for, [`Layout::read`] looks at the machine, and [`Cgroup::prepare`]
//! decides from both where the container's cgroup is to be and what will be written to it. Then, in this order:
//!
//! ```text
//! record()        is kept in the container's state, so that delete --force finds what comes next
//! create()        makes a directory in each hierarchy, and opens the ways in
//! apply_early()   limits that the first process must find
//!                 the child joins: v2 by clone3 with clone_into(), v1 by join_self()
//! enter(pid)      with systemd: it makes the scope around the child, which waits for it
//! apply_late()    limits that building the container would meet
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
pub(crate) use hierarchy_cgroup::HierarchyCgroup;
pub(crate) use layout::{Hierarchy, Layout, Mode, is_first_cgroup_namespace};
pub(crate) use limits::Limits;
pub(crate) use oom::{Oom, OomEvents};
pub use plan::CgroupManager;
pub(crate) use plan::CgroupPlan;
pub(crate) use planned::PlannedWrite;
pub(crate) use record::CgroupRecord;
pub(crate) use stats::Stats;
pub(crate) use view::View;

#[cfg(test)]
mod tests;
