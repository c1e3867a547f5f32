//! Colours and lines as wide as the terminal; neither elsewhere.

use orlop::explain;
use std::io::IsTerminal as _;

/// The narrowest terminal that lines are broken for.
const NARROWEST: usize = 40;
/// The widest part of a document that is shown where nothing says how wide lines may be.
const EXCERPT: usize = 100;

/// How standard output is written to.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    /// A terminal, without `NO_COLOR` (no-color.org) and not `TERM=dumb`.
    colours: bool,
    /// The columns of a terminal.
    columns: Option<usize>,
}

impl Style {
    /// For standard output.
    pub(crate) fn of_output() -> Style {
        let output = std::io::stdout();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let columns = explain::columns(&output).map(|columns| columns.max(NARROWEST));
        Style { colours: wanted && !dumb && output.is_terminal(), columns }
    }

    /// Without colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Style {
        Style { colours: false, columns: None }
    }

    /// How much of a line of a document is shown behind `used` columns.
    pub(crate) fn excerpt(self, used: usize) -> usize {
        self.columns.map_or(EXCERPT, |columns| columns - used)
    }

    /// The text behind `used` columns, broken between words where the terminal's line ends; further lines begin with `indent`.
    pub(crate) fn wrap(self, text: &str, used: usize, indent: &str) -> String {
        let Some(columns) = self.columns else { return text.to_owned() };
        let (mut shown, mut column) = (String::new(), used);
        for (n, word) in text.split(' ').enumerate() {
            let length = word.chars().count();
            if n > 0 && column + 1 + length > columns {
                shown.push('\n');
                shown += indent;
                column = indent.chars().count();
            } else if n > 0 {
                shown.push(' ');
                column += 1;
            }
            shown += word;
            column += length;
        }
        shown
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    // Only the terminal's own colours, and those that are readable on light and dark backgrounds: yellow and blue are not.

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn magenta(self, text: &str) -> String {
        self.paint("1;35", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint("1;36", text)
    }
}
