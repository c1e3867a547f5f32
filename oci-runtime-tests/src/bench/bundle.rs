//! A bundle: directory, root filesystem, config.

use super::container::Container;
use super::runtime::unique;
use super::seen::Seen;
use super::trial::Trial;
use anyhow::{Context, Result, anyhow, bail, ensure};
use oci_spec::runtime::{
    Capability, LinuxBuilder, LinuxCapabilitiesBuilder, LinuxNamespaceBuilder, LinuxNamespaceType, MountBuilder,
    ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) struct Bundle<'t> {
    pub(crate) trial: &'t Trial,
    pub(crate) dir: PathBuf,
    pub(crate) id: String,
    pub(crate) config: Value,
    /// Written instead of `config` when set: for what is no JSON.
    pub(crate) raw: Option<String>,
    /// More arguments for `create`, before the id.
    pub(crate) create_args: Vec<String>,
}

const MOUNTS: [(&str, &str, &[&str]); 5] = [
    ("/proc", "proc", &[]),
    ("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
    ("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
];

fn plain_config() -> Result<Spec> {
    let granted: HashSet<Capability> = [Capability::AuditWrite, Capability::Kill, Capability::NetBindService].into();
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(granted.clone())
        .permitted(granted.clone())
        .effective(granted)
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()?;
    let process = ProcessBuilder::default()
        .terminal(false)
        .user(UserBuilder::default().uid(0u32).gid(0u32).build()?)
        .args(vec!["/probe".to_owned(), "report".to_owned()])
        .env(vec!["PATH=/bin:/".to_owned()])
        .cwd("/")
        .capabilities(capabilities)
        .build()?;
    let mount = |(target, kind, options): (&str, &str, &[&str])| {
        let options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
        MountBuilder::default().destination(target).typ(kind).source(kind).options(options).build()
    };
    let kinds = [
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Network,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Mount,
    ];
    let namespaces = kinds.into_iter().map(|kind| LinuxNamespaceBuilder::default().typ(kind).build());
    let linux = LinuxBuilder::default().namespaces(namespaces.collect::<Result<Vec<_>, _>>()?).build()?;
    let spec = SpecBuilder::default()
        .root(RootBuilder::default().path("rootfs").readonly(false).build()?)
        .mounts(MOUNTS.into_iter().map(mount).collect::<Result<Vec<_>, _>>()?)
        .process(process)
        .linux(linux)
        .hostname("probe")
        .build()?;
    Ok(spec)
}

impl<'t> Bundle<'t> {
    pub(crate) fn new(trial: &'t Trial) -> Result<Self> {
        let bench = &trial.bench;
        let id = format!("ort-{}-{}", std::process::id(), unique());
        let dir = trial.dir.join(&id);
        let rootfs = dir.join("rootfs");
        for name in ["proc", "sys", "dev", "tmp", "etc", "bin", "root"] {
            std::fs::create_dir_all(rootfs.join(name)).with_context(|| format!("create {}", rootfs.display()))?;
        }
        std::fs::hard_link(&bench.probe, rootfs.join("probe")).context("link the probe into the root filesystem")?;
        std::fs::write(
            rootfs.join("etc/passwd"),
            "root:x:0:0:root:/root:/probe\nuser:x:1000:1000::/home/user:/probe\n",
        )?;
        std::fs::write(rootfs.join("etc/group"), "root:x:0:\nuser:x:1000:\n")?;
        let mut config = serde_json::to_value(plain_config().context("build the plain config")?)?;
        // The builder fills in what the plain config shall not have.
        for name in ["resources", "devices", "maskedPaths", "readonlyPaths"] {
            config["linux"].as_object_mut().map(|linux| linux.remove(name));
        }
        for name in ["rlimits", "noNewPrivileges"] {
            config["process"].as_object_mut().map(|process| process.remove(name));
        }
        config["ociVersion"] = json!(bench.version);
        let path = if bench.systemd { format!("system.slice:ort:{id}") } else { format!("{}/{id}", bench.cgroup) };
        // Without root and without systemd there may be no group that the caller can make.
        if !bench.rootless || bench.systemd {
            config["linux"]["cgroupsPath"] = json!(path);
        }
        if bench.rootless {
            let (uid, gid) = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
            config["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
            config["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": gid, "size": 1}]);
            config["linux"]["namespaces"].as_array_mut().context("namespaces")?.push(json!({"type": "user"}));
        }
        Ok(Bundle { trial, dir, id, config, raw: None, create_args: Vec::new() })
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// Sets a property by its JSON pointer, making the objects above it; `-` appends to a list.
    pub(crate) fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let mut place = &mut self.config;
        for key in pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")) {
            let list_index = key.parse::<usize>().ok();
            place = match (list_index, key.as_str()) {
                (_, "-") => {
                    if !place.is_array() {
                        *place = json!([]);
                    }
                    match place {
                        Value::Array(items) => {
                            items.push(Value::Null);
                            let last = items.len() - 1;
                            &mut items[last]
                        }
                        other => other,
                    }
                }
                (Some(index), _) if place.is_array() => &mut place[index],
                _ => {
                    if !place.is_object() {
                        *place = json!({});
                    }
                    &mut place[key.as_str()]
                }
            };
        }
        *place = value.into();
        self
    }

    pub(crate) fn remove(mut self, pointer: &str) -> Self {
        if let Some((parent, key)) = pointer.rsplit_once('/')
            && let Some(Value::Object(map)) = self.config.pointer_mut(parent)
        {
            map.remove(key);
        }
        self
    }

    /// Makes the program inside carry out these actions.
    pub(crate) fn does(self, actions: &[&str]) -> Self {
        let args: Vec<&str> = std::iter::once("/probe").chain(actions.iter().copied()).collect();
        self.set("/process/args", args)
    }

    pub(crate) fn mount(self, destination: &str, kind: &str, source: &str, options: &[&str]) -> Self {
        let entry = json!({"destination": destination, "type": kind, "source": source, "options": options});
        self.set("/mounts/-", entry)
    }

    pub(crate) fn bind(self, source: &str, destination: &str, options: &[&str]) -> Self {
        let options: Vec<&str> = std::iter::once("bind").chain(options.iter().copied()).collect();
        self.mount(destination, "none", source, &options)
    }

    /// Adds a namespace, or changes the entry of that type.
    pub(crate) fn namespace(mut self, kind: &str, path: Option<&str>) -> Self {
        self = self.without_namespace(kind);
        let mut entry = json!({"type": kind});
        if let Some(path) = path {
            entry["path"] = json!(path);
        }
        self.set("/linux/namespaces/-", entry)
    }

    pub(crate) fn without_namespace(mut self, kind: &str) -> Self {
        if let Some(list) = self.config["linux"]["namespaces"].as_array_mut() {
            list.retain(|entry| entry["type"] != kind);
        }
        self
    }

    /// A user namespace whose ids start at `host` outside. The root filesystem is given to it.
    pub(crate) fn user_namespace(self, host: u32) -> Result<Self> {
        self.trial.needs_root()?;
        let map = json!([{"containerID": 0, "hostID": host, "size": 65536}]);
        own(&self.rootfs(), host)?;
        Ok(self.namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map))
    }

    pub(crate) fn capabilities(mut self, sets: &[&str], names: &[&str]) -> Self {
        for set in sets {
            self = self.set(&format!("/process/capabilities/{set}"), names);
        }
        self
    }

    /// A file in the root filesystem.
    pub(crate) fn file(self, path: &str, text: &str) -> Result<Self> {
        let full = self.rootfs().join(path.trim_start_matches('/'));
        if let Some(parent) = full.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&full, text).with_context(|| format!("write {}", full.display()))?;
        Ok(self)
    }

    pub(crate) fn directory(self, path: &str) -> Result<Self> {
        std::fs::create_dir_all(self.rootfs().join(path.trim_start_matches('/')))?;
        Ok(self)
    }

    pub(crate) fn create_arg(mut self, args: &[&str]) -> Self {
        self.create_args.extend(args.iter().map(|&a| a.to_owned()));
        self
    }

    pub(crate) fn write(&self) -> Result<()> {
        let text = self.raw.clone().unwrap_or_else(|| self.config.to_string());
        std::fs::write(self.dir.join("config.json"), text).context("write config.json")
    }

    /// `create`; the container goes when the value does.
    pub(crate) fn create(self) -> Result<Container<'t>> {
        let (container, output) = self.try_create()?;
        output.expect_success("create")?;
        Ok(container)
    }

    /// `create` and `start`.
    pub(crate) fn start(self) -> Result<Container<'t>> {
        let container = self.create()?;
        container.start()?;
        Ok(container)
    }

    /// `create`, `start`, and until the program has said that it waits (its last action must be `wait` or `signals`).
    pub(crate) fn live(self) -> Result<Container<'t>> {
        let container = self.start()?;
        container.until_waiting()?;
        Ok(container)
    }

    /// The whole life: what the program said when it has ended.
    pub(crate) fn observe(self) -> Result<Seen> {
        let container = self.start()?;
        let seen = container.finish()?;
        container.delete()?;
        Ok(seen)
    }

    /// The runtime must refuse this bundle at `create`, and there must be no container then.
    pub(crate) fn refused(self) -> Result<()> {
        let (container, output) = self.try_create()?;
        output.expect_failure("create")?;
        container.must_not_exist().context("after the failed create")
    }

    /// The runtime must refuse at `create`, or at `start` before the program runs: for what belongs to `process`.
    pub(crate) fn never_runs(self) -> Result<()> {
        let (container, output) = self.try_create()?;
        if !output.succeeded() {
            return container.must_not_exist().context("after the failed create");
        }
        let output = container.call("start", &[])?;
        let seen = container.seen_so_far()?;
        if !seen.answers.is_empty() {
            bail!("neither create nor start refused: the program ran");
        }
        output.expect_failure("start (and create)")?;
        Ok(())
    }

    pub(crate) fn try_create(self) -> Result<(Container<'t>, super::runtime::Output)> {
        self.write()?;
        Container::create(self)
    }
}

/// Gives a tree to an id. Hard links are replaced by copies first, so that the shared probe keeps its owner.
pub(crate) fn own(tree: &Path, id: u32) -> Result<()> {
    let probe = tree.join("probe");
    if probe.exists() {
        let copy = tree.join("probe.copy");
        std::fs::copy(&probe, &copy)?;
        until_no_writer(&copy)?;
        std::fs::rename(&copy, &probe)?;
    }
    chown_all(tree, id).map_err(|e| anyhow!("chown {}: {e}", tree.display()))
}

/// A process that another thread has forked meanwhile holds the descriptor of the copy until its `execve`.
fn until_no_writer(program: &Path) -> Result<()> {
    let file = std::fs::File::open(program)?;
    let deadline = Instant::now() + super::container::patience();
    while crate::sys::has_a_writer(&file).context("ask for a lease")? {
        ensure!(Instant::now() < deadline, "{} stays open for writing", program.display());
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn chown_all(path: &Path, id: u32) -> std::io::Result<()> {
    std::os::unix::fs::lchown(path, Some(id), Some(id))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            chown_all(&entry?.path(), id)?;
        }
    }
    Ok(())
}
