//! Annotations of a config.json that ask this runtime for something; docs/annotations.md lists them all.

use crate::config::Spec;
use crate::error::{Error, Result};
use std::path::Path;

/// Whether the container's processes keep the groups of whoever calls the runtime (`run.oci.keep_original_groups`).
///
/// # Errors
/// A value that says neither yes nor no.
pub(super) fn keep_groups(spec: &Spec<'_>) -> Result<bool> {
    const NAME: &str = "run.oci.keep_original_groups";
    match spec.annotation(NAME) {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(refuse(NAME, &format!("{other:?} is neither 0 nor 1"))),
    }
}

/// A socket that receives a pidfd of init (`run.oci.pidfd_receiver`), as `--pidfd-socket` names one.
///
/// # Errors
/// A path that is not absolute.
pub(super) fn pidfd_receiver<'a>(spec: &'a Spec<'_>) -> Result<Option<&'a Path>> {
    const NAME: &str = "run.oci.pidfd_receiver";
    match spec.annotation(NAME).map(Path::new) {
        Some(path) if !path.is_absolute() => Err(refuse(NAME, &format!("{path:?} is not an absolute path"))),
        path => Ok(path),
    }
}

fn refuse(name: &str, problem: &str) -> Error {
    Error::config(format_args!("annotations[{name:?}]"), problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn with<T>(name: &str, value: &str, f: impl Fn(&Spec<'_>) -> T) -> T {
        let json = format!(r#"{{"annotations":{{"{name}":"{value}"}}}}"#);
        f(&config::parse(&json).unwrap())
    }

    #[test]
    fn groups_are_kept_only_when_the_annotation_says_so() {
        let keep = |value| with("run.oci.keep_original_groups", value, keep_groups);
        assert!(keep("1").unwrap() && !keep("0").unwrap());
        assert!(keep("maybe").unwrap_err().to_string().starts_with("annotations[\"run.oci.keep_original_groups\"]: "));
        assert!(!with("other", "1", keep_groups).unwrap());
    }

    #[test]
    fn a_receiver_is_an_absolute_path() {
        let receiver = |value| {
            with("run.oci.pidfd_receiver", value, |spec| pidfd_receiver(spec).map(|path| path.map(Path::to_owned)))
        };
        assert_eq!(receiver("/run/x").unwrap().as_deref(), Some(Path::new("/run/x")));
        assert!(receiver("x").is_err());
    }
}
