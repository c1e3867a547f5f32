//! A signal by name or number.

use crate::error::{Error, Kind, Result};
use crate::sys::signal;
use std::fmt;

/// A signal number from 0 (which only checks that the process exists) to 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(i32);

/// The first real-time signal of glibc, on every Linux architecture. C libraries reserve the
/// kernel's first two or three, and people and engines mean glibc's `SIGRTMIN`.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// Further names of signals.
const ALIASES: [(&str, i32); 5] =
    [("IOT", libc::SIGABRT), ("CLD", libc::SIGCHLD), ("POLL", libc::SIGIO), ("RTMIN", RTMIN), ("RTMAX", RTMAX)];

/// Every name without SIG, with its number. An iterator would be a table of names in each caller.
fn all() -> Vec<(&'static str, i32)> {
    let named = signal::signals().map(|(name, number)| (name.strip_prefix("SIG").unwrap_or(name), number));
    named.chain(ALIASES).collect()
}

impl Signal {
    /// The default signal of `kill`.
    pub const TERM: Signal = Signal(libc::SIGTERM);
    /// SIGKILL.
    pub const KILL: Signal = Signal(libc::SIGKILL);

    /// Parses a number, or a name with or without `SIG`, in any case; `RTMIN+n` and `RTMAX-n` count
    /// as in glibc.
    pub fn parse(text: &str) -> Result<Signal> {
        let unknown = || Error::new(Kind::Config, format!("unknown signal {text:?}"));
        let digits = text.strip_prefix('+').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return digits.parse().ok().filter(|n| (0..=RTMAX).contains(n)).map(Signal).ok_or_else(unknown);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let named = all().into_iter().find(|(known, _)| *known == name).map(|(_, number)| number);
        named.or_else(|| offset(name)).map(Signal).ok_or_else(unknown)
    }

    /// The signal of a number from the kernel.
    pub(crate) fn of(number: i32) -> Signal {
        Signal(number)
    }

    /// The known names, without `SIG`.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        all().into_iter().map(|(name, _)| name)
    }

    /// The number that system calls take.
    pub fn number(self) -> i32 {
        self.0
    }
}

/// The number of `RTMIN+n` or `RTMAX-n`.
fn offset(name: &str) -> Option<i32> {
    let count = |n: &str| n.parse().ok().filter(|n| (0..=RTMAX - RTMIN).contains(n) && !name.contains("+-"));
    match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
        (Some(n), _) => count(n).map(|n| RTMIN + n),
        (_, Some(n)) => count(n).map(|n| RTMAX - n),
        _ => None,
    }
}

/// The name, `SIGTERM`; real-time signals as `SIGRTMIN+3`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match all().into_iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 > RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "signal {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_with_and_without_sig_in_any_case() {
        for (name, number) in all() {
            for text in [name.to_string(), format!("SIG{name}"), name.to_lowercase(), format!("sig{name}")] {
                assert_eq!(Signal::parse(&text).unwrap().number(), number, "{text}");
            }
        }
    }

    #[test]
    fn every_number_up_to_64_is_a_signal_and_reads_back_from_its_text() {
        for number in 0..=64 {
            let signal = Signal::parse(&number.to_string()).unwrap();
            assert_eq!(signal.number(), number);
            if let Ok(again) = Signal::parse(&signal.to_string()) {
                assert_eq!(again, signal);
            }
        }
        assert_eq!(Signal::parse("+9").unwrap(), Signal::KILL);
    }

    #[test]
    fn real_time_signals_count_from_both_ends() {
        assert_eq!(Signal::parse("SIGRTMIN+3").unwrap().number(), 37);
        assert_eq!(Signal::parse("rtmax-1").unwrap().number(), 63);
        assert_eq!(Signal::parse("RTMIN+30").unwrap(), Signal::parse("RTMAX").unwrap());
    }

    #[test]
    fn what_is_no_signal_is_named_in_the_error() {
        for text in
            ["", "FOO", "SIG", "SIGSIGTERM", "-9", "65", "9x", "0x9", "99999999999999999999", "RTMIN+31", "RTMIN+-1"]
        {
            let error = Signal::parse(text).unwrap_err().to_string();
            assert_eq!(error, format!("unknown signal {text:?}"));
        }
    }
}
