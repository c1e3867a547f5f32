//! The bundle of a container.

use super::request::CreateRequest;
use crate::config::{self, Spec};
use crate::error::{Context as _, Error, IoContext, Result};
use crate::sys::{self, file};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The bundle at the time of the call.
pub(super) struct Bundle {
    /// Absolute, without symbolic links.
    pub(super) path: PathBuf,
    pub(super) config: PathBuf,
    pub(super) json: Vec<u8>,
}

impl Bundle {
    pub(super) fn open(request: &CreateRequest) -> Result<Bundle> {
        let problem = |e: sys::Failure| {
            Error::from(e)
                .context("bundle")
                .hint("-b names the directory that holds config.json and the root filesystem")
        };
        let directory =
            file::open(request.bundle.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY).map_err(problem)?;
        let absolute = |file: &PathBuf| std::path::absolute(file).io_context(|| format!("absolute path of {file:?}"));
        let config = request.config.as_ref().map(absolute).transpose()?;
        sys::fs::change_dir_to(&directory)?;
        let path = std::env::current_dir().io_context(|| "getcwd()".to_owned()).context("bundle")?;
        let config = config.unwrap_or_else(|| path.join("config.json"));
        let json = super::document::read(&config).map_err(|e| match e.errno() {
            libc::ENOENT => {
                Error::system(format!("JSON specification file {config:?} not found")).hint("`orlop spec` writes one")
            }
            _ => e,
        })?;
        Ok(Bundle { path, config, json })
    }

    /// The config, as written.
    pub(super) fn spec(&self) -> Result<Spec<'_>> {
        config::parse(&self.json).map_err(|e| e.context(format!("{:?}", self.config)))
    }
}
