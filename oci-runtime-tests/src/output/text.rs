//! For people.

use super::Format;
use crate::runner::{Outcome, Verdict};
use std::io::{IsTerminal, Write};

/// A moving line on a terminal, a line for each case elsewhere; silent for other formats.
pub(crate) struct Progress {
    enabled: bool,
    terminal: bool,
}

impl Progress {
    pub(crate) fn new(format: Format) -> Self {
        Progress { enabled: format == Format::Text, terminal: std::io::stderr().is_terminal() }
    }

    pub(crate) fn show(&self, outcome: &Outcome, done: usize, all: usize) {
        if self.terminal {
            // Without wrapping, a long name leaves nothing behind on a narrow terminal.
            eprint!("\r\x1b[K\x1b[?7l[{done}/{all}] {}\x1b[?7h", outcome.case.id());
            // Only decoration.
            let _ = std::io::stderr().flush();
        } else if self.enabled {
            let word = match outcome.verdict {
                Verdict::Passed => "ok  ",
                Verdict::Failed(_) => "FAIL",
                Verdict::Skipped(_) => "skip",
            };
            // Whoever read this may have gone; the run goes on and clears up.
            let _ = writeln!(std::io::stdout(), "{word} {} ({} ms)", outcome.case.id(), outcome.time.as_millis());
        }
    }

    pub(crate) fn end(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }
}

/// Skips and failures with their reasons.
pub(super) fn body(outcomes: &[Outcome]) -> String {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let paint = |colour: &str, word: &str| {
        if colours { format!("\x1b[{colour}m{word}\x1b[0m") } else { word.to_owned() }
    };
    let mut body = String::from("\n");
    for outcome in outcomes {
        let Verdict::Skipped(reason) = &outcome.verdict else {
            continue;
        };
        body += &format!("{} {}: {reason}\n", paint("33", "skipped"), outcome.case.id());
    }
    for outcome in outcomes {
        let Verdict::Failed(reason) = &outcome.verdict else {
            continue;
        };
        let clauses = outcome.case.clauses.join(", ");
        body += &format!("{} {}\n    by {clauses}\n    {reason}\n", paint("31", "failed"), outcome.case.id());
    }
    body
}
