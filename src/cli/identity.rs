//! The program's identity, by `argv[0]`: a link called `runc` or `crun` answers as that runtime.

use std::env;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The version of the runtime specification.
pub(crate) const SPEC: &str = "1.3.0";

/// The versions of runc and crun that a caller is told. Scanners and engines look for versions with
/// known vulnerabilities, so each is the first one without the last published vulnerability that is
/// closed here too (docs/attacks.md): CVE-2026-41579 of runc, CVE-2026-88264 of crun. The commit
/// field names orlop.
const RUNC: &str = "1.4.3";
const CRUN: &str = "1.30";

/// Which orlop it is: the release and the commit of its sources, which the build script finds.
const VERSION_AND_COMMIT: &str =
    concat!("orlop version ", env!("CARGO_PKG_VERSION"), "\ncommit: ", env!("ORLOP_COMMIT"), "\n");
const COMMIT: &str = concat!("orlop-", env!("CARGO_PKG_VERSION"), "-", env!("ORLOP_COMMIT"));

/// The runtime that this program replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runtime {
    Orlop,
    Runc,
    Crun,
}

/// The name and runtime of this invocation.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The name in messages and help.
    pub(crate) name: String,
    runtime: Runtime,
}

impl Identity {
    /// Whether the program runs under its own name. Engines use another one, or runtime commands
    /// only.
    pub(crate) fn is_person(&self) -> bool {
        self.runtime == Runtime::Orlop
    }

    /// The identity for the program name `argv[0]`.
    pub(crate) fn new(program: Option<&str>) -> Identity {
        let name = program.and_then(|p| p.rsplit('/').next()).filter(|n| !n.is_empty()).unwrap_or("orlop");
        let runtime = match name {
            "runc" => Runtime::Runc,
            "crun" => Runtime::Crun,
            _ => Runtime::Orlop,
        };
        let name = if runtime == Runtime::Orlop { "orlop" } else { name };
        Identity { name: name.to_owned(), runtime }
    }

    /// The output of `--version`. Engines read the first line; one engine takes any later line with
    /// the word "version".
    pub(crate) fn version(&self) -> String {
        match self.runtime {
            Runtime::Orlop => format!("{VERSION_AND_COMMIT}spec: {SPEC}\n"),
            Runtime::Runc => format!("runc version {RUNC}\ncommit: {COMMIT}\nspec: {SPEC}\n"),
            Runtime::Crun => {
                let root = self.default_root();
                let parts = "+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF +CRIU +JSON";
                format!("crun version {CRUN}\ncommit: {COMMIT}\nrundir: {}\nspec: {SPEC}\n{parts}\n", root.display())
            }
        }
    }

    /// The default state directory: below `/run`, or below the user's runtime directory for an
    /// unprivileged user.
    pub(crate) fn default_root(&self) -> PathBuf {
        let name = if self.runtime == Runtime::Orlop { "orlop" } else { &self.name };
        let asked = || env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let own = if is_rootless() { asked().or_else(session_directory) } else { None };
        own.unwrap_or_else(|| PathBuf::from("/run")).join(name)
    }
}

/// The user's runtime directory under systemd, for a caller without XDG_RUNTIME_DIR, such as sudo
/// or cron.
fn session_directory() -> Option<PathBuf> {
    let uid = crate::sys::credentials::effective_uid();
    let directory = PathBuf::from(format!("/run/user/{uid}"));
    let owner = directory.symlink_metadata().ok().filter(Metadata::is_dir).map(|found| found.uid());
    (uid != 0 && owner == Some(uid)).then_some(directory)
}

/// Whether the caller lacks the privileges of the host's root: not uid 0, or uid 0 of a user
/// namespace that an unprivileged user created.
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
        for (program, first) in [("/usr/bin/runc", "runc version 1.4.3"), ("crun", "crun version 1.30")] {
            let version = Identity::new(Some(program)).version();
            let mut lines = version.lines();
            assert_eq!(lines.next(), Some(first));
            assert!(lines.all(|line| !line.contains("version")), "{version}");
        }
        assert!(Identity::new(Some("./out/orlop")).version().starts_with("orlop version "));
    }

    /// As dockerd reads it: the text around the last "version" of a line, and behind the last colon of the commit's.
    fn as_docker(text: &str) -> (String, String, String) {
        let (mut runtime, mut version, mut commit) = Default::default();
        for line in text.trim().lines() {
            if line.contains("version") {
                runtime = line.split("version").next().unwrap().trim().to_owned();
                version = line.rsplit("version").next().unwrap().trim().to_owned();
            } else if line.starts_with("commit:") {
                commit = line.rsplit(':').next().unwrap().trim().to_owned();
            }
        }
        (runtime, version, commit)
    }

    #[test]
    fn engines_read_the_runtime_its_version_and_which_orlop_it_is() {
        for (name, version) in [("runc", RUNC), ("crun", CRUN)] {
            let text = Identity::new(Some(name)).version();
            assert_eq!(as_docker(&text), (name.to_owned(), version.to_owned(), COMMIT.to_owned()));
            // containerd's client library takes the text after these prefixes.
            for prefix in [&format!("{name} version "), "commit: ", "spec: "] {
                assert_eq!(text.lines().filter(|line| line.starts_with(prefix)).count(), 1, "{prefix:?}: {text}");
            }
        }
    }

    #[test]
    fn no_version_that_a_caller_is_told_has_a_published_hole() {
        let numbers = |text: &str| text.split('.').map(|n| n.parse().unwrap()).collect::<Vec<u32>>();
        // The first versions without: CVE-2025-31133 and its like, CVE-2026-41579.
        for fixed in ["1.2.8", "1.3.3", "1.3.6", "1.4.3"] {
            assert!(numbers(RUNC) >= numbers(fixed), "{fixed}");
        }
        // CVE-2026-30892, CVE-2026-47766, and the last version with CVE-2026-88264.
        for fixed in ["1.27", "1.28", "1.29.2"] {
            assert!(numbers(CRUN) >= numbers(fixed), "{fixed}");
        }
    }

    #[test]
    fn another_name_is_still_orlop() {
        for program in [None, Some(""), Some("/tmp/x"), Some("orlop-test")] {
            assert_eq!(Identity::new(program).name, "orlop");
        }
    }
}
