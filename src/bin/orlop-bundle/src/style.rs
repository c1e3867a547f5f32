//! Colours and lines as wide as the terminal; neither elsewhere.

use orlop::explain;
use std::io::IsTerminal as _;

/// The narrowest terminal that lines are broken for.
const NARROWEST: usize = 40;
/// The narrowest column that a text is broken for: else the terminal breaks it anywhere.
const LEAST: usize = 20;
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

    /// Without colours, as wide as is asked for.
    #[cfg(test)]
    pub(crate) fn of_columns(columns: usize) -> Style {
        Style { colours: false, columns: Some(columns) }
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

    /// The text behind `used` columns, broken at blanks and commas where the terminal's line ends; further lines begin with
    /// `indent`.
    pub(crate) fn wrap(self, text: &str, used: usize, indent: &str) -> String {
        let begin = indent.chars().count();
        let Some(columns) = self.columns.filter(|columns| begin + LEAST <= *columns) else { return text.to_owned() };
        let (mut shown, mut column) = (String::new(), used);
        let pieces = text.split(' ').enumerate().flat_map(|(n, word)| {
            // The blank belongs to the word behind it.
            word.split_inclusive(',').enumerate().map(move |(m, piece)| (n > 0 && m == 0, piece))
        });
        for (blank, piece) in pieces {
            let length = piece.chars().count();
            if column + usize::from(blank) + length > columns && column > begin {
                shown.push('\n');
                shown += indent;
                column = begin;
            } else if blank {
                shown.push(' ');
                column += 1;
            }
            shown += piece;
            column += length;
        }
        shown
    }

    /// The same behind `column` blanks, in all lines.
    pub(crate) fn wrap_at(self, text: &str, column: usize) -> String {
        self.wrap(text, column, &" ".repeat(column))
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    // Only colours that are readable on light and dark backgrounds: green, yellow, blue and cyan are not.

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn magenta(self, text: &str) -> String {
        self.paint("35", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_blanks_and_commas_and_go_on_below_their_column() {
        let style = Style::of_columns(40);
        let text = style.wrap_at("ro,nosuid,nodev,noexec,relatime,mode=755 and a tmpfs", 15);
        assert_eq!(text, "ro,nosuid,nodev,noexec,\n               relatime,mode=755 and a\n               tmpfs");
        assert!(format!("{:15}{text}", "/dev").lines().all(|line| line.chars().count() <= 40));
        // One word is not broken, and a column that is left too narrow is not used.
        assert_eq!(style.wrap_at(&"x".repeat(60), 15), "x".repeat(60));
        assert_eq!(style.wrap_at("a b, c", 30), "a b, c");
        assert_eq!(Style::plain().wrap_at(&"a ".repeat(99), 0), "a ".repeat(99));
    }

    /// The contrast of two colours by the rule of WCAG 2.1, from 1 to 21.
    fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
        let linear = |part: u8| match f64::from(part) / 255.0 {
            part if part <= 0.04045 => part / 12.92,
            part => ((part + 0.055) / 1.055).powf(2.4),
        };
        let light = |[r, g, b]: [u8; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05;
        let (one, other) = (light(one), light(other));
        if one > other { one / other } else { other / one }
    }

    #[test]
    fn colours_have_a_contrast_to_black_and_to_white_in_the_usual_palettes() {
        // Bold red is bright in most terminals; magenta is not bold. The palettes of xterm, the VGA console and Tango.
        let red = [[255, 0, 0], [255, 85, 85], [239, 41, 41]];
        let magenta = [[205, 0, 205], [170, 0, 170], [117, 80, 123]];
        for colour in red.into_iter().chain(magenta) {
            for background in [[0, 0, 0], [255, 255, 255]] {
                assert!(contrast(colour, background) >= 3.0, "{colour:?} on {background:?}");
            }
        }
        // The reason why there is no green, yellow and cyan: those of xterm on white.
        for colour in [[0, 205, 0], [205, 205, 0], [0, 205, 205]] {
            assert!(contrast(colour, [255, 255, 255]) < 3.0, "{colour:?}");
        }
    }
}
