//! The seccomp filter.

use crate::config::Seccomp;
use crate::error::{Error, Result};

/// A filter, ready to be loaded.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// SECCOMP_FILTER_FLAG_*.
    pub flags: u32,
    /// Its instructions.
    pub program: Vec<[u8; 8]>,
    /// Who serves its notifications.
    pub notify: Option<Listener>,
}

/// Who serves a filter's notifications.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    /// A socket on the host.
    pub path: String,
    /// For the one who serves it.
    pub metadata: String,
}

impl Filter {
    /// Checks `linux.seccomp`.
    pub fn parse(_: &Seccomp<'_>) -> Result<Filter> {
        Err(Error::config("linux.seccomp", "not in this build"))
    }

    /// The instructions as the kernel reads them.
    pub fn bytes(&self) -> Vec<u8> {
        self.program.concat()
    }
}
