//! The checked form of `linux.cgroupsPath`.

use crate::error::{Error, Result};

const FIELD: &str = "linux.cgroupsPath";

const LONGEST_PATH: usize = 3072;
const LONGEST_NAME: usize = 255;

fn too_long(length: usize, most: usize) -> Error {
    Error::config(FIELD, format_args!("{length} bytes are more than {most}"))
}

/// The requested path of a container's cgroup, independent of the mounted hierarchies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CgroupsPath {
    /// A path below each hierarchy's mount point: `/x/y`, without `..`.
    Absolute(String),
    /// A path below the runtime's own cgroup in each hierarchy: `x/y`, without `..`. On v2 it is
    /// beside the runtime's cgroup, since children of a cgroup with processes cannot have
    /// controllers.
    Relative(String),
    /// A scope that systemd starts.
    Scope(Scope),
}

/// The name of a systemd scope, from `slice:prefix:name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The slice, if named: `machine.slice`, or `-.slice` for the root one.
    pub slice: Option<String>,
    /// The prefix of the unit's name. The default is `runc`.
    pub prefix: String,
    /// The name, usually the container's id.
    pub name: String,
}

impl CgroupsPath {
    /// The path for the cgroupfs driver. The default is the container's id below the runtime's own
    /// cgroup. `..` cannot leave the hierarchy: it is resolved lexically, as if the path's first
    /// component were below the root.
    ///
    /// # Errors
    /// The path is the root of the hierarchy, is too long, or contains a NUL byte.
    pub(crate) fn parse(path: Option<&str>, id: &str) -> Result<CgroupsPath> {
        let path = match path {
            None | Some("") => return Ok(CgroupsPath::Relative(id.to_owned())),
            Some(path) => path,
        };
        if path.contains('\0') {
            return Err(Error::config(FIELD, "holds a NUL byte"));
        }
        let clean = clean(path);
        if clean.is_empty() {
            return Err(Error::config(FIELD, format!("{path:?} is the root of the hierarchy, not a place below it")));
        }
        // A file of the cgroup has a path of at most 4095 bytes, including the mount point and, for
        // a relative path, the runtime's own cgroup.
        if clean.len() > LONGEST_PATH {
            return Err(too_long(clean.len(), LONGEST_PATH));
        }
        if let Some(part) = clean.split('/').find(|part| part.len() > LONGEST_NAME) {
            return Err(too_long(part.len(), LONGEST_NAME).hint("the name of a directory has at most 255 bytes"));
        }
        Ok(if path.starts_with('/') {
            CgroupsPath::Absolute(format!("/{clean}"))
        } else {
            CgroupsPath::Relative(clean)
        })
    }

    /// The path for the systemd driver.
    ///
    /// # Errors
    /// The path is not `slice:prefix:name`, is too long, or has an invalid slice.
    pub(crate) fn parse_scope(path: Option<&str>, id: &str) -> Result<CgroupsPath> {
        let path = match path {
            None | Some("") => {
                let scope = Scope { slice: None, prefix: "runc".into(), name: id.to_owned() };
                let length = scope.unit().len();
                if length > LONGEST_NAME {
                    let problem =
                        format!("the unit name of the container's id has {length} bytes, at most {LONGEST_NAME}");
                    return Err(Error::config(FIELD, problem).hint("give the container a shorter id"));
                }
                return Ok(CgroupsPath::Scope(scope));
            }
            Some(path) => path,
        };
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts[..] else {
            let problem = "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got";
            return Err(Error::config(FIELD, format!("{problem} {path:?} instead")));
        };
        if name.is_empty() {
            return Err(Error::config(FIELD, format!("{path:?} has no name after the last colon")));
        }
        if path.contains(['/', '\0']) {
            return Err(Error::config(FIELD, format!("{path:?}: a unit name must not contain a slash")));
        }
        let scope =
            Scope { slice: (!slice.is_empty()).then(|| slice.to_owned()), prefix: prefix.into(), name: name.into() };
        if let Some(long) = [slice.len(), scope.unit().len()].into_iter().find(|length| *length > LONGEST_NAME) {
            return Err(too_long(long, LONGEST_NAME).hint("the name of a systemd unit has at most 255 bytes"));
        }
        if let Some(slice) = &scope.slice {
            expand_slice(slice)?;
        }
        Ok(CgroupsPath::Scope(scope))
    }
}

impl Scope {
    /// The name of the unit: `prefix-name.scope`, or the name itself if it is a slice.
    pub(crate) fn unit(&self) -> String {
        match self.name.ends_with(".slice") {
            true => self.name.clone(),
            false if self.prefix.is_empty() => format!("{}.scope", self.name),
            false => format!("{}-{}.scope", self.prefix, self.name),
        }
    }
}

/// The directory of a slice: `a-b.slice` is `/a.slice/a-b.slice` (systemd.slice(5)); the root slice `-.slice` is `/`.
///
/// # Errors
/// The name is not a valid slice name.
pub(crate) fn expand_slice(slice: &str) -> Result<String> {
    let problem = || Error::config(FIELD, format!("invalid slice name: {slice}"));
    let name = slice.strip_suffix(".slice").filter(|name| !name.contains('/')).ok_or_else(problem)?;
    if name == "-" {
        return Ok("/".to_owned());
    }
    let (mut path, mut prefix) = (String::new(), String::new());
    for part in name.split('-') {
        if part.is_empty() {
            return Err(problem());
        }
        path.push_str(&format!("/{prefix}{part}.slice"));
        prefix.push_str(&format!("{part}-"));
    }
    Ok(path)
}

/// The path without `.`, `..` and empty components.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_path_the_cgroup_is_named_by_the_id_below_our_own() {
        assert_eq!(CgroupsPath::parse(None, "c1").unwrap(), CgroupsPath::Relative("c1".into()));
        assert_eq!(CgroupsPath::parse(Some(""), "c1").unwrap(), CgroupsPath::Relative("c1".into()));
    }

    #[test]
    fn no_path_leads_out_of_the_hierarchy() {
        assert_eq!(CgroupsPath::parse(Some("/a/../../b/./c//d"), "x").unwrap(), CgroupsPath::Absolute("/b/c/d".into()));
        assert_eq!(CgroupsPath::parse(Some("zz/../../yy"), "x").unwrap(), CgroupsPath::Relative("yy".into()));
        for root in ["/", "/..", "..", ".", "a/.."] {
            assert!(CgroupsPath::parse(Some(root), "x").is_err(), "{root}");
        }
    }

    #[test]
    fn a_place_that_no_file_system_has_is_refused() {
        let long = "x".repeat(256);
        for path in [&"/x".repeat(40_000), &format!("/{long}"), &format!("a/{long}/b"), &"x/".repeat(1600)] {
            let error = CgroupsPath::parse(Some(path), "x").unwrap_err().to_string();
            assert!(error.starts_with("linux.cgroupsPath: ") && error.contains("bytes are more than"), "{error}");
        }
        assert!(CgroupsPath::parse(Some(&"/x".repeat(1500)), "x").is_ok());
        for path in [format!("s.slice:p:{long}"), format!("{}.slice:p:n", "a-".repeat(40_000)), format!(":{long}:n")] {
            assert!(CgroupsPath::parse_scope(Some(&path), "x").unwrap_err().to_string().contains("255"));
        }
    }

    #[test]
    fn a_scope_is_slice_prefix_and_name() {
        let scope = |path| match CgroupsPath::parse_scope(path, "id").unwrap() {
            CgroupsPath::Scope(scope) => (scope.slice.clone(), scope.unit()),
            other => panic!("{other:?}"),
        };
        assert_eq!(scope(None), (None, "runc-id.scope".into()));
        assert_eq!(scope(Some("system.slice:docker:1")), (Some("system.slice".into()), "docker-1.scope".into()));
        assert_eq!(scope(Some("::x")), (None, "x.scope".into()));
        assert_eq!(scope(Some("a.slice:p:b.slice")).1, "b.slice");
        assert!(CgroupsPath::parse_scope(None, &"x".repeat(244)).is_ok());
        assert!(CgroupsPath::parse_scope(None, &"x".repeat(245)).unwrap_err().to_string().contains("shorter id"));
        for bad in ["a", "a:b", "a:b:c:d", "/x:y:z", "nope:p:n", "a--b.slice:p:n", "a.slice:p:"] {
            assert!(CgroupsPath::parse_scope(Some(bad), "id").is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slice_lies_in_the_slices_that_its_name_begins_with() {
        assert_eq!(expand_slice("machine.slice").unwrap(), "/machine.slice");
        assert_eq!(expand_slice("a-b-c.slice").unwrap(), "/a.slice/a-b.slice/a-b-c.slice");
        assert_eq!(expand_slice("-.slice").unwrap(), "/");
    }
}
