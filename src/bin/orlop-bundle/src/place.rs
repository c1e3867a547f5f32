//! Places in a document: lines, columns, and the line as it is shown.

/// The widest part of a line that is shown.
const WIDTH: usize = 100;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) line: usize,
    /// Counted from 1, in characters.
    pub(crate) column: usize,
}

/// The place of the byte at `offset`.
pub(crate) fn of_offset(text: &[u8], offset: usize) -> Place {
    let before = &text[..offset.min(text.len())];
    let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    Place { line, column: String::from_utf8_lossy(&before[begin..]).chars().count() + 1 }
}

/// The line of a place and a line with a caret below the column, both without control characters.
pub(crate) fn excerpt(text: &[u8], place: Place) -> Option<(String, String)> {
    let line = text.split(|byte| *byte == b'\n').nth(place.line - 1)?;
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    let letters: Vec<char> = String::from_utf8_lossy(line).chars().map(printable).collect();
    let column = (place.column - 1).min(letters.len());
    let begin = column.saturating_sub(WIDTH / 2).min(letters.len().saturating_sub(WIDTH));
    let end = (begin + WIDTH).min(letters.len());
    let shown: String = letters[begin..end].iter().collect();
    Some((shown.trim_end().to_owned(), format!("{}^", " ".repeat(column - begin))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_from_one_in_characters() {
        let text = "{\n  \"é\": 1\n}".as_bytes();
        let at = |needle: &str| String::from_utf8_lossy(text).find(needle).unwrap();
        assert_eq!(of_offset(text, 0), Place { line: 1, column: 1 });
        assert_eq!(of_offset(text, at("1")), Place { line: 2, column: 8 });
        assert_eq!(of_offset(text, text.len()), Place { line: 3, column: 2 });
    }

    #[test]
    fn a_long_line_is_shown_around_its_column() {
        let text = format!("{}x{}", "a".repeat(500), "b".repeat(500));
        let (line, caret) = excerpt(text.as_bytes(), Place { line: 1, column: 501 }).unwrap();
        assert_eq!(line.chars().count(), WIDTH);
        assert_eq!(line.chars().nth(caret.len() - 1), Some('x'));
        assert!(excerpt(b"\x1b[2J", Place { line: 1, column: 1 }).unwrap().0.starts_with(" [2J"));
    }
}
