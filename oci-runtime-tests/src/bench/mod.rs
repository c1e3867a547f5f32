//! What a case works with: the machine, the runtime, bundles and containers.

pub(crate) mod bundle;
pub(crate) mod cgroup;
pub(crate) mod check;
pub(crate) mod console;
pub(crate) mod container;
pub(crate) mod hook;
pub(crate) mod machine;
pub(crate) mod mounts;
pub(crate) mod runtime;
pub(crate) mod seen;
pub(crate) mod trial;
pub(crate) mod watch;

/// One line for the words of cases.
pub(crate) mod prelude {
    pub(crate) use super::check::{contains, equal, errno, holds, same, same_set};
    pub(crate) use super::trial::Trial;
    pub(crate) use crate::case::{Case, cases, skip};
    pub(crate) use anyhow::{Context, Result, bail, ensure};
    pub(crate) use serde_json::{Value, json};
}
