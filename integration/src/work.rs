//! The directory in which the tests keep everything.

use anyhow::Result;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A new directory, removed at the end.
#[derive(Debug)]
pub(crate) struct Work(pub(crate) PathBuf);

impl Work {
    /// Makes it; mapped users must be able to enter.
    pub(crate) fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("orlop-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
