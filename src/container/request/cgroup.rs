//! The sub-cgroup that `exec --cgroup` names.

use crate::error::{Error, Kind, Result};

/// `[CONTROLLER[,CONTROLLER]:]PATH`, a path below the container's own cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubCgroup {
    /// The v1 controllers; empty means all of them and the unified hierarchy.
    pub controllers: Vec<String>,
    /// The path relative to the container's cgroup, without a leading slash.
    pub path: String,
}

impl SubCgroup {
    /// One value of `--cgroup`. A path that would leave the container's cgroup is refused.
    pub fn parse(text: &str) -> Result<SubCgroup> {
        let problem = |problem: &str| Error::new(Kind::Config, format!("cgroup {text:?}: {problem}"));
        let (controllers, path) = match text.split_once(':') {
            Some((list, path)) => (list.split(',').map(str::to_owned).collect(), path),
            None => (Vec::new(), text),
        };
        if controllers.iter().any(String::is_empty) {
            return Err(problem("a controller has no name"));
        }
        if path.split('/').any(|part| part == "..") {
            return Err(problem("is not a sub-cgroup of the container's"));
        }
        if path.contains('\0') || text.is_empty() {
            return Err(problem("is no path"));
        }
        Ok(SubCgroup { controllers, path: path.trim_start_matches('/').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sub(controllers: &[&str], path: &str) -> SubCgroup {
        SubCgroup { controllers: controllers.iter().map(|c| c.to_string()).collect(), path: path.into() }
    }

    #[test]
    fn controllers_stand_before_the_colon() {
        assert_eq!(SubCgroup::parse("/a/b").unwrap(), sub(&[], "a/b"));
        assert_eq!(SubCgroup::parse("memory,cpu:a").unwrap(), sub(&["memory", "cpu"], "a"));
        assert_eq!(SubCgroup::parse("cpu:/").unwrap(), sub(&["cpu"], ""));
        assert_eq!(SubCgroup::parse("a..b").unwrap(), sub(&[], "a..b"));
    }

    #[test]
    fn a_path_out_of_the_containers_cgroup_is_refused() {
        for text in ["..", "../x", "a/../../b", "cpu:/..", "cpu:a/..", ":a", "a,:b", ""] {
            assert!(SubCgroup::parse(text).is_err(), "{text:?}");
        }
    }
}
