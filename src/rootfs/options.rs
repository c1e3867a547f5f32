//! The option strings of a mount (config.md, "Linux mount options"), taken apart into what the kernel wants.

use crate::error::{Error, Result};
use crate::sys::mount::{
    MOUNT_ATTR_ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME,
};
use std::fmt;

/// Attributes of a mount to set and to clear; what is in neither stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

impl Attributes {
    /// Only these set.
    pub(crate) fn setting(set: u64) -> Attributes {
        Attributes { set, clear: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Attributes::default()
    }

    fn change(&mut self, bit: u64, on: bool) {
        let (to, from) = if on { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
        *to |= bit;
        *from &= !bit;
    }

    /// The three ways of updating access times exclude one another, and the kernel wants their field cleared as a whole.
    fn atime(&mut self, mode: u64) {
        self.set = self.set & !MOUNT_ATTR_ATIME | mode;
        self.clear |= MOUNT_ATTR_ATIME;
    }

    /// Takes back one of the three: the kernel's default (relatime) stays, unless another one was asked for.
    fn no_atime(&mut self, mode: u64) {
        let chosen = self.clear & MOUNT_ATTR_ATIME != 0;
        if !chosen || self.set & MOUNT_ATTR_ATIME == mode {
            self.atime(0);
        }
    }

    fn apply(&mut self, name: &str) -> bool {
        match name {
            "ro" => self.change(MOUNT_ATTR_RDONLY, true),
            "rw" => self.change(MOUNT_ATTR_RDONLY, false),
            "nosuid" => self.change(MOUNT_ATTR_NOSUID, true),
            "suid" => self.change(MOUNT_ATTR_NOSUID, false),
            "nodev" => self.change(MOUNT_ATTR_NODEV, true),
            "dev" => self.change(MOUNT_ATTR_NODEV, false),
            "noexec" => self.change(MOUNT_ATTR_NOEXEC, true),
            "exec" => self.change(MOUNT_ATTR_NOEXEC, false),
            "nodiratime" => self.change(MOUNT_ATTR_NODIRATIME, true),
            "diratime" => self.change(MOUNT_ATTR_NODIRATIME, false),
            "nosymfollow" => self.change(MOUNT_ATTR_NOSYMFOLLOW, true),
            "symfollow" => self.change(MOUNT_ATTR_NOSYMFOLLOW, false),
            "noatime" => self.atime(MOUNT_ATTR_NOATIME),
            "relatime" => self.atime(0),
            "strictatime" => self.atime(MOUNT_ATTR_STRICTATIME),
            "atime" => self.no_atime(MOUNT_ATTR_NOATIME),
            "nostrictatime" => self.no_atime(MOUNT_ATTR_STRICTATIME),
            "norelatime" => {}
            _ => return false,
        }
        true
    }
}

/// A change of how mounts propagate (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Propagation {
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE.
    pub(crate) kind: libc::c_ulong,
    pub(crate) recursive: bool,
}

impl Propagation {
    /// By its name in a config.
    pub(crate) fn named(name: &str) -> Option<Propagation> {
        let (kind, recursive) = match name {
            "shared" => (libc::MS_SHARED, false),
            "rshared" => (libc::MS_SHARED, true),
            "slave" => (libc::MS_SLAVE, false),
            "rslave" => (libc::MS_SLAVE, true),
            "private" => (libc::MS_PRIVATE, false),
            "rprivate" => (libc::MS_PRIVATE, true),
            "unbindable" => (libc::MS_UNBINDABLE, false),
            "runbindable" => (libc::MS_UNBINDABLE, true),
            _ => return None,
        };
        Some(Propagation { kind, recursive })
    }
}

/// Whether a mount is to be seen through an id mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Idmap {
    #[default]
    No,
    Mount,
    /// And all mounts beneath it.
    Tree,
}

/// A bind mount, or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bind {
    #[default]
    No,
    Mount,
    /// And all mounts beneath it.
    Tree,
}

/// All options of a mount, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) bind: Bind,
    pub(crate) remount: bool,
    pub(crate) attributes: Attributes,
    /// Also for all mounts beneath; applied before `attributes`.
    pub(crate) recursive: Attributes,
    pub(crate) propagation: Vec<Propagation>,
    pub(crate) idmap: Idmap,
    /// What stands behind `idmap=` or `ridmap=` (an extension, crun's), and the number of the option.
    pub(crate) id_ranges: Option<(String, usize)>,
    /// Flags of the filesystem itself that are on, as parameters of `fsconfig(2)`: sync, dirsync, lazytime, mand; and off.
    pub(crate) superblock: Vec<&'static str>,
    /// Flags that only `mount(2)` can pass: MS_I_VERSION, MS_SILENT.
    pub(crate) legacy_flags: libc::c_ulong,
    /// What is the filesystem's own, as key and value.
    pub(crate) data: Vec<Parameter>,
    pub(crate) copy_up: bool,
    pub(crate) copy_symlink: bool,
    pub(crate) source_no_follow: bool,
    pub(crate) destination_no_follow: bool,
}

/// One parameter of a filesystem, and the number of the option that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) option: usize,
}

impl Options {
    /// Takes `options` apart; `path` is where they stand in the config, such as `mounts[2].options`.
    pub(crate) fn parse(options: &[impl AsRef<str>], path: impl fmt::Display) -> Result<Options> {
        let mut all = Options::default();
        for (n, option) in options.iter().enumerate() {
            let option = option.as_ref();
            if option.contains('\0') {
                return Err(Error::config(format_args!("{path}[{n}]"), "holds a NUL byte"));
            }
            all.apply(option, n);
        }
        Ok(all)
    }

    fn apply(&mut self, option: &str, n: usize) {
        if self.attributes.apply(option) {
            return;
        }
        if let Some(propagation) = Propagation::named(option) {
            return self.propagation.push(propagation);
        }
        if option.strip_prefix('r').is_some_and(|rest| self.recursive.apply(rest)) {
            return;
        }
        match option {
            "bind" if self.bind == Bind::No => self.bind = Bind::Mount,
            "bind" => {}
            "rbind" => self.bind = Bind::Tree,
            "remount" => self.remount = true,
            "idmap" if self.idmap == Idmap::No => self.idmap = Idmap::Mount,
            "idmap" => {}
            "ridmap" => self.idmap = Idmap::Tree,
            _ if option.starts_with("idmap=") || option.starts_with("ridmap=") => {
                let (name, ranges) = option.split_once('=').unwrap_or_default();
                self.idmap = if name == "idmap" { Idmap::Mount } else { Idmap::Tree };
                self.id_ranges = Some((ranges.to_string(), n));
            }
            "tmpcopyup" => self.copy_up = true,
            "copy-symlink" => self.copy_symlink = true,
            "src-nofollow" => self.source_no_follow = true,
            "dest-nofollow" => self.destination_no_follow = true,
            "iversion" => self.legacy_flags |= libc::MS_I_VERSION,
            "noiversion" => self.legacy_flags &= !libc::MS_I_VERSION,
            "silent" => self.legacy_flags |= libc::MS_SILENT,
            "loud" => self.legacy_flags &= !libc::MS_SILENT,
            _ if is_of_mount_command(option) => {}
            _ => self.parameter_of_filesystem(option, n),
        }
    }

    fn parameter_of_filesystem(&mut self, option: &str, n: usize) {
        let pair = match option {
            "sync" | "async" => Some(("sync", "async")),
            "dirsync" => Some(("dirsync", "")),
            "lazytime" | "nolazytime" => Some(("lazytime", "nolazytime")),
            "mand" | "nomand" => Some(("mand", "nomand")),
            _ => None,
        };
        if let Some((on, off)) = pair {
            self.superblock.retain(|other| *other != on && *other != off);
            return self.superblock.push(if option == on { on } else { off });
        }
        for part in split_data(option) {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key, Some(value.trim_matches('"').to_string())),
                None => (part, None),
            };
            self.data.push(Parameter { key: key.to_string(), value, option: n });
        }
    }
}

/// Options that mount(8) takes for itself and never passes to the kernel.
fn is_of_mount_command(option: &str) -> bool {
    let own = matches!(
        option,
        "defaults"
            | "auto"
            | "noauto"
            | "user"
            | "nouser"
            | "users"
            | "nousers"
            | "group"
            | "nogroup"
            | "owner"
            | "noowner"
            | "_netdev"
            | "nofail"
    );
    own || option.starts_with("x-") || option.starts_with("X-") || option.is_empty()
}

/// Splits at commas, but not inside quotes (as an SELinux context has them).
fn split_data(option: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    option
        .split(move |c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        })
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &[&str]) -> Options {
        Options::parse(options, "mounts[0].options").unwrap()
    }

    /// Every option of the specification's table, and which of our fields it touches.
    #[test]
    fn no_option_of_the_specification_reaches_the_filesystem_as_data() {
        for option in [
            "async",
            "atime",
            "bind",
            "defaults",
            "dev",
            "diratime",
            "dirsync",
            "exec",
            "iversion",
            "lazytime",
            "loud",
            "mand",
            "noatime",
            "nodev",
            "nodiratime",
            "noexec",
            "noiversion",
            "nolazytime",
            "nomand",
            "norelatime",
            "nostrictatime",
            "nosuid",
            "nosymfollow",
            "private",
            "ratime",
            "rbind",
            "rdev",
            "rdiratime",
            "relatime",
            "remount",
            "rexec",
            "rnoatime",
            "rnodiratime",
            "rnoexec",
            "rnorelatime",
            "rnostrictatime",
            "rnosuid",
            "rnosymfollow",
            "ro",
            "rprivate",
            "rrelatime",
            "rro",
            "rrw",
            "rshared",
            "rslave",
            "rstrictatime",
            "rsuid",
            "rsymfollow",
            "runbindable",
            "rw",
            "shared",
            "silent",
            "slave",
            "strictatime",
            "suid",
            "symfollow",
            "sync",
            "tmpcopyup",
            "unbindable",
            "idmap",
            "ridmap",
        ] {
            assert_eq!(parsed(&[option]).data, [], "{option}");
        }
    }

    #[test]
    fn the_last_of_two_contradicting_options_wins() {
        assert_eq!(parsed(&["ro", "rw"]).attributes, Attributes { set: 0, clear: MOUNT_ATTR_RDONLY });
        assert_eq!(parsed(&["rw", "ro"]).attributes, Attributes { set: MOUNT_ATTR_RDONLY, clear: 0 });
        assert_eq!(parsed(&["sync", "async"]).superblock, ["async"]);
        assert_eq!(parsed(&["iversion", "noiversion"]).legacy_flags, 0);
    }

    #[test]
    fn access_time_modes_exclude_one_another() {
        let of = |options: &[&str]| parsed(options).attributes;
        assert_eq!(of(&["noatime"]), Attributes { set: MOUNT_ATTR_NOATIME, clear: MOUNT_ATTR_ATIME });
        assert_eq!(of(&["noatime", "strictatime"]).set, MOUNT_ATTR_STRICTATIME);
        assert_eq!(of(&["noatime", "atime"]), Attributes { set: 0, clear: MOUNT_ATTR_ATIME });
        assert_eq!(of(&["strictatime", "atime"]).set, MOUNT_ATTR_STRICTATIME);
        assert_eq!(of(&["norelatime"]), Attributes::default());
    }

    #[test]
    fn recursive_options_are_kept_apart_from_plain_ones() {
        let options = parsed(&["rro", "nosuid", "rnoexec"]);
        assert_eq!(options.recursive.set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC);
        assert_eq!(options.attributes.set, MOUNT_ATTR_NOSUID);
    }

    #[test]
    fn what_is_unknown_is_the_filesystems_own() {
        let options = parsed(&["size=64k,mode=755", "foo", "context=\"a:b:c1,c2\""]);
        let data: Vec<_> = options.data.iter().map(|p| (p.key.as_str(), p.value.as_deref(), p.option)).collect();
        let expected =
            [("size", Some("64k"), 0), ("mode", Some("755"), 0), ("foo", None, 1), ("context", Some("a:b:c1,c2"), 2)];
        assert_eq!(data, expected);
    }

    #[test]
    fn the_page_on_mounts_names_no_option_that_would_reach_the_filesystem() {
        let page = include_str!("../../docs/mounts.md");
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let options: Vec<&str> = rows
            .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
            .filter(|option| !option.ends_with('='))
            .collect();
        assert!(options.len() > 70, "{}", options.len());
        for option in options {
            assert_eq!(parsed(&[option]).data, [], "{option}");
        }
    }

    #[test]
    fn an_option_with_a_nul_byte_is_refused_by_its_place() {
        let error = Options::parse(&["ro", "a\0b"], "mounts[3].options").unwrap_err();
        assert_eq!(error.to_string(), "mounts[3].options[1]: holds a NUL byte");
    }
}
