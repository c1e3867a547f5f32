//! Facts about a container's processes from a damaged record, another runtime's record, or the copy
//! of config.json.

use super::LARGEST_CONFIG;
use crate::cgroups::CgroupsPath;
use crate::config;
use crate::json;
use crate::state::ContainerDir;
use std::os::unix::fs::MetadataExt;

/// The program that wrote the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Writer {
    #[default]
    Orlop,
    Runc,
    Crun,
    Youki,
}

impl Writer {
    /// The name of another runtime.
    pub(super) fn foreign(self) -> Option<&'static str> {
        match self {
            Writer::Orlop => None,
            Writer::Runc => Some("runc"),
            Writer::Crun => Some("crun"),
            Writer::Youki => Some("youki"),
        }
    }
}

/// A process named by the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NamedProcess {
    pub(super) pid: Option<u64>,
    /// Field 22 of /proc/PID/stat.
    pub(super) start: Option<u64>,
}

/// Facts from the copy of config.json.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FromConfig {
    pub(super) cgroups_path: Option<String>,
    /// Whether the container has a pid namespace of its own: its processes die with the first one.
    pub(super) own_pids: bool,
    /// Whether it has a mount namespace of its own: every process in it is the container's.
    pub(super) own_mounts: bool,
}

/// All facts found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Clues {
    pub(super) writer: Writer,
    pub(super) processes: Vec<NamedProcess>,
    /// The time of the record's last write, in seconds since 1970.
    pub(super) written: Option<i64>,
    /// The random part of the name that init has until it executes the program.
    pub(super) waiting_name: Option<String>,
    bundle: Option<String>,
    /// The absolute path of the root filesystem.
    pub(super) rootfs: Option<String>,
    /// Absolute paths of cgroups in the record.
    cgroups: Vec<String>,
    /// `linux.cgroupsPath` if it is absolute.
    at: Option<String>,
    /// Paths of cgroups below one that is not known.
    names: Vec<String>,
    /// Facts from the copy of config.json, if it can be read.
    pub(super) config: Option<FromConfig>,
}

impl Clues {
    /// Reads the files in a container's directory.
    pub(super) fn gather(dir: &ContainerDir, id: &str) -> Clues {
        let read = |name: &str| dir.read(name, LARGEST_CONFIG).unwrap_or_default();
        let (state, status) = (read("state.json"), read("status"));
        let mut clues = Clues::of_record(if state.is_empty() { &status } else { &state });
        let is_youki = clues.writer == Writer::Orlop && dir.read("youki_config.json", LARGEST_CONFIG).is_ok();
        if state.is_empty() && !status.is_empty() {
            clues.writer = Writer::Crun;
        } else if is_youki {
            clues.writer = Writer::Youki;
        }
        if dir.witness().is_some() {
            clues.writer = Writer::Orlop;
        }
        let written = |name: &str| std::fs::metadata(dir.path().join(name)).ok().map(|found| found.mtime());
        clues.written = written("state.json").or_else(|| written("status"));
        clues.add_config(&read("config.json"), id);
        clues
    }

    /// Whether a record is there, but no fact of it, and no copy of config.json.
    pub(super) fn name_nothing(&self) -> bool {
        let has_process = self.processes.iter().any(|told| told.pid.is_some());
        self.written.is_some()
            && self.config.is_none()
            && !has_process
            && self.rootfs.is_none()
            && self.cgroups.is_empty()
    }

    /// Facts from a record, which may be incomplete.
    fn of_record(text: &[u8]) -> Clues {
        let mut clues = Clues::default();
        for (key, value) in pairs(text) {
            match (key.as_str(), value) {
                ("init_process_pid", Loose::Number(pid)) => {
                    clues.writer = Writer::Runc;
                    clues.processes.push(NamedProcess { pid: Some(pid), start: None });
                }
                ("pid", Loose::Number(pid)) => clues.processes.push(NamedProcess { pid: Some(pid), start: None }),
                ("start" | "init_process_start" | "process-start-time", Loose::Number(start)) => clues.add_start(start),
                ("waitingName", Loose::Text(name)) => clues.waiting_name = Some(name).filter(|name| name.len() == 9),
                ("bundle", Loose::Text(path)) => clues.bundle = Some(path).filter(|path| path.starts_with('/')),
                ("rootfs", Loose::Text(path)) => clues.rootfs = Some(path).filter(|path| path.len() > 1),
                ("path" | "cgroup-path", Loose::Text(path)) => clues.add_cgroup(path),
                (_, Loose::Text(path)) => clues.add_cgroup_directory(&path),
                _ => {}
            }
        }
        clues
    }

    fn add_start(&mut self, start: u64) {
        match self.processes.last_mut().filter(|told| told.start.is_none()) {
            Some(told) => told.start = Some(start),
            None => self.processes.push(NamedProcess { pid: None, start: Some(start) }),
        }
    }

    fn add_cgroup(&mut self, path: String) {
        if path.len() > 1 && path.starts_with('/') {
            self.cgroups.push(path);
        }
    }

    /// Adds a cgroup by its directory on the host: below the only hierarchy, or below the one that
    /// the first component names.
    fn add_cgroup_directory(&mut self, path: &str) {
        let Some(path) = path.strip_prefix("/sys/fs/cgroup").filter(|path| path.starts_with('/')) else { return };
        self.add_cgroup(path.to_owned());
        if let Some((at, _)) = path.char_indices().skip(1).find(|(_, c)| *c == '/') {
            self.add_cgroup(path[at..].to_owned());
        }
    }

    fn add_config(&mut self, json: &[u8], id: &str) {
        let spec = config::parse(json).ok();
        let root = spec.as_ref().and_then(|spec| spec.root.as_ref()).and_then(|root| root.path.as_deref());
        match (root, &self.rootfs, &self.bundle) {
            (Some(root), None, _) if root.starts_with('/') => self.rootfs = Some(root.to_owned()),
            (Some(root), None, Some(bundle)) => self.rootfs = Some(format!("{bundle}/{root}")),
            _ => {}
        }
        let linux = spec.as_ref().and_then(|spec| spec.linux.as_ref());
        let path = linux.and_then(|linux| linux.cgroups_path.as_deref()).filter(|path| !path.is_empty());
        let is_own = |kind: &str| linux.and_then(|linux| linux.namespace(kind)).is_some_and(config::Namespace::is_new);
        self.config = spec.as_ref().map(|_| FromConfig {
            cgroups_path: path.map(str::to_owned),
            own_pids: is_own("pid"),
            own_mounts: is_own("mount"),
        });
        if let Ok(CgroupsPath::Scope(scope)) = CgroupsPath::parse_scope(path, id) {
            self.names.push(scope.unit());
        }
        match CgroupsPath::parse(path, id) {
            Ok(CgroupsPath::Absolute(path)) if path.len() > 1 => self.at = Some(path),
            Ok(CgroupsPath::Relative(path)) => self.names.push(path),
            _ => {}
        }
        if spec.is_none() {
            let engines = ["crun", "docker", "libpod", "cri-containerd", "crio"];
            self.names.extend(engines.map(|engine| format!("{engine}-{id}.scope")));
        }
    }

    /// Whether a path of /proc/PID/cgroup may be the container's cgroup or one below it.
    pub(super) fn is_in_cgroup(&self, path: &str) -> bool {
        self.cgroups.iter().any(|cgroup| starts_with(path, cgroup)) || self.own_part(path).is_some()
    }

    /// The part of a path that names the container by its config or, without one, by its id. A
    /// record in doubt is not used: one wrong byte could name another container's cgroup.
    pub(super) fn own_part(&self, path: &str) -> Option<String> {
        if let Some(at) = &self.at {
            return starts_with(path, at).then(|| at.clone());
        }
        let ends = self.names.iter().flat_map(|name| {
            let name = format!("/{name}");
            let ends: Vec<usize> = path.match_indices(&name).map(|(at, _)| at + name.len()).collect();
            ends
        });
        // The innermost match: a cgroup above it may have the same name.
        let end = ends.filter(|end| is_end_of_part(&path[*end..])).max()?;
        Some(path[..end].to_owned())
    }

    /// The paths of its cgroups, as far as they can be read.
    pub(super) fn cgroup_paths(&self) -> Vec<String> {
        self.cgroups.iter().filter(|path| self.own_part(path).as_ref() == Some(path)).chain(&self.at).cloned().collect()
    }
}

fn starts_with(path: &str, cgroup: &str) -> bool {
    path.strip_prefix(cgroup).is_some_and(is_end_of_part)
}

fn is_end_of_part(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// The value of a key.
#[derive(Debug, PartialEq, Eq)]
enum Loose {
    Text(String),
    Number(u64),
}

/// The keys with a string or number as value, at any place in damaged JSON. A string without an end
/// is left out: it may be the beginning of another value.
fn pairs(text: &[u8]) -> Vec<(String, Loose)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = next_string(rest) {
        rest = after;
        let Some(value) = rest.trim_ascii_start().strip_prefix(b":") else { continue };
        let value = value.trim_ascii_start();
        if value.first() == Some(&b'"') {
            let Some((text, after)) = next_string(value) else { break };
            found.push((key, Loose::Text(text)));
            rest = after;
            continue;
        }
        let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // A number that the text ends with may lack digits.
        let number = if digits < value.len() { str::from_utf8(&value[..digits]).ok() } else { None };
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            found.push((key, Loose::Number(number)));
        }
        rest = &value[digits..];
    }
    found
}

/// The next string of a JSON text, and the rest of the text.
fn next_string(text: &[u8]) -> Option<(String, &[u8])> {
    let begin = text.iter().position(|byte| *byte == b'"')?;
    let mut end = begin + 1;
    while *text.get(end)? != b'"' {
        end += if text[end] == b'\\' { 2 } else { 1 };
    }
    let quoted = &text[begin..=end];
    let text_of = |quoted: &[u8]| String::from_utf8_lossy(&quoted[1..quoted.len() - 1]).into_owned();
    Some((json::document(quoted).unwrap_or_else(|_| text_of(quoted)), &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"ociVersion":"1.3.0","id":"x","init":{"pid":77,"start":99},"waitingName":"abcdefghi","bundle":"/b","rootfs":"/b/rootfs","created":"t","owner":0,"annotations":{"a":"\"path\":"},"cgroup":{"path":"/in/x","hierarchies":["cpu",""]},"keyring":true}"#;

    #[test]
    fn every_piece_of_a_record_is_used_and_half_a_piece_is_not() {
        let whole = Clues::of_record(RECORD.as_bytes());
        assert_eq!(whole.processes, [NamedProcess { pid: Some(77), start: Some(99) }]);
        assert_eq!(whole.waiting_name.as_deref(), Some("abcdefghi"));
        assert_eq!(whole.rootfs.as_deref(), Some("/b/rootfs"));
        assert_eq!(whole.cgroups, ["/in/x"]);
        for length in 0..RECORD.len() {
            let cut = Clues::of_record(&RECORD.as_bytes()[..length]);
            assert!(cut.rootfs.is_none_or(|path| path == "/b/rootfs"), "{length}");
            assert!(cut.waiting_name.is_none_or(|name| name == "abcdefghi"), "{length}");
            assert!(cut.cgroups.iter().all(|path| path == "/in/x"), "{length}");
        }
        for garbage in ["", "{", "\"", "\"a\":\"\\", "\\\"", "[[[[\":1", "\"pid\":99999999999999999999999"] {
            assert_eq!(Clues::of_record(garbage.as_bytes()), Clues::default(), "{garbage}");
        }
    }

    #[test]
    fn the_records_of_other_runtimes_are_told_apart() {
        let runc = r#"{"id":"x","init_process_pid":5,"init_process_start":6,"config":{"rootfs":"/r"},"cgroup_paths":{"cpu":"/sys/fs/cgroup/cpu/p/x"}}"#;
        let clues = Clues::of_record(runc.as_bytes());
        assert_eq!(clues.writer.foreign(), Some("runc"));
        assert_eq!(clues.processes, [NamedProcess { pid: Some(5), start: Some(6) }]);
        assert!(clues.is_in_cgroup("/p/x") && clues.is_in_cgroup("/p/x/y") && !clues.is_in_cgroup("/p/xy"));
    }

    #[test]
    fn the_config_tells_where_the_cgroup_is_to_be() {
        let mut clues = Clues::default();
        clues.add_config(br#"{"root":{"path":"rootfs"},"linux":{"cgroupsPath":"/pod/c"}}"#, "x");
        assert!(clues.is_in_cgroup("/pod/c/d") && !clues.is_in_cgroup("/pod") && !clues.is_in_cgroup("/a/x"));
        assert_eq!(clues.own_part("/pod/c/d").as_deref(), Some("/pod/c"));
        let mut clues = Clues::default();
        clues.add_config(b"{}", "x");
        assert!(clues.is_in_cgroup("/any/where/x") && clues.is_in_cgroup("/s.slice/runc-x.scope"));
        assert!(!clues.is_in_cgroup("/") && !clues.is_in_cgroup("/xy/z"));
        assert_eq!(clues.own_part("/x/pod/x/in").as_deref(), Some("/x/pod/x"));
    }

    #[test]
    fn an_annotation_gives_the_container_no_cgroup() {
        let mut clues = Clues::of_record(br#"{"annotations":{"path":"/pods","a":"/sys/fs/cgroup/cpu/pods"},"pid":1"#);
        clues.add_config(br#"{"linux":{"cgroupsPath":"/pods/x"}}"#, "x");
        assert_eq!(clues.own_part("/pods/x").as_deref(), Some("/pods/x"));
        assert!(clues.own_part("/pods/y").is_none() && clues.own_part("/pods").is_none());
        assert_eq!(clues.cgroup_paths(), ["/pods/x"]);
    }
}
