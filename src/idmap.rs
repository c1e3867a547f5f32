//! Id mappings of a user namespace or of an id-mapped mount (`user_namespaces(7)`), checked by the kernel's rules.

use crate::config::{IdMapping, Linux};
use crate::error::{Error, Ignore as _, Result};
use std::fmt::{Display, Write};

/// The kernel's limit of lines in a map (UID_GID_MAP_MAX_EXTENTS).
const MOST_LINES: usize = 340;

/// A map of user or group ids: ranges of first id inside, first id outside, and size. No two overlap on either side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdMap(Vec<[u32; 3]>);

/// The two maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdMaps {
    /// User ids.
    pub uids: IdMap,
    /// Group ids.
    pub gids: IdMap,
}

impl IdMap {
    /// Checks the list at the JSON path `field`.
    ///
    /// # Errors
    /// A range that the kernel would refuse, with its JSON path.
    pub(crate) fn parse(field: impl Display, mappings: Option<&[IdMapping]>) -> Result<IdMap> {
        let mut map = IdMap::default();
        for (n, mapping) in mappings.unwrap_or_default().iter().enumerate() {
            let range = [mapping.container_id, mapping.host_id, mapping.size].map(Option::unwrap_or_default);
            if range[2] == 0 {
                return Err(Error::config(format_args!("{field}[{n}].size"), "must be at least 1"));
            }
            map.push(range).map_err(|problem| Error::config(format_args!("{field}[{n}]"), problem))?;
        }
        Ok(map)
    }

    /// Adds a range: first id inside, first id outside, and size.
    ///
    /// # Errors
    /// The reason why the kernel would refuse the map.
    pub(crate) fn push(&mut self, range: [u32; 3]) -> std::result::Result<(), &'static str> {
        let [inside, outside, size] = range;
        // 4294967295 is no id: the kernel takes it for "unchanged".
        let fits = |first: u32| size > 0 && first.checked_add(size).is_some();
        // The ranges in the map fit, and end before u32::MAX.
        let overlaps = |a: u32, b: u32, other: u32| a < b + other && b < a + size;
        if !fits(inside) || !fits(outside) {
            return Err("the range goes beyond the last id, 4294967294");
        }
        if self.0.iter().any(|&[i, o, other]| overlaps(inside, i, other) || overlaps(outside, o, other)) {
            return Err("the range overlaps with another one");
        }
        if self.0.len() == MOST_LINES {
            return Err("the kernel takes no more than 340 mappings");
        }
        self.0.push(range);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// First id inside, first id outside, and size of each range.
    pub(crate) fn ranges(&self) -> &[[u32; 3]] {
        &self.0
    }

    /// The id outside for one inside.
    pub(crate) fn to_host(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|&[inside, outside, size]| {
            id.checked_sub(inside).filter(|offset| *offset < size).map(|offset| outside + offset)
        })
    }

    /// The content of uid_map or gid_map for this map.
    pub(crate) fn text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, [inside, outside, size]| {
            writeln!(text, "{inside} {outside} {size}").ignore("a string takes every text");
            text
        })
    }
}

impl IdMaps {
    /// Checks `linux.uidMappings` and `linux.gidMappings`.
    ///
    /// # Errors
    /// A range that the kernel would refuse, with its JSON path.
    pub(crate) fn parse(linux: &Linux<'_>) -> Result<IdMaps> {
        Ok(IdMaps {
            uids: IdMap::parse("linux.uidMappings", linux.uid_mappings.as_deref())?,
            gids: IdMap::parse("linux.gidMappings", linux.gid_mappings.as_deref())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_the_rules_of_the_kernel() {
        let mut map = IdMap::default();
        for (range, problem) in [
            ([0, 1000, 10], ""),
            ([10, 1010, 1], ""),
            ([9, 5000, 2], "overlaps"),
            ([100, 1005, 1], "overlaps"),
            ([0, 1000, 10], "overlaps"),
            ([4_294_967_294, 1, 1], ""),
            ([4_294_967_295, 2, 1], "beyond"),
            ([500, 4_294_967_295, 1], "beyond"),
            ([500, 4_294_967_290, 6], "beyond"),
            ([500, 4_294_967_290, 5], ""),
            ([600, 600, 0], "beyond"),
        ] {
            match map.push(range) {
                Ok(()) => assert_eq!(problem, "", "{range:?}"),
                Err(text) => assert!(!problem.is_empty() && text.contains(problem), "{range:?}: {text}"),
            }
        }
        assert_eq!(map.text(), "0 1000 10\n10 1010 1\n4294967294 1 1\n500 4294967290 5\n");
        assert_eq!(
            [0, 9, 10, 11, 504].map(|id| map.to_host(id)),
            [1000, 1009, 1010, 0, 4_294_967_294].map(|id| Some(id).filter(|id| *id != 0))
        );
    }

    #[test]
    fn a_map_has_at_most_340_ranges() {
        let mut map = IdMap::default();
        assert_eq!((0..340).filter(|n| map.push([*n, *n, 1]).is_ok()).count(), 340);
        assert!(map.push([340, 340, 1]).is_err());
    }
}
