//! Files of credentials and helpers, in a directory of their own.

use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// `user:secret`.
const AUTH: &str = "dXNlcjpzZWNyZXQ=";
/// `other:secret2`.
const OTHER: &str = "b3RoZXI6c2VjcmV0Mg==";

fn password(user: &str, secret: &str) -> Option<Credentials> {
    Some(Credentials::Password { user: user.into(), password: Secret::new(secret.into()) })
}

fn find(text: &str, host: &str, repository: &str) -> Result<Option<Credentials>> {
    let document: Value = serde_json::from_str(text).unwrap();
    of_document(document.as_object().unwrap(), host, repository)
}

#[test]
fn the_most_specific_key_has_the_credentials() {
    let text = format!(
        r#"{{"auths": {{"quay.io": {{"auth": "{AUTH}"}}, "quay.io/team": {{"auth": "{OTHER}"}},
            "quay.io/team/empty": {{}}, "https://index.docker.io/v1/": {{"auth": "{AUTH}"}},
            "https://old.io/v2/": {{"auth": "{AUTH}"}}, "port.io:5000": {{"auth": "{AUTH}"}}}}}}"#
    );
    for (host, repository, user) in [
        ("quay.io", "x", Some("user")),
        ("quay.io", "team/x/y", Some("other")),
        ("quay.io", "team/empty", Some("other")),
        ("quay.io", "teammate/x", Some("user")),
        ("docker.io", "library/busybox", Some("user")),
        ("old.io", "x", Some("user")),
        ("port.io:5000", "x", Some("user")),
        ("port.io", "x", None),
        ("io", "x", None),
    ] {
        let found = find(&text, host, repository).unwrap();
        let name = found.as_ref().map(|found| match found {
            Credentials::Password { user, .. } => user.as_str(),
            Credentials::Identity(_) => "token",
        });
        assert_eq!(name, user, "{host}/{repository}");
    }
}

#[test]
fn an_entry_is_a_password_or_a_token() {
    let of = |entry: &str| find(&format!(r#"{{"auths": {{"a.io": {entry}}}}}"#), "a.io", "x");
    assert_eq!(of(&format!(r#"{{"auth": "{AUTH}"}}"#)).unwrap(), password("user", "secret"));
    assert_eq!(of(r#"{"auth": "dXNlcjpzZWNyZXQ"}"#).unwrap(), password("user", "secret"));
    assert_eq!(of(r#"{"auth": "dTphOmI="}"#).unwrap(), password("u", "a:b"));
    assert_eq!(of(r#"{"identitytoken": "t"}"#).unwrap(), Some(Credentials::Identity(Secret::new("t".into()))));
    assert_eq!(of("{}").unwrap(), None);
    assert_eq!(of(r#"{"auth": ""}"#).unwrap(), None);
    for wrong in [r#"{"auth": "geheim!"}"#, r#"{"auth": "Z2VoZWlt"}"#, r#"{"auth": "/w=="}"#] {
        let error = format!("{:#}", of(wrong).unwrap_err());
        assert!(error.contains("key a.io: auth") && !error.contains("eheim"), "{error}");
    }
}

#[test]
fn no_secret_is_printed() {
    let credentials = password("user", "geheim");
    assert!(!format!("{credentials:?}").contains("geheim"));
    assert_eq!(Credentials::basic("user", &Secret::new("secret".into())).reveal(), format!("Basic {AUTH}"));
}

#[test]
fn the_first_file_with_credentials_counts_and_a_named_one_must_be_there() {
    let dir = Scratch::new("files");
    let (first, second) = (dir.0.join("first"), dir.0.join("second"));
    std::fs::write(&second, format!(r#"{{"auths": {{"a.io": {{"auth": "{OTHER}"}}}}}}"#)).unwrap();
    let files = AuthFiles { files: vec![first.clone(), second], named: false };
    assert_eq!(files.find("a.io", "x").unwrap(), password("other", "secret2"));
    std::fs::write(&first, format!(r#"{{"auths": {{"a.io": {{"auth": "{AUTH}"}}}}}}"#)).unwrap();
    assert_eq!(files.find("a.io", "x").unwrap(), password("user", "secret"));
    std::fs::write(&first, "{\"auths\": \"geheim").unwrap();
    let error = format!("{:#}", files.find("a.io", "x").unwrap_err());
    assert!(error.contains("no JSON in line 1") && !error.contains("geheim"), "{error}");
    let named = AuthFiles { files: vec![dir.0.join("third")], named: true };
    assert!(format!("{:#}", named.find("a.io", "x").unwrap_err()).contains("third"));
    let large = AuthFiles { files: vec!["/dev/zero".into()], named: true };
    assert!(format!("{:#}", large.find("a.io", "x").unwrap_err()).contains("not a regular file"));
}

#[test]
fn helpers_are_bounded_in_name_time_and_output() {
    let dir = Scratch::new("helpers");
    for (name, body) in [
        (
            "right",
            r#"read server; echo "{\"ServerURL\": \"$server\", \"Username\": \"u-$server\", \"Secret\": \"s\"}""#,
        ),
        ("token", r#"echo '{"Username": "<token>", "Secret": "s"}'"#),
        ("none", "echo 'credentials not found in native keychain'; exit 1"),
        ("failing", "echo geheim; echo geheim >&2; exit 1"),
        ("garbage", "echo geheim"),
        ("endless", "yes geheim"),
        ("slow", "exec sleep 1000"),
        ("child", "sleep 3 & exit 0"),
    ] {
        let path = dir.0.join(format!("docker-credential-{name}"));
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", dir.0.display(), env::var("PATH").unwrap());
    let get = |name: &str| credential::get_from(&path, name, "a.io", Duration::from_secs(2));
    assert_eq!(get("right").unwrap(), password("u-a.io", "s"));
    assert_eq!(get("token").unwrap(), Some(Credentials::Identity(Secret::new("s".into()))));
    assert_eq!(get("none").unwrap(), None);
    for (name, fault) in [
        ("failing", "failed"),
        ("garbage", "no JSON"),
        ("endless", "more than 65536 bytes"),
        ("slow", "did not end within 2 s"),
        ("child", "did not end within 2 s"),
        ("missing", "in PATH?"),
        ("../right", "no slash"),
        ("/bin/sh", "no slash"),
        ("", "no slash"),
    ] {
        let error = format!("{:#}", get(name).unwrap_err());
        assert!(error.contains(fault) && !error.contains("geheim"), "{name}: {error}");
    }
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = env::temp_dir().join(format!("orlop-auth-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
