//! A document whose values know their lines, and changes of it by path.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One step of a path such as `mounts[0].options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Item(usize),
}

/// The steps of a path. A key with dots stands in quotes: `annotations."a.b"`; `[+]` is a new item of a list.
pub(crate) fn steps(path: &str, config: &Value) -> Vec<Step> {
    let (mut steps, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        rest = rest.trim_start_matches('.');
        if let Some(quoted) = rest.strip_prefix('"') {
            let (key, after) = quoted.split_once('"').unwrap();
            steps.push(Step::Key(key.to_owned()));
            rest = after;
        } else if let Some(item) = rest.strip_prefix('[') {
            let (number, after) = item.split_once(']').unwrap();
            let length = || value(config, &steps).and_then(Value::as_array).map_or(0, Vec::len);
            let index = if number == "+" { length() } else { number.parse().unwrap() };
            steps.push(Step::Item(index));
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            steps.push(Step::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    steps
}

/// The path as findings have it.
pub(crate) fn written(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) if path.is_empty() => key.clone(),
        Step::Key(key) => format!("{path}.{key}"),
        Step::Item(n) => format!("{path}[{n}]"),
    })
}

pub(crate) fn value<'a>(config: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(config, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Item(n) => value.get(n),
    })
}

/// Sets the value, and makes what holds it; `None` removes it.
pub(crate) fn set(config: &mut Value, steps: &[Step], new: Option<Value>) {
    let [first, rest @ ..] = steps else {
        *config = new.unwrap();
        return;
    };
    match first {
        Step::Key(key) => {
            if !config.is_object() {
                *config = Value::Object(Map::new());
            }
            let object = config.as_object_mut().unwrap();
            match (rest.is_empty(), new) {
                (true, None) => drop(object.remove(key)),
                (_, new) => set(object.entry(key).or_insert(Value::Null), rest, new),
            }
        }
        Step::Item(n) => {
            if !config.is_array() {
                *config = Value::Array(Vec::new());
            }
            let list = config.as_array_mut().unwrap();
            if rest.is_empty() && new.is_none() {
                list.remove(*n);
                return;
            }
            while list.len() <= *n {
                list.push(Value::Null);
            }
            set(&mut list[*n], rest, new);
        }
    }
}

/// The text of a config, a line for each value, and the line of each path.
pub(crate) fn print(config: &Value) -> (String, BTreeMap<String, usize>) {
    let mut printed = (String::new(), BTreeMap::new());
    write(config, "", 0, &mut printed);
    printed
}

fn write(value: &Value, path: &str, depth: usize, printed: &mut (String, BTreeMap<String, usize>)) {
    let line = printed.0.matches('\n').count() + 1;
    printed.1.insert(path.to_owned(), line);
    let entries: Vec<(String, String, &Value)> = match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                (format!("{}: ", Value::from(key.as_str())), path, value)
            })
            .collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(n, value)| (String::new(), format!("{path}[{n}]"), value)).collect()
        }
        other => {
            printed.0 += &other.to_string();
            return;
        }
    };
    let (open, close) = if value.is_object() { ('{', '}') } else { ('[', ']') };
    printed.0.push(open);
    for (n, (key, path, value)) in entries.iter().enumerate() {
        printed.0 += if n == 0 { "\n" } else { ",\n" };
        printed.0 += &"  ".repeat(depth + 1);
        printed.0 += key;
        write(value, path, depth + 1, printed);
    }
    printed.0.push('\n');
    printed.0 += &"  ".repeat(depth);
    printed.0.push(close);
}

/// The paths of [`print`] have keys with dots as they are; [`steps`] wants quotes around them.
pub(crate) fn quoted(path: &str) -> String {
    for parent in ["annotations.", "linux.sysctl."] {
        if let Some(key) = path.strip_prefix(parent) {
            return format!("{parent}\"{key}\"");
        }
    }
    path.to_owned()
}

/// The line of a path, or of the deepest value that would hold it.
pub(crate) fn line(lines: &BTreeMap<String, usize>, path: &str) -> usize {
    let mut path = path;
    loop {
        match lines.get(path) {
            Some(line) => return *line,
            None => path = &path[..path.rfind(['.', '[']).unwrap_or(0)],
        }
    }
}

/// Numbers that look random, the same ones for the same seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

/// A seed for a test: `SEED`; else one that differs each time in a soak, and the same one in every other run. It is printed, so
/// that a failure can be had again.
pub(crate) fn seed() -> u64 {
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let usual = if std::env::var_os("SOAK").is_some() { now() } else { 1 };
    let seed = std::env::var("SEED").map_or(usual, |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    seed
}
