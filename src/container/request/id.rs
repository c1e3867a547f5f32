//! Container ids.

use crate::error::{Error, Kind, Result};
use std::fmt;

/// The longest id: it names a directory.
const LONGEST: usize = 255;

/// A container's id: `[A-Za-z0-9_+.-]`, neither `.` nor `..`, 1 to 255 bytes, and so always one harmless path component.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(Box<str>);

impl ContainerId {
    /// Checks `text`; the error has the words that engines recognise.
    pub fn parse(text: &str) -> Result<ContainerId> {
        if text.is_empty() {
            return Err(Error::new(Kind::Config, "container id cannot be empty"));
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'.' | b'-');
        if text == "." || text == ".." || !text.bytes().all(allowed) {
            return Err(Error::new(Kind::Config, "invalid container ID format")
                .hint(format!("{text:?}: an id has letters, digits and the signs _ + - . only, and is not . or ..")));
        }
        if text.len() > LONGEST {
            return Err(Error::new(Kind::Config, "invalid container ID format")
                .hint(format!("an id has at most {LONGEST} bytes")));
        }
        Ok(ContainerId(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ContainerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        ContainerId::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn what_engines_call_containers_is_an_id() {
        for id in ["a", "3f2c", "k8s_pod-1.2+x", "-x", "...", &"a".repeat(255)] {
            assert_eq!(ContainerId::parse(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn an_id_cannot_leave_the_state_directory() {
        for id in [".", "..", "a/b", "../x", "/x", "a\0b", "a b", "é", "a\n"] {
            assert!(refusal(id).starts_with("invalid container ID format (hint: "), "{id:?}");
        }
        assert_eq!(refusal(""), "container id cannot be empty");
        assert!(refusal(&"a".repeat(256)).starts_with("invalid container ID format"));
    }
}
