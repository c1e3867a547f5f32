//! Colours on a terminal, and nothing elsewhere.

use std::io::IsTerminal;

/// Whether standard output takes escape sequences: a terminal, without `NO_COLOR` (no-color.org) and not `TERM=dumb`.
#[derive(Clone, Copy)]
pub(crate) struct Style(bool);

impl Style {
    /// For standard output.
    pub(crate) fn of_output() -> Style {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Style(wanted && !dumb && std::io::stdout().is_terminal())
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Style {
        Style(false)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    // Only the terminal's own colours and weights: they are readable on light and dark backgrounds.

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    pub(crate) fn blue(self, text: &str) -> String {
        self.paint("1;34", text)
    }
}
