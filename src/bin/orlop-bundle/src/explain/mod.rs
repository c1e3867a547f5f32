//! `orlop explain`: the plan of a bundle, or of a container with its drift from the kernel.

mod difference;

use crate::arguments::{Explain, Format, Global};
use crate::check;
use crate::style::Style;
use anyhow::{Context as _, Result, bail};
use orlop::container::Context;
use orlop::container::request::{CgroupManager, ContainerId};
use orlop::explain::{self, Drift, Explanation, Section};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The widest subject that has its value on the same line.
const WIDEST: usize = 44;

/// A bundle's config, or a container.
enum Subject {
    Config { file: PathBuf, bundle: PathBuf },
    Container(ContainerId),
}

/// The whole command.
pub(crate) fn run(global: &Global, word: &Explain) -> Result<ExitCode> {
    if let [one, other] = &word.diff[..] {
        let (one, other) = (explanation(global, one)?, explanation(global, other)?);
        let differences = difference::between(&one, &other);
        print(&difference::shown(&differences, word.format, Style::of_output()))?;
        return Ok(ExitCode::from(u8::from(!differences.is_empty())));
    }
    if word.seccomp {
        let json = match subject(global, &word.subject)? {
            Subject::Config { file, .. } => check::read(&file)?,
            Subject::Container(id) => check::read(&global.root.join(id.as_str()).join("config.json"))?,
        };
        let listing = explain::listing(&json).context(word.subject.clone())?;
        let none = || "no filter: every system call is allowed\n".to_owned();
        let lines = |lines: Vec<String>| if lines.is_empty() { none() } else { lines.join("\n") + "\n" };
        print(&lines(listing))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut explanation = explanation(global, &word.subject)?;
    let drifted = !explanation.drift.is_empty();
    if !word.section.is_empty() {
        let known: Vec<_> = explanation.sections.iter().map(|section| section.id).collect();
        if let Some(unknown) = word.section.iter().find(|name| !known.contains(&name.as_str())) {
            bail!("--section: there is no section {unknown:?}; this plan has {}", known.join(", "));
        }
        explanation.sections.retain(|section| word.section.iter().any(|name| name == section.id));
    }
    let text = match word.format {
        Format::Text => text(&explanation, Style::of_output()),
        Format::Json => explain::shown_json(format!("{:#}\n", document(&explanation))),
    };
    print(&text)?;
    Ok(ExitCode::from(u8::from(drifted)))
}

fn explanation(global: &Global, name: &str) -> Result<Explanation> {
    match subject(global, name)? {
        Subject::Config { file, bundle } => {
            let manager = if global.systemd { CgroupManager::Systemd } else { CgroupManager::Cgroupfs };
            let id = ContainerId::parse(&id_of(&bundle))?;
            explain::plan(&check::read(&file)?, &bundle, &id, manager).with_context(|| format!("{}", file.display()))
        }
        Subject::Container(id) => {
            explain::running(&Context::new(&global.root), &id).with_context(|| format!("container {id}"))
        }
    }
}

/// A directory is a bundle, a file a config; everything else is the id of a container.
fn subject(global: &Global, name: &str) -> Result<Subject> {
    let path = Path::new(name);
    path.try_exists().with_context(|| name.to_owned())?;
    if path.is_dir() || path.is_file() {
        let path = std::fs::canonicalize(path).with_context(|| name.to_owned())?;
        let file = if path.is_dir() { path.join("config.json") } else { path };
        let bundle = file.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
        return Ok(Subject::Config { file, bundle });
    }
    match ContainerId::parse(name) {
        Ok(id) if global.root.join(name).is_dir() => Ok(Subject::Container(id)),
        _ => bail!("{name:?} is neither a bundle nor a config, nor a container in {}", global.root.display()),
    }
}

/// The id of the container: the bundle's name, as in the examples of the manual, where it can be one.
fn id_of(bundle: &Path) -> String {
    let name = bundle.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if ContainerId::parse(&name).is_ok() { name } else { "ID".into() }
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes()).context("write to standard output")
}

fn text(explanation: &Explanation, style: Style) -> String {
    let mut text = String::new();
    for section in &explanation.sections {
        show(section, style, &mut text);
    }
    if !explanation.drift.is_empty() {
        let _ = writeln!(text, "{}", style.red("Drift: the container is no longer as it was planned"));
        for Drift { section, subject, planned, found, .. } in &explanation.drift {
            let (subject, planned, found) = (printable(subject), printable(planned), printable(found));
            let used = 2 + section.chars().count() + 2 + subject.chars().count();
            let values = style.wrap(&format!(": planned {planned}, found {found}"), used, "    ");
            let _ = writeln!(text, "  {section}: {}{values}", style.bold(&subject));
        }
    }
    text
}

fn show(section: &Section, style: Style, text: &mut String) {
    let _ = writeln!(text, "{}", style.bold(&style.wrap(section.title, 0, "  ")));
    let width = |subject: &str| subject.chars().count();
    let shown = section.lines.iter().filter(|line| !line.is_detail);
    let widths = shown.map(|line| width(&line.subject)).filter(|width| *width <= WIDEST);
    let column = widths.max().unwrap_or(0);
    for line in section.lines.iter().filter(|line| !line.is_detail) {
        let (subject, value) = (printable(&line.subject), style.wrap_at(&printable(&line.value), column + 4));
        let _ = match width(&subject) > column {
            true => writeln!(text, "  {subject}\n  {:column$}  {value}", ""),
            false => writeln!(text, "  {subject:column$}  {value}"),
        };
    }
    text.push('\n');
}

/// The text without control characters.
pub(crate) fn printable(text: &str) -> String {
    explain::shown(text)
}

fn document(explanation: &Explanation) -> Value {
    let line = |line: &explain::Line| json!({ "subject": line.subject, "value": line.value, "detail": line.is_detail });
    let section = |section: &Section| {
        let lines: Vec<Value> = section.lines.iter().map(line).collect();
        json!({ "id": section.id, "title": section.title, "lines": lines })
    };
    let drift = |drift: &Drift| {
        json!({
            "section": drift.section,
            "subject": drift.subject,
            "planned": drift.planned,
            "found": drift.found,
        })
    };
    let sections: Vec<Value> = explanation.sections.iter().map(section).collect();
    let drift: Vec<Value> = explanation.drift.iter().map(drift).collect();
    json!({ "sections": sections, "drift": drift })
}
