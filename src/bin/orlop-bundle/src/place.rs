//! Places in a document: lines, columns, and the line as it is shown.

use orlop::explain;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Counted from 1.
    pub(crate) line: usize,
    /// Counted from 1, in characters.
    pub(crate) column: usize,
}

/// How many bytes there are between two marks.
const STEP: usize = 256;

/// A document with marks in it, so that a place costs no walk through all of it, nor through a line that is all of it.
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    /// The beginnings of its lines.
    lines: Vec<usize>,
    /// How many characters there are before each [`STEP`] of bytes.
    marks: Vec<usize>,
}

impl Text {
    pub(crate) fn new(bytes: Vec<u8>) -> Text {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let lines = [0].into_iter().chain(ends).collect();
        let mut marks = vec![0];
        for step in bytes.chunks(STEP) {
            marks.push(marks[marks.len() - 1] + characters(step));
        }
        Text { bytes, lines, marks }
    }

    /// How many characters there are before the byte at `offset`.
    fn count(&self, offset: usize) -> usize {
        let mark = offset / STEP;
        self.marks[mark] + characters(&self.bytes[mark * STEP..offset])
    }

    /// Where the character begins that has `count` before it.
    fn offset(&self, count: usize) -> usize {
        let mark = self.marks.partition_point(|before| *before <= count).saturating_sub(1);
        let begin = (mark * STEP).min(self.bytes.len());
        let mut left = count - self.marks[mark];
        let is_it = |byte: &u8| -> bool {
            let begins = byte & 0xc0 != 0x80;
            let found = begins && left == 0;
            left -= usize::from(begins && left > 0);
            found
        };
        begin + self.bytes[begin..].iter().position(is_it).unwrap_or(self.bytes.len() - begin)
    }

    /// The place of the byte at `offset`.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.bytes.len());
        let line = self.lines.partition_point(|begin| *begin <= offset);
        Place { line, column: self.count(offset) - self.count(self.lines[line - 1]) + 1 }
    }

    /// A line without its end.
    pub(crate) fn line(&self, place: Place) -> Option<&[u8]> {
        let begin = *self.lines.get(place.line.checked_sub(1)?)?;
        let end = self.lines.get(place.line).map_or(self.bytes.len(), |next| next - 1);
        self.bytes.get(begin..end)
    }

    /// Up to `width` characters of the line of a place, and a line with a caret below the column, both without the bytes that a terminal
    /// would act on.
    pub(crate) fn excerpt(&self, place: Place, width: usize) -> Option<(String, String)> {
        let line = self.line(place)?;
        let first = *self.lines.get(place.line - 1)?;
        let skipped = (place.column - 1).saturating_sub(width / 2);
        let begin = self.offset(self.count(first) + skipped).min(first + line.len());
        // A character has at most four bytes.
        let end = (begin + 4 * width).min(first + line.len());
        let is_plain =
            |letter: char| !letter.is_control() && explain::shown(letter.encode_utf8(&mut [0; 4])).len() <= 4;
        let printable = |letter: char| if is_plain(letter) { letter } else { ' ' };
        let shown: String =
            String::from_utf8_lossy(&self.bytes[begin..end]).chars().take(width).map(printable).collect();
        let column = (place.column - 1 - skipped).min(shown.chars().count());
        Some((shown.trim_end().to_owned(), format!("{}^", " ".repeat(column))))
    }
}

/// How many characters begin in these bytes: each has one byte that continues none.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_are_counted_from_one_in_characters() {
        let json = "{\n  \"é\": 1\n}";
        let text = Text::new(json.into());
        let at = |needle: &str| json.find(needle).unwrap();
        assert_eq!(text.place(0), Place { line: 1, column: 1 });
        assert_eq!(text.place(at("1")), Place { line: 2, column: 8 });
        assert_eq!(text.place(json.len()), Place { line: 3, column: 2 });
    }

    #[test]
    fn places_are_right_between_marks_too() {
        let json = format!("{}\n{}x{}\nend", "é".repeat(700), "aé".repeat(400), "b".repeat(600));
        let text = Text::new(json.clone().into());
        assert_eq!(text.place(json.find('x').unwrap()), Place { line: 2, column: 801 });
        let (line, caret) = text.excerpt(Place { line: 2, column: 801 }, 60).unwrap();
        assert_eq!(line.chars().nth(caret.chars().count() - 1), Some('x'));
        assert_eq!(text.place(json.find("end").unwrap()), Place { line: 3, column: 1 });
        assert_eq!(text.excerpt(Place { line: 3, column: 9 }, 60), Some(("end".into(), "   ^".into())));
    }

    #[test]
    fn a_long_line_is_shown_around_its_column() {
        let text = format!("{}x{}", "a".repeat(500), "b".repeat(500));
        let (line, caret) = Text::new(text.into()).excerpt(Place { line: 1, column: 501 }, 100).unwrap();
        assert_eq!(line.chars().count(), 100);
        assert_eq!(line.chars().nth(caret.len() - 1), Some('x'));
        assert!(
            Text::new(b"\x1b[2J\xe2\x80\xae".into()).excerpt(Place { line: 1, column: 1 }, 100).unwrap().0 == " [2J"
        );
    }
}
