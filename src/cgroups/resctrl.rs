//! Cache and memory bandwidth allocation: groups of the resctrl filesystem (config-linux.md,
//! "IntelRdt"; Documentation/filesystems/resctrl.rst of the kernel).

use crate::config::{IntelRdt, Spec};
use crate::error::{Error, Ignore as _, IoContext, Result};
use crate::json::readable;
use crate::mountinfo;
use serde::Serialize;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

const FIELD: &str = "linux.intelRdt";

/// The checked form of `linux.intelRdt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResctrlPlan {
    /// The group in `closID`. `/` is the root of the filesystem.
    named: Option<String>,
    /// The lines to write, in their order.
    schemata: Vec<String>,
    /// The number of lines, from the first, that come from `l3CacheSchema` and `memBwSchema`: an
    /// existing group must have the same values.
    compared: usize,
    monitor: bool,
    id: String,
}

/// The container's resctrl directories, as part of its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ResctrlRecord {
    /// The group's directory.
    pub group: PathBuf,
    /// The directory of the container's monitoring group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor: Option<PathBuf>,
    /// Whether the group was created for this container alone.
    pub own: bool,
}

readable! { ResctrlRecord { group = "group", monitor = "monitor", own = "own" } }

impl ResctrlPlan {
    /// Checks `linux.intelRdt`. None if the config does not have it.
    ///
    /// # Errors
    /// An error of the kind `Config`, with the field's JSON path.
    pub(crate) fn parse(spec: &Spec<'_>, id: &str) -> Result<Option<ResctrlPlan>> {
        let Some(rdt) = spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref()) else { return Ok(None) };
        let named = rdt.clos_id.as_deref().filter(|name| !name.is_empty());
        if named.is_some_and(|name| name != "/" && !is_group(name)) {
            return Err(Error::config(format_args!("{FIELD}.closID"), "is not a valid group name"));
        }
        let schemata = lines(rdt)?;
        let compared = schemata.len() - rdt.schemata.as_ref().map_or(0, Vec::len);
        let monitor = rdt.enable_monitoring.unwrap_or(false);
        Ok(Some(ResctrlPlan { named: named.map(str::to_owned), schemata, compared, monitor, id: id.to_owned() }))
    }

    /// The paths of the container's group. Creates nothing yet.
    ///
    /// # Errors
    /// The resctrl filesystem or the named group does not exist.
    pub(crate) fn record(&self) -> Result<ResctrlRecord> {
        self.record_below(&mounted()?)
    }

    fn record_below(&self, root: &Path) -> Result<ResctrlRecord> {
        let group = match self.named.as_deref() {
            Some("/") => root.to_owned(),
            Some(name) => root.join(name),
            None => root.join(&self.id),
        };
        let missing = !group.exists();
        if missing && self.named.is_some() && self.schemata.is_empty() {
            let problem = format!("the group {group:?} does not exist, and there are no schemata to create it with");
            return Err(Error::config(format_args!("{FIELD}.closID"), problem));
        }
        let monitor = self.monitor.then(|| group.join("mon_groups").join(&self.id));
        Ok(ResctrlRecord { own: missing && self.named.is_none(), group, monitor })
    }

    /// Creates the group, or checks an existing one. On failure it removes the directories that it
    /// created.
    ///
    /// # Errors
    /// An existing group has other values than the config, or the kernel refuses a value.
    pub(crate) fn make(&self, record: &ResctrlRecord) -> Result<()> {
        let made = !record.group.exists();
        let done = self.fill(record, made);
        if done.is_err() {
            ResctrlRecord { own: made, ..record.clone() }.remove();
        }
        done
    }

    fn fill(&self, record: &ResctrlRecord, made: bool) -> Result<()> {
        if made {
            make(&record.group)?;
        }
        let kept = if !made && self.named.is_some() { self.compared } else { 0 };
        self.compare(&record.group, &self.schemata[..kept])?;
        // Without schemata any existing group fits.
        if let lines @ [_, ..] = &self.schemata[kept..] {
            write(&record.group.join("schemata"), &(lines.join("\n") + "\n"))?;
        }
        record.monitor.as_deref().map_or(Ok(()), make)
    }

    /// A shared group must already have the values of the config.
    fn compare(&self, group: &Path, lines: &[String]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let file = group.join("schemata");
        let current = fs::read_to_string(&file).io_context(|| format!("read {file:?}"))?;
        for wanted in lines {
            let there = current.lines().any(|line| covers(line, wanted));
            if !there {
                let problem = format!("the group {group:?} has other schemata than {wanted:?}");
                return Err(Error::config(format_args!("{FIELD}.closID"), problem));
            }
        }
        Ok(())
    }
}

impl ResctrlRecord {
    /// Moves a single-threaded process into the group.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn join(&self, pid: i32) -> Result<()> {
        for directory in [Some(&self.group), self.monitor.as_ref()].into_iter().flatten() {
            write(&directory.join("tasks"), &pid.to_string())?;
        }
        Ok(())
    }

    /// The current schemata.
    ///
    /// # Errors
    /// The schemata cannot be read.
    pub(crate) fn schemata(&self) -> Result<String> {
        let path = self.group.join("schemata");
        let text = fs::read_to_string(&path).io_context(|| format!("read {}", path.display()))?;
        Ok(text.lines().map(|line| line.trim().to_owned() + "\n").collect())
    }

    /// Writes schemata lines.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn update(&self, schemata: &[&str]) -> Result<()> {
        write(&self.group.join("schemata"), &(schemata.join("\n") + "\n"))
    }

    /// Removes the container's directories. Its processes must have exited. Missing directories are
    /// ignored.
    pub(crate) fn remove(&self) {
        for directory in [self.monitor.as_ref(), self.own.then_some(&self.group)].into_iter().flatten() {
            fs::remove_dir(directory).ignore("another container may be in the group");
        }
    }
}

fn is_group(name: &str) -> bool {
    !matches!(name, "" | "." | ".." | "info" | "mon_groups" | "mon_data") && !name.contains(['/', '\0', '\n'])
}

/// The lines to write, in the order of the specification.
fn lines(rdt: &IntelRdt<'_>) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut add = |field: String, line: &str, start: &str| {
        if line.contains('\n') || !line.starts_with(start) {
            let problem = format!("{line:?} is not one line that starts with {start:?}");
            return Err(Error::config(format_args!("{FIELD}.{field}"), problem));
        }
        lines.push(line.to_owned());
        Ok(())
    };
    if let Some(line) = rdt.l3_cache_schema.as_deref().filter(|line| !line.is_empty()) {
        add("l3CacheSchema".into(), line, "")?;
    }
    if let Some(line) = rdt.mem_bw_schema.as_deref().filter(|line| !line.is_empty()) {
        add("memBwSchema".into(), line, "MB:")?;
    }
    for (n, line) in rdt.schemata.iter().flatten().enumerate() {
        add(format!("schemata[{n}]"), line, "")?;
    }
    Ok(lines)
}

/// Whether a line of the kernel, such as `    L3:0=000ff;1=000ff`, has the values of `wanted` for
/// every domain in it.
fn covers(line: &str, wanted: &str) -> bool {
    let (Some((kind, values)), Some((wanted_kind, wanted_values))) = (line.split_once(':'), wanted.split_once(':'))
    else {
        return false;
    };
    let plain = |pair: &str| {
        let (domain, value) = pair.trim().split_once('=')?;
        let value = value.trim().trim_start_matches('0').to_ascii_lowercase();
        Some((domain.trim().to_owned(), value))
    };
    let values: Vec<_> = values.split(';').map(plain).collect();
    kind.trim() == wanted_kind.trim() && wanted_values.split(';').map(plain).all(|pair| values.contains(&pair))
}

/// The mount point of the filesystem.
fn mounted() -> Result<PathBuf> {
    let table = mountinfo::table("self")?;
    let mount = mountinfo::mounts(&table).find(|mounted| mounted.kind == b"resctrl");
    mount.map(|mount| PathBuf::from(OsString::from_vec(mount.point()))).ok_or_else(|| {
        Error::config(FIELD, "no resctrl filesystem is mounted")
            .hint("mount -t resctrl resctrl /sys/fs/resctrl, if the CPU and the kernel support it")
    })
}

fn make(directory: &Path) -> Result<()> {
    match fs::create_dir(directory) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.io_context(|| format!("mkdir({directory:?})")),
    }
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).io_context(|| format!("write({file:?}, {:?})", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn plan(json: &str) -> Result<ResctrlPlan> {
        let json = format!(r#"{{"linux":{{"intelRdt":{json}}}}}"#);
        Ok(ResctrlPlan::parse(&config::parse(&json).unwrap(), "web")?.unwrap())
    }

    /// A directory that resembles the filesystem, with one group `shared`.
    fn scene(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("orlop-resctrl-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("shared/mon_groups")).unwrap();
        fs::write(root.join("shared/schemata"), "    MB:0=100;1=100\n    L3:0=000ff;1=0000f\n").unwrap();
        root
    }

    fn prepared(plan: &ResctrlPlan, root: &Path) -> Result<ResctrlRecord> {
        let record = plan.record_below(root)?;
        plan.make(&record).map(|()| record)
    }

    #[test]
    fn a_container_without_a_named_group_gets_one_of_its_own() {
        let root = scene("own");
        let plan = plan(r#"{"memBwSchema":"MB:0=20","l3CacheSchema":"L3:0=f","schemata":["L2:0=3"]}"#).unwrap();
        let record = prepared(&plan, &root).unwrap();
        assert!(record.own && record.group == root.join("web"));
        assert_eq!(fs::read_to_string(root.join("web/schemata")).unwrap(), "L3:0=f\nMB:0=20\nL2:0=3\n");
        record.join(77).unwrap();
        assert_eq!(fs::read_to_string(root.join("web/tasks")).unwrap(), "77");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_named_group_must_be_what_the_config_says() {
        let root = scene("named");
        for good in
            [r#"{"closID":"shared"}"#, r#"{"closID":"shared","l3CacheSchema":"L3:0=FF;1=f","memBwSchema":"MB:1=100"}"#]
        {
            assert!(!prepared(&plan(good).unwrap(), &root).unwrap().own, "{good}");
        }
        let other = prepared(&plan(r#"{"closID":"shared","l3CacheSchema":"L3:0=7f"}"#).unwrap(), &root);
        assert!(other.unwrap_err().to_string().starts_with("linux.intelRdt.closID: the group "));
        let missing = prepared(&plan(r#"{"closID":"nosuch"}"#).unwrap(), &root);
        assert!(missing.unwrap_err().to_string().starts_with("linux.intelRdt.closID: the group "));
        // The lines of `schemata` are written without a comparison.
        prepared(&plan(r#"{"closID":"shared","memBwSchema":"MB:1=100","schemata":["L3:0=7"]}"#).unwrap(), &root)
            .unwrap();
        assert_eq!(fs::read_to_string(root.join("shared/schemata")).unwrap(), "L3:0=7\n");
        assert!(!root.join("nosuch").exists());
        let root_group = prepared(&plan(r#"{"closID":"/"}"#).unwrap(), &root).unwrap();
        assert_eq!((root_group.group, root_group.own), (root.clone(), false));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn counters_are_the_containers_own_and_go_with_it() {
        let root = scene("monitor");
        let record = prepared(&plan(r#"{"closID":"shared","enableMonitoring":true}"#).unwrap(), &root).unwrap();
        let monitor = root.join("shared/mon_groups/web");
        assert_eq!(record.monitor.as_ref(), Some(&monitor));
        record.remove();
        assert!(!monitor.exists() && root.join("shared").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_field() {
        for (json, field) in [
            (r#"{"closID":".."}"#, "closID"),
            (r#"{"closID":"a/b"}"#, "closID"),
            (r#"{"memBwSchema":"L3:0=1"}"#, "memBwSchema"),
            (r#"{"l3CacheSchema":"L3:0=1\nMB:0=1"}"#, "l3CacheSchema"),
            (r#"{"schemata":["L3:0=1","a\nb"]}"#, "schemata[1]"),
        ] {
            let error = plan(json).unwrap_err().to_string();
            assert!(error.starts_with(&format!("linux.intelRdt.{field}: ")), "{error}");
        }
    }

    #[test]
    fn a_group_that_could_not_be_filled_is_not_left() {
        let root = scene("undone");
        let plan = plan(r#"{"enableMonitoring":true}"#).unwrap();
        // A plain directory has no mon_groups.
        assert!(prepared(&plan, &root).is_err());
        assert!(!root.join("web").exists());
        fs::remove_dir_all(root).unwrap();
    }
}
