//! Assertions that say what was expected and what was seen.

use anyhow::{Result, ensure};
use serde_json::Value;
use std::fmt::Debug;

pub(crate) fn equal<A: PartialEq<B> + Debug, B: Debug>(what: &str, seen: A, expected: B) -> Result<()> {
    ensure!(seen == expected, "{what}: expected {expected:?}, saw {seen:?}");
    Ok(())
}

/// The same for a JSON value.
pub(crate) fn same(what: &str, seen: &Value, expected: impl Into<Value>) -> Result<()> {
    let expected = expected.into();
    ensure!(*seen == expected, "{what}: expected {expected}, saw {seen}");
    Ok(())
}

pub(crate) fn holds(what: &str, condition: bool) -> Result<()> {
    ensure!(condition, "not so: {what}");
    Ok(())
}

pub(crate) fn contains(what: &str, text: &str, part: &str) -> Result<()> {
    let shown: String = text.chars().take(400).collect();
    ensure!(text.contains(part), "{what}: expected {part:?} in {shown:?}");
    Ok(())
}

/// Two JSON lists with the same members in any order.
pub(crate) fn same_set(what: &str, seen: &Value, expected: &Value) -> Result<()> {
    let sorted = |value: &Value| {
        let mut items: Vec<String> = value.as_array().into_iter().flatten().map(Value::to_string).collect();
        items.sort();
        items
    };
    ensure!(seen.is_array() && sorted(seen) == sorted(expected), "{what}: expected {expected}, saw {seen}");
    Ok(())
}

/// The names of the errors that cases expect.
pub(crate) mod errno {
    pub(crate) const EPERM: i32 = libc::EPERM;
    pub(crate) const ENOENT: i32 = libc::ENOENT;
    pub(crate) const EACCES: i32 = libc::EACCES;
    pub(crate) const EROFS: i32 = libc::EROFS;
    pub(crate) const ENOSYS: i32 = libc::ENOSYS;
}
