//! Limits as properties of a unit (systemd.resource-control(5)), so that systemd keeps them over a reload.

use super::{Property, Value};
use crate::cgroups::devices::{Exception, Exceptions, Rule, Type, letters};
use crate::cgroups::limits::{Cpu, Limits};
use crate::cgroups::v2;
use crate::error::Result;

/// The properties of the limits. `version` is systemd's, for those that not all have.
///
/// # Errors
/// Limits that cannot be converted.
pub fn properties(limits: &Limits, unified: bool, version: u32) -> Result<Vec<Property>> {
    let mut list = Vec::new();
    if let Some(rules) = &limits.devices {
        devices(rules, unified, &mut list)?;
    }
    match unified {
        true => memory_v2(limits, &mut list)?,
        false => {
            if let Some(limit) = limits.memory.limit {
                add(&mut list, "MemoryLimit", or_infinity(limit));
            }
        }
    }
    cpu(&limits.cpu, unified, version, &mut list);
    if let Some(weight) = limits.io.weight {
        match unified {
            true => add(&mut list, "IOWeight", Value::U64(v2::io_weight(weight))),
            false => add(&mut list, "BlockIOWeight", Value::U64(weight.into())),
        }
    }
    if let Some(limit) = limits.pids {
        // systemd takes 0 for an error; with the first process in it, 1 lets no other be made either.
        add(&mut list, "TasksMax", if limit == 0 { Value::U64(1) } else { or_infinity(limit) });
    }
    if unified {
        for (file, value) in &limits.unified {
            unified_file(file, value, version, &mut list);
        }
    }
    Ok(list)
}

fn add(list: &mut Vec<Property>, name: &str, value: Value) {
    list.retain(|(old, _)| old != name);
    list.push((name.to_owned(), value));
}

fn or_infinity(limit: i64) -> Value {
    Value::U64(u64::try_from(limit).unwrap_or(u64::MAX))
}

fn memory_v2(limits: &Limits, list: &mut Vec<Property>) -> Result<()> {
    let memory = &limits.memory;
    if let Some(limit) = memory.limit {
        add(list, "MemoryMax", or_infinity(limit));
    }
    if let Some(reservation) = memory.reservation {
        add(list, "MemoryLow", or_infinity(reservation));
    }
    if let Some(swap) = v2::swap_max(memory.swap, memory.limit)? {
        add(list, "MemorySwapMax", or_infinity(swap));
    }
    Ok(())
}

fn cpu(cpu: &Cpu, unified: bool, version: u32, list: &mut Vec<Property>) {
    if let Some(shares) = cpu.shares.filter(|_| cpu.idle != Some(true)) {
        match unified {
            true => add(list, "CPUWeight", Value::U64(v2::weight_of_shares(shares))),
            false => add(list, "CPUShares", Value::U64(shares)),
        }
    }
    if unified && cpu.idle == Some(true) && version >= 252 {
        add(list, "CPUWeight", Value::U64(0));
    }
    quota(cpu.quota, cpu.period, version, list);
    if version >= 244 {
        for (name, value) in [("AllowedCPUs", &cpu.cpus), ("AllowedMemoryNodes", &cpu.mems)] {
            if let Some(bits) = value.as_deref().and_then(bits) {
                add(list, name, bits);
            }
        }
    }
}

/// systemd counts the quota by the second, in whole percents.
fn quota(quota: Option<i64>, period: Option<u64>, version: u32, list: &mut Vec<Property>) {
    if let Some(period) = period.filter(|_| version >= 242) {
        add(list, "CPUQuotaPeriodUSec", Value::U64(period));
    }
    if quota.is_none() && period.is_none() {
        return;
    }
    const PERCENT: u64 = 10_000;
    let per_second = match quota {
        Some(quota) if quota > 0 => {
            let period = period.unwrap_or(100_000);
            (quota.unsigned_abs().saturating_mul(1_000_000) / period).next_multiple_of(PERCENT)
        }
        _ => u64::MAX,
    };
    add(list, "CPUQuotaPerSecUSec", Value::U64(per_second));
}

/// A list `0-3,7` as bits, the first byte for 0 to 7. None for a list that has no such form, as `0-7:1/2`: that is for the file
/// alone.
fn bits(list: &str) -> Option<Value> {
    let mut bytes = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse().ok().filter(|n| *n <= Limits::HIGHEST_IN_LIST);
        let (from, to): (u32, u32) = (number(from)?, number(to)?);
        let last = to as usize / 8;
        if bytes.len() <= last {
            bytes.resize(last + 1, 0u8);
        }
        for (n, byte) in bytes.iter_mut().enumerate().take(last + 1).skip(from as usize / 8) {
            let begins = if n == from as usize / 8 { 0xff << (from % 8) } else { 0xff };
            let ends = if n == last { 0xff >> (7 - to % 8) } else { 0xff };
            *byte |= begins & ends;
        }
    }
    Some(Value::Array("y".into(), bytes.into_iter().map(Value::Byte).collect()))
}

/// Files of `unified` that systemd knows by another name; the rest is written by ourselves.
fn unified_file(file: &str, value: &str, version: u32, list: &mut Vec<Property>) {
    let value = value.trim();
    let number = if value == "max" { Some(u64::MAX) } else { value.parse().ok() };
    let name = match file {
        "memory.max" => "MemoryMax",
        "memory.high" => "MemoryHigh",
        "memory.low" => "MemoryLow",
        "memory.min" => "MemoryMin",
        "memory.swap.max" => "MemorySwapMax",
        "pids.max" => "TasksMax",
        "cpu.weight" => "CPUWeight",
        "cpuset.cpus" | "cpuset.mems" if version >= 244 => {
            let name = if file == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
            return bits(value).into_iter().for_each(|bits| add(list, name, bits));
        }
        "cpu.max" => {
            let mut words = value.split_whitespace();
            let limit = words.next().map(|word| word.parse().unwrap_or(-1));
            return quota(limit, words.next().and_then(|word| word.parse().ok()), version, list);
        }
        _ => return,
    };
    if let Some(number) = number {
        add(list, name, Value::U64(number));
    }
}

fn devices(rules: &[Rule], unified: bool, list: &mut Vec<Property>) -> Result<()> {
    let unlimited = || Exceptions { default_allow: true, list: Vec::new() };
    // Rules that only a filter can hold: ours alone decides.
    let mut state = Exceptions::from_rules(rules, "linux.resources.devices").unwrap_or_else(|_| unlimited());
    let groups = std::fs::read_to_string("/proc/devices").unwrap_or_default();
    let mut allow = Vec::new();
    // What is denied to a container that is allowed the rest, our own filter holds.
    if !state.default_allow {
        allow.extend(state.list.iter().filter_map(|exception| device(exception, &groups)));
        // systemd's filter would deny what it has no name for, whatever ours says; on v1 ours is the last word.
        if unified && allow.len() < state.list.len() {
            (state, allow) = (unlimited(), Vec::new());
        }
    }
    let policy = if state.default_allow { "auto" } else { "strict" };
    add(list, "DevicePolicy", Value::str(policy));
    add(list, "DeviceAllow", Value::Array("(ss)".into(), allow));
    Ok(())
}

/// A device as `DeviceAllow=` names it: by its number, or all of a group of /proc/devices, or all of a kind.
fn device(exception: &Exception, groups: &str) -> Option<Value> {
    let kind = if exception.kind == Type::Block { "block" } else { "char" };
    let name = match (exception.major, exception.minor) {
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (None, None) => format!("{kind}-*"),
        (Some(major), None) => format!("{kind}-{}", group(groups, kind, major)?),
        // systemd has no name for a minor of every major.
        (None, Some(_)) => return None,
    };
    Some(Value::Struct(vec![Value::Str(name), Value::Str(letters(exception.access))]))
}

fn group(groups: &str, kind: &str, major: u32) -> Option<String> {
    let title = if kind == "block" { "Block devices:" } else { "Character devices:" };
    let section = groups.split_once(title)?.1;
    let section = section.split_once("\n\n").map_or(section, |s| s.0);
    section.lines().find_map(|line| {
        let (number, name) = line.trim().split_once(' ')?;
        (number.parse() == Ok(major)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::devices::defaults;

    fn of(json: &str, unified: bool, version: u32) -> Vec<(String, Value)> {
        let limits = Limits::parse(&crate::config::parse_resources(json).unwrap(), "").unwrap();
        properties(&limits, unified, version).unwrap()
    }

    fn numbers(json: &str, unified: bool) -> Vec<(String, u64)> {
        let number = |(name, value)| match value {
            Value::U64(n) => Some((name, n)),
            _ => None,
        };
        of(json, unified, 255).into_iter().filter_map(number).collect()
    }

    #[test]
    fn limits_have_the_names_that_systemd_gives_them() {
        let json = r#"{"memory":{"limit":1000,"swap":3000,"reservation":500},"pids":{"limit":-1},
                       "cpu":{"shares":1024,"quota":25000,"period":100000}}"#;
        let expected = [
            ("MemoryMax", 1000),
            ("MemoryLow", 500),
            ("MemorySwapMax", 2000),
            ("CPUWeight", 100),
            ("CPUQuotaPeriodUSec", 100_000),
            ("CPUQuotaPerSecUSec", 250_000),
            ("TasksMax", u64::MAX),
        ];
        assert_eq!(numbers(json, true), expected.map(|(name, n)| (name.to_owned(), n)));
        let on_v1 = numbers(json, false);
        assert!(on_v1.contains(&("MemoryLimit".into(), 1000)) && on_v1.contains(&("CPUShares".into(), 1024)));
    }

    #[test]
    fn a_quota_is_rounded_up_to_a_percent() {
        assert_eq!(numbers(r#"{"cpu":{"quota":1234}}"#, true), [("CPUQuotaPerSecUSec".to_owned(), 20_000)]);
    }

    #[test]
    fn properties_that_an_older_systemd_lacks_are_left_out() {
        let names = |version| of(r#"{"cpu":{"cpus":"0,9","period":5000}}"#, true, version).len();
        assert_eq!((names(255), names(240)), (3, 1));
        let bytes = |bytes: &[u8]| Value::Array("y".into(), bytes.iter().map(|byte| Value::Byte(*byte)).collect());
        assert_eq!(bits("0,9"), Some(bytes(&[1, 2])));
        assert_eq!(bits("1-2, 6-17,20-20"), Some(bytes(&[0xc6, 0xff, 0x13])));
        assert_eq!(bits("5-3"), Some(bytes(&[0])));
        for unlike in ["0-7:1/2", "4294967295", "0-65536", "x"] {
            assert_eq!(bits(unlike), None, "{unlike}");
        }
        assert!(matches!(bits(&"0-65535,".repeat(10_000)), Some(Value::Array(_, bytes)) if bytes.len() == 8192));
    }

    #[test]
    fn files_of_unified_that_systemd_knows_are_properties() {
        let json = r#"{"unified":{"memory.high":"77","cpu.max":"max 5000","cpu.weight":"5","io.max":"8:0 rbps=1"}}"#;
        let found = numbers(json, true);
        assert!(found.contains(&("MemoryHigh".into(), 77)) && found.contains(&("CPUQuotaPerSecUSec".into(), u64::MAX)));
    }

    #[test]
    fn devices_are_named_by_number_group_or_kind() {
        let groups = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  8 sd\n";
        assert_eq!(group(groups, "char", 136), Some("pts".into()));
        assert_eq!(group(groups, "block", 8), Some("sd".into()));
        assert_eq!(group(groups, "char", 8), None);
        let mut list = Vec::new();
        devices(&defaults(), true, &mut list).unwrap();
        assert_eq!(list[0].1, Value::str("strict"));
        let null = Value::Struct(vec![Value::str("/dev/char/1:3"), Value::str("rwm")]);
        assert!(matches!(&list[1].1, Value::Array(_, entries) if entries.contains(&null)));
    }

    #[test]
    fn a_minor_of_every_major_is_left_to_our_own_filter() {
        let json = r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","minor":7,"access":"r"}]}"#;
        for (unified, policy) in [(true, "auto"), (false, "strict")] {
            let list = of(json, unified, 255);
            assert!(list.contains(&("DevicePolicy".into(), Value::str(policy))), "{list:?}");
        }
    }
}
