//! Formatting a record as a line.

use super::{Form, Level, LogRecord};
use crate::{calendar, text};
use std::fmt::Write;

/// The line for `record` with the current time and a line break.
pub(super) fn formed(form: Form, record: &LogRecord) -> String {
    let time = calendar::utc(calendar::now()) + "Z";
    let level = record.level.word();
    match form {
        Form::Text => format!("time=\"{time}\" level={level} msg={}\n", quoted(&record.text)),
        Form::Json => {
            format!("{{\"level\":\"{level}\",\"msg\":{},\"time\":\"{time}\"}}\n", text::json(&record.text))
        }
    }
}

/// The line for `record` on a terminal, which begins with the program's name; the text of an error
/// may begin with it already.
pub(super) fn for_people(name: &str, record: &LogRecord) -> String {
    let text = text::shown(&record.text);
    let line = match record.level {
        Level::Error if text.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')) => text.into_owned(),
        Level::Error => format!("{name}: {text}"),
        level => format!("{name}: {}: {text}", level.word()),
    };
    line + "\n"
}

/// The text as a logfmt value: quoted and escaped unless it has only characters that need no
/// quotes.
fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/@^+".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len() + 8);
    line.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_control() => _ = write!(line, "\\x{:02x}", u32::from(c)),
            c if text::misleads(c) => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
    }
    line.push('"');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> LogRecord {
        LogRecord { level: Level::Error, text: text.into() }
    }

    #[test]
    fn a_json_line_has_the_keys_that_engines_read() {
        let line = formed(Form::Json, &error("exec: \"nosuch\": not\tfound"));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "error");
        assert_eq!(value["msg"], "exec: \"nosuch\": not\tfound");
        assert_eq!(value["time"].as_str().unwrap().len(), 20);
        assert!(line.starts_with("{\"level\":\"error\",\"msg\":\"exec"));
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn a_text_line_quotes_what_could_be_taken_for_more() {
        let line = formed(Form::Text, &error("say \"x\" level=debug\\"));
        assert!(line.ends_with(" level=error msg=\"say \\\"x\\\" level=debug\\\\\"\n"), "{line}");
        assert!(formed(Form::Text, &error("EOF")).ends_with(" msg=EOF\n"));
        assert!(formed(Form::Text, &error("a\nb\u{1b}")).ends_with(" msg=\"a\\nb\\x1b\"\n"));
    }

    #[test]
    fn no_form_of_a_line_lets_a_text_mislead_its_reader() {
        let text = "a\nx: b\x1b]0;title\x07\u{9b}2J\u{202e}\u{2028}é";
        for level in [Level::Error, Level::Warning, Level::Debug] {
            let record = LogRecord { level, text: text.into() };
            let lines = [formed(Form::Text, &record), formed(Form::Json, &record), for_people("orlop", &record)];
            for line in lines {
                let clean = line.strip_suffix('\n').unwrap();
                assert!(clean.chars().all(|c| c == 'é' || c == ' ' || c.is_ascii_graphic()), "{line:?}");
            }
        }
        let json: serde_json::Value = serde_json::from_str(&formed(Form::Json, &error(text))).unwrap();
        assert_eq!(json["msg"], text);
    }

    #[test]
    fn a_person_is_told_who_speaks() {
        assert_eq!(for_people("orlop", &error("orlop run failed: no")), "orlop run failed: no\n");
        assert_eq!(for_people("orlop", &error("orlops: no")), "orlop: orlops: no\n");
        assert_eq!(for_people("orlop", &error("no")), "orlop: no\n");
        let warning = LogRecord { level: Level::Warning, text: "hm".into() };
        assert_eq!(for_people("runc", &warning), "runc: warning: hm\n");
    }
}
