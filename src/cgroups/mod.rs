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
pub mod devices;
mod expected;
pub mod filter;
mod freezer;
mod in_use;
mod join;
mod kill;
mod layout;
pub mod limits;
pub mod membership;
mod oom;
mod owner;
pub mod place;
mod plan;
mod remove;
pub mod resctrl;
mod scope;
pub mod stats;
pub mod systemd;
mod undo;
mod unified;
mod update;
pub mod v1;
pub mod v2;
mod view;
pub mod write;

pub use branch::Branch;
pub use cgroup::{Cgroup, Glance, Record};
pub use detour::Detour;
pub use devices::{Rule, Type};
pub use expected::expected;
pub use join::Joiner;
pub use layout::{Hierarchy, Layout, Mode, is_first_cgroup_namespace};
pub use limits::Limits;
pub use oom::{Oom, OomEvents};
pub use place::{Place, Scope};
pub use plan::{Driver, Plan};
pub use stats::Stats;
pub use view::{Seen, View};

#[cfg(test)]
mod tests;
