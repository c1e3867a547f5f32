//! Limits as properties of a unit (systemd.resource-control(5)), so that systemd keeps them after a
//! reload.
//!
//! On cgroup v2 the property follows from the file, whichever field of the config the value comes
//! from.

use super::{Property, Value};
use crate::cgroups::devices::{Exceptions, Rule, Type, letters};
use crate::cgroups::hierarchy_cgroup::HierarchyCgroup;
use crate::cgroups::limits::{Cpu, Limits};
use crate::cgroups::v2;
use crate::cgroups::write::Write;
use crate::cpulist;
use crate::error::Result;
use std::cell::OnceCell;

/// The reaction of a unit to the OOM killer. Only a new scope can set it.
pub(crate) const OOM_POLICY: &str = "OOMPolicy";

/// The properties of the limits. `version` returns systemd's version, which some properties depend
/// on.
///
/// # Errors
/// Limits that cannot be converted.
pub(crate) fn properties(limits: &Limits, unified: bool, version: impl Fn() -> u32) -> Result<Vec<Property>> {
    let version = Version::new(&version);
    let mut list = Vec::new();
    if let Some(rules) = &limits.devices {
        devices(rules, unified, &mut list)?;
    }
    if unified {
        let mut limits = limits.clone();
        round(&mut limits);
        for write in v2::writes(&limits)? {
            let (file, value) = with_property(&write);
            of_file(file, value, &version, &mut list);
        }
        return Ok(list);
    }
    if let Some(limit) = limits.memory.limit {
        add(&mut list, "MemoryLimit", or_infinity(limit));
    }
    cpu_v1(&limits.cpu, &version, &mut list);
    if let Some(weight) = limits.io.weight {
        add(&mut list, "BlockIOWeight", Value::U64(weight.into()));
    }
    if let Some(limit) = limits.pids {
        add(&mut list, "TasksMax", at_least_one(if limit < 0 { u64::MAX } else { limit.unsigned_abs() }));
    }
    Ok(list)
}

/// The properties of the files that `writes` have changed, by their current values. Properties that
/// only a new unit can have are left out.
pub(crate) fn properties_of_files(
    cgroup: &HierarchyCgroup,
    writes: &[Write],
    version: impl Fn() -> u32,
) -> Vec<Property> {
    let version = Version::new(&version);
    let mut list = Vec::new();
    for write in writes {
        let (file, value) = with_property(write);
        match file {
            "cpu.idle" | "cpu.weight" | "cpu.weight.nice" => {
                let idle = cgroup.read("cpu.idle").is_ok_and(|idle| idle == "1");
                let file = if idle { "cpu.idle" } else { "cpu.weight" };
                let now = cgroup.read(file).unwrap_or_default();
                of_file(file, &now, &version, &mut list);
            }
            // The file of another I/O scheduler may exist beside it.
            "io.weight" => of_file(file, value, &version, &mut list),
            file => {
                if let Ok(now) = cgroup.read(file) {
                    of_file(file, &now, &version, &mut list);
                }
            }
        }
    }
    list.retain(|(name, _)| name != OOM_POLICY);
    list
}

/// The file of a write for which systemd has a property, and its value.
fn with_property(write: &Write) -> (&str, &str) {
    match &write.instead {
        Some((file, value)) => (file, value),
        None => (&write.file, &write.value),
    }
}

/// systemd's version, which is queried at most once, for properties that old versions lack.
struct Version<'a> {
    ask: &'a dyn Fn() -> u32,
    known: OnceCell<u32>,
}

impl<'a> Version<'a> {
    fn new(ask: &'a dyn Fn() -> u32) -> Version<'a> {
        Version { ask, known: OnceCell::new() }
    }

    fn since(&self, version: u32) -> bool {
        *self.known.get_or_init(self.ask) >= version
    }
}

fn add(list: &mut Vec<Property>, name: &str, value: Value) {
    list.retain(|(old, _)| old != name);
    list.push((name.to_owned(), value));
}

fn or_infinity(limit: i64) -> Value {
    Value::U64(u64::try_from(limit).unwrap_or(u64::MAX))
}

/// systemd refuses 0. A limit of 1 has the same effect: the first process is the only task, and the
/// kernel rounds 1 byte of memory down to no pages.
fn at_least_one(limit: u64) -> Value {
    Value::U64(limit.max(1))
}

fn cpu_v1(cpu: &Cpu, version: &Version<'_>, list: &mut Vec<Property>) {
    if let Some(shares) = cpu.shares.filter(|_| cpu.idle != Some(true)) {
        add(list, "CPUShares", Value::U64(shares));
    }
    quota(cpu.quota, cpu.period, version, list);
    for (file, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if let Some(value) = value {
            of_file(file, value, version, list);
        }
    }
}

const DEFAULT_PERIOD: u64 = 100_000;

/// systemd stores the quota per second, and keeps only whole percents of it after a reload.
fn quota(quota: Option<i64>, period: Option<u64>, version: &Version<'_>, list: &mut Vec<Property>) {
    if let Some(period) = period.filter(|_| version.since(242)) {
        add(list, "CPUQuotaPeriodUSec", Value::U64(period));
    }
    if quota.is_none() && period.is_none() {
        return;
    }
    let per_second = match quota {
        Some(quota @ 1..) => per_second(quota.unsigned_abs(), period.unwrap_or(DEFAULT_PERIOD)),
        _ => u64::MAX,
    };
    add(list, "CPUQuotaPerSecUSec", Value::U64(per_second));
}

fn per_second(quota: u64, period: u64) -> u64 {
    const PERCENT: u64 = 10_000;
    let exact = u128::from(quota) * 1_000_000 / u128::from(period.max(1));
    u64::try_from(exact).unwrap_or(u64::MAX).checked_next_multiple_of(PERCENT).unwrap_or(u64::MAX - 1)
}

/// Rounds the CPU quota up to the value that systemd would write, so that file and property agree
/// from the start.
pub(crate) fn round(limits: &mut Limits) {
    if let Some(quota) = limits.cpu.quota.filter(|quota| *quota > 0) {
        limits.cpu.quota = Some(rounded(quota, limits.cpu.period.unwrap_or(DEFAULT_PERIOD)));
    }
    for (_, value) in limits.unified.iter_mut().filter(|(file, _)| file == "cpu.max") {
        let mut words = value.split_whitespace().map(str::parse::<i64>);
        let (quota, period) = (words.next(), words.next().unwrap_or(Ok(DEFAULT_PERIOD as i64)));
        if let (Some(Ok(quota @ 1..)), Ok(period @ 1..)) = (quota, period) {
            let given = value.split_whitespace().nth(1).map_or(String::new(), |period| format!(" {period}"));
            *value = format!("{}{given}", rounded(quota, period.unsigned_abs()));
        }
    }
}

fn rounded(quota: i64, period: u64) -> i64 {
    let micros = u128::from(per_second(quota.unsigned_abs(), period)) * u128::from(period) / 1_000_000;
    i64::try_from(micros).map_or(quota, |rounded| rounded.max(quota))
}

/// A list `0-3,7` as a bit mask, the first byte for 0 to 7. None if the text is not a list.
fn bits(list: &str) -> Option<Value> {
    let words = cpulist::parse(list, Limits::HIGHEST_IN_LIST)?;
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    Some(Value::Array("y".into(), bytes.into_iter().map(Value::Byte).collect()))
}

/// Adds the property of a file with this content. systemd has no property for some files.
fn of_file(file: &str, content: &str, version: &Version<'_>, list: &mut Vec<Property>) {
    let content = content.trim();
    let limit = || if content == "max" { Some(u64::MAX) } else { memparse(content) };
    let mut add_some = |name: &str, value: Option<Value>| value.into_iter().for_each(|value| add(list, name, value));
    match file {
        "memory.max" => add_some("MemoryMax", limit().map(at_least_one)),
        "memory.high" => add_some("MemoryHigh", limit().map(at_least_one)),
        "memory.low" => add_some("MemoryLow", limit().map(Value::U64)),
        "memory.min" => add_some("MemoryMin", limit().map(Value::U64)),
        "memory.swap.max" => add_some("MemorySwapMax", limit().map(Value::U64)),
        "memory.zswap.max" if version.since(253) => add_some("MemoryZSwapMax", limit().map(Value::U64)),
        "memory.zswap.writeback" if version.since(256) => {
            add_some("MemoryZSwapWriteback", flag(content).map(Value::Bool))
        }
        "memory.oom.group" if version.since(253) => {
            let policy = |all| Value::str(if all { "kill" } else { "continue" });
            add_some(OOM_POLICY, flag(content).map(policy));
        }
        "pids.max" => add_some("TasksMax", limit().map(at_least_one)),
        "cpu.weight" => add_some("CPUWeight", content.parse().ok().map(Value::U64)),
        "cpu.weight.nice" => add_some("CPUWeight", content.parse().ok().and_then(weight_of_nice).map(Value::U64)),
        // For an idle cgroup the property is a weight of 0. Otherwise another file has the weight.
        "cpu.idle" if flag(content) == Some(true) && version.since(252) => add(list, "CPUWeight", Value::U64(0)),
        "cpu.max" => {
            let mut words = content.split_whitespace();
            let limit = words.next().map(|word| word.parse().unwrap_or(-1));
            quota(limit, words.next().and_then(|word| word.parse().ok()), version, list);
        }
        "cpuset.cpus" if version.since(244) => add_some("AllowedCPUs", bits(content)),
        "cpuset.mems" if version.since(244) => add_some("AllowedMemoryNodes", bits(content)),
        "io.weight" => {
            let of_all = content.strip_prefix("default").unwrap_or(content).lines().next().unwrap_or_default();
            add_some("IOWeight", of_all.trim().parse().ok().map(Value::U64));
        }
        _ => {}
    }
}

fn flag(content: &str) -> Option<bool> {
    match content {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

/// Parses a size like the kernel's `memparse`: decimal, octal or hexadecimal, with a suffix for a
/// power of 1024.
fn memparse(text: &str) -> Option<u64> {
    let (digits, shift) = match text.chars().next_back()?.to_ascii_uppercase() {
        letter @ ('K' | 'M' | 'G' | 'T' | 'P' | 'E') => (&text[..text.len() - 1], 10 * (1 + "KMGTPE".find(letter)?)),
        _ => (text, 0),
    };
    let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        // A hexadecimal number may end in the digit E.
        Some(hex) => return memparse_hex(text, hex, shift),
        None if digits.len() > 1 && digits.starts_with('0') => u64::from_str_radix(digits, 8).ok()?,
        None => digits.parse().ok()?,
    };
    number.checked_mul(1 << shift)
}

fn memparse_hex(text: &str, hex: &str, shift: usize) -> Option<u64> {
    match text.ends_with(['E', 'e']) {
        true => u64::from_str_radix(&text[2..], 16).ok(),
        false => u64::from_str_radix(hex, 16).ok()?.checked_mul(1 << shift),
    }
}

/// The weight of a nice value from -20 to 19: the scheduler's sched_prio_to_weight, scaled from
/// 1024 to 100.
fn weight_of_nice(nice: i32) -> Option<u64> {
    const WEIGHTS: [u64; 40] = [
        88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501,
        1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
    ];
    let weight = WEIGHTS.get(usize::try_from(nice + 20).ok()?)?;
    Some(((weight * 100 + 512) / 1024).max(1))
}

fn devices(rules: &[Rule], unified: bool, list: &mut Vec<Property>) -> Result<()> {
    let unlimited = || Exceptions { default_allow: true, list: Vec::new() };
    // If v1's exceptions cannot express the rules, only orlop's own filter enforces them.
    let mut state = Exceptions::from_rules(rules, "linux.resources.devices").unwrap_or_else(|_| unlimited());
    let groups = std::fs::read_to_string("/proc/devices").unwrap_or_default();
    let mut allow = Vec::new();
    // Exceptions to "allow all" are enforced by orlop's own filter.
    if !state.default_allow {
        allow.extend(state.list.iter().filter_map(|exception| device(exception, &groups)));
        // On v2 systemd's filter would also deny devices that it cannot name. On v1 orlop writes
        // the list last.
        if unified && allow.len() < state.list.len() {
            (state, allow) = (unlimited(), Vec::new());
        }
    }
    let policy = if state.default_allow { "auto" } else { "strict" };
    add(list, "DevicePolicy", Value::str(policy));
    add(list, "DeviceAllow", Value::Array("(ss)".into(), allow));
    Ok(())
}

/// A device in the format of `DeviceAllow=`: by number, by a group of /proc/devices, or by type.
fn device(exception: &Rule, groups: &str) -> Option<Value> {
    let kind = if exception.kind == Type::Block { "block" } else { "char" };
    let name = match (exception.major, exception.minor) {
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (None, None) => format!("{kind}-*"),
        (Some(major), None) => format!("{kind}-{}", group(groups, kind, major)?),
        // systemd cannot name one minor of all majors.
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
        properties(&limits, unified, || version).unwrap()
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
            ("CPUWeight", 100),
            ("CPUQuotaPeriodUSec", 100_000),
            ("CPUQuotaPerSecUSec", 250_000),
            ("MemoryLow", 500),
            ("MemorySwapMax", 2000),
            ("MemoryMax", 1000),
            ("TasksMax", u64::MAX),
        ];
        assert_eq!(numbers(json, true), expected.map(|(name, n)| (name.to_owned(), n)));
        let on_v1 = numbers(json, false);
        assert!(on_v1.contains(&("MemoryLimit".into(), 1000)) && on_v1.contains(&("CPUShares".into(), 1024)));
    }

    #[test]
    fn a_quota_is_rounded_up_to_a_percent() {
        let numbers = numbers(r#"{"cpu":{"quota":1234}}"#, true);
        assert!(numbers.contains(&("CPUQuotaPerSecUSec".to_owned(), 20_000)), "{numbers:?}");
        for (quota, period, file) in [
            (12_345, 25_000, 12_500),
            (1234, 100_000, 2000),
            (1000, 1_000_000, 10_000),
            (10_000, 30_001, 10_200),
            (50_000, 100_000, 50_000),
            (1, 1000, 10),
            (i64::MAX, 1000, i64::MAX),
        ] {
            let once = rounded(quota, period);
            assert_eq!((once, rounded(once, period)), (file, once), "{quota} {period}");
        }
    }

    #[test]
    fn properties_that_an_older_systemd_lacks_are_left_out() {
        let names = |version| of(r#"{"cpu":{"cpus":"0,9","period":5000}}"#, true, version).len();
        assert_eq!((names(255), names(240)), (3, 1));
        let newer = r#"{"unified":{"memory.oom.group":"1","memory.zswap.max":"0","cpu.idle":"1"}}"#;
        assert_eq!(of(newer, true, 250), []);
        let bytes = |bytes: &[u8]| Value::Array("y".into(), bytes.iter().map(|byte| Value::Byte(*byte)).collect());
        assert_eq!(bits("0,9"), Some(bytes(&[1, 2])));
        assert_eq!(bits("1-2, 6-17,20-20"), Some(bytes(&[0xc6, 0xff, 0x13])));
        assert_eq!(bits("0-8:1/2"), Some(bytes(&[0x55, 1])));
        for unlike in ["5-3", "4294967295", "0-65536", "x"] {
            assert_eq!(bits(unlike), None, "{unlike}");
        }
        assert!(matches!(bits(&"0-65535,".repeat(10_000)), Some(Value::Array(_, bytes)) if bytes.len() == 8192));
    }

    #[test]
    fn files_of_unified_that_systemd_knows_are_properties() {
        for (file, content, name, value) in [
            ("memory.high", "77", "MemoryHigh", Value::U64(77)),
            ("memory.high", "100M", "MemoryHigh", Value::U64(100 << 20)),
            ("memory.max", "0x1000", "MemoryMax", Value::U64(4096)),
            ("memory.max", "0", "MemoryMax", Value::U64(1)),
            ("memory.low", "1g", "MemoryLow", Value::U64(1 << 30)),
            ("memory.min", "010", "MemoryMin", Value::U64(8)),
            ("memory.swap.max", "0", "MemorySwapMax", Value::U64(0)),
            ("memory.zswap.max", "max", "MemoryZSwapMax", Value::U64(u64::MAX)),
            ("memory.zswap.writeback", "0", "MemoryZSwapWriteback", Value::Bool(false)),
            ("memory.oom.group", "1", "OOMPolicy", Value::str("kill")),
            ("memory.oom.group", "0", "OOMPolicy", Value::str("continue")),
            ("pids.max", "0", "TasksMax", Value::U64(1)),
            ("pids.max", "max\n", "TasksMax", Value::U64(u64::MAX)),
            ("cpu.weight", "5", "CPUWeight", Value::U64(5)),
            ("cpu.weight.nice", "0", "CPUWeight", Value::U64(100)),
            ("cpu.weight.nice", "-20", "CPUWeight", Value::U64(8668)),
            ("cpu.weight.nice", "19", "CPUWeight", Value::U64(1)),
            ("cpu.idle", "1", "CPUWeight", Value::U64(0)),
            ("cpu.max", "max 5000", "CPUQuotaPerSecUSec", Value::U64(u64::MAX)),
            ("cpu.max", "12345 25000", "CPUQuotaPerSecUSec", Value::U64(500_000)),
            ("io.weight", "default 200", "IOWeight", Value::U64(200)),
            ("io.weight", "300", "IOWeight", Value::U64(300)),
            ("cpuset.cpus", "0-2", "AllowedCPUs", Value::Array("y".into(), vec![Value::Byte(7)])),
        ] {
            let found = of(&serde_json::json!({"unified": {file: content}}).to_string(), true, 257);
            assert!(found.contains(&(name.into(), value)), "{file} {content}: {found:?}");
        }
        for (file, content) in
            [("io.max", "8:0 rbps=1"), ("io.weight", "8:0 7"), ("memory.max", "x"), ("cpu.idle", "0")]
        {
            assert_eq!(of(&serde_json::json!({"unified": {file: content}}).to_string(), true, 257), []);
        }
    }

    #[test]
    fn sizes_are_read_as_the_kernel_reads_them() {
        for (text, bytes) in [("1k", 1024), ("2E", 2 << 60), ("0x1e", 30), ("0x10M", 16 << 20), ("017", 15), ("0", 0)] {
            assert_eq!(memparse(text), Some(bytes), "{text}");
        }
        for text in ["", "K", "1Q", "-1", "99999999999999999999", "16E", "é"] {
            assert_eq!(memparse(text), None, "{text}");
        }
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
