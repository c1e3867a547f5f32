//! The part of a record that `state` and `list` show, read without making copies of it: a machine may have a thousand of them.

use super::{ProcessId, Status, Store, status};
use crate::cgroups;
use crate::error::{Error, Result};
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What callers are told of a container. The fields are those of [`super::Record`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // See the record.
pub struct Glance<'a> {
    #[serde(borrow)]
    pub oci_version: Cow<'a, str>,
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(default)]
    pub init: Option<ProcessId>,
    #[serde(default)]
    creator: Option<ProcessId>,
    #[serde(borrow)]
    waiting_name: Cow<'a, str>,
    #[serde(borrow)]
    pub bundle: Cow<'a, str>,
    #[serde(borrow)]
    pub rootfs: Cow<'a, str>,
    #[serde(borrow)]
    pub created: Cow<'a, str>,
    pub owner: u32,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(borrow, default)]
    cgroup: cgroups::Glance<'a>,
}

impl<'a> Glance<'a> {
    /// What the bytes of a state.json say.
    ///
    /// # Errors
    /// They are no record.
    pub fn parse(bytes: &'a [u8]) -> Result<Glance<'a>> {
        serde_json::from_slice(bytes).map_err(damaged)
    }

    /// What the container is doing now.
    ///
    /// # Errors
    /// The freezer cannot be read.
    pub fn status(&self) -> Result<Status> {
        status(self.init, self.creator, &self.waiting_name, || self.cgroup.frozen())
    }
}

pub(super) fn damaged(error: serde_json::Error) -> Error {
    Error::system(format!("state.json is damaged: {error}"))
}

impl Store {
    /// The bytes of a container's state.json, for [`Glance::parse`].
    ///
    /// # Errors
    /// `container does not exist`; a file that cannot be read.
    pub fn bytes(&self, id: &str) -> Result<Vec<u8>> {
        super::read_state(&self.file(id))
    }
}
