//! The C library's regular expressions (`regex(3)`).
#![allow(unsafe_code)]

use super::{Errno, Failure, Result, quote, with_c_str};
use std::mem::MaybeUninit;

/// A POSIX extended regular expression.
///
/// It stays at the address where `regcomp` has initialized it: no C library guarantees that it can
/// be moved.
pub(crate) struct Pattern(Box<MaybeUninit<libc::regex_t>>);

impl Pattern {
    /// Compiles `text`. EINVAL for an invalid expression.
    pub(crate) fn new(text: &str) -> Result<Pattern> {
        let mut pattern = Box::new(MaybeUninit::uninit());
        with_c_str(text, |c_text| {
            // SAFETY: `pattern` is memory for one regex_t, which regcomp fills; the text ends in a NUL.
            let refused =
                unsafe { libc::regcomp(pattern.as_mut_ptr(), c_text.as_ptr(), libc::REG_EXTENDED | libc::REG_NOSUB) };
            match refused {
                0 => Ok(()),
                _ => Err(Failure::new(format!("regcomp({})", quote(text)), Errno(libc::EINVAL))),
            }
        })?;
        Ok(Pattern(pattern))
    }

    /// Whether it matches anywhere in `text`. False for a text with a NUL.
    pub(crate) fn matches(&self, text: &str) -> bool {
        with_c_str(text, |c_text| {
            // SAFETY: regcomp has filled the pattern; no matches are to be stored, so their array may be null.
            Ok(unsafe { libc::regexec(self.0.as_ptr(), c_text.as_ptr(), 0, std::ptr::null_mut(), 0) } == 0)
        })
        .unwrap_or(false)
    }
}

impl Drop for Pattern {
    fn drop(&mut self) {
        // SAFETY: regcomp has filled it, and it is not used afterwards.
        unsafe { libc::regfree(self.0.as_mut_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_anywhere_unless_it_says_where() {
        let pattern = Pattern::new("fo+b").unwrap();
        assert!(pattern.matches("xfoobx") && !pattern.matches("fb"));
        assert!(!Pattern::new("^(a|b)$").unwrap().matches("ab"));
    }

    #[test]
    fn what_is_no_expression_is_named() {
        assert_eq!(Pattern::new("(").err().unwrap().call(), "regcomp(\"(\")");
    }
}
