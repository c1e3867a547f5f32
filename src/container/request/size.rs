//! Numbers with units: memory sizes and durations.

use crate::error::{Error, Kind, Result};
use std::time::Duration;

const UNITS: &[u8] = b"kmgtpe";

/// Bytes of a size such as `512M`, `1.5g`, `20MiB`, `10 kb` (all powers of 1024) or a plain number; `-1` means no limit.
pub fn bytes(text: &str) -> Result<i64> {
    if text == "-1" {
        return Ok(-1);
    }
    let hint = "a number of bytes or a size such as 512M; -1 is no limit";
    parse_bytes(text).ok_or_else(|| Error::new(Kind::Config, format!("invalid size: '{text}'")).hint(hint))
}

fn parse_bytes(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let suffix = suffix.strip_prefix(' ').unwrap_or(suffix).to_ascii_lowercase();
    let unit = suffix.strip_suffix('b').unwrap_or(&suffix);
    let unit = if unit.len() == 2 { unit.strip_suffix('i')? } else { unit };
    let shift = match unit.as_bytes() {
        [] => 0,
        [letter] => 10 * (1 + UNITS.iter().position(|u| u == letter)?),
        _ => return None,
    };
    scaled(number, 1u128 << shift)?.try_into().ok()
}

/// The decimal `number` times `unit`, rounded down. Floating point would lose bytes.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(15)];
    let value = |s: &str| if s.is_empty() { Some(0) } else { s.parse::<u128>().ok() };
    let part = value(fraction)? * unit / 10u128.pow(fraction.len() as u32);
    value(whole)?.checked_mul(unit)?.checked_add(part)
}

/// A duration as Go writes it: `5s`, `1m30s`, `1.5h`, `100ms`; units are h, m, s, ms, us, µs and ns. It must be above zero.
pub fn duration(text: &str) -> Result<Duration> {
    let nanoseconds = parse_duration(text.strip_prefix(['+', '-']).unwrap_or(text))
        .ok_or_else(|| Error::new(Kind::Config, format!("invalid duration: '{text}' (such as 5s, 100ms, 1m30s)")))?;
    if nanoseconds == 0 || text.starts_with('-') {
        return Err(Error::new(Kind::Config, "duration interval must be greater than 0"));
    }
    Ok(Duration::from_nanos(nanoseconds))
}

fn parse_duration(mut rest: &str) -> Option<u64> {
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0u128;
    loop {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit_end = rest[number..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |n| number + n);
        let unit = match &rest[number..unit_end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total = total.checked_add(scaled(&rest[..number], unit)?)?;
        rest = &rest[unit_end..];
        if rest.is_empty() {
            return i64::try_from(total).ok().map(i64::unsigned_abs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_in_any_case_with_i_and_b_or_without() {
        for (text, value) in [
            ("0", 0),
            ("1024", 1024),
            ("1k", 1 << 10),
            ("20MiB", 20 << 20),
            ("10 MB", 10 << 20),
            ("512M", 512 << 20),
            ("1.5g", 3 << 29),
            (".5g", 1 << 29),
            ("100.5m", 105_381_888),
            ("9t", 9 << 40),
            ("2Pib", 2 << 50),
            ("7e", 7 << 60),
            ("9223372036854775807", i64::MAX),
            ("3b", 3),
            ("-1", -1),
        ] {
            assert_eq!(bytes(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_named_in_the_error() {
        for text in [
            "",
            "foo",
            "10q",
            "-2",
            "-1k",
            "1.5.5",
            "5e6",
            "0x10",
            "8e",
            "9223372036854775808",
            ".",
            "1kk",
            "1 i",
            "1  k",
            "i",
            "b",
            "1ib",
        ] {
            let error = bytes(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("invalid size: '{text}' (hint: ")), "{error}");
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (text, ns) in [
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("100ms", 100_000_000),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("+1ns", 1),
            (".5s", 500_000_000),
        ] {
            assert_eq!(duration(text).unwrap(), Duration::from_nanos(ns), "{text}");
        }
        for text in ["", "1", "s", "1d", "5 s", "1s1", "..s", "99999999999h"] {
            assert!(duration(text).unwrap_err().to_string().starts_with("invalid duration"), "{text}");
        }
        for text in ["0", "0s", "-1s"] {
            assert_eq!(duration(text).unwrap_err().to_string(), "duration interval must be greater than 0", "{text}");
        }
    }
}
