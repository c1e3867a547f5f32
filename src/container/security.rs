//! The security modules of the machine.

use crate::error::{Error, Result};
use crate::process::program::Program;
use std::path::Path;

/// Whether SELinux is enabled.
pub(super) fn selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

fn apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.first() == Some(&b'Y'))
}

/// Refuses a label that no module of this kernel would apply: the config demands confinement.
pub(super) fn check(program: &Program) -> Result<()> {
    if program.selinux.is_some() && !selinux() {
        let text = "selinux label is specified in config, but selinux is disabled or not supported";
        return Err(Error::config("process.selinuxLabel", text));
    }
    if program.apparmor.is_some() && !apparmor() {
        let text = "apparmor profile is specified in config, but apparmor is disabled or not supported";
        return Err(Error::config("process.apparmorProfile", text));
    }
    Ok(())
}
