//! `state` and `list`: read containers without a lock.

use super::Context;
use super::ended::{self, EndOfProgram};
use super::request::{ContainerId, Format, ListRequest};
use crate::error::{Error, IoContext, Kind, Result};
use crate::json;
use crate::log;
use crate::state::{Record, Status, Store};
use crate::sys::file;
use crate::sys::process::Pid;
use crate::text;
use serde::Serialize;
use std::borrow::Cow;
use std::rc::Rc;

/// The state of a container for callers: the spec's properties (runtime.md, "State") and runc's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    oci_version: &'a str,
    id: &'a str,
    pid: Pid,
    status: &'a str,
    bundle: &'a str,
    rootfs: &'a str,
    created: &'a str,
    #[serde(skip_serializing_if = "json::Map::is_empty")]
    annotations: &'a json::Map<String>,
    owner: &'a str,
    /// Of a stopped container whose reaping init records it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<EndOfProgram>,
}

/// The state for hooks (runtime.md, "State"): indented JSON.
pub(super) fn hook_state(record: &Record, status: Status, pid: Pid) -> Vec<u8> {
    serde_json::to_vec_pretty(&document(record, status, pid)).unwrap_or_default()
}

/// The state for hooks and the seccomp agent; the pid depends on the reader's pid namespace.
pub(super) fn document(record: &Record, status: Status, pid: Pid) -> Document<'_> {
    Document {
        oci_version: &record.oci_version,
        id: &record.id,
        pid,
        status: status.word(),
        bundle: &record.bundle,
        rootfs: &record.rootfs,
        created: &record.created,
        annotations: &record.annotations,
        owner: "",
        ended: None,
    }
}

/// The state for callers; a stopped container has no pid.
fn shown<'a>(record: &'a Record, status: Status, owner: &'a str) -> Document<'a> {
    let init = record.init.filter(|_| status != Status::Stopped);
    Document { owner, ..document(record, status, init.map_or(0, |init| init.pid)) }
}

/// `state`: returns the document without a line break at its end.
///
/// # Errors
/// `container does not exist`.
pub fn state(context: &Context, id: &ContainerId) -> Result<String> {
    let store = Store::at(&context.root);
    let bytes = store.bytes(id.as_str())?;
    let record = store.parse(id.as_str(), &bytes)?;
    let status = record.status()?;
    let mut document = shown(&record, status, "");
    if record.records_end && status == Status::Stopped {
        document.ended = ended::read(&store, &record);
    }
    Ok(text::shown_json(serde_json::to_string_pretty(&document).unwrap_or_default()))
}

/// `list`: a table, JSON, or ids. A container that cannot be read is left out, with a warning.
///
/// # Errors
/// The state root cannot be read, or the request names one that does not exist. A missing default
/// root means that there are no containers.
pub fn list(context: &Context, request: &ListRequest) -> Result<String> {
    let store = Store::at(&context.root);
    let ids = match store.ids() {
        Ok(ids) if !ids.is_empty() => ids,
        other => {
            // A root that the caller names must exist: a typo would look like an empty list.
            if let Some(root) = &request.root {
                std::fs::metadata(root).map(drop).io_context(|| format!("open {}", root.display()))?;
            }
            other?
        }
    };
    if request.quiet {
        return Ok(ids.iter().fold(String::new(), |text, id| text + id + "\n"));
    }
    // Deleted between the two reads.
    let gone = |id: &str, e: &Error| e.kind() == Kind::NotFound && !store.directory(id).exists();
    let warn = |id: &str, e: Error| log::warning(format!("load container {id}: {e}"));
    let mut files = Vec::with_capacity(ids.len());
    for id in &ids {
        match store.bytes(id) {
            Ok(bytes) => files.push((id, bytes)),
            Err(e) if gone(id, &e) => {}
            Err(e) => warn(id, e),
        }
    }
    let mut names = Names::default();
    let mut rows = Vec::with_capacity(files.len());
    for (id, bytes) in &files {
        let mut read = || -> Result<Row> {
            let record = store.parse(id, bytes)?;
            let status = record.status()?;
            let owner = names.of(record.owner);
            Ok((record, status, owner))
        };
        match read() {
            Ok(row) => rows.push(row),
            Err(e) if gone(id, &e) => {}
            Err(e) => warn(id, e),
        }
    }
    match request.format {
        Format::Json => as_json(&rows),
        Format::Table => Ok(as_table(&rows)),
    }
}

/// A container, its status, and its owner's name.
type Row = (Record, Status, Rc<str>);

fn as_json(rows: &[Row]) -> Result<String> {
    let documents: Vec<_> = rows.iter().map(|(record, status, owner)| shown(record, *status, owner)).collect();
    if documents.is_empty() {
        return Ok("null\n".into());
    }
    let text = serde_json::to_string(&documents).map_err(|e| Error::internal(e.to_string()))?;
    Ok(text::shown_json(text) + "\n")
}

/// Cells come from the record, and the bundle's path may hold any characters.
fn cell(text: Cow<'_, str>) -> Cow<'_, str> {
    if let Cow::Owned(escaped) = text::shown(&text) {
        return Cow::Owned(escaped);
    }
    text
}

/// Columns of at least 12 characters with 3 spaces between, as runc prints them.
fn as_table(rows: &[Row]) -> String {
    let documents = rows.iter().map(|(record, status, owner)| shown(record, *status, owner));
    let mut lines = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(Cow::from)];
    lines.extend(documents.map(|d| {
        let pid = d.pid.to_string().into();
        [d.id.into(), pid, d.status.into(), d.bundle.into(), d.created.into(), d.owner.into()].map(cell)
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count() + 3).max().unwrap_or(0).max(12);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::with_capacity((widths.iter().sum::<usize>() + 16) * lines.len());
    for line in &lines {
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
        text.push_str(&line[5]);
        text.push('\n');
    }
    text
}

/// A larger /etc/passwd is not read, and then no user has a name.
const LARGEST_PASSWD: usize = 64 << 20;

/// Names of users, looked up in the host's /etc/passwd once; `#UID` where it has none.
#[derive(Default)]
struct Names {
    passwd: Option<String>,
    known: Vec<(u32, Rc<str>)>,
}

impl Names {
    fn of(&mut self, uid: u32) -> Rc<str> {
        if let Some((_, name)) = self.known.iter().find(|(known, _)| *known == uid) {
            return name.clone();
        }
        let name: Rc<str> = look_up(&mut self.passwd, uid).into();
        self.known.push((uid, name.clone()));
        name
    }
}

fn look_up(passwd: &mut Option<String>, uid: u32) -> String {
    let read = || file::open("/etc/passwd", libc::O_RDONLY).and_then(|fd| file::read_to_end(fd, LARGEST_PASSWD));
    let passwd =
        passwd.get_or_insert_with(|| read().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default());
    let line = passwd.lines().find(|line| line.split(':').nth(2).and_then(|id| id.parse().ok()) == Some(uid));
    line.and_then(|line| line.split(':').next()).map_or_else(|| format!("#{uid}"), str::to_owned)
}
