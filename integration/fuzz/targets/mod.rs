//! The fuzz targets of the runtime: functions that give an input to one of its parsers and panic
//! where the result is wrong.
//!
//! They are modules of the library, so that they reach parsers that other crates cannot call, and
//! exist only under `cfg(fuzzing)` (`make fuzz`) and in unit tests, which replay the kept inputs.

mod config;
mod go_json;
mod json;
mod lists;
mod mount_options;
mod tables;

use crate::{cgroups, container, criu, namespaces, process, state};

/// A function that reads one input.
pub type Target = fn(&[u8]);

/// The targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("bus", cgroups::systemd::bus::fuzz::bus),
    ("config", config::config),
    ("criu", criu::fuzz::answer),
    ("criu-images", criu::fuzz::images),
    ("foreign-record", state::fuzz::foreign),
    ("json", json::json),
    ("lists", lists::lists),
    ("mount-options", mount_options::mount_options),
    ("netlink", namespaces::netlink::fuzz::netlink),
    ("notify", container::notify::fuzz::notify),
    ("process", config::process),
    ("protocol", process::protocol::fuzz::protocol),
    ("record", state::fuzz::record),
    ("resources", config::resources),
    ("seccomp", process::seccomp::fuzz::profile),
    ("seccomp-raw", process::seccomp::fuzz::raw),
    ("stat", state::fuzz::stat),
    ("systemd", cgroups::systemd::bus::fuzz::annotations),
    ("tables", tables::tables),
];

/// The folder of the kept inputs, seen from the package.
#[cfg(test)]
const CORPUS: &str = "integration/fuzz/corpus/runtime";

#[cfg(test)]
#[path = "replay.rs"]
mod replay;
