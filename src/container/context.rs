//! What is the same for every container of a call.

use super::request::{CgroupManager, Rootless};
use std::path::PathBuf;

/// Where the containers are, and how they are made: the command line's global options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The directory of the containers' state, an absolute path. `create` makes it if it is missing.
    pub root: PathBuf,
    /// Who makes the cgroups.
    pub cgroup_manager: CgroupManager,
    /// Whether missing rights over cgroups are forgiven.
    pub rootless: Rootless,
}
