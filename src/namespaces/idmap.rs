//! Id mappings of a new user namespace (`user_namespaces(7)`).

use super::Place;
use crate::config::{IdMapping, Linux};
use crate::error::{Error, Result};
use std::fmt::Write;

/// The kernel's limit of lines in a map (UID_GID_MAP_MAX_EXTENTS).
const MOST_LINES: usize = 340;

/// A map of user or group ids: (inside, outside, count).
pub(crate) type IdMap = Vec<(u32, u32, u32)>;

/// The two maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdMaps {
    /// User ids.
    pub uids: IdMap,
    /// Group ids.
    pub gids: IdMap,
}

impl IdMaps {
    /// The content of uid_map or gid_map for this map.
    pub(crate) fn text(map: &IdMap) -> String {
        let mut text = String::new();
        for (inside, outside, count) in map {
            let _ = writeln!(text, "{inside} {outside} {count}");
        }
        text
    }
}

/// Checks `linux.uidMappings` and `linux.gidMappings`.
pub(super) fn parse(linux: &Linux<'_>, user: &Place) -> Result<Option<IdMaps>> {
    let uids = list("linux.uidMappings", linux.uid_mappings.as_deref().unwrap_or_default())?;
    let gids = list("linux.gidMappings", linux.gid_mappings.as_deref().unwrap_or_default())?;
    match user {
        Place::Runtime if uids.is_empty() && gids.is_empty() => Ok(None),
        Place::Runtime => {
            let field = if uids.is_empty() { "linux.gidMappings" } else { "linux.uidMappings" };
            Err(Error::config(field, "ids can be mapped only in a user namespace, and linux.namespaces has none"))
        }
        Place::New if uids.is_empty() => {
            Err(Error::config("linux.uidMappings", "user namespaces enabled, but no uid mappings found"))
        }
        Place::New if gids.is_empty() => {
            Err(Error::config("linux.gidMappings", "user namespaces enabled, but no gid mappings found"))
        }
        // A joined user namespace has its maps already; the config may repeat them.
        Place::Join(_) if uids.is_empty() && gids.is_empty() => Ok(None),
        _ => Ok(Some(IdMaps { uids, gids })),
    }
}

fn list(field: &str, mappings: &[IdMapping]) -> Result<IdMap> {
    if mappings.len() > MOST_LINES {
        return Err(Error::config(field, format_args!("{} mappings are more than the kernel's 340", mappings.len())));
    }
    let mut map = IdMap::new();
    for (n, mapping) in mappings.iter().enumerate() {
        let problem = |text: &str| Err(Error::config(format_args!("{field}[{n}]"), text));
        let inside = mapping.container_id.unwrap_or(0);
        let outside = mapping.host_id.unwrap_or(0);
        let count = mapping.size.unwrap_or(0);
        if count == 0 {
            return problem("size must be at least 1");
        }
        if inside.checked_add(count - 1).is_none_or(|last| last == u32::MAX)
            || outside.checked_add(count - 1).is_none_or(|last| last == u32::MAX)
        {
            return problem("the range goes past the last id, 4294967294");
        }
        let overlaps = |a: u32, b: u32, size: u32| a < b.saturating_add(size) && b < a.saturating_add(count);
        if map.iter().any(|(i, o, size)| overlaps(inside, *i, *size) || overlaps(outside, *o, *size)) {
            return problem("the range overlaps with another one");
        }
        map.push((inside, outside, count));
    }
    Ok(map)
}
