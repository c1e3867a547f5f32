//! What a runtime makes of every two mount options in both orders, as the container's mount table shows it.

use crate::runtime::Runtime;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// What is mounted with the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A bind mount of a directory, with another mount in it, that have no attributes.
    Bare,
    /// The same with all attributes.
    Full,
    /// A new tmpfs.
    New,
}

/// Options that choose another mount, or nothing that the mount table shows.
const OTHERS: [&str; 8] =
    ["remount", "idmap", "ridmap", "tmpcopyup", "copy-symlink", "src-nofollow", "dest-nofollow", "defaults"];

/// Options of a filesystem, which a bind mount does not make.
const OF_FILESYSTEM: [&str; 11] = [
    "sync",
    "async",
    "dirsync",
    "lazytime",
    "nolazytime",
    "mand",
    "nomand",
    "iversion",
    "noiversion",
    "silent",
    "loud",
];

/// As many mounts as one container gets.
const AT_ONCE: usize = 400;

/// Options in an order, and the state of each mount that they made: `rw,nosuid,relatime private`, of a bind mount also of the
/// mount beneath; `None` where the runtime refused them.
pub type Seen = BTreeMap<(Subject, Vec<String>), Option<Vec<String>>>;

impl Subject {
    /// Every kind.
    pub const ALL: [Subject; 3] = [Subject::Bare, Subject::Full, Subject::New];

    /// Which of `options` can be tried on it.
    pub fn takes(self, options: &[String]) -> Vec<&str> {
        let is_bind = |option: &str| option == "bind" || option == "rbind";
        let fits = |option: &&str| match self {
            Subject::New => !is_bind(option),
            _ => !OF_FILESYSTEM.contains(option),
        };
        options.iter().map(String::as_str).filter(|option| !OTHERS.contains(option)).filter(fits).collect()
    }

    fn mount(self, options: &[String], n: usize) -> Value {
        let destination = format!("/m/{n}");
        let mut options = options.to_vec();
        let source = match self {
            Subject::New => {
                return json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options});
            }
            Subject::Bare => "/bare",
            Subject::Full => "/full",
        };
        if !options.iter().any(|option| option == "bind") {
            options.push("rbind".into());
        }
        json!({"destination": destination, "type": "bind", "source": source, "options": options})
    }
}

/// Options that a runtime lists in its `features` document.
///
/// # Errors
/// It has no such document.
pub fn listed(runtime: &Path) -> Result<Vec<String>> {
    let output = Command::new(runtime).arg("features").output()?;
    let document: Value = serde_json::from_slice(&output.stdout).context("features")?;
    let list = document["mountOptions"].as_array().context("mountOptions")?;
    Ok(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

/// A place for containers: root filesystem and sources.
#[derive(Debug)]
struct Place<'a> {
    runtime: &'a Runtime,
    dir: &'a Path,
}

/// Tries every option alone, and every two that the runtime takes alone, in both orders; needs root.
///
/// # Errors
/// A container could not be made at all.
pub fn pairs(runtime: &Runtime, options: &[String], dir: &Path) -> Result<Seen> {
    let place = Place { runtime, dir };
    place.make()?;
    let mut seen = Seen::new();
    for subject in Subject::ALL {
        let alone: Vec<Vec<String>> = subject.takes(options).into_iter().map(|one| vec![one.to_owned()]).collect();
        place.try_all(subject, &alone, &mut seen)?;
        let known = |one: &&Vec<String>| seen[&(subject, (*one).clone())].is_some();
        let taken: Vec<&String> = alone.iter().filter(known).flatten().collect();
        let mut twos = Vec::new();
        for one in &taken {
            let others = taken.iter().filter(|other| one != *other);
            twos.extend(others.map(|other| vec![(*one).clone(), (*other).clone()]));
        }
        place.try_all(subject, &twos, &mut seen)?;
    }
    Ok(seen)
}

impl Place<'_> {
    fn make(&self) -> Result<()> {
        for name in ["bundle/rootfs/bin", "bundle/rootfs/proc", "bundle/rootfs/dev"] {
            fs::create_dir_all(self.dir.join(name))?;
        }
        fs::copy("/bin/busybox", self.dir.join("bundle/rootfs/bin/busybox"))?;
        Ok(symlink("busybox", self.dir.join("bundle/rootfs/bin/cat"))?)
    }

    /// All in as few containers as can be: where one is refused, its halves are tried.
    fn try_all(&self, subject: Subject, all: &[Vec<String>], seen: &mut Seen) -> Result<()> {
        for some in all.chunks(AT_ONCE) {
            let states = self.states(subject, some)?;
            match states {
                Some(states) => {
                    seen.extend(some.iter().map(|one| (subject, one.clone())).zip(states.into_iter().map(Some)))
                }
                None if some.len() == 1 => _ = seen.insert((subject, some[0].clone()), None),
                None => {
                    let (one, other) = some.split_at(some.len() / 2);
                    self.try_all(subject, one, seen)?;
                    self.try_all(subject, other, seen)?;
                }
            }
        }
        Ok(())
    }

    /// The mounts of one container with these options; `None` if the runtime refuses them.
    fn states(&self, subject: Subject, some: &[Vec<String>]) -> Result<Option<Vec<Vec<String>>>> {
        let mut mounts = vec![json!({"destination": "/proc", "type": "proc", "source": "proc"})];
        mounts.extend(some.iter().enumerate().map(|(n, options)| self.absolute(subject.mount(options, n))));
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["/bin/cat", "/proc/self/mountinfo"]},
            "mounts": mounts,
            "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}
        });
        fs::write(self.dir.join("bundle/config.json"), config.to_string())?;
        let output = Command::new("timeout")
            .args(["120", "unshare", "-m", "--propagation", "private", "sh", "-ec", SOURCES, "sources"])
            .args([self.dir, &self.runtime.path])
            .args([self.dir.join("state"), self.dir.join("bundle")])
            .arg(format!("options-{}", std::process::id()))
            .output()?;
        match output.status.code() {
            Some(0) => read(&String::from_utf8(output.stdout)?, some.len()).map(Some),
            Some(124) | None => bail!("no end: {}", String::from_utf8_lossy(&output.stderr)),
            _ => Ok(None),
        }
    }

    fn absolute(&self, mut mount: Value) -> Value {
        if let Some(name) = mount["source"].as_str().and_then(|source| source.strip_prefix('/')) {
            mount["source"] = json!(self.dir.join(name));
        }
        mount
    }
}

/// Mounts the sources in a mount namespace of their own, then runs the container.
const SOURCES: &str = r#"
full=nosuid,nodev,noexec,noatime,nodiratime,nosymfollow
for name in bare full; do
    mkdir -p "$1/$name"
    mount -t tmpfs tmpfs "$1/$name"
    mkdir "$1/$name/inner"
    mount -t tmpfs tmpfs "$1/$name/inner"
done
for place in "$1/full/inner" "$1/full"; do mount -o "remount,bind,ro,$full" "$place"; done
exec "$2" --root "$3" run --bundle "$4" "$5" < /dev/null
"#;

/// The states of the mounts below `/m` in a mount table.
fn read(table: &str, count: usize) -> Result<Vec<Vec<String>>> {
    let mut states: Vec<Vec<String>> = vec![Vec::new(); count];
    for line in table.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let Some(n) = fields[4].strip_prefix("/m/").and_then(|rest| rest.split('/').next()) else { continue };
        states[n.parse::<usize>()?].push(state(&fields));
    }
    if states.iter().any(Vec::is_empty) {
        bail!("a mount is missing: {table}");
    }
    Ok(states)
}

/// Attributes, propagation, and the filesystem's flags where it has any of those that an option sets.
fn state(fields: &[&str]) -> String {
    let (optional, rest) = fields[6..].split_at(fields[6..].iter().position(|field| *field == "-").unwrap_or(0));
    let has = |word: &str| optional.iter().any(|field| field.starts_with(word));
    let peers = match (has("shared:"), has("master:"), has("unbindable")) {
        (true, true, _) => "slave,shared",
        (true, ..) => "shared",
        (_, true, _) => "slave",
        (.., true) => "unbindable",
        _ => "private",
    };
    let flags: Vec<&str> = rest[3].split(',').filter(|flag| *flag == "ro" || OF_FILESYSTEM.contains(flag)).collect();
    [fields[5], peers, &flags.join(",")].join(" ").trim_end().to_owned()
}

/// One line for every entry.
#[must_use]
pub fn text(seen: &Seen) -> String {
    let line = |((subject, options), states): (&(Subject, Vec<String>), &Option<Vec<String>>)| {
        let states = states.as_ref().map_or("refused".to_owned(), |states| states.join(" / "));
        format!("{subject:?} {}: {states}\n", options.join(" "))
    };
    seen.iter().map(line).collect()
}

/// Options for access times.
pub const ATIME: [&str; 6] = ["noatime", "atime", "relatime", "norelatime", "strictatime", "nostrictatime"];

/// The attribute that an option speaks of, as far as two options may contradict each other.
#[must_use]
pub fn attribute(option: &str) -> Option<&'static str> {
    const ATTRIBUTES: [(&str, [&str; 2]); 6] = [
        ("ro", ["ro", "rw"]),
        ("suid", ["nosuid", "suid"]),
        ("dev", ["nodev", "dev"]),
        ("exec", ["noexec", "exec"]),
        ("diratime", ["nodiratime", "diratime"]),
        ("symfollow", ["nosymfollow", "symfollow"]),
    ];
    const KINDS: [&str; 4] = ["shared", "slave", "private", "unbindable"];
    let of = |name: &str| match ATTRIBUTES.iter().find(|(_, names)| names.contains(&name)) {
        Some((attribute, _)) => Some(*attribute),
        None if KINDS.contains(&name) => Some("propagation"),
        None => ATIME.contains(&name).then_some("atime"),
    };
    of(option).or_else(|| option.strip_prefix('r').and_then(of))
}

/// For every two options of one attribute (propagation is none): the attribute of the bind mount and of the mount beneath,
/// as in `ro / rw`. The source has no attributes.
#[must_use]
pub fn difference_rows(seen: &Seen) -> BTreeMap<Vec<String>, String> {
    let mut rows = BTreeMap::new();
    for ((subject, options), states) in seen {
        let [one, other] = &options[..] else { continue };
        let same = attribute(one).filter(|it| Some(*it) == attribute(other) && *it != "propagation");
        let (Some(attribute), Subject::Bare) = (same, subject) else { continue };
        let states = states.as_ref().map_or("refused".to_owned(), |states| {
            states.iter().map(|state| word(state, attribute)).collect::<Vec<_>>().join(" / ")
        });
        rows.insert(options.clone(), states);
    }
    rows
}

/// The word of a state that says how one attribute is.
fn word<'a>(state: &'a str, attribute: &'static str) -> &'a str {
    let attributes = state.split(' ').next().unwrap_or_default();
    let has = |word: &str| attributes.split(',').any(|other| other == word);
    match attribute {
        "ro" => attributes.split(',').next().unwrap_or_default(),
        "atime" if has("noatime") => "noatime",
        "atime" if has("relatime") => "relatime",
        "atime" => "strictatime",
        _ => attributes.split(',').find(|word| word.strip_prefix("no") == Some(attribute)).unwrap_or(attribute),
    }
}

/// The table of the pairs of which the runtimes make different things, the first of them first.
#[must_use]
pub fn table(all: &[(String, Seen)]) -> String {
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let head = format!("| options in this order | {} |\n| --- |{}\n", names.join(" | "), " --- |".repeat(names.len()));
    let rows: Vec<_> = all.iter().map(|(_, seen)| difference_rows(seen)).collect();
    let Some((first, others)) = rows.split_first() else { return head };
    let lines = first.iter().filter_map(|(options, cell)| {
        let cells: Vec<&str> = others.iter().map(|rows| rows.get(options).map_or("unknown", String::as_str)).collect();
        let differs = cells.iter().any(|other| other != cell && *other != "unknown");
        let line = format!("| `{}` | {cell} | {} |\n", options.join("` `"), cells.join(" | "));
        differs.then_some(line)
    });
    head + &lines.collect::<String>()
}
