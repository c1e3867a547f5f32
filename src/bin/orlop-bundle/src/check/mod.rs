//! `orlop check`: everything that is wrong with a bundle, at once.

mod access;
mod host;
mod ids;
mod options;
mod refusals;
mod root;
mod stand_ins;
mod structure;
mod suspicions;
mod unknown;
mod way;

use crate::arguments::{Check, Format, Global};
use crate::finding::{Finding, Scope, Severity};
use crate::place::{Place, Text};
use crate::style::Style;
use anyhow::{Context as _, Result, anyhow, bail};
use orlop::explain::{self, Content, Node};
use serde_json::json;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The largest config.json that is read, in bytes: as the runtime.
const LARGEST: u64 = 64 << 20;
/// open(2): a FIFO does not block.
const O_NONBLOCK: i32 = 0o4000;

/// A bundle with a config.json in valid JSON.
pub(crate) struct Bundle {
    /// The directory, absolute.
    pub(crate) directory: PathBuf,
    pub(crate) text: Text,
    pub(crate) config: Node,
}

impl Bundle {
    /// The place of a value.
    pub(crate) fn place(&self, node: &Node) -> Option<Place> {
        Some(self.text.place(node.offset))
    }
}

/// The whole command.
pub(crate) fn run(global: &Global, word: &Check) -> Result<ExitCode> {
    let file = word.config.clone().unwrap_or_else(|| word.bundle.join("config.json"));
    let directory = std::fs::canonicalize(&word.bundle).with_context(|| format!("{}", word.bundle.display()))?;
    let text = Text::new(read(&file)?);
    let (findings, text) = match explain::read(&text.bytes) {
        Ok(config) => {
            let bundle = Bundle { directory, text, config };
            (all(global, &bundle), bundle.text)
        }
        Err(error) => (vec![syntax(&text, &error)], text),
    };
    print(&findings, &file, &text, word.format)?;
    let counts = |finding: &&Finding| match word.strict {
        true => finding.severity != Severity::Note,
        false => finding.severity == Severity::Error && finding.scope == Scope::Bundle,
    };
    Ok(ExitCode::from(u8::from(findings.iter().any(|finding| counts(&finding)))))
}

/// Every finding, in the order of the document.
pub(crate) fn all(global: &Global, bundle: &Bundle) -> Vec<Finding> {
    let mut findings = refusals::findings(global, bundle);
    if !matches!(bundle.config.content, Content::Object(_)) {
        // What such a document lacks is everything.
        return findings;
    }
    findings.extend(structure::findings(bundle));
    findings.extend(unknown::findings(bundle));
    findings.extend(options::findings(bundle));
    findings.extend(ids::findings(bundle));
    findings.extend(host::findings(bundle));
    findings.extend(root::findings(bundle));
    findings.extend(suspicions::findings(bundle));
    findings.sort_by_key(|finding| (finding.scope == Scope::Host, finding.place, finding.severity));
    findings.dedup_by(|one, other| one.field == other.field && one.problem == other.problem);
    findings
}

/// The bytes of a config.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    let name = || format!("{}", file.display());
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(file);
    let opened = opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!(error).context("there is no config to check (`orlop spec` writes one)"),
        _ => anyhow!(error).context("the config cannot be opened"),
    });
    let opened = opened.with_context(name)?;
    let kind = opened.metadata().with_context(name)?.file_type();
    if kind.is_dir() {
        bail!("{} is a directory, not a regular file", file.display());
    }
    if !kind.is_file() {
        bail!("{} is not a regular file", file.display());
    }
    let mut text = Vec::new();
    opened.take(LARGEST + 1).read_to_end(&mut text).with_context(name)?;
    if text.len() as u64 > LARGEST {
        bail!("{} is larger than {} MiB", file.display(), LARGEST >> 20);
    }
    Ok(text)
}

/// Where the document is no JSON: `line 13, column 5: expected a value, found ']'`.
fn syntax(text: &Text, error: &orlop::error::Error) -> Finding {
    let message = error.to_string();
    let (position, problem) = message.split_once(": ").unwrap_or(("", &message));
    let number = |word: &str| -> Option<usize> {
        let (_, rest) = position.split_once(word)?;
        rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let place = number("line").zip(number("column")).map(|(line, column)| Place { line, column });
    let finding = Finding::new("json.syntax", Severity::Error, "", problem).at(place).source("RFC 8259");
    match remedy(text, place, problem) {
        Some(remedy) => finding.remedy(remedy),
        None => finding,
    }
}

/// The usual mistakes have a remedy of their own.
fn remedy(text: &Text, place: Option<Place>, problem: &str) -> Option<&'static str> {
    let place = place?;
    let here = text.line(place)?.get(place.column - 1..)?;
    if text.bytes.starts_with(b"\xef\xbb\xbf") {
        return Some("the file begins with a byte order mark: save it as UTF-8 without one");
    }
    if matches!(text.bytes.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]) {
        return Some("the file is UTF-16: save it as UTF-8");
    }
    match here.first() {
        Some(b']' | b'}') => Some("a comma before a closing bracket is not allowed"),
        Some(b'/' | b'#') => Some("JSON has no comments"),
        Some(b'\'') => Some("JSON has double quotation marks only"),
        Some(b'"') if problem.contains("','") => Some("a comma is missing before this"),
        _ => None,
    }
}

fn print(findings: &[Finding], file: &Path, text: &Text, format: Format) -> Result<()> {
    let mut output = std::io::stdout().lock();
    if format == Format::Json {
        let findings: Vec<_> = findings.iter().map(Finding::json).collect();
        let document = json!({ "file": file.display().to_string(), "findings": findings });
        return writeln!(output, "{}", explain::shown_json(format!("{document:#}")))
            .context("write to standard output");
    }
    let style = Style::of_output();
    let name = file.display().to_string();
    let (of_host, of_bundle): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.scope == Scope::Host);
    let mut shown = String::new();
    for finding in &of_bundle {
        shown += &finding.show(&name, text, style);
        shown.push('\n');
    }
    if !of_host.is_empty() {
        shown += &style.bold("On this host, for this user:");
        shown += "\n\n";
        for finding in &of_host {
            shown += &finding.show(&name, text, style);
            shown.push('\n');
        }
    }
    shown += &summary(&of_bundle, &of_host);
    output.write_all(shown.as_bytes()).context("write to standard output")
}

fn summary(of_bundle: &[&Finding], of_host: &[&Finding]) -> String {
    let count =
        |severity: Severity, all: &[&Finding]| all.iter().filter(|finding| finding.severity == severity).count();
    let several = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    let mut text = format!(
        "{}, {}, {}",
        several(count(Severity::Error, of_bundle), "error"),
        several(count(Severity::Warning, of_bundle), "warning"),
        several(count(Severity::Note, of_bundle), "note"),
    );
    if !of_host.is_empty() {
        text += &format!("; {} of this host", several(of_host.len(), "finding"));
    }
    text + "\n"
}
