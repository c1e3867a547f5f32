//! The part of a record that `state`, `list` and `kill` need, read without making copies of it: a machine may have a thousand
//! of them, and these commands do little else.

use super::record::{complete, document, intact};
use super::status::status;
use super::store::read_state;
use super::{ProcessId, Status, Store};
use crate::cgroups;
use crate::error::Result;
use crate::json::readable;
use std::borrow::Cow;

/// What callers are told of a container. The fields are those of [`super::Record`].
#[derive(Debug, Default)]
#[allow(missing_docs)] // See the record.
pub(crate) struct Glance<'a> {
    pub oci_version: Cow<'a, str>,
    pub id: Cow<'a, str>,
    pub init: Option<ProcessId>,
    creator: Option<ProcessId>,
    waiting_name: Cow<'a, str>,
    pub bundle: Cow<'a, str>,
    pub rootfs: Cow<'a, str>,
    pub created: Cow<'a, str>,
    pub owner: u32,
    /// In the order of their names.
    pub annotations: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    cgroup: cgroups::Glance<'a>,
    pub shares_pids: bool,
}

readable! {
    Glance<'a> {
        oci_version = "ociVersion",
        id = "id",
        init = "init",
        creator = "creator",
        waiting_name = "waitingName",
        bundle = "bundle",
        rootfs = "rootfs",
        created = "created",
        owner = "owner",
        annotations = "annotations",
        cgroup = "cgroup",
        shares_pids = "sharesPids",
    }
}

impl<'a> Glance<'a> {
    /// What the bytes of a state.json say.
    ///
    /// # Errors
    /// They are no record, or not those that were written.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Glance<'a>> {
        let glance: Glance<'_> = document(bytes)?;
        let texts =
            [&glance.oci_version, &glance.id, &glance.waiting_name, &glance.bundle, &glance.rootfs, &glance.created];
        complete(texts.map(|text| &**text), [glance.init, glance.creator])?;
        intact(bytes)?;
        Ok(glance)
    }

    /// What the container is doing now.
    ///
    /// # Errors
    /// The freezer cannot be read.
    pub(crate) fn status(&self) -> Result<Status> {
        status(self.init, self.creator, &self.waiting_name, || self.frozen())
    }

    fn frozen(&self) -> Result<bool> {
        self.cgroup.frozen()
    }

    /// Thaws its cgroup and those in it; names a frozen cgroup above it, which stays so.
    ///
    /// # Errors
    /// A cgroup cannot be looked at.
    pub(crate) fn thaw_all(&self) -> Result<Option<String>> {
        self.cgroup.thaw_all()
    }
}

impl Store {
    /// The bytes of a container's state.json, for [`Glance::parse`].
    ///
    /// # Errors
    /// `container does not exist`; a file that cannot be read.
    pub(crate) fn bytes(&self, id: &str) -> Result<Vec<u8>> {
        read_state(&self.file(id))
    }
}
