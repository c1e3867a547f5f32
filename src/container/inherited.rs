//! Descriptors that the caller passes on: `$LISTEN_FDS` and `--preserve-fds` (`sd_listen_fds(3)`).

use crate::error::{Error, Result};
use crate::sys;
use std::env;

/// The number of descriptors after standard error that go to the container.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inherited {
    listening: u32,
    count: i32,
}

impl Inherited {
    /// Reads the environment, and checks that every socket of `$LISTEN_FDS` is open. A descriptor
    /// that `--preserve-fds` counts may be closed, as with `podman run --preserve-fd 5`: it is
    /// closed in the container, too.
    pub(super) fn take(preserved: u32) -> Result<Inherited> {
        let listening = listening();
        let count = listening.checked_add(preserved).and_then(|n| i32::try_from(n).ok()).filter(|n| *n < 1 << 20);
        let count = count.ok_or_else(|| Error::system(format!("--preserve-fds {preserved} is too many")))?;
        for number in (3..3 + count).take(listening as usize) {
            if !sys::file::is_from_caller(number) {
                return Err(Error::system(format!("LISTEN_FDS={listening}: descriptor {number} is not open")));
            }
        }
        Ok(Inherited { listening, count })
    }

    /// The number of descriptors.
    pub(super) fn count(self) -> i32 {
        self.count
    }

    /// Adds `LISTEN_FDS` for the program.
    pub(super) fn announce(self, environment: &mut Vec<String>) {
        if self.listening > 0 {
            environment.retain(|entry| !entry.starts_with("LISTEN_FDS=") && !entry.starts_with("LISTEN_PID="));
            environment.extend([format!("LISTEN_FDS={}", self.listening), "LISTEN_PID=1".into()]);
            if let Ok(names) = env::var("LISTEN_FDNAMES") {
                environment.push(format!("LISTEN_FDNAMES={names}"));
            }
        }
    }
}

/// `$LISTEN_FDS`, if `$LISTEN_PID` is this process.
fn listening() -> u32 {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    match number("LISTEN_PID") {
        Some(pid) if pid as i32 == sys::process::pid() => number("LISTEN_FDS").unwrap_or(0),
        _ => 0,
    }
}
