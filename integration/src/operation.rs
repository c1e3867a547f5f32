//! The tests as they stand in `engines/operations/*.sh`.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// One test: a sentence, what must be printed, and the script.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The sentence after `###`.
    pub name: String,
    /// Texts that must be in the output with every runtime, from `#=`.
    pub expected: Vec<String>,
    /// Only `expected` is compared and not everything printed, from `#~ loose`.
    pub loose: bool,
    /// Runtimes to leave out, each with its reason, from `#~ not RUNTIME: REASON`.
    pub without: Vec<(String, String)>,
    /// The longest time that it may take, in seconds, from `#~ seconds N`.
    pub seconds: u32,
    /// The lines of the script.
    pub script: String,
}

/// Reads all operations of a file.
///
/// # Errors
/// The file cannot be read, or a line with `#~` is none of those above.
pub fn read(path: &Path) -> Result<Vec<Operation>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Operation>> {
    let mut all: Vec<Operation> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            all.push(Operation {
                name: name.to_string(),
                expected: Vec::new(),
                loose: false,
                without: Vec::new(),
                seconds: 60,
                script: String::new(),
            });
            continue;
        }
        let Some(operation) = all.last_mut() else {
            continue;
        };
        if let Some(text) = line.strip_prefix("#= ") {
            operation.expected.push(text.to_string());
        } else if let Some(word) = line.strip_prefix("#~ ") {
            mark(operation, word)?;
        } else {
            operation.script.push_str(line);
            operation.script.push('\n');
        }
    }
    Ok(all)
}

fn mark(operation: &mut Operation, word: &str) -> Result<()> {
    if word == "loose" {
        operation.loose = true;
    } else if let Some((runtime, reason)) = word.strip_prefix("not ").and_then(|w| w.split_once(": ")) {
        operation.without.push((runtime.into(), reason.into()));
    } else if let Some(seconds) = word.strip_prefix("seconds ") {
        operation.seconds = seconds.parse()?;
    } else {
        bail!("{}: what is \"#~ {word}\"?", operation.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_has_a_name_texts_and_a_script() {
        let all = parse("# head\n### it runs\n#= yes\n#~ loose\n#~ not crun: why\necho yes\n\n### b\n").unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].name, "it runs");
        assert_eq!(all[0].expected, ["yes"]);
        assert!(all[0].loose);
        assert_eq!(all[0].without, [("crun".to_string(), "why".to_string())]);
        assert_eq!(all[0].script, "echo yes\n\n");
    }

    #[test]
    fn an_unknown_mark_is_refused() {
        assert!(parse("### a\n#~ sometimes\n").is_err());
    }
}
