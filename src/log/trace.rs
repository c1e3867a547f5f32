//! The trace: the steps of every process with their times, for performance analysis.
//!
//! As text it has a line for each step and record. As JSON it is the "JSON Array Format" of
//! Chrome's "Trace Event Format", which Perfetto and Chrome's trace viewer read: a row for each
//! process, a bar for each step. Each event is appended to the file by one write as it happens, so
//! that a child can write beside the runtime, and the events of a killed process are not lost.

use super::LogRecord;
use crate::calendar::now;
use crate::error::{Ignore as _, IoContext, Result};
use crate::text;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// The end of a complete trace.
const END: &str = "\n]\n";

/// An open trace file.
#[derive(Debug)]
pub(crate) struct Trace {
    file: File,
    json: bool,
    /// The pid of the command. The viewer shows its child processes as threads, each with the pid
    /// that it sees itself.
    command: u32,
    /// The last process that has named its row, 0 for none.
    named: u32,
    /// Whether a step of this process has not ended yet.
    open: bool,
}

impl Trace {
    /// Opens a file for appending, which continues an earlier trace; a missing one is created with
    /// mode 0644. The format is JSON if the name ends in `.json`.
    ///
    /// # Errors
    /// The file cannot be opened or continued.
    pub(crate) fn open(path: &Path) -> Result<Trace> {
        let json = path.extension().is_some_and(|extension| extension == "json");
        let mut options = OpenOptions::new();
        let file = options.read(json).append(true).create(true).mode(0o644).custom_flags(libc::O_NONBLOCK).open(path);
        let mut file = file.io_context(|| format!("open {}", path.display()))?;
        if json {
            go_on(&mut file).io_context(|| format!("continue the trace {}", path.display()))?;
        }
        Ok(Trace { file, json, command: std::process::id(), named: 0, open: false })
    }

    /// Ends the previous step of this process and begins the step `name`.
    pub(super) fn step(&mut self, name: &str) {
        let now = now();
        if !self.json {
            return self.write(&line(now, "step", name));
        }
        let mut text = self.introduction(now);
        if std::mem::replace(&mut self.open, true) {
            text += &self.event(now, 'E', None);
        }
        text += &self.event(now, 'B', Some(name));
        self.write(&text);
    }

    /// Adds a log record.
    pub(super) fn record(&mut self, record: &LogRecord) {
        let now = now();
        if !self.json {
            return self.write(&line(now, record.level.word(), &record.text));
        }
        let mut text = self.introduction(now);
        text += &self.event(now, 'i', Some(&format!("{}: {}", record.level.word(), record.text)));
        self.write(&text);
    }

    /// Ends the last step and the trace; the process gets the command line as its name.
    pub(super) fn close(mut self) {
        if !self.json {
            return;
        }
        let now = now();
        let mut text = self.introduction(now);
        if self.open {
            text += &self.event(now, 'E', None);
        }
        let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        let words = text::json(&format!("orlop {}", words.join(" ")));
        let id = self.command;
        text += &format!("{{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":{id},\"args\":{{\"name\":{words}}}}}{END}");
        self.write(&text);
    }

    /// The event that names this process's row, before its first event. After a fork `named` and
    /// `open` are copies of the parent's and are reset.
    fn introduction(&mut self, now: Duration) -> String {
        let id = std::process::id();
        if self.named == id {
            return String::new();
        }
        (self.named, self.open) = (id, false);
        let name = if id == self.command { "the runtime".into() } else { format!("the container's process {id}") };
        let args = format!("\"args\":{{\"name\":\"{name}\"}}");
        format!(
            "{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":{},\"tid\":{id},\"ts\":{},{args}}},\n",
            self.command,
            microseconds(now)
        )
    }

    fn event(&self, now: Duration, phase: char, name: Option<&str>) -> String {
        let name = name.map(|name| format!("\"name\":{},", text::json(name))).unwrap_or_default();
        // The scope "thread" draws the mark on this process's row only.
        let scope = if phase == 'i' { ",\"s\":\"t\"" } else { "" };
        let (command, id) = (self.command, std::process::id());
        format!("{{{name}\"ph\":\"{phase}\",\"pid\":{command},\"tid\":{id},\"ts\":{}{scope}}},\n", microseconds(now))
    }

    /// Appends to the file. An error is ignored: it must not fail a container.
    fn write(&mut self, text: &str) {
        self.file.write_all(text.as_bytes()).ignore("a trace must not fail a container");
    }
}

/// Removes the end of a complete trace, or begins a new one.
fn go_on(file: &mut File) -> std::io::Result<()> {
    let length = file.metadata()?.len();
    if length == 0 {
        return file.write_all(b"[\n");
    }
    let mut end = Vec::new();
    let kept = length.saturating_sub(END.len() as u64);
    file.seek(SeekFrom::Start(kept))?;
    file.read_to_end(&mut end)?;
    if end == END.as_bytes() {
        file.set_len(kept)?;
        return file.write_all(b",\n");
    }
    Ok(())
}

fn microseconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_micros(), time.subsec_nanos() % 1000)
}

/// A line of the text format: microseconds since 1970, the pid, `step` or a level, and the text.
fn line(now: Duration, word: &str, text: &str) -> String {
    format!("{} {} {word} {}\n", microseconds(now), std::process::id(), text::shown(&text.replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn at(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("orlop-trace-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn taken(path: &Path) -> String {
        let text = std::fs::read_to_string(path).unwrap();
        std::fs::remove_file(path).unwrap();
        text
    }

    #[test]
    fn a_trace_of_two_commands_is_one_array_with_every_step_closed() {
        let path = at("two.json");
        for command in ["a", "b"] {
            let mut trace = Trace::open(&path).unwrap();
            trace.step(command);
            trace.record(&LogRecord { level: Level::Warning, text: "say \"x\"\n".into() });
            trace.step("last");
            trace.close();
        }
        let events: Vec<serde_json::Value> = serde_json::from_str(&taken(&path)).unwrap();
        let phases: Vec<&str> = events.iter().map(|event| event["ph"].as_str().unwrap()).collect();
        assert_eq!(phases, ["M", "B", "i", "E", "B", "E", "M", "M", "B", "i", "E", "B", "E", "M"]);
        assert_eq!(events[2]["name"], "warning: say \"x\"\n");
        assert!(events[1]["ts"].as_f64().unwrap() <= events[5]["ts"].as_f64().unwrap());
    }

    #[test]
    fn a_trace_as_text_has_a_line_for_each_step() {
        let path = at("text");
        let mut trace = Trace::open(&path).unwrap();
        trace.step("a step");
        trace.record(&LogRecord { level: Level::Error, text: "no\nway".into() });
        trace.close();
        let text = taken(&path);
        let rest: Vec<&str> = text.lines().filter_map(|line| line.splitn(3, ' ').nth(2)).collect();
        assert_eq!(rest, ["step a step", "error no way"]);
    }
}
