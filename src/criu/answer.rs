//! CRIU's responses and notifications, and the errors in its log.

use super::message::{Field, fields, number};
use crate::error::{IoContext, Result};
use crate::sys::process::Pid;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::Path;

/// The type of a request (`enum criu_req_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Dump = 1,
    Restore = 2,
    PreDump = 4,
    FeatureCheck = 9,
}

/// `NOTIFY` of `enum criu_req_type`.
pub(super) const NOTIFY: u64 = 6;

impl Task {
    pub(super) fn word(self) -> &'static str {
        match self {
            Task::Dump => "DUMP",
            Task::Restore => "RESTORE",
            Task::PreDump => "PRE_DUMP",
            Task::FeatureCheck => "FEATURE_CHECK",
        }
    }
}

/// Kernel features that some of CRIU's options need (`criu_features`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// The kernel tracks changed pages (soft-dirty).
    pub memory_tracking: bool,
    /// Pages can be restored on demand (userfaultfd).
    pub lazy_pages: bool,
}

/// A notification from CRIU (`criu_notify`). CRIU waits for the reply.
#[derive(Debug)]
pub(crate) struct CriuNotification {
    /// The name of the step, such as `setup-namespaces`.
    pub name: String,
    /// The root process of the process tree, if it exists.
    pub pid: Option<Pid>,
    /// The master side of a terminal, in `orphan-pts-master`.
    pub master: Option<OwnedFd>,
}

/// How many errors of CRIU's log an error quotes.
pub(super) const MOST: usize = 3;

/// CRIU's response (`criu_resp`).
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) success: bool,
    pub(super) restored: Option<Pid>,
    pub(super) errno: i32,
    pub(super) text: String,
    pub(super) features: Features,
}

impl Answer {
    /// Decodes a packet from CRIU, which is its response or a notification.
    pub(super) fn parse(bytes: &[u8], master: Option<OwnedFd>) -> Result<(Answer, Option<CriuNotification>)> {
        let (mut answer, mut step, mut kind) =
            (Answer::default(), CriuNotification { name: String::new(), pid: None, master }, 0);
        for field in fields(bytes)? {
            match field {
                (1, Field::Number(n)) => kind = n,
                (2, Field::Number(n)) => answer.success = n != 0,
                (4, Field::Bytes(restored)) => answer.restored = number(restored, 1)?.map(|pid| pid as Pid),
                (5, Field::Bytes(notice)) => {
                    step.pid = number(notice, 2)?.map(|pid| pid as Pid);
                    for field in fields(notice)? {
                        if let (1, Field::Bytes(name)) = field {
                            step.name = String::from_utf8_lossy(name).into_owned();
                        }
                    }
                }
                (7, Field::Number(n)) => answer.errno = n as i32,
                (8, Field::Bytes(features)) => {
                    answer.features.memory_tracking = number(features, 1)? == Some(1);
                    answer.features.lazy_pages = number(features, 2)? == Some(1);
                }
                (9, Field::Bytes(text)) => answer.text = String::from_utf8_lossy(text).trim().to_owned(),
                _ => {}
            }
        }
        Ok((answer, (kind == NOTIFY).then_some(step)))
    }
}

/// The first errors in CRIU's log, without time and source line. The first one is usually the
/// cause, and later ones are its consequences.
pub(super) fn complaints(log: &Path) -> Vec<String> {
    let Ok(file) = std::fs::File::open(log).io_context(|| format!("open({log:?})")) else { return Vec::new() };
    let lines = BufReader::new(file).split(b'\n').map_while(std::io::Result::ok);
    let texts = lines.filter_map(|line| complaint(&String::from_utf8_lossy(&line)).map(str::to_owned));
    texts.take(MOST).collect()
}

/// The text of an error line. `None` for other lines and for errors without consequence, such as a
/// limit of open files that CRIU cannot raise.
pub(super) fn complaint(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("Error (")?;
    let (_, text) = rest.split_once("): ")?;
    let told = text.starts_with("rlimit: ") || text.trim().ends_with(" FAILED.");
    (!told).then(|| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::criu::message::CriuMessage;

    #[test]
    fn steps_and_answers_are_told_apart() {
        let mut notice = CriuMessage::default();
        notice.bytes(1, "setup-namespaces");
        notice.number(2, 4711);
        let mut message = CriuMessage::default();
        message.number(1, NOTIFY);
        message.flag(2, true);
        message.message(5, &notice);
        let step = Answer::parse(&message.0, None).unwrap().1.unwrap();
        assert_eq!((step.name.as_str(), step.pid), ("setup-namespaces", Some(4711)));

        let mut restored = CriuMessage::default();
        restored.number(1, 12);
        let mut message = CriuMessage::default();
        message.number(1, Task::Restore as u64);
        message.flag(2, true);
        message.message(4, &restored);
        let (answer, step) = Answer::parse(&message.0, None).unwrap();
        assert!(step.is_none());
        assert_eq!((answer.success, answer.restored, answer.errno), (true, Some(12), 0));
    }

    #[test]
    fn the_log_says_why() {
        let line = "(00.161399) Error (criu/files-reg.c:1790): Can't lookup mount=27 for fd=1 path=/tmp/out";
        assert_eq!(complaint(line), Some("Can't lookup mount=27 for fd=1 path=/tmp/out"));
        assert_eq!(complaint("(00.1) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self"), None);
        assert_eq!(complaint("(00.1) Error (criu/cr-dump.c:2111): Dumping FAILED."), None);
        assert_eq!(complaint("(00.1) Warn  (criu/cr-dump.c:1): x"), None);
    }
}
