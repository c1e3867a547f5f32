//! What the runtime makes of a config, as owned data: for programs that show it to people.

use crate::config::{self, Seccomp};
use crate::error::Result;
use crate::process::seccomp::{Filter, Kernel};

/// `linux.seccomp` of a config.json, as it is written.
#[derive(Debug)]
pub struct SeccompProfile<'a>(Seccomp<'a>);

impl<'a> SeccompProfile<'a> {
    /// The profile of a config.json, if it has one.
    ///
    /// # Errors
    /// The text is no config: the place and the field.
    pub fn of_config(json: &'a [u8]) -> Result<Option<SeccompProfile<'a>>> {
        Ok(config::parse(json)?.linux.and_then(|linux| linux.seccomp).map(SeccompProfile))
    }

    /// The BPF program that `create` would load, as the kernel takes it: `struct sock_filter` after `struct sock_filter`
    /// (seccomp(2)). None where the profile filters nothing.
    ///
    /// # Errors
    /// What `create` would refuse, with the path of the field.
    pub fn compile(&self) -> Result<Option<Vec<u8>>> {
        Ok(Filter::parse(&self.0, &Kernel::default())?.map(|filter| filter.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_profile_is_compiled() {
        let json = include_bytes!("config/testdata/engines/docker.json");
        let profile = SeccompProfile::of_config(json).unwrap().expect("a profile");
        let program = profile.compile().unwrap().expect("a program");
        assert!(program.len() > 800 && program.len().is_multiple_of(8), "{}", program.len());
        assert!(SeccompProfile::of_config(b"{\"ociVersion\": \"1.0.0\"}").unwrap().is_none());
    }
}
