//! The user that `exec --user` names.

use crate::error::{Error, Kind, Result};

/// The largest id that `exec --user` takes: many callers use signed ids.
const LARGEST: u32 = i32::MAX as u32;

/// `UID[:GID]`. Names are never looked up: a hostile `/etc/passwd` could map the name `1000` to
/// root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id inside the container.
    pub uid: u32,
    /// The group id, if one was given; otherwise that of the container's own process stays.
    pub gid: Option<u32>,
}

impl User {
    /// The user of `UID` or `UID:GID`, both decimal and at most 2147483647.
    pub fn parse(text: &str) -> Result<User> {
        let (uid, gid) = match text.split_once(':') {
            Some((uid, gid)) => (uid, Some(id("gid", gid, text)?)),
            None => (text, None),
        };
        Ok(User { uid: id("uid", uid, text)?, gid })
    }
}

fn id(what: &str, digits: &str, whole: &str) -> Result<u32> {
    let problem = |problem: String| Error::new(Kind::Config, format!("user {whole:?}: {problem}"));
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(problem(format!("parsing {digits} as int for {what} failed: the form is UID[:GID], in digits")));
    }
    digits
        .parse()
        .ok()
        .filter(|n| *n <= LARGEST)
        .ok_or_else(|| problem(format!("uids and gids must be in range 0-{LARGEST}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same in every run (xorshift).
    fn numbers() -> impl Iterator<Item = u64> {
        std::iter::successors(Some(0x9E37_79B9_7F4A_7C15u64), |x| {
            let x = x ^ (x << 13);
            let x = x ^ (x >> 7);
            Some(x ^ (x << 17))
        })
        .skip(1)
    }

    #[test]
    fn a_user_alone_is_that_user_and_never_root() {
        for uid in numbers().take(20_000).map(|n| (n % (1 << 31)) as u32).chain([0, 1, LARGEST]) {
            assert_eq!(User::parse(&uid.to_string()).unwrap(), User { uid, gid: None });
        }
    }

    #[test]
    fn a_user_and_a_group_are_exactly_those() {
        for n in numbers().take(20_000) {
            let (uid, gid) = ((n & 0x7fff_ffff) as u32, (n >> 33) as u32);
            assert_eq!(User::parse(&format!("{uid}:{gid}")).unwrap(), User { uid, gid: Some(gid) });
        }
    }

    #[test]
    fn text_is_a_user_only_if_it_is_one_or_two_decimal_numbers_in_range() {
        let alphabet: Vec<char> = "0123456789::+- x\0é".chars().collect();
        for n in numbers().take(200_000) {
            let text: String = (0..n % 7).map(|i| alphabet[(n >> (8 + 8 * i)) as usize % alphabet.len()]).collect();
            let parts: Vec<&str> = text.split(':').collect();
            let well_formed =
                parts.len() <= 2 && parts.iter().all(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit()));
            match User::parse(&text) {
                Ok(user) => {
                    assert!(well_formed, "{text:?}");
                    assert_eq!(user.uid, parts[0].parse::<u32>().unwrap());
                    assert_eq!(user.gid, parts.get(1).map(|p| p.parse::<u32>().unwrap()));
                }
                Err(_) => assert!(!well_formed, "{text:?}"),
            }
        }
    }

    #[test]
    fn an_id_out_of_range_does_not_wrap_to_another_user() {
        for text in ["2147483648", "4294967295", "4294967296", "18446744073709551616", "0:4294967296", "1:"] {
            assert!(User::parse(text).is_err(), "{text}");
        }
    }
}
