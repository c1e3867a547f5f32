//! Text that others wrote, as it may be shown: in one line, without a character that deceives a reader, and not endless.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a terminal, or somebody who reads the text on one, could be misled by a character: control characters (escape
/// sequences, line breaks), line separators, those that change the direction of text (CVE-2021-42574), and invisible ones.
pub(crate) fn misleads(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// Whether all bytes are from `lowest`, at most 0x80, to `~`: then no character misleads. Eight bytes at a time, since every `state`
/// is looked at.
fn is_plain(text: &str, lowest: u8) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    // The highest bit of a byte is set where it is too low or too high; it may be in bytes behind such a one too.
    let unlike = |word: u64| word | word.wrapping_add(ONES) | (word.wrapping_sub(ONES * u64::from(lowest)) & !word);
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    words.iter().all(|word| unlike(u64::from_le_bytes(*word)) & (ONES * 0x80) == 0)
        && rest.iter().all(|byte| (lowest..0x7f).contains(byte))
}

/// The text in one line: characters that mislead are escaped, as `\n` and `\u{1b}`.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if is_plain(text, b' ') || !text.contains(misleads) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match misleads(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    Cow::Owned(line)
}

/// A JSON document with the same strings, in which characters that mislead are escaped as JSON does it. Those below a space
/// are escaped in every document.
pub(crate) fn shown_json(json: String) -> String {
    if is_plain(&json, 0) || !json.contains(|c| c > '\x1f' && misleads(c)) {
        return json;
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if c > '\x1f' && misleads(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// The text, or its beginning and end where it has more than `most` bytes, at least 100.
pub(crate) fn excerpt(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let kept = most.saturating_sub(40);
    let boundary = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (head, tail) = (boundary(kept / 4 * 3), boundary(text.len() - kept / 4));
    Cow::Owned(format!("{} ... ({} bytes left out) ... {}", &text[..head], tail - head, &text[tail..]))
}

/// Names with a space between: the first twenty, and how many there are beside them.
pub(crate) fn list<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 20;
    let shown: Vec<Cow<'_, str>> = names.iter().take(MOST).map(|name| excerpt(name.as_ref(), 100)).collect();
    match names.len().saturating_sub(MOST) {
        0 => shown.join(" "),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}

/// For each key the place of the first that is equal to it. A config may hold a hundred thousand of them, so they are sorted.
pub(crate) fn first_of_equal<T: Ord>(keys: &[T]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_unstable_by(|&one, &other| keys[one].cmp(&keys[other]).then(one.cmp(&other)));
    let mut first: Vec<usize> = (0..keys.len()).collect();
    for pair in order.windows(2) {
        if keys[pair[0]] == keys[pair[1]] {
            first[pair[1]] = first[pair[0]];
        }
    }
    first
}

/// The entries without those that are equal to an earlier one.
pub(crate) fn without_doubles<T: Ord>(list: Vec<T>) -> Vec<T> {
    let first = first_of_equal(&list);
    list.into_iter().enumerate().filter(|(n, _)| first[*n] == *n).map(|(_, entry)| entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAD: &str = "a\x1b[1m\r\n\u{85}\u{9b}2J\u{202e}\u{2066}\u{200f}\u{2028}\u{feff}\u{e0041}z";

    #[test]
    fn no_text_leaves_its_line_or_turns_its_direction() {
        for c in shown(BAD).chars().chain(shown_json(serde_json::json!(BAD).to_string()).chars()) {
            assert!(c.is_ascii_graphic() || c == ' ', "{c:?}");
        }
        assert_eq!(shown("\n\x1b\u{202e}"), "\\n\\u{1b}\\u{202e}");
        assert_eq!(shown("größe \u{1f600}"), "größe \u{1f600}");
    }

    #[test]
    fn every_byte_is_looked_at() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=0x7f {
                    let mut bytes = vec![b'x'; length];
                    bytes[at] = byte;
                    let text = String::from_utf8(bytes).unwrap();
                    assert_eq!(is_plain(&text, b' '), (0x20..0x7f).contains(&byte), "{text:?}");
                    assert_eq!(is_plain(&text, 0), byte != 0x7f, "{text:?}");
                }
                assert!(!is_plain(&format!("{}é", "x".repeat(at)), 0));
            }
        }
    }

    #[test]
    fn escaped_json_says_the_same() {
        let value = serde_json::json!({ "é": BAD });
        let text = shown_json(value.to_string());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert!(text.starts_with("{\"é\""));
    }

    #[test]
    fn long_texts_keep_their_beginning_and_end() {
        let text = format!("begin{}end", "é".repeat(5000));
        let excerpt = excerpt(&text, 200);
        assert!(excerpt.len() <= 203 && excerpt.starts_with("begin") && excerpt.ends_with("end"), "{excerpt}");
        assert_eq!(list(&["a"; 22]), format!("{} and 2 more", ["a"; 20].join(" ")));
    }

    #[test]
    fn of_equal_entries_the_first_is_found() {
        assert_eq!(first_of_equal(&["b", "a", "b", "c", "a", "b"]), [0, 1, 0, 3, 1, 0]);
        assert_eq!(without_doubles(vec![3, 1, 3, 2, 1]), [3, 1, 2]);
    }
}
