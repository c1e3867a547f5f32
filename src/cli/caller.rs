//! The name by which we are called: a link called `runc` or `crun` answers as that program does.

use std::env;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The version of the runtime specification.
pub(crate) const SPEC: &str = "1.3.0";

/// Whose command line we stand in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Orlop,
    Runc,
    Crun,
}

/// The name by which we are called.
#[derive(Debug)]
pub(crate) struct Caller {
    /// What messages and help call us.
    pub(crate) name: String,
    role: Role,
}

impl Caller {
    /// From the program's own name, `argv[0]`.
    pub(crate) fn new(program: Option<&str>) -> Caller {
        let name = program.and_then(|p| p.rsplit('/').next()).filter(|n| !n.is_empty()).unwrap_or("orlop");
        let role = match name {
            "runc" => Role::Runc,
            "crun" => Role::Crun,
            _ => Role::Orlop,
        };
        let name = if role == Role::Orlop { "orlop" } else { name };
        Caller { name: name.to_owned(), role }
    }

    /// What `--version` prints. Engines read the first line, and one takes any later line with the word "version".
    pub(crate) fn version(&self) -> String {
        const OURS: &str = env!("CARGO_PKG_VERSION");
        match self.role {
            Role::Orlop => format!("orlop version {OURS}\nspec: {SPEC}\n"),
            Role::Runc => format!("runc version {SPEC}\ncommit: orlop-{OURS}\nspec: {SPEC}\n"),
            Role::Crun => {
                let root = self.default_root();
                let parts = "+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF +CRIU +JSON";
                format!("crun version 1.29\ncommit: orlop-{OURS}\nrundir: {}\nspec: {SPEC}\n{parts}\n", root.display())
            }
        }
    }

    /// The directory of the containers' state: below `/run`, or below the user's own where `/run` is not ours to write.
    pub(crate) fn default_root(&self) -> PathBuf {
        let name = if self.role == Role::Orlop { "orlop" } else { &self.name };
        let asked = || env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let own = if is_rootless() { asked().or_else(session_directory) } else { None };
        own.unwrap_or_else(|| PathBuf::from("/run")).join(name)
    }
}

/// Where systemd puts a user's XDG_RUNTIME_DIR, for those who come without the variable, as by sudo or cron.
fn session_directory() -> Option<PathBuf> {
    let uid = crate::sys::credentials::effective_uid();
    let directory = PathBuf::from(format!("/run/user/{uid}"));
    let owner = directory.symlink_metadata().ok().filter(Metadata::is_dir).map(|found| found.uid());
    (uid != 0 && owner == Some(uid)).then_some(directory)
}

/// Whether we lack the rights of the machine's root: not uid 0, or uid 0 of a user namespace that a user made.
pub(crate) fn is_rootless() -> bool {
    let root = crate::sys::credentials::effective_uid() == 0;
    let called_root = || env::var_os("USER").is_some_and(|user| user == OsStr::new("root"));
    !root || (!called_root() && crate::namespaces::in_user_namespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_that_parse_the_name_find_it() {
        for (program, first) in [("/usr/bin/runc", "runc version 1.3.0"), ("crun", "crun version 1.29")] {
            let version = Caller::new(Some(program)).version();
            let mut lines = version.lines();
            assert_eq!(lines.next(), Some(first));
            assert!(lines.all(|line| !line.contains("version")), "{version}");
        }
        assert!(Caller::new(Some("./out/orlop")).version().starts_with("orlop version "));
    }

    #[test]
    fn another_name_is_still_orlop() {
        for program in [None, Some(""), Some("/tmp/x"), Some("orlop-test")] {
            assert_eq!(Caller::new(program).name, "orlop");
        }
    }
}
