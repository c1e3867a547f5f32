//! JSON objects with arbitrary keys.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::error::Result;
use super::object::Value;
use super::reader::Reader;

/// A JSON object with arbitrary keys, sorted by key.
///
/// It is a sorted list: a `BTreeMap` is 4 KB of code for each type of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Map<T>(Vec<(String, T)>);

impl<T> Map<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (String, T)> {
        self.0.iter()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&T> {
        self.place(key).ok().map(|at| &self.0[at].1)
    }

    /// Inserts an entry, or replaces the one with the same key.
    pub(crate) fn insert(&mut self, key: String, value: T) {
        match self.place(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<T> {
        self.place(key).ok().map(|at| self.0.remove(at).1)
    }

    fn place(&self, key: &str) -> std::result::Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.as_str().cmp(key))
    }
}

impl<T> Default for Map<T> {
    fn default() -> Map<T> {
        Map(Vec::new())
    }
}

/// The later of two equal keys replaces the earlier one.
impl<T> Extend<(String, T)> for Map<T> {
    fn extend<I: IntoIterator<Item = (String, T)>>(&mut self, entries: I) {
        self.0.extend(entries);
        self.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.0.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
    }
}

impl<T> FromIterator<(String, T)> for Map<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Map<T> {
        let mut map = Map::default();
        map.extend(entries);
        map
    }
}

impl<'a, T: Value<'a> + Default> Value<'a> for Map<T> {
    fn read(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        let mut entries: Vec<(Cow<'a, str>, T)> = Vec::new();
        entries.read(reader)?;
        self.extend(entries.into_iter().map(|(key, value)| (key.into_owned(), value)));
        Ok(())
    }
}

impl<T: Serialize> Serialize for Map<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_the_last_of_equal_keys_wins() {
        let mut map = crate::json::document::<Map<i32>>(br#"{"b":1,"a":2,"b":3,"c":4}"#).ok().unwrap();
        map.insert("a".into(), 5);
        map.insert("aa".into(), 6);
        map.extend([("c".into(), 7), ("c".into(), 8)]);
        assert_eq!(serde_json::to_string(&map).unwrap(), r#"{"a":5,"aa":6,"b":3,"c":8}"#);
        assert_eq!((map.get("aa"), map.get("ab")), (Some(&6), None));
        assert_eq!((map.remove("b"), map.remove("b")), (Some(3), None));
    }
}
