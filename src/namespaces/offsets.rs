//! Clock offsets of a new time namespace (`time_namespaces(7)`).

use super::Place;
use crate::config::Linux;
use crate::error::{Error, Ignore as _, Result};
use std::fmt::Write;

/// Checks `linux.timeOffsets`. The result is the text to write to /proc/self/timens_offsets, empty
/// if there are no offsets.
pub(super) fn parse(linux: &Linux<'_>, time: &Place) -> Result<String> {
    let mut text = String::new();
    for (clock, offset) in linux.time_offsets.iter().flatten() {
        let field = format!("linux.timeOffsets.{clock}");
        if !matches!(&**clock, "monotonic" | "boottime") {
            return Err(Error::config(field, "no such clock; a time namespace has monotonic and boottime"));
        }
        if *time != Place::New {
            return Err(Error::config(field, "a clock can be offset only in a new time namespace"));
        }
        let nanoseconds = offset.nanosecs.unwrap_or(0);
        if nanoseconds > 999_999_999 {
            return Err(Error::config(field, "nanosecs must be at most 999999999"));
        }
        writeln!(text, "{clock} {} {nanoseconds}", offset.secs.unwrap_or(0)).ignore("a string takes every text");
    }
    Ok(text)
}
