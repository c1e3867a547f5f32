//! `orlop inspect`: the settings, state and resource usage of a container.

use crate::arguments::{Format, Global, Inspect};
use crate::observe::{Observed, PRESSURES, Usage, bytes, waiting};
use crate::style::Style;
use anyhow::{Context as _, Result};
use orlop::container::Context;
use orlop::explain::{shown, shown_json};
use procfs::FromBufRead as _;
use procfs::process::{MountInfos, Process};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// The whole command.
pub(crate) fn run(global: &Global, word: &Inspect) -> Result<ExitCode> {
    let root = std::path::absolute(&global.root).context("--root")?;
    let observed = match Observed::look(&Context::new(root), &word.id) {
        Ok(observed) => observed,
        Err(error) => {
            eprintln!("orlop: {}: {}", shown(&word.id), shown(&format!("{error:#}")));
            return Ok(ExitCode::FAILURE);
        }
    };
    if let Some(error) = &observed.unknown {
        eprintln!("orlop: usage: {}", shown(&format!("{error:#}")));
    }
    let document = document(&observed);
    let text = match word.format {
        Format::Json => shown_json(format!("{document:#}\n")),
        Format::Text => text(&document, observed.usage.as_ref(), Style::of_output()),
    };
    std::io::stdout().lock().write_all(text.as_bytes()).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

fn document(observed: &Observed) -> Value {
    let init = observed.init().and_then(|pid| noted("first process", Process::new(pid)));
    let mut document = observed.state.as_object().cloned().unwrap_or_default();
    let cgroups = observed
        .cgroups
        .iter()
        .map(|found| json!({ "controllers": found.controllers, "directory": found.directory.display().to_string() }));
    document.insert("usage".into(), observed.usage.as_ref().map_or(Value::Null, Usage::json));
    document.insert("processes".into(), observed.pids.iter().filter_map(|pid| process(*pid)).collect());
    document.insert("namespaces".into(), init.as_ref().map_or(Value::Null, namespaces));
    document.insert("mounts".into(), init.as_ref().map_or(Value::Null, mounts));
    document.insert("cgroups".into(), cgroups.collect());
    Value::Object(document)
}

/// A part of the document; one that cannot be read is left out with a warning.
pub(crate) fn noted<T, E: std::fmt::Display>(name: &str, part: Result<T, E>) -> Option<T> {
    part.inspect_err(|error| eprintln!("orlop: {name}: {}", shown(&error.to_string()))).ok()
}

/// One process; none where it has ended.
fn process(pid: i32) -> Option<Value> {
    let found = Process::new(pid).and_then(|process| Ok((process.status()?, process)));
    let (status, process) = match found {
        Err(procfs::ProcError::NotFound(_)) => return None,
        found => noted(&format!("process {pid}"), found)?,
    };
    let command = process.cmdline().unwrap_or_default();
    Some(json!({
        "pid": pid,
        "pidInContainer": status.nspid.as_ref().and_then(|pids| pids.last().copied()),
        "uid": status.euid,
        "state": status.state,
        "threads": status.threads,
        "memory": status.vmrss.map(|kilobytes| kilobytes * 1024),
        "name": status.name,
        "command": command,
    }))
}

/// The namespaces of the first process, and which of them are this process's own.
fn namespaces(init: &Process) -> Value {
    let Some(theirs) = noted("namespaces", init.namespaces()) else { return Value::Null };
    let ours = noted("namespaces of this shell", Process::myself().and_then(|own| own.namespaces()));
    let ours = ours.map(|found| found.0).unwrap_or_default();
    let rows: BTreeMap<String, Value> = theirs
        .0
        .iter()
        .map(|(name, found)| {
            let is_shared = ours.get(name).is_some_and(|own| own == found);
            (name.to_string_lossy().into_owned(), json!({ "inode": found.identifier, "shared": is_shared }))
        })
        .collect();
    json!(rows)
}

/// The mount table of the first process. A name that is no UTF-8 is shown as well as it can be.
fn mounts(init: &Process) -> Value {
    let table = noted("mounts", std::fs::read(format!("/proc/{}/mountinfo", init.pid)));
    let Some(table) = table else { return Value::Null };
    let text = String::from_utf8_lossy(&table);
    let Some(mounts) = noted("mounts", MountInfos::from_buf_read(text.as_bytes())) else { return Value::Null };
    let row = |mount: procfs::process::MountInfo| {
        json!({
            "destination": unescape(&mount.mount_point.to_string_lossy()),
            "type": mount.fs_type,
            "source": mount.mount_source.as_deref().map(unescape),
            "root": unescape(&mount.root),
            "options": options(&mount.mount_options),
            "superOptions": options(&mount.super_options),
        })
    };
    mounts.into_iter().map(row).collect()
}

/// proc(5): space, tab, newline and backslash are octal.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, letter)| text.replace(code, letter))
}

fn options(options: &HashMap<String, Option<String>>) -> Vec<String> {
    let one = |(key, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    };
    let mut list: Vec<String> = options.iter().map(one).collect();
    list.sort();
    list
}

/// The document for people.
fn text(document: &Value, usage: Option<&Usage>, style: Style) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &Value| {
        if !value.is_null() && value != "" {
            let value = style.wrap_at(&plain(value), 12);
            let _ = writeln!(text, "{}  {value}", style.bold(&format!("{name:<10}")));
        }
    };
    for (name, key) in [("container", "id"), ("status", "status"), ("pid", "pid"), ("created", "created")] {
        row(name, &document[key]);
    }
    if document["ended"].is_object() {
        row("ended", &ended(&document["ended"]).into());
    }
    for (name, key) in [("bundle", "bundle"), ("root", "rootfs"), ("owner", "owner")] {
        row(name, &document[key]);
    }
    if let Some(annotations) = document["annotations"].as_object() {
        for (name, value) in annotations {
            row("annotation", &format!("{name}={}", value.as_str().unwrap_or_default()).into());
        }
    }
    if let Some(usage) = usage {
        usage_rows(usage, &mut row);
    }
    text += &processes_text(&document["processes"], style);
    text += &namespaces_text(&document["namespaces"], style);
    text += &mounts_text(&document["mounts"], style);
    text += &cgroups_text(&document["cgroups"], style);
    text
}

/// The end of the program, as its reaping init recorded it.
fn ended(end: &Value) -> String {
    let words = [
        end["reason"].as_str().map(str::to_owned),
        end["signal"].as_str().map(str::to_owned),
        end["exitCode"].as_u64().map(|code| format!("exit code {code}")),
        end["time"].as_str().map(str::to_owned),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A value on one line.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => shown(text),
        other => shown(&other.to_string()),
    }
}

fn usage_rows(usage: &Usage, row: &mut impl FnMut(&str, &Value)) {
    let of = |used: Option<u64>, limit: Option<u64>, show: fn(u64) -> String| {
        let used = used.map_or("-".into(), show);
        format!("{used} of {}", limit.map_or("no limit".into(), show))
    };
    let mut memory = of(usage.memory, usage.memory_limit, bytes);
    for (name, value) in [("peak", usage.memory_peak), ("swap", usage.swap)] {
        memory += &value.map_or(String::new(), |value| format!(", {name} {}", bytes(value)));
    }
    memory += &usage.oom_kills.map_or(String::new(), |count| format!(", {count} OOM kills"));
    row("memory", &memory.into());
    let seconds = |nanoseconds: u64| format!("{:.3} s", nanoseconds as f64 / 1e9);
    let quota = usage.cpu_quota.map_or("no quota".into(), |quota| format!("quota {quota:.2} CPUs"));
    let throttled = format!(
        "throttled in {} of {} periods for {}",
        usage.throttled_periods,
        usage.periods,
        seconds(usage.throttled_time)
    );
    row("cpu", &format!("{}, {quota}, {throttled}", usage.cpu_time.map_or("-".into(), seconds)).into());
    row("pids", &of(usage.tasks, usage.tasks_limit, |n| n.to_string()).into());
    let shares = PRESSURES.iter().zip(&usage.pressure);
    let shares: Vec<String> =
        shares.filter_map(|(name, found)| Some(format!("{name} {:.2}%", waiting(found.as_ref())?))).collect();
    if !shares.is_empty() {
        row("pressure", &format!("some task waited, over 10 s: {}", shares.join(", ")).into());
    }
}

/// A heading and lines with columns; the last column goes on below itself.
fn table(title: &str, head: &[&str], rows: &[Vec<String>], style: Style) -> String {
    let widths: Vec<usize> = (0..head.len())
        .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0).max(head[at].len()))
        .collect();
    let before: usize = widths.iter().rev().skip(1).map(|width| width + 2).sum();
    let line = |cells: Vec<&str>| -> String {
        let (last, cells) = cells.split_last().unwrap_or((&"", &[]));
        let padded: String = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        let line = format!("  {padded}{}", style.wrap_at(last, 2 + before));
        line.trim_end().to_owned() + "\n"
    };
    let mut text = format!("\n{} ({})\n", style.bold(title), rows.len());
    text += &line(head.to_vec());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

fn processes_text(list: &Value, style: Style) -> String {
    let row = |process: &Value| {
        let words: Vec<String> = strings(&process["command"]);
        // A kernel thread or a zombie has no arguments.
        let name = || format!("[{}]", plain(&process["name"]));
        let command = if words.is_empty() { name() } else { shown(&words.join(" ")) };
        vec![
            plain(&process["pid"]),
            plain(&process["pidInContainer"]),
            plain(&process["uid"]),
            plain(&process["state"]),
            process["memory"].as_u64().map_or("-".into(), bytes),
            command,
        ]
    };
    let rows: Vec<Vec<String>> = list.as_array().into_iter().flatten().map(row).collect();
    table("processes", &["PID", "INSIDE", "UID", "STATE", "MEMORY", "COMMAND"], &rows, style)
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn namespaces_text(found: &Value, style: Style) -> String {
    let empty = Map::new();
    let row = |(name, found): (&String, &Value)| {
        let note = if found["shared"] == true { "shared with this shell" } else { "" };
        vec![shown(name), plain(&found["inode"]), note.to_owned()]
    };
    let rows: Vec<Vec<String>> = found.as_object().unwrap_or(&empty).iter().map(row).collect();
    if rows.is_empty() { String::new() } else { table("namespaces", &["KIND", "INODE", ""], &rows, style) }
}

fn mounts_text(list: &Value, style: Style) -> String {
    let row = |mount: &Value| {
        let options = [strings(&mount["options"]).join(","), strings(&mount["superOptions"]).join(",")].join(" ");
        vec![plain(&mount["destination"]), plain(&mount["type"]), plain(&mount["source"]), shown(&options)]
    };
    let rows: Vec<Vec<String>> = list.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    table("mounts", &["DESTINATION", "TYPE", "SOURCE", "OPTIONS"], &rows, style)
}

fn cgroups_text(list: &Value, style: Style) -> String {
    let row = |found: &Value| {
        let names = strings(&found["controllers"]).join(",");
        vec![if names.is_empty() { "v2".into() } else { shown(&names) }, plain(&found["directory"])]
    };
    let rows: Vec<Vec<String>> = list.as_array().into_iter().flatten().map(row).collect();
    table("cgroups", &["CONTROLLERS", "DIRECTORY"], &rows, style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_process_or_a_mount_cannot_act_on_the_terminal() {
        let processes = json!([{ "pid": 1, "name": "x", "command": ["a\x1b[2J", "b\nc"] }]);
        let mounts = json!([{ "destination": "/a\n/b", "type": "tmpfs", "source": "\u{202e}", "options": ["rw"] }]);
        let text = processes_text(&processes, Style::plain()) + &mounts_text(&mounts, Style::plain());
        assert!(text.contains("a\\u{1b}[2J b\\nc") && text.contains("/a\\n/b") && !text.contains('\u{202e}'), "{text}");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["1".to_owned(), "long".to_owned()], vec!["1234".to_owned(), "x".to_owned()]];
        let text = table("t", &["A", "B"], &rows, Style::plain());
        assert_eq!(text, "\nt (2)\n  A     B\n  1     long\n  1234  x\n");
    }
}
