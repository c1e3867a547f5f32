//! Parsing the options of a mount (config.md, "Linux mount options") into attributes, flags and
//! parameters.
//!
//! [`OPTIONS`] is the only list of options: the parser, `features` and the test of docs/mounts.md
//! read it.

use crate::error::{Error, Result};
use crate::sys::mount::{
    MOUNT_ATTR_ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID, MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME,
};
use Effect::*;
use Switch::*;
use std::fmt;

/// The effect of an option.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// Changes an attribute of the mount itself.
    Own(Switch),
    /// Changes an attribute of the mount and of all mounts beneath it.
    Tree(Switch),
    Propagates(Propagation),
    BindOf(Depth),
    Remount,
    /// An id mapping; ranges may follow after `=`.
    IdmapOf(Depth),
    CopyUp,
    CopySymlink,
    SourceNoFollow,
    DestinationNoFollow,
    /// Sets a parameter of the filesystem, and removes the opposite one.
    Superblock(&'static str, &'static str),
    /// Sets or clears a flag that only `mount(2)` has.
    Flag(libc::c_ulong, bool),
    /// No effect.
    Nothing,
    /// No effect: the option is for mount(8) only, and `features` does not list it.
    OfMountCommand,
}

/// A change of one attribute.
#[derive(Clone, Copy, Debug)]
enum Switch {
    Set(u64),
    Clear(u64),
    /// Sets one of the three atime modes. They exclude each other, and the kernel requires that the
    /// whole field is cleared in order to set it.
    Atime(u64),
    /// Clears an atime mode: the kernel's default (relatime) applies, unless another option sets a
    /// mode.
    NotAtime(u64),
    Keep,
}

const fn propagates(kind: libc::c_ulong, recursive: bool) -> Effect {
    Propagates(Propagation { kind, recursive })
}

/// All options, sorted by name.
static OPTIONS: &[(&str, Effect)] = &[
    ("_netdev", OfMountCommand),
    ("async", Superblock("async", "sync")),
    ("atime", Own(NotAtime(MOUNT_ATTR_NOATIME))),
    ("auto", OfMountCommand),
    ("bind", BindOf(Depth::Mount)),
    ("copy-symlink", CopySymlink),
    ("defaults", Nothing),
    ("dest-nofollow", DestinationNoFollow),
    ("dev", Own(Clear(MOUNT_ATTR_NODEV))),
    ("diratime", Own(Clear(MOUNT_ATTR_NODIRATIME))),
    ("dirsync", Superblock("dirsync", "")),
    ("exec", Own(Clear(MOUNT_ATTR_NOEXEC))),
    ("group", OfMountCommand),
    ("idmap", IdmapOf(Depth::Mount)),
    ("iversion", Flag(libc::MS_I_VERSION, true)),
    ("lazytime", Superblock("lazytime", "nolazytime")),
    ("loud", Flag(libc::MS_SILENT, false)),
    ("mand", Superblock("mand", "nomand")),
    ("noatime", Own(Atime(MOUNT_ATTR_NOATIME))),
    ("noauto", OfMountCommand),
    ("nodev", Own(Set(MOUNT_ATTR_NODEV))),
    ("nodiratime", Own(Set(MOUNT_ATTR_NODIRATIME))),
    ("noexec", Own(Set(MOUNT_ATTR_NOEXEC))),
    ("nofail", OfMountCommand),
    ("nogroup", OfMountCommand),
    ("noiversion", Flag(libc::MS_I_VERSION, false)),
    ("nolazytime", Superblock("nolazytime", "lazytime")),
    ("nomand", Superblock("nomand", "mand")),
    ("noowner", OfMountCommand),
    ("norelatime", Own(Keep)),
    ("nostrictatime", Own(NotAtime(MOUNT_ATTR_STRICTATIME))),
    ("nosuid", Own(Set(MOUNT_ATTR_NOSUID))),
    ("nosymfollow", Own(Set(MOUNT_ATTR_NOSYMFOLLOW))),
    ("nouser", OfMountCommand),
    ("nousers", OfMountCommand),
    ("owner", OfMountCommand),
    ("private", propagates(libc::MS_PRIVATE, false)),
    ("ratime", Tree(NotAtime(MOUNT_ATTR_NOATIME))),
    ("rbind", BindOf(Depth::Tree)),
    ("rdev", Tree(Clear(MOUNT_ATTR_NODEV))),
    ("rdiratime", Tree(Clear(MOUNT_ATTR_NODIRATIME))),
    ("relatime", Own(Atime(0))),
    ("remount", Remount),
    ("rexec", Tree(Clear(MOUNT_ATTR_NOEXEC))),
    ("ridmap", IdmapOf(Depth::Tree)),
    ("rnoatime", Tree(Atime(MOUNT_ATTR_NOATIME))),
    ("rnodev", Tree(Set(MOUNT_ATTR_NODEV))),
    ("rnodiratime", Tree(Set(MOUNT_ATTR_NODIRATIME))),
    ("rnoexec", Tree(Set(MOUNT_ATTR_NOEXEC))),
    ("rnorelatime", Tree(Keep)),
    ("rnostrictatime", Tree(NotAtime(MOUNT_ATTR_STRICTATIME))),
    ("rnosuid", Tree(Set(MOUNT_ATTR_NOSUID))),
    ("rnosymfollow", Tree(Set(MOUNT_ATTR_NOSYMFOLLOW))),
    ("ro", Own(Set(MOUNT_ATTR_RDONLY))),
    ("rprivate", propagates(libc::MS_PRIVATE, true)),
    ("rrelatime", Tree(Atime(0))),
    ("rro", Tree(Set(MOUNT_ATTR_RDONLY))),
    ("rrw", Tree(Clear(MOUNT_ATTR_RDONLY))),
    ("rshared", propagates(libc::MS_SHARED, true)),
    ("rslave", propagates(libc::MS_SLAVE, true)),
    ("rstrictatime", Tree(Atime(MOUNT_ATTR_STRICTATIME))),
    ("rsuid", Tree(Clear(MOUNT_ATTR_NOSUID))),
    ("rsymfollow", Tree(Clear(MOUNT_ATTR_NOSYMFOLLOW))),
    ("runbindable", propagates(libc::MS_UNBINDABLE, true)),
    ("rw", Own(Clear(MOUNT_ATTR_RDONLY))),
    ("shared", propagates(libc::MS_SHARED, false)),
    ("silent", Flag(libc::MS_SILENT, true)),
    ("slave", propagates(libc::MS_SLAVE, false)),
    ("src-nofollow", SourceNoFollow),
    ("strictatime", Own(Atime(MOUNT_ATTR_STRICTATIME))),
    ("suid", Own(Clear(MOUNT_ATTR_NOSUID))),
    ("symfollow", Own(Clear(MOUNT_ATTR_NOSYMFOLLOW))),
    ("sync", Superblock("sync", "async")),
    ("tmpcopyup", CopyUp),
    ("unbindable", propagates(libc::MS_UNBINDABLE, false)),
    ("user", OfMountCommand),
    ("users", OfMountCommand),
];

/// The names of the options in the table, without those for mount(8). Options of single filesystems
/// are not in it.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().filter(|(_, effect)| !matches!(effect, OfMountCommand)).map(|(name, _)| *name)
}

fn effect(name: &str) -> Option<Effect> {
    let place = OPTIONS.binary_search_by(|(other, _)| (*other).cmp(name)).ok()?;
    OPTIONS.get(place).map(|(_, effect)| *effect)
}

/// Attributes of a mount to set and to clear. All others stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) set: u64,
    pub(crate) clear: u64,
}

/// The attributes that are one bit: the options that set and clear them.
pub(crate) static ATTRIBUTES: [(&str, &str, u64); 6] = [
    ("ro", "rw", MOUNT_ATTR_RDONLY),
    ("nosuid", "suid", MOUNT_ATTR_NOSUID),
    ("nodev", "dev", MOUNT_ATTR_NODEV),
    ("noexec", "exec", MOUNT_ATTR_NOEXEC),
    ("nodiratime", "diratime", MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", "symfollow", MOUNT_ATTR_NOSYMFOLLOW),
];

impl Attributes {
    /// Sets these attributes and clears none.
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

    fn apply(&mut self, switch: Switch) {
        match switch {
            Set(bit) => self.change(bit, true),
            Clear(bit) => self.change(bit, false),
            Atime(mode) => {
                self.set = self.set & !MOUNT_ATTR_ATIME | mode;
                self.clear |= MOUNT_ATTR_ATIME;
            }
            NotAtime(mode) => {
                let chosen = self.clear & MOUNT_ATTR_ATIME != 0;
                if !chosen || self.set & MOUNT_ATTR_ATIME == mode {
                    self.apply(Atime(0));
                }
            }
            Keep => {}
        }
    }
}

/// A change of the propagation type of mounts (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Propagation {
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE.
    pub(crate) kind: libc::c_ulong,
    pub(crate) recursive: bool,
}

impl Propagation {
    /// The propagation with this name in a config.
    pub(crate) fn named(name: &str) -> Option<Propagation> {
        match effect(name) {
            Some(Propagates(propagation)) => Some(propagation),
            _ => None,
        }
    }

    /// The name in a config.
    pub(crate) fn name(self) -> &'static str {
        let is_it = |effect: &Effect| matches!(effect, Propagates(known) if *known == self);
        OPTIONS.iter().find(|(_, effect)| is_it(effect)).map_or("", |(name, _)| *name)
    }
}

/// Whether a mount is a bind mount, or is id-mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Depth {
    #[default]
    No,
    Mount,
    /// The mount and all mounts beneath it.
    Tree,
}

/// The parsed options of a mount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) bind: Depth,
    pub(crate) remount: bool,
    pub(crate) attributes: Attributes,
    /// Attributes of the mount and all mounts beneath it; applied before `attributes`.
    pub(crate) recursive: Attributes,
    pub(crate) propagation: Vec<Propagation>,
    pub(crate) idmap: Depth,
    /// The ranges after `idmap=` or `ridmap=` (an extension of crun), and the index of the option.
    pub(crate) id_ranges: Option<(String, usize)>,
    /// Flags of the superblock as parameters for `fsconfig(2)`: sync, dirsync, lazytime, mand, and
    /// their opposites.
    pub(crate) superblock: Vec<&'static str>,
    /// Flags that only `mount(2)` can pass: MS_I_VERSION, MS_SILENT.
    pub(crate) legacy_flags: libc::c_ulong,
    /// Parameters of the filesystem.
    pub(crate) data: Vec<Parameter>,
    pub(crate) copy_up: bool,
    pub(crate) copy_symlink: bool,
    pub(crate) source_no_follow: bool,
    pub(crate) destination_no_follow: bool,
}

/// A parameter of a filesystem, with the index of its option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) option: usize,
}

impl Attributes {
    /// The names of the attributes to set and of those to clear, as a config has them.
    pub(crate) fn words(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let names = |bits: u64| ATTRIBUTES.iter().filter(move |(_, _, bit)| bits & bit != 0);
        let mut set: Vec<_> = names(self.set).map(|(name, ..)| *name).collect();
        match (self.clear & MOUNT_ATTR_ATIME != 0, self.set & MOUNT_ATTR_ATIME) {
            (false, _) => {}
            (true, MOUNT_ATTR_NOATIME) => set.push("noatime"),
            (true, MOUNT_ATTR_STRICTATIME) => set.push("strictatime"),
            (true, _) => set.push("relatime"),
        }
        (set, names(self.clear & !self.set).map(|(_, name, _)| *name).collect())
    }
}

impl Options {
    /// Parses `options`; `path` is their JSON path, such as `mounts[2].options`.
    pub(crate) fn parse(options: &[impl AsRef<str>], path: impl fmt::Display) -> Result<Options> {
        let mut all = Options::default();
        for (n, option) in options.iter().enumerate() {
            let option = option.as_ref();
            if option.contains('\0') {
                return Err(Error::config(format_args!("{path}[{n}]"), "holds a NUL byte"));
            }
            all.apply(option, n);
        }
        all.settle();
        Ok(all)
    }

    /// If a plain and a recursive option contradict each other, the stricter one applies to the
    /// mount itself, in any order: a plain option does not clear an attribute that a recursive one
    /// sets.
    ///
    /// No atime mode is stricter than another; the plain option, which is for this mount only,
    /// applies.
    fn settle(&mut self) {
        self.attributes.clear &= !self.recursive.set | MOUNT_ATTR_ATIME;
    }

    /// The attributes of a mount without mounts beneath it: plain and recursive options together.
    pub(crate) fn own(&self) -> Attributes {
        let (tree, own) = (self.recursive, self.attributes);
        let mut all = Attributes { set: tree.set & !own.clear | own.set, clear: tree.clear & !own.set | own.clear };
        if own.clear & MOUNT_ATTR_ATIME != 0 {
            all.set = all.set & !MOUNT_ATTR_ATIME | own.set & MOUNT_ATTR_ATIME;
        }
        all
    }

    fn apply(&mut self, option: &str, n: usize) {
        let (name, ranges) = option.split_once('=').map_or((option, None), |(name, ranges)| (name, Some(ranges)));
        match (effect(name), ranges) {
            (Some(IdmapOf(idmap)), ranges) => {
                self.idmap = self.idmap.max(idmap);
                self.id_ranges = ranges.map(|ranges| (ranges.to_string(), n)).or(self.id_ranges.take());
            }
            (Some(effect), None) => self.take(effect),
            _ if option.starts_with("x-") || option.starts_with("X-") => {}
            _ => self.parameters_of_filesystem(option, n),
        }
    }

    fn take(&mut self, effect: Effect) {
        match effect {
            Own(switch) => self.attributes.apply(switch),
            Tree(switch) => self.recursive.apply(switch),
            Propagates(propagation) => self.propagation.push(propagation),
            BindOf(bind) => self.bind = self.bind.max(bind),
            Remount => self.remount = true,
            IdmapOf(idmap) => self.idmap = self.idmap.max(idmap),
            CopyUp => self.copy_up = true,
            CopySymlink => self.copy_symlink = true,
            SourceNoFollow => self.source_no_follow = true,
            DestinationNoFollow => self.destination_no_follow = true,
            Superblock(name, opposite) => {
                self.superblock.retain(|other| *other != name && *other != opposite);
                self.superblock.push(name);
            }
            Flag(flag, true) => self.legacy_flags |= flag,
            Flag(flag, false) => self.legacy_flags &= !flag,
            Nothing | OfMountCommand => {}
        }
    }

    fn parameters_of_filesystem(&mut self, option: &str, n: usize) {
        for part in split_data(option) {
            let (key, value) = match part.split_once('=') {
                Some((key, value)) => (key, Some(value.trim_matches('"').to_string())),
                None => (part, None),
            };
            self.data.push(Parameter { key: key.to_string(), value, option: n });
        }
    }
}

/// Splits at commas outside of quotes (an SELinux context may contain commas in quotes).
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

    #[test]
    fn the_table_is_in_order_and_no_option_of_it_reaches_the_filesystem_as_data() {
        assert!(OPTIONS.is_sorted_by(|(one, _), (other, _)| one < other));
        for (option, _) in OPTIONS {
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
    fn the_page_on_mounts_has_each_option_of_the_table_once_and_no_other() {
        let page = include_str!("../../docs/mounts.md");
        let (page, _) = page.split_once("| options in this order |").unwrap();
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let mut on_page: Vec<&str> = rows
            .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
            .filter(|option| !option.contains('='))
            .collect();
        on_page.sort_unstable();
        assert_eq!(on_page, OPTIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn the_stricter_of_a_plain_and_a_recursive_option_wins_in_either_order() {
        let both = [
            ("rw", "rro", MOUNT_ATTR_RDONLY),
            ("suid", "rnosuid", MOUNT_ATTR_NOSUID),
            ("dev", "rnodev", MOUNT_ATTR_NODEV),
            ("exec", "rnoexec", MOUNT_ATTR_NOEXEC),
            ("diratime", "rnodiratime", MOUNT_ATTR_NODIRATIME),
            ("symfollow", "rnosymfollow", MOUNT_ATTR_NOSYMFOLLOW),
        ];
        for (plain, recursive, bit) in both {
            for options in [[plain, recursive], [recursive, plain]].map(|options| parsed(&options)) {
                assert_eq!((options.attributes, options.recursive.set), (Attributes::default(), bit), "{plain}");
                assert_eq!(options.own(), Attributes::setting(bit));
            }
        }
        for options in [["ro", "rrw"], ["rrw", "ro"]].map(|options| parsed(&options)) {
            assert_eq!(options.own(), Attributes::setting(MOUNT_ATTR_RDONLY));
            assert_eq!(options.recursive.clear, MOUNT_ATTR_RDONLY);
        }
    }

    #[test]
    fn between_a_mount_and_its_tree_the_wider_bind_or_id_mapping_stays() {
        for options in [["bind", "rbind"], ["rbind", "bind"]] {
            assert_eq!(parsed(&options).bind, Depth::Tree);
        }
        for options in [["idmap=x", "ridmap"], ["ridmap", "idmap=x"], ["idmap", "ridmap=x"]] {
            let options = parsed(&options);
            assert_eq!((options.idmap, options.id_ranges.unwrap().0.as_str()), (Depth::Tree, "x"));
        }
    }

    #[test]
    fn an_option_with_a_nul_byte_is_refused_by_its_place() {
        let error = Options::parse(&["ro", "a\0b"], "mounts[3].options").unwrap_err();
        assert_eq!(error.to_string(), "mounts[3].options[1]: holds a NUL byte");
    }
}
