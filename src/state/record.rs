//! The record of a container: state.json.

use super::foreign::{self, Foreign};
use super::process::ProcessId;
use super::runc_fields::RuncConfig;
use super::status::{Status, status};
use crate::cgroups;
use crate::error::{Error, Result};
use crate::json::{self, Value, readable};
use crate::process::keyring;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;

readable! {
    /// The facts about a container.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "camelCase")]
    pub(crate) struct Record {
        /// The config's `ociVersion`.
        pub oci_version: String = "ociVersion",
        /// The container's id.
        pub id: String = "id",
        /// The container's first process, once it exists.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub init: Option<ProcessId> = "init",
        /// The runtime that is creating the container.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub creator: Option<ProcessId> = "creator",
        /// The random part of the name that init has until it executes the program.
        pub waiting_name: String = "waitingName",
        /// The absolute path of the bundle.
        pub bundle: String = "bundle",
        /// The root filesystem's path on the host.
        pub rootfs: String = "rootfs",
        /// The time of creation, RFC 3339 with nanoseconds.
        pub created: String = "created",
        /// The user id of the creator.
        pub owner: u32 = "owner",
        /// The config's annotations.
        #[serde(skip_serializing_if = "json::Map::is_empty")]
        pub annotations: json::Map<String> = "annotations",
        /// The paths of its cgroups.
        pub cgroup: cgroups::CgroupRecord = "cgroup",
        /// Its group in the resctrl filesystem.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub resctrl: Option<cgroups::resctrl::ResctrlRecord> = "resctrl",
        /// Whether it has a session keyring of its own.
        pub keyring: bool = "keyring",
        /// Its session keyring, once it exists; older versions did not record it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub session_keyring: Option<keyring::CreatedKeyring> = "sessionKeyring",
        /// Whether it shares another pid namespace, so that its processes do not die with the first
        /// one.
        #[serde(skip_serializing_if = "is_false")]
        pub shares_pids: bool = "sharesPids",
        /// Whether CRIU restored its processes, in a time namespace with the clocks of the checkpoint.
        #[serde(skip_serializing_if = "is_false")]
        pub restored: bool = "restored",
        /// Whether its reaping init records the end of the program in the file `ended`.
        #[serde(skip_serializing_if = "is_false")]
        pub records_end: bool = "recordsEnd",
        /// With [`Record::records_end`]: whether its cgroup was made for it, so that the counters are its own.
        #[serde(skip_serializing_if = "is_false")]
        pub new_cgroup: bool = "newCgroup",
    }
    => unread {
        /// The other runtime that wrote the record.
        #[serde(skip)]
        pub foreign: Option<Foreign>,
        /// The source of runc's fields of the record; not read back, since runc alone needs them.
        #[serde(skip)]
        pub runc: Option<RuncConfig>,
        /// Unknown fields of a newer version, as JSON.
        #[serde(skip)]
        pub unknown: json::Map<Vec<u8>>,
    }
    others in unknown
}

fn is_false(it: &bool) -> bool {
    !*it
}

impl Record {
    /// Parses the bytes of a state.json.
    ///
    /// # Errors
    /// They are no record, or were changed after they were written.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Record> {
        match intact(bytes) {
            Ok(()) => Record::parse_changed(&own_fields(bytes)),
            Err(error) => Record::parse_changed(bytes).and(Err(error)),
        }
    }

    /// Parses the bytes of a record in `directory`: our own, or another runtime's.
    ///
    /// # Errors
    /// They are no record, or were changed after they were written.
    pub(crate) fn parse_in(bytes: &[u8], directory: &Path) -> Result<Record> {
        Record::parse(bytes).or_else(|error| foreign::read(bytes, directory)?.ok_or(error))
    }

    /// Parses a record that may have been changed: no field can be trusted.
    ///
    /// # Errors
    /// They are no record.
    pub(crate) fn parse_changed(bytes: &[u8]) -> Result<Record> {
        let mut record: Record = document(bytes)?;
        record.unknown.remove("sum");
        let texts =
            [&record.oci_version, &record.id, &record.waiting_name, &record.bundle, &record.rootfs, &record.created];
        if texts.iter().any(|text| text.is_empty()) {
            return Err(damaged("it does not say what every record says"));
        }
        if [record.init, record.creator].into_iter().flatten().any(|process| process.pid <= 0 || process.start == 0) {
            return Err(damaged("it does not say which process it means"));
        }
        if !record.cgroup.is_whole() {
            return Err(damaged("it does not say where a cgroup is"));
        }
        Ok(record)
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        let internal = |e: serde_json::Error| Error::internal(e.to_string());
        let mut bytes = serde_json::to_vec(self).map_err(internal)?;
        for (key, value) in self.unknown.iter() {
            // Inserted before the closing brace, after the known fields.
            bytes.pop();
            bytes.push(b',');
            serde_json::to_writer(&mut bytes, key).map_err(internal)?;
            bytes.push(b':');
            bytes.extend_from_slice(value);
            bytes.push(b'}');
        }
        bytes.pop();
        let length = bytes.len();
        if let Some(fields) = self.runc_fields() {
            bytes.extend_from_slice(format!("{fields}{OWN}{length}").as_bytes());
        }
        let sum = sum_of(&bytes);
        write!(bytes, "{SUM}{sum:016x}\"}}").map_err(|e| Error::internal(e.to_string()))?;
        Ok(bytes)
    }

    /// Refuses a command that needs a container of our own.
    ///
    /// # Errors
    /// Another runtime created it.
    pub(crate) fn refuse_foreign(&self, command: &str) -> Result<()> {
        let Some(foreign) = &self.foreign else { return Ok(()) };
        let runtime = foreign.runtime;
        Err(Error::state(format!("container {} was created by {runtime}", self.id))
            .hint(format!("`{runtime} {command}` has to do this; the other commands work on it")))
    }

    /// The current status of the container.
    ///
    /// # Errors
    /// The freezer cannot be read.
    pub(crate) fn status(&self) -> Result<Status> {
        let status = status(self.init, self.creator, &self.waiting_name, || self.cgroup.frozen())?;
        let waits = self.foreign.as_ref().is_some_and(|foreign| status == Status::Running && foreign.waits());
        Ok(if waits { Status::Created } else { status })
    }

    /// The current status, and a pidfd of the first process unless that has exited.
    ///
    /// # Errors
    /// The freezer cannot be read.
    pub(crate) fn status_and_init(&self) -> Result<(Status, Option<OwnedFd>)> {
        let pidfd = self.init.map(ProcessId::open_number).transpose()?.flatten();
        // The status is read after the pidfd was opened, so it is that of the same process.
        let status = self.status()?;
        Ok((status, pidfd.filter(|_| status != Status::Stopped)))
    }

    /// Its cgroup.
    pub(crate) fn cgroup(&self) -> cgroups::Cgroup {
        cgroups::Cgroup::open(self.cgroup.clone())
    }
}

fn document<'a, T: Value<'a> + Default>(bytes: &'a [u8]) -> Result<T> {
    json::document(bytes).map_err(|fault| damaged(format_args!("{}: {}", fault.place(bytes), fault.problem())))
}

/// The field before the last one, if there are fields of runc's: how many bytes our own fields have.
const OWN: &str = ",\"own\":";

/// A record with an intact sum, without the fields that only runc reads.
fn own_fields(bytes: &[u8]) -> Cow<'_, [u8]> {
    let own = || {
        let (text, _) = bytes.split_at_checked(bytes.len().checked_sub(SUM_LENGTH)?)?;
        let digits = text.rsplit(|byte| *byte == b':').next()?;
        text.strip_suffix(digits)?.strip_suffix(OWN.as_bytes())?;
        bytes.get(..str::from_utf8(digits).ok()?.parse().ok()?)
    };
    own().map_or(Cow::Borrowed(bytes), |own| Cow::Owned([own, b"}"].concat()))
}

/// The last field of a record, up to its value.
const SUM: &str = ",\"sum\":\"";

/// The field's length, with its value of 16 digits and the brace behind.
const SUM_LENGTH: usize = SUM.len() + 16 + 2;

#[inline(always)]
fn add(sum: u64, byte: &u8) -> u64 {
    (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
}

/// FNV-1a detects a disk error or an accidental edit. It does not protect from a writer of the
/// state directory.
pub(super) fn sum_of(bytes: &[u8]) -> u64 {
    // Eight at a time: half of the instructions.
    let (eights, rest) = bytes.as_chunks::<8>();
    let sum = eights.iter().fold(0xcbf2_9ce4_8422_2325, |sum, [a, b, c, d, e, f, g, h]| {
        add(add(add(add(add(add(add(add(sum, a), b), c), d), e), f), g), h)
    });
    rest.iter().fold(sum, add)
}

/// Checks the sum in the last field of a record. A record without a sum is an older version's.
fn intact(bytes: &[u8]) -> Result<()> {
    let Some((text, rest)) = bytes.split_at_checked(bytes.len().saturating_sub(SUM_LENGTH)) else { return Ok(()) };
    let is_intact = match rest.strip_prefix(SUM.as_bytes()) {
        Some(sum) => sum
            .strip_suffix(b"\"}")
            .and_then(|digits| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())
            .is_some_and(|sum| sum == sum_of(text)),
        None => !bytes.windows(SUM.len()).any(|window| window == SUM.as_bytes()),
    };
    match is_intact {
        true => Ok(()),
        false => Err(damaged("its sum is not that of its text: it was changed after it was written")),
    }
}

fn damaged(what: impl Display) -> Error {
    Error::system(format!("state.json is damaged: {what}"))
}
