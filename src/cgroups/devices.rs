//! Device rules: the checked form of `linux.resources.devices`, and its values for v1's controller.

use crate::config::DeviceRule;
use crate::error::{Error, Result};
use std::fmt::Arguments;

/// The device type of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Both types.
    All,
    /// Block devices.
    Block,
    /// Character devices.
    Char,
}

/// The access to a device: bits of [`READ`], [`WRITE`] and [`MKNOD`].
pub(crate) type Access = u8;
/// `r`.
pub(crate) const READ: Access = 1;
/// `w`.
pub(crate) const WRITE: Access = 2;
/// `m`.
pub(crate) const MKNOD: Access = 4;
/// `rwm`.
pub(crate) const EVERYTHING: Access = READ | WRITE | MKNOD;

/// A device rule. The last matching rule counts. Without a match the access is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Whether it allows or denies.
    pub allow: bool,
    /// The device type.
    pub kind: Type,
    /// The major number. None matches any.
    pub major: Option<u32>,
    /// The minor number. None matches any.
    pub minor: Option<u32>,
    /// The access that it allows or denies.
    pub access: Access,
}

impl Rule {
    /// Whether it is for every access to every device: no rule before it matters.
    pub(crate) fn is_everything(&self) -> bool {
        self.kind == Type::All && self.major.or(self.minor).is_none() && self.access == EVERYTHING
    }
}

/// The limit on the number of rules. cgroup v1's controller compares each new rule with all earlier
/// ones, and v2's program holds only a fraction of this.
const MOST_RULES: usize = 10_000;

/// Checks the rules at the JSON path `at`.
///
/// # Errors
/// A device type, access letter or device number is invalid.
pub(crate) fn parse(rules: &[DeviceRule<'_>], at: &str) -> Result<Vec<Rule>> {
    if rules.len() > MOST_RULES {
        return Err(Error::config(at, format_args!("{} rules are more than {MOST_RULES}", rules.len())));
    }
    rules.iter().enumerate().map(|(n, rule)| parse_one(rule, format_args!("{at}[{n}]"))).collect()
}

fn parse_one(rule: &DeviceRule<'_>, at: Arguments<'_>) -> Result<Rule> {
    let kind = match rule.type_.as_deref() {
        None | Some("" | "a") => Type::All,
        Some("b") => Type::Block,
        Some("c" | "u") => Type::Char,
        Some(other) => return Err(Error::config(format_args!("{at}.type"), format!("invalid device type: {other:?}"))),
    };
    let number = |value: Option<i64>, name: &str| match value {
        None | Some(-1) => Ok(None),
        Some(n) => u32::try_from(n)
            .map(Some)
            .map_err(|_| Error::config(format_args!("{at}.{name}"), format!("{n} is not a device number"))),
    };
    let mut access = 0;
    for letter in rule.access.as_deref().unwrap_or_default().chars() {
        access |= match letter {
            'r' => READ,
            'w' => WRITE,
            'm' => MKNOD,
            _ => {
                let access = rule.access.as_deref().unwrap_or_default();
                let problem = format!("invalid device access {access:?}: only r, w and m are known");
                return Err(Error::config(format_args!("{at}.access"), problem));
            }
        };
    }
    // An empty access means `rwm`, since other runtimes accept `allow: true` alone.
    let access = if access == 0 { EVERYTHING } else { access };
    Ok(Rule {
        allow: rule.allow == Some(true),
        kind,
        major: number(rule.major, "major")?,
        minor: number(rule.minor, "minor")?,
        access,
    })
}

/// Rules that are appended to those of every container: mknod is allowed for any device, and access
/// to the default devices (config-linux.md, "Default Devices"; terminals and tun like runc).
pub(crate) fn defaults() -> Vec<Rule> {
    let rule = |kind, major, minor, access| Rule { allow: true, kind, major, minor, access };
    let mut rules = vec![rule(Type::Char, None, None, MKNOD), rule(Type::Block, None, None, MKNOD)];
    for (major, minor) in [(1, 3), (1, 8), (1, 7), (5, 0), (1, 5), (1, 9)] {
        rules.push(rule(Type::Char, Some(major), Some(minor), EVERYTHING));
    }
    rules.push(rule(Type::Char, Some(136), None, EVERYTHING));
    rules.push(rule(Type::Char, Some(5), Some(2), EVERYTHING));
    rules.push(rule(Type::Char, Some(10), Some(200), EVERYTHING));
    rules
}

/// The state of v1's devices controller: a default and its exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exceptions {
    /// Whether devices without an exception are allowed.
    pub default_allow: bool,
    /// The exceptions, each for one device type.
    pub list: Vec<Rule>,
}

impl Exceptions {
    /// Evaluates the rules like the kernel's controller, starting with everything denied.
    ///
    /// # Errors
    /// A rule removes a part of a wider exception: v1 would silently ignore it.
    pub(crate) fn from_rules(rules: &[Rule], at: &str) -> Result<Exceptions> {
        let mut state = Exceptions { default_allow: false, list: Vec::new() };
        for (n, rule) in rules.iter().enumerate() {
            if rule.is_everything() {
                state = Exceptions { default_allow: rule.allow, list: Vec::new() };
                continue;
            }
            let kinds: &[Type] = if rule.kind == Type::All { &[Type::Char, Type::Block] } else { &[rule.kind] };
            for &kind in kinds {
                let one = Rule { kind, ..*rule };
                match rule.allow == state.default_allow {
                    true => state.remove(one).map_err(|p| Error::config(format!("{at}[{n}]"), p))?,
                    false => state.add(one),
                }
            }
        }
        Ok(state)
    }

    fn add(&mut self, new: Rule) {
        match self.list.iter_mut().find(|e| (e.kind, e.major, e.minor) == (new.kind, new.major, new.minor)) {
            Some(old) => old.access |= new.access,
            None => self.list.push(new),
        }
    }

    fn remove(&mut self, gone: Rule) -> std::result::Result<(), &'static str> {
        for old in &mut self.list {
            if old.kind == gone.kind && covers(gone.major, old.major) && covers(gone.minor, old.minor) {
                old.access &= !gone.access;
            }
        }
        self.list.retain(|e| e.access != 0);
        let overlaps = |e: &Rule| {
            e.kind == gone.kind
                && meets(e.major, gone.major)
                && meets(e.minor, gone.minor)
                && e.access & gone.access != 0
        };
        match self.list.iter().any(overlaps) {
            true => Err("cgroup v1 cannot take a part out of a wider rule before it"),
            false => Ok(()),
        }
    }

    /// The files and values that bring a cgroup into this state from any other.
    pub(crate) fn writes(&self) -> Vec<(&'static str, String)> {
        let (all, each) = match self.default_allow {
            true => ("devices.allow", "devices.deny"),
            false => ("devices.deny", "devices.allow"),
        };
        let mut writes = vec![(all, "a".to_owned())];
        writes.extend(self.list.iter().map(|e| (each, e.to_string())));
        writes
    }
}

fn covers(wide: Option<u32>, narrow: Option<u32>) -> bool {
    wide.is_none() || wide == narrow
}

fn meets(one: Option<u32>, other: Option<u32>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// The format of `devices.allow` and `devices.list`: `c 1:3 rwm`.
impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut number = |before: &str, n: Option<u32>| {
            f.write_str(before)?;
            match n {
                Some(n) => n.fmt(f),
                None => f.write_str("*"),
            }
        };
        let kind = match self.kind {
            Type::All => "a ",
            Type::Block => "b ",
            Type::Char => "c ",
        };
        number(kind, self.major)?;
        number(":", self.minor)?;
        f.write_str(" ")?;
        f.write_str(&letters(self.access))
    }
}

/// The letters of an access: `rwm`.
pub(crate) fn letters(access: Access) -> String {
    let bits = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')];
    bits.iter().filter(|(bit, _)| access & bit != 0).map(|(_, letter)| *letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, kind: Type, major: Option<u32>, minor: Option<u32>, access: Access) -> Rule {
        Rule { allow, kind, major, minor, access }
    }

    fn state(rules: &[Rule]) -> Result<Exceptions> {
        Exceptions::from_rules(rules, "devices")
    }

    #[test]
    fn without_rules_everything_is_denied_but_the_default_devices() {
        let state = state(&defaults()).unwrap();
        assert!(!state.default_allow);
        let writes = state.writes();
        assert_eq!(writes[0], ("devices.deny", "a".into()));
        assert!(writes.contains(&("devices.allow", "c 1:3 rwm".into())));
        assert!(writes.contains(&("devices.allow", "b *:* m".into())));
    }

    #[test]
    fn a_rule_for_all_devices_resets_what_came_before() {
        let all = state(&[rule(false, Type::All, None, None, 7), rule(true, Type::All, None, None, 7)]).unwrap();
        assert_eq!(all.writes(), [("devices.allow", "a".to_owned())]);
    }

    #[test]
    fn a_partial_access_for_all_devices_is_no_reset() {
        let writes = state(&[rule(true, Type::All, None, None, READ)]).unwrap().writes();
        let expected = [("devices.deny", "a"), ("devices.allow", "c *:* r"), ("devices.allow", "b *:* r")];
        assert_eq!(writes, expected.map(|(file, value)| (file, value.to_owned())));
    }

    #[test]
    fn a_hole_in_a_wider_rule_is_refused_and_not_passed_over() {
        let rules = [rule(true, Type::Char, Some(1), None, 7), rule(false, Type::Char, Some(1), Some(3), 7)];
        let error = state(&rules).unwrap_err().to_string();
        assert!(error.starts_with("devices[1]: "), "{error}");
    }

    #[test]
    fn a_later_denial_takes_an_equal_or_narrower_permission_back() {
        let rules = [rule(true, Type::Char, Some(1), Some(3), 7), rule(false, Type::Char, Some(1), None, WRITE)];
        assert_eq!(state(&rules).unwrap().writes()[1].1, "c 1:3 rm");
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_path() {
        for (json, path) in [
            (r#"{"devices":[{"allow":true,"type":"x"}]}"#, "devices[0].type"),
            (
                r#"{"devices":[{"allow":true,"access":"rx"}]}"#,
                "devices[0].access: invalid device access \"rx\": only r, w and m are known",
            ),
            (r#"{"devices":[{"allow":true,"major":-2}]}"#, "devices[0].major"),
        ] {
            let resources = crate::config::parse_resources(json).unwrap();
            let error = parse(&resources.devices.unwrap(), "devices").unwrap_err().to_string();
            assert!(error.starts_with(path), "{error}");
        }
        let many = vec![DeviceRule::default(); MOST_RULES + 1];
        assert_eq!(parse(&many, "devices").unwrap_err().to_string(), "devices: 10001 rules are more than 10000");
    }
}
