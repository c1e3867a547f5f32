//! What the probe wrote.

use anyhow::{Context, Result, anyhow, bail, ensure};
use procfs::process::MountInfo;
use serde_json::Value;

/// The answers of a probe, in order, and how it ended.
pub(crate) struct Seen {
    pub(crate) answers: Vec<Value>,
    /// Exit status, 128 + n after signal n; `None` when nobody could tell.
    pub(crate) status: Option<i32>,
    /// Everything on standard output.
    pub(crate) text: String,
}

impl Seen {
    pub(crate) fn parse(text: String, status: Option<i32>) -> Self {
        let answers = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Seen { answers, status, text }
    }

    fn find(&self, action: &str) -> Result<&Value> {
        self.answers.iter().find(|answer| answer["do"] == action).ok_or_else(|| {
            let text: String = self.text.chars().take(300).collect();
            anyhow!("the program inside did not answer {action:?}; its status is {:?}, it wrote {text:?}", self.status)
        })
    }

    /// The value that an action gave, or its errno.
    pub(crate) fn answer(&self, action: &str) -> Result<std::result::Result<&Value, i32>> {
        let answer = self.find(action)?;
        Ok(match answer.get("errno").and_then(Value::as_i64) {
            Some(errno) => Err(i32::try_from(errno)?),
            None => Ok(&answer["value"]),
        })
    }

    /// The value of an action that must have worked.
    pub(crate) fn value(&self, action: &str) -> Result<&Value> {
        match self.answer(action)? {
            Ok(value) => Ok(value),
            Err(errno) => bail!("{action:?} failed inside: {}", std::io::Error::from_raw_os_error(errno)),
        }
    }

    pub(crate) fn text_of(&self, action: &str) -> Result<String> {
        let value = self.value(action)?;
        Ok(value.as_str().with_context(|| format!("{action:?} gave {value}"))?.trim_end().to_owned())
    }

    /// The action must have failed with one of these errors.
    pub(crate) fn fails(&self, action: &str, errnos: &[i32]) -> Result<()> {
        match self.answer(action)? {
            Ok(_) => bail!("{action:?} worked inside, but must not"),
            Err(errno) => ensure!(
                errnos.is_empty() || errnos.contains(&errno),
                "{action:?} failed with {}, expected {errnos:?}",
                std::io::Error::from_raw_os_error(errno)
            ),
        }
        Ok(())
    }

    /// Part of the report, e.g. `/uid/0`.
    pub(crate) fn report(&self, pointer: &str) -> Result<&Value> {
        let report = self.value("report")?;
        report.pointer(pointer).with_context(|| format!("the report has no {pointer}"))
    }

    pub(crate) fn report_text(&self, pointer: &str) -> Result<&str> {
        let value = self.report(pointer)?;
        value.as_str().with_context(|| format!("{pointer} in the report is {value}"))
    }

    /// The mounts seen from inside.
    pub(crate) fn mounts(&self) -> Result<Vec<MountInfo>> {
        let lines = self.report_text("/mountinfo")?.lines();
        lines.map(|line| MountInfo::from_line(line).with_context(|| format!("mountinfo: {line}"))).collect()
    }

    /// The mount that is visible at `point`.
    pub(crate) fn mount(&self, point: &str) -> Result<MountInfo> {
        let all = self.mounts()?;
        super::mounts::at(&all, point).cloned().with_context(|| format!("nothing is mounted at {point}"))
    }
}
