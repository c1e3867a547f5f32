//! Control groups: where a container's processes are counted and limited.
//!
//! [`Plan::parse`] checks what the config asks for, [`Layout::read`] looks at the machine, and [`Cgroup::prepare`]
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
mod branch;
mod cgroup;
mod decide;
mod detour;
pub(crate) mod devices;
mod expected;
pub(crate) mod filter;
mod freezer;
mod in_use;
mod join;
mod kill;
mod layout;
pub(crate) mod limits;
pub(crate) mod membership;
mod oom;
mod owner;
pub(crate) mod place;
mod plan;
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
pub(crate) use detour::Detour;
pub(crate) use expected::{around, expected, remove_empty};
pub(crate) use join::Joiner;
pub(crate) use layout::{Hierarchy, Layout, Mode, is_first_cgroup_namespace};
pub(crate) use limits::Limits;
pub(crate) use oom::{Oom, OomEvents};
pub(crate) use place::Place;
pub use plan::CgroupManager;
pub(crate) use plan::Plan;
pub(crate) use record::Record;
pub(crate) use stats::Stats;
pub(crate) use view::View;

#[cfg(test)]
mod tests;
