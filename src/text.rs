//! Making untrusted text safe to print: on one line, without deceptive characters, and of limited
//! length.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character could mislead a terminal or its reader: control characters (escape
/// sequences, line breaks), line separators, bidirectional controls (CVE-2021-42574) and invisible
/// characters.
pub(crate) fn misleads(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// Whether all bytes are in the range from `lowest` (at most 0x80) to `~`, so that no character
/// misleads. It checks eight bytes at a time, since `state` checks its whole output.
fn is_plain(text: &str, lowest: u8) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    // Sets the highest bit of each byte out of range. Carries and borrows may set it in bytes after
    // such a one, too.
    let unlike = |word: u64| word | word.wrapping_add(ONES) | (word.wrapping_sub(ONES * u64::from(lowest)) & !word);
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    words.iter().all(|word| unlike(u64::from_le_bytes(*word)) & (ONES * 0x80) == 0)
        && rest.iter().all(|byte| (lowest..0x7f).contains(byte))
}

/// The text on one line: misleading characters are escaped, for example as `\n` or `\u{1b}`.
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

/// The same JSON document with misleading characters in its strings escaped as `\uXXXX`. JSON
/// writers always escape control characters below the space themselves.
pub(crate) fn shown_json(json: String) -> String {
    if is_plain(&json, 0) || !json.contains(|c| c > '\x1f' && misleads(c)) {
        return json;
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if c > '\x1f' && misleads(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text
}

/// The text as a JSON string, with misleading characters escaped.
pub(crate) fn json(text: &str) -> String {
    shown_json(serde_json::to_string(text).unwrap_or_default())
}

/// The text, or its beginning and end if it has more than `most` bytes; `most` must be at least
/// 100.
pub(crate) fn excerpt(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let kept = most.saturating_sub(40);
    let boundary = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (head, tail) = (boundary(kept / 4 * 3), boundary(text.len() - kept / 4));
    Cow::Owned(format!("{} ... ({} bytes left out) ... {}", &text[..head], tail - head, &text[tail..]))
}

/// Joins names with spaces: the first twenty, and the number of the others.
pub(crate) fn list<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 20;
    let shown: Vec<Cow<'_, str>> = names.iter().take(MOST).map(|name| excerpt(name.as_ref(), 100)).collect();
    match names.len().saturating_sub(MOST) {
        0 => shown.join(" "),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}

/// For each key, the index of the first equal key. It sorts, since a config may have a hundred
/// thousand keys.
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

/// Removes the entries that are equal to an earlier one.
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
