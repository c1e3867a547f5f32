//! Words in tables.
//!
//! An array of `&str` holds addresses, and whatever address the program's data holds is written there each time it starts: it costs
//! every command, and every container's init image, a page of memory for 256 words. An array of [`Word`] stays in the file.

use std::fmt;
use std::ops::Deref;

/// A string of at most `N` bytes (255) that lies where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Word<const N: usize> {
    length: u8,
    bytes: [u8; N],
}

impl<const N: usize> Word<N> {
    /// `text` as a word.
    ///
    /// # Panics
    /// It is too long: when compiled, as tables are.
    pub const fn new(text: &str) -> Word<N> {
        assert!(text.len() <= N && N <= u8::MAX as usize, "a word is longer than its place");
        let mut word = Word { length: text.len() as u8, bytes: [0; N] };
        let mut n = 0;
        while n < text.len() {
            word.bytes[n] = text.as_bytes()[n];
            n += 1;
        }
        word
    }

    /// Its bytes, which compare faster than the text.
    pub const fn as_bytes(&self) -> &[u8] {
        self.bytes.split_at(self.length as usize).0
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        // It was made of a whole string.
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Whether it is `text`.
    pub fn is(&self, text: &str) -> bool {
        self.as_bytes() == text.as_bytes()
    }
}

impl<const N: usize> Deref for Word<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> fmt::Display for Word<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl<const N: usize> fmt::Debug for Word<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A table of words.
pub const fn words<const N: usize, const COUNT: usize>(texts: [&str; COUNT]) -> [Word<N>; COUNT] {
    let mut table = [Word::new(""); COUNT];
    let mut n = 0;
    while n < COUNT {
        table[n] = Word::new(texts[n]);
        n += 1;
    }
    table
}

/// A table of words with a number each.
pub const fn numbered<const N: usize, T: Copy, const COUNT: usize>(rows: [(&str, T); COUNT]) -> [(Word<N>, T); COUNT] {
    let mut table = [(Word::new(""), rows[0].1); COUNT];
    let mut n = 0;
    while n < COUNT {
        table[n] = (Word::new(rows[n].0), rows[n].1);
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_its_text() {
        static WORDS: [Word<8>; 3] = words(["", "größer", "eightlet"]);
        assert_eq!(WORDS.map(|word| word.to_string()), ["", "größer", "eightlet"]);
        assert!(WORDS[1].is("größer") && !WORDS[1].is("größe") && !WORDS[0].is("\0"));
        assert_eq!(format!("{:>10}|{:?}", WORDS[2], WORDS[2]), "  eightlet|\"eightlet\"");
    }

    #[test]
    fn numbers_stay_with_their_words() {
        static ROWS: [(Word<3>, u32); 2] = numbered([("one", 1), ("two", 2)]);
        assert_eq!(ROWS.map(|(word, number)| (word.len(), number)), [(3, 1), (3, 2)]);
    }

    #[test]
    #[should_panic(expected = "longer than its place")]
    fn a_word_that_is_too_long_is_none() {
        let _ = Word::<3>::new("four");
    }
}
