//! Records of PAX headers (pax(1), "pax Extended Header").

use super::Time;
use anyhow::{Context as _, Result, bail, ensure};

/// Records in their order: a later one holds over an earlier one.
#[derive(Clone, Default)]
pub(crate) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// Parses the data of a header: records of the form `LENGTH KEY=VALUE\n`, of which a value may hold any byte.
    ///
    /// # Errors
    /// A record's length is wrong, or it has no key.
    pub(crate) fn parse(mut data: &[u8]) -> Result<Records> {
        let mut records = Vec::new();
        while !data.is_empty() {
            let space = data.iter().take(20).position(|byte| *byte == b' ').context("a PAX record has no length")?;
            let length = decimal(&data[..space])? as usize;
            ensure!(length > space + 1 && length <= data.len(), "a PAX record has a wrong length: {length}");
            let (record, rest) = data.split_at(length);
            let [record @ .., b'\n'] = &record[space + 1..] else { bail!("a PAX record has no end") };
            let equals = record.iter().position(|byte| *byte == b'=').context("a PAX record has no value")?;
            ensure!(equals > 0, "a PAX record has no key");
            records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
            data = rest;
        }
        Ok(Records(records))
    }

    /// Adds records that hold over these.
    pub(crate) fn extend(&mut self, other: Records) {
        self.0.extend(other.0);
    }

    /// A key's value. An empty one takes the record back.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        let found = self.0.iter().rev().find(|(known, _)| known == key.as_bytes())?;
        Some(&found.1[..]).filter(|value| !value.is_empty())
    }

    /// A key's value as a number.
    ///
    /// # Errors
    /// It is no decimal number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>> {
        self.get(key).map(|value| decimal(value).with_context(|| format!("PAX record {key}"))).transpose()
    }

    /// A key's value as a time.
    ///
    /// # Errors
    /// It is no number of seconds.
    pub(crate) fn time(&self, key: &str) -> Result<Option<Time>> {
        self.get(key).map(|value| time(value).with_context(|| format!("PAX record {key}"))).transpose()
    }

    /// Extended attributes by name; the last value of each.
    pub(crate) fn attributes(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (key, value) in &self.0 {
            let Some(name) = key.strip_prefix(b"SCHILY.xattr.".as_slice()) else { continue };
            found.retain(|(known, _)| known != name);
            found.push((name.to_vec(), value.clone()));
        }
        found
    }

    /// The values of a key that may stand several times, and those of its partner, in their order.
    pub(crate) fn pairs(&self, first: &str, second: &str) -> Result<Vec<(u64, u64)>> {
        let all = |key: &str| -> Result<Vec<u64>> {
            self.0.iter().filter(|(known, _)| known == key.as_bytes()).map(|(_, value)| decimal(value)).collect()
        };
        let (first, second) = (all(first)?, all(second)?);
        ensure!(first.len() == second.len(), "PAX records of a sparse file: an offset or a length is missing");
        Ok(first.into_iter().zip(second).collect())
    }
}

/// A decimal number without a sign.
pub(crate) fn decimal(digits: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    ensure!(text.bytes().all(|byte| byte.is_ascii_digit()), "{:?} is no number", String::from_utf8_lossy(digits));
    text.parse().with_context(|| format!("{text:?} is no number that fits"))
}

/// `[-]SECONDS[.FRACTION]`, as seconds and nanoseconds after them.
fn time(value: &[u8]) -> Result<Time> {
    let (negative, value) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(decimal(parts.next().unwrap_or_default())?)?;
    let fraction = parts.next().unwrap_or_default();
    ensure!(fraction.iter().all(u8::is_ascii_digit), "a time has a wrong fraction");
    let digit = |n: usize| fraction.get(n).map_or(0, |byte| i64::from(byte - b'0'));
    let nanoseconds = (0..9).fold(0, |sum, n| sum * 10 + digit(n));
    Ok(match (negative, nanoseconds) {
        (false, _) => (seconds, nanoseconds),
        (true, 0) => (-seconds, 0),
        (true, _) => (-seconds - 1, 1_000_000_000 - nanoseconds),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_any_byte_and_the_last_one_counts() {
        let data = b"12 path=a\nb\n10 path=c\n26 SCHILY.xattr.user.x=\0\n\n";
        let records = Records::parse(data).unwrap();
        assert_eq!(records.get("path"), Some(&b"c"[..]));
        assert_eq!(records.attributes(), [(b"user.x".to_vec(), b"\0\n".to_vec())]);
    }

    #[test]
    fn records_with_a_wrong_length_are_errors() {
        for data in
            ["5 path=a\n", "99 path=a\n", "10 =abcdefg\n", "x", "9 path=ab", "99999999999999999999 a=b\n", "3 \n"]
        {
            assert!(Records::parse(data.as_bytes()).is_err(), "{data:?}");
        }
    }

    #[test]
    fn times_have_nanoseconds_and_may_be_before_1970() {
        assert_eq!(time(b"12.5").unwrap(), (12, 500_000_000));
        assert_eq!(time(b"-1.25").unwrap(), (-2, 750_000_000));
        assert_eq!(time(b"7").unwrap(), (7, 0));
        assert_eq!(time(b"1.0000000019").unwrap(), (1, 1));
        time(b"1.x").unwrap_err();
    }
}
