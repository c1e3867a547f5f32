//! `state` and `list`: what is known of containers, without a lock.

use super::Context;
use super::request::{ContainerId, Format, ListRequest};
use crate::error::{Error, IoContext, Result};
use crate::log;
use crate::state::{Record, Status, Store};
use crate::sys::process::Pid;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The state of a container as callers read it: the spec's properties (runtime.md, "State") and runc's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    oci_version: &'a str,
    id: &'a str,
    pid: Pid,
    status: &'a str,
    bundle: &'a str,
    rootfs: &'a str,
    created: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    owner: &'a str,
}

impl<'a> Document<'a> {
    fn new(record: &'a Record, status: Status, pid: Option<Pid>, owner: &'a str) -> Document<'a> {
        let known = record.init.filter(|_| status != Status::Stopped).map_or(0, |init| init.pid);
        Document {
            oci_version: &record.oci_version,
            id: &record.id,
            pid: pid.unwrap_or(known),
            status: status.word(),
            bundle: &record.bundle,
            rootfs: &record.rootfs,
            created: &record.created,
            annotations: &record.annotations,
            owner,
        }
    }
}

/// The state as JSON, in lines. `pid` is for hooks that see another one.
pub(super) fn document(record: &Record, status: Status, pid: Option<Pid>) -> String {
    serde_json::to_string_pretty(&Document::new(record, status, pid, "")).unwrap_or_default()
}

/// `state`: the document, without a line break at its end.
///
/// # Errors
/// `container does not exist`.
pub fn state(context: &Context, id: &ContainerId) -> Result<String> {
    let record = Store::at(&context.root).read(id.as_str())?;
    let status = record.status()?;
    Ok(document(&record, status, None))
}

/// `list`: a table, JSON, or ids. What cannot be read is left out, with a warning.
///
/// # Errors
/// The state root cannot be read; if it is not there, there are no containers.
pub fn list(context: &Context, request: &ListRequest) -> Result<String> {
    let store = Store::at(&context.root);
    let ids = match store.ids() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        other => other.call(|| format!("open({:?})", context.root))?,
    };
    if request.quiet {
        return Ok(ids.iter().fold(String::new(), |text, id| text + id + "\n"));
    }
    let mut names = Names::default();
    let mut rows = Vec::new();
    for id in ids {
        match store.read(&id).and_then(|record| record.status().map(|status| (record, status))) {
            Ok((record, status)) => {
                let owner = names.of(record.owner);
                rows.push((record, status, owner));
            }
            // Deleted between the two looks.
            Err(e) if e.kind() == crate::error::Kind::NotFound && !store.directory(&id).exists() => {}
            Err(e) => log::warning(format!("load container {id}: {e}")),
        }
    }
    match request.format {
        Format::Json => as_json(&rows),
        Format::Table => Ok(as_table(&rows)),
    }
}

fn as_json(rows: &[(Record, Status, String)]) -> Result<String> {
    let documents: Vec<_> =
        rows.iter().map(|(record, status, owner)| Document::new(record, *status, None, owner)).collect();
    if documents.is_empty() {
        return Ok("null\n".into());
    }
    let text = serde_json::to_string(&documents).map_err(|e| Error::internal(e.to_string()))?;
    Ok(text + "\n")
}

/// Columns of at least 12 characters with 3 spaces between, as runc prints them.
fn as_table(rows: &[(Record, Status, String)]) -> String {
    let mut lines = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    for (record, status, owner) in rows {
        let document = Document::new(record, *status, None, owner);
        let pid = document.pid.to_string();
        lines.push([document.id, &pid, document.status, document.bundle, document.created, owner].map(str::to_owned));
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count() + 3).max().unwrap_or(0).max(12);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "{cell:width$}");
        }
        let _ = writeln!(text, "{}", line[5]);
    }
    text
}

/// Names of users, looked up in the host's /etc/passwd once; `#UID` where it has none.
#[derive(Default)]
struct Names(Option<String>);

impl Names {
    fn of(&mut self, uid: u32) -> String {
        let passwd = self.0.get_or_insert_with(|| std::fs::read_to_string("/etc/passwd").unwrap_or_default());
        let line = passwd.lines().find(|line| line.split(':').nth(2).and_then(|id| id.parse().ok()) == Some(uid));
        line.and_then(|line| line.split(':').next()).map_or_else(|| format!("#{uid}"), str::to_owned)
    }
}
