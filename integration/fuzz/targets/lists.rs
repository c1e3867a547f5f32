//! CPU lists, id maps, sizes, users, signals: short texts, each against a plain second reading.

use crate::container::request::{Signal, User, size};
use crate::idmap::IdMap;
use crate::{cpulist, text};
use std::collections::BTreeSet;

const HIGHEST: u32 = 300;

pub(super) fn lists(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    cpus(&text);
    ids(input);
    shown(&text);
    let _ = size::bytes(&text);
    let _ = size::duration(&text);
    if let Ok(signal) = Signal::parse(&text) {
        assert!((0..=64).contains(&signal.number()), "signal {}", signal.number());
    }
    if let Ok(user) = User::parse(&text) {
        assert_eq!(text.split(':').next().map(str::parse), Some(Ok(user.uid)), "{text:?}");
    }
}

fn cpus(text: &str) {
    let ours = cpulist::parse(text, HIGHEST).map(|words| cpulist::numbers(&words).collect::<BTreeSet<u32>>());
    assert_eq!(ours, plainly(text), "the list {text:?}");
}

/// The list one number at a time (`bitmap_parselist` in the kernel).
fn plainly(text: &str) -> Option<BTreeSet<u32>> {
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number <= u64::from(u32::MAX))
    };
    let mut all = BTreeSet::new();
    for region in text.split([',', ' ', '\t', '\n']).filter(|region| !region.is_empty()) {
        let parts: Vec<&str> = region.splitn(2, ':').collect();
        let ends: Vec<&str> = parts[0].splitn(2, '-').collect();
        let (first, last) = (number(ends[0])?, number(ends[ends.len() - 1])?);
        let (used, group) = match parts.get(1).map(|pattern| pattern.splitn(2, '/').collect::<Vec<_>>()) {
            None => (1, 1),
            Some(pattern) if pattern.len() == 2 && ends.len() == 2 => (number(pattern[0])?, number(pattern[1])?),
            Some(_) => return None,
        };
        if first > last || last > u64::from(HIGHEST) || group == 0 || used > group {
            return None;
        }
        all.extend((first..=last).filter(|cpu| (cpu - first) % group < used).map(|cpu| cpu as u32));
    }
    Some(all)
}

/// An id map from triples of numbers: no id has two places, inside or outside.
fn ids(input: &[u8]) {
    let mut map = IdMap::default();
    let mut taken: Vec<[u64; 3]> = Vec::new();
    for triple in input.chunks_exact(12).take(400) {
        let word = |at: usize| u32::from_le_bytes([triple[at], triple[at + 1], triple[at + 2], triple[at + 3]]);
        let range = [word(0), word(4), word(8)];
        let [inside, outside, size] = range.map(u64::from);
        let meets = |a: u64, b: u64, count: u64| a < b + count && b < a + size;
        let is_free = taken.iter().all(|[i, o, count]| !meets(inside, *i, *count) && !meets(outside, *o, *count));
        let last = u64::from(u32::MAX);
        let fits = size > 0 && inside + size <= last && outside + size <= last;
        let is_taken = map.push(range).is_ok();
        assert_eq!(is_taken, is_free && fits && taken.len() < 340, "{range:?} after {taken:?}");
        if is_taken {
            taken.push([inside, outside, size]);
            assert_eq!(map.to_host(word(0)), Some(word(4)));
            assert_eq!(map.to_host(word(0) + (word(8) - 1)), Some(word(4) + (word(8) - 1)));
        }
    }
    assert_eq!(map.text().lines().count(), taken.len());
}

/// Text for people: one line, nothing that acts on a terminal, bounded.
fn shown(input: &str) {
    let shown = text::shown(input);
    assert!(!shown.chars().any(text::misleads), "{shown:?}");
    let excerpt = text::excerpt(input, 100);
    assert!(excerpt.len() <= input.len().min(140), "{}", excerpt.len());
    let json = text::json(input);
    assert_eq!(serde_json::from_str::<String>(&json).ok().as_deref(), Some(input), "{json}");
    assert!(!json.chars().any(text::misleads), "{json:?}");
}
