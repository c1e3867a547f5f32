//! The WWW-Authenticate header of a registry.

use std::collections::BTreeMap;

/// How a registry wants to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// The best challenge of the headers that can be met.
    pub(super) fn of<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
        let all: Vec<_> = headers.flat_map(challenges).collect();
        let bearer = all.iter().find_map(|(scheme, parameters)| {
            let realm = parameters.get("realm").filter(|_| scheme == "bearer")?;
            Some(Challenge::Bearer { realm: realm.clone(), service: parameters.get("service").cloned() })
        });
        bearer.or_else(|| all.iter().any(|(scheme, _)| scheme == "basic").then_some(Challenge::Basic))
    }
}

/// The schemes of a header, in lowercase, with their parameters.
fn challenges(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header.trim_start();
    while !rest.is_empty() {
        let end = rest.find([' ', '=', ',']).unwrap_or(rest.len());
        let (word, after) = (rest[..end].to_ascii_lowercase(), rest[end..].trim_start());
        if let Some(value) = after.strip_prefix('=') {
            let (value, after) = value_of(value.trim_start());
            if let Some((_, parameters)) = found.last_mut() {
                parameters.insert(word, value);
            }
            rest = after;
        } else {
            if !word.is_empty() {
                found.push((word, BTreeMap::new()));
            }
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    found
}

/// A token or a quoted string, and the text behind it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, character) in quoted.char_indices() {
        match character {
            _ if escaped => {
                value.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) })
    }

    #[test]
    fn challenges_of_registries_are_understood() {
        for (header, challenge) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull""#,
                bearer("https://auth.docker.io/token", Some("registry.docker.io")),
            ),
            (r#"bearer realm=https://a/t"#, bearer("https://a/t", None)),
            (r#"Bearer  realm = "https://a/t" , service = "s,\"t" "#, bearer("https://a/t", Some("s,\"t"))),
            (r#"Basic realm="x", Bearer realm="https://a/t""#, bearer("https://a/t", None)),
            (r#"BASIC realm="Registry Realm""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Bearer", None),
            (r#"Bearer service="s""#, None),
            (r#"Digest realm="x", nonce="y""#, None),
            (r#"realm="x""#, None),
            (r#"Bearer realm="https://unclosed"#, bearer("https://unclosed", None)),
            ("", None),
            (",,, = =\"", None),
        ] {
            assert_eq!(Challenge::of([header].into_iter()), challenge, "{header}");
        }
        assert_eq!(Challenge::of(["Negotiate", "Basic realm=x"].into_iter()), Some(Challenge::Basic));
    }
}
