//! Each option string of the table in config.md.

mod effects;

use crate::bench::mounts::{propagation, tmpfs};
use crate::bench::prelude::*;
use nix::mount::{MsFlags, mount};
use procfs::process::{MountInfo, MountOptFields};
use std::path::{Path, PathBuf};

/// Where an option shows in the mount table.
#[derive(Clone, Copy)]
enum Shows {
    /// The option's word is among those of the mount.
    Mount(&'static str),
    /// A word is not among those of the mount.
    NotMount(&'static str),
    /// The word is among those of the filesystem.
    Super(&'static str),
    NotSuper(&'static str),
    /// Nowhere: that the option is recognised shows in that tmpfs, which would refuse it as its own, is mounted.
    Nowhere,
}

/// Clause, options in order, effect.
const FLAGS: [(&str, &[&str], Shows); 32] = [
    ("async", &["sync", "async"], Shows::NotSuper("sync")),
    ("atime", &["noatime", "atime"], Shows::NotMount("noatime")),
    ("defaults", &["defaults"], Shows::Mount("rw")),
    ("dev", &["nodev", "dev"], Shows::NotMount("nodev")),
    ("diratime", &["nodiratime", "diratime"], Shows::NotMount("nodiratime")),
    ("dirsync", &["dirsync"], Shows::Super("dirsync")),
    ("exec", &["noexec", "exec"], Shows::NotMount("noexec")),
    ("iversion", &["iversion"], Shows::Nowhere),
    ("lazytime", &["lazytime"], Shows::Super("lazytime")),
    ("loud", &["silent", "loud"], Shows::Nowhere),
    ("noatime", &["noatime"], Shows::Mount("noatime")),
    ("nodev", &["nodev"], Shows::Mount("nodev")),
    ("nodiratime", &["nodiratime"], Shows::Mount("nodiratime")),
    ("noexec", &["noexec"], Shows::Mount("noexec")),
    ("noiversion", &["iversion", "noiversion"], Shows::Nowhere),
    ("nolazytime", &["lazytime", "nolazytime"], Shows::NotSuper("lazytime")),
    ("norelatime", &["relatime", "norelatime"], Shows::Nowhere),
    ("nostrictatime", &["strictatime", "nostrictatime"], Shows::Mount("relatime")),
    ("nosuid", &["nosuid"], Shows::Mount("nosuid")),
    ("nosymfollow", &["nosymfollow"], Shows::Mount("nosymfollow")),
    ("relatime", &["noatime", "atime", "relatime"], Shows::Mount("relatime")),
    ("ro", &["ro"], Shows::Mount("ro")),
    ("rw", &["ro", "rw"], Shows::Mount("rw")),
    ("silent", &["silent"], Shows::Nowhere),
    ("strictatime", &["strictatime"], Shows::NotMount("relatime")),
    ("suid", &["nosuid", "suid"], Shows::NotMount("nosuid")),
    ("symfollow", &["nosymfollow", "symfollow"], Shows::NotMount("nosymfollow")),
    ("sync", &["sync"], Shows::Super("sync")),
    ("private", &["private"], Shows::Nowhere),
    ("slave", &["slave"], Shows::Nowhere),
    ("rprivate", &["rprivate"], Shows::Nowhere),
    ("rslave", &["rslave"], Shows::Nowhere),
];

/// Flags that a bind mount takes too, by a second step that a runtime must not forget.
const BIND_FLAGS: [(&str, Shows); 9] = [
    ("ro", Shows::Mount("ro")),
    ("nosuid", Shows::Mount("nosuid")),
    ("nodev", Shows::Mount("nodev")),
    ("noexec", Shows::Mount("noexec")),
    ("noatime", Shows::Mount("noatime")),
    ("nodiratime", Shows::Mount("nodiratime")),
    ("relatime", Shows::Mount("relatime")),
    ("strictatime", Shows::NotMount("relatime")),
    ("nosymfollow", Shows::Mount("nosymfollow")),
];

/// Recursive options: what the inner mount of the source has, and what it must show.
const RECURSIVE: [(&str, MsFlags, Shows); 20] = [
    ("rro", MsFlags::empty(), Shows::Mount("ro")),
    ("rrw", MsFlags::MS_RDONLY, Shows::Mount("rw")),
    ("rnosuid", MsFlags::empty(), Shows::Mount("nosuid")),
    ("rsuid", MsFlags::MS_NOSUID, Shows::NotMount("nosuid")),
    ("rnodev", MsFlags::empty(), Shows::Mount("nodev")),
    ("rdev", MsFlags::MS_NODEV, Shows::NotMount("nodev")),
    ("rnoexec", MsFlags::empty(), Shows::Mount("noexec")),
    ("rexec", MsFlags::MS_NOEXEC, Shows::NotMount("noexec")),
    ("rnoatime", MsFlags::empty(), Shows::Mount("noatime")),
    ("ratime", MsFlags::MS_NOATIME, Shows::NotMount("noatime")),
    ("rnodiratime", MsFlags::empty(), Shows::Mount("nodiratime")),
    ("rdiratime", MsFlags::MS_NODIRATIME, Shows::NotMount("nodiratime")),
    ("rrelatime", MsFlags::MS_NOATIME, Shows::Mount("relatime")),
    ("rnorelatime", MsFlags::empty(), Shows::Nowhere),
    ("rstrictatime", MsFlags::empty(), Shows::NotMount("relatime")),
    ("rnostrictatime", MsFlags::MS_STRICTATIME, Shows::Nowhere),
    ("rnosymfollow", MsFlags::empty(), Shows::Mount("nosymfollow")),
    ("rsymfollow", MsFlags::empty(), Shows::NotMount("nosymfollow")),
    ("rro", MsFlags::MS_NOSUID, Shows::Mount("nosuid")),
    ("rnosuid", MsFlags::MS_RDONLY, Shows::Mount("ro")),
];

fn check(mount: &MountInfo, shows: Shows) -> Result<()> {
    let all = format!("the options of {} are {:?} and {:?}", mount.mount_point.display(), mount.mount_options, mount.super_options);
    let right = match shows {
        Shows::Mount(word) => mount.mount_options.contains_key(word),
        Shows::NotMount(word) => !mount.mount_options.contains_key(word),
        Shows::Super(word) => mount.super_options.contains_key(word),
        Shows::NotSuper(word) => !mount.super_options.contains_key(word),
        Shows::Nowhere => true,
    };
    ensure!(right, "{all}");
    Ok(())
}

fn clause(option: &str) -> &'static str {
    let id = format!("mounts.options.{option}");
    crate::clause::id(&id).unwrap_or("mounts.options.bind")
}

/// SHOULD options may be missing, and `features` may say so.
fn may_lack(t: &Trial, option: &str) -> Result<()> {
    let optional = option.contains("symfollow") || RECURSIVE.iter().any(|(name, _, _)| *name == option);
    if optional { t.needs_listed("/mountOptions", option) } else { Ok(()) }
}

/// A tmpfs of the suite's with another one in it, at `inner`.
fn nested(t: &Trial, inner: MsFlags) -> Result<PathBuf> {
    t.needs_root()?;
    let outer = t.dir.join("source");
    tmpfs(&outer, "size=64k")?;
    let place = outer.join("inner");
    std::fs::create_dir(&place)?;
    mount(Some("tmpfs"), &place, Some("tmpfs"), inner, Some("size=64k"))?;
    Ok(outer)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (option, options, shows) in FLAGS {
        all.push(Case::new(
            format!("the_option_{option}_is_applied_to_a_filesystem"),
            &[clause(option)],
            "A tmpfs is mounted with the option, where it has an opposite after that; the mount table inside tells.",
            move |t| {
                may_lack(t, option)?;
                check(&t.bundle()?.mount("/data", "tmpfs", "tmpfs", options).observe()?.mount("/data")?, shows)
            },
        ));
    }
    for (option, shows) in BIND_FLAGS {
        all.push(Case::new(
            format!("the_option_{option}_is_applied_to_a_bind_mount"),
            &[clause(option), "mounts.bind"],
            "A directory is bound with the option; the mount table inside tells.",
            move |t| {
                may_lack(t, option)?;
                if option.contains("atime") {
                    // In a user namespace of its own a mount's access times are locked.
                    t.needs_root()?;
                }
                let source = t.path("source");
                std::fs::create_dir(&source)?;
                check(&t.bundle()?.bind(&source, "/data", &[option]).observe()?.mount("/data")?, shows)
            },
        ));
    }
    for (index, (option, inner, shows)) in RECURSIVE.into_iter().enumerate() {
        // The last two see that a recursive option keeps the others of the inner mount.
        let name = if index < RECURSIVE.len() - 2 {
            format!("the_recursive_option_{option}_reaches_an_inner_mount")
        } else {
            format!("the_recursive_option_{option}_keeps_the_other_options_of_an_inner_mount")
        };
        all.push(Case::new(
            name,
            &[clause(option)],
            "A tmpfs with another one in it is bound recursively with the option; the mount table tells of the inner one.",
            move |t| {
                may_lack(t, option)?;
                let source = nested(t, inner)?;
                let b = t.bundle()?.mount("/data", "none", &text(&source), &["rbind", option]);
                check(&b.observe()?.mount("/data/inner")?, shows)
            },
        ));
    }
    all.extend(propagations());
    all.extend(effects::cases());
    all
}

/// Option, what the mount itself must show, and what an inner mount must show.
fn propagations() -> Vec<Case> {
    let shared: fn(&MountInfo) -> bool = |m| m.opt_fields.iter().any(|f| matches!(f, MountOptFields::Shared(_)));
    let slave: fn(&MountInfo) -> bool =
        |m| m.opt_fields.iter().any(|f| matches!(f, MountOptFields::Master(_))) && !m.opt_fields.iter().any(|f| matches!(f, MountOptFields::Shared(_)));
    let private: fn(&MountInfo) -> bool = |m| m.opt_fields.is_empty();
    let unbindable: fn(&MountInfo) -> bool = |m| m.opt_fields.iter().any(|f| matches!(f, MountOptFields::Unbindable));
    let table = [
        ("shared", "rshared", shared),
        ("slave", "rslave", slave),
        ("private", "rprivate", private),
        ("unbindable", "runbindable", unbindable),
    ];
    let mut all = Vec::new();
    for (plain, recursive, right) in table {
        all.push(Case::new(
            format!("a_bind_mount_is_made_{plain}"),
            &[clause(plain)],
            "A shared tmpfs of the suite's is bound with the option; the mount table inside tells its propagation.",
            move |t| {
                let source = nested(t, MsFlags::empty())?;
                propagation(&source, MsFlags::MS_SHARED)?;
                let seen = t.bundle()?.bind(&text(&source), "/data", &[plain]).observe()?;
                let mount = seen.mount("/data")?;
                ensure!(right(&mount), "the propagation of /data is {:?}", mount.opt_fields);
                Ok(())
            },
        ));
        all.push(Case::new(
            format!("a_recursive_bind_mount_is_made_{recursive}"),
            &[clause(recursive)],
            "A shared tmpfs with another one in it is bound recursively; both must have the propagation.",
            move |t| {
                let source = nested(t, MsFlags::empty())?;
                propagation(&source, MsFlags::MS_SHARED | MsFlags::MS_REC)?;
                // Elsewhere the host's mounts are slaves already, and the option would have nothing to do.
                let b = t.bundle()?.set("/linux/rootfsPropagation", "shared");
                let seen = b.mount("/data", "none", &text(&source), &["rbind", recursive]).observe()?;
                for point in ["/data", "/data/inner"] {
                    let mount = seen.mount(point)?;
                    ensure!(right(&mount), "the propagation of {point} is {:?}", mount.opt_fields);
                }
                Ok(())
            },
        ));
    }
    all
}
