//! Everything that a config can influence, as seen from inside.

use crate::json::Value;
use crate::sys;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

const NAMESPACES: [&str; 9] = ["cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "user", "uts"];

/// In the order of the kernel's numbers.
const RLIMITS: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

pub(crate) fn everything() -> Value {
    let mut report = Vec::new();
    let mut put = |name: &str, value: Value| report.push((name.to_owned(), value));
    put("pid", std::process::id().into());
    put("ppid", std::os::unix::process::parent_id().into());
    put("group_and_session", sys::group_and_session().into_iter().collect());
    put("uid", sys::user_ids().into_iter().collect());
    put("gid", sys::group_ids().into_iter().collect());
    put("groups", sys::groups().into_iter().collect());
    put("umask", sys::current_umask().into());
    put("capabilities", capabilities());
    put("no_new_privs", sys::prctl_get(39, 0).ok().into());
    put("seccomp", text("/proc/self/status", Some("Seccomp:")));
    put("seccomp_filters", text("/proc/self/status", Some("Seccomp_filters:")));
    put("blocked_signals", text("/proc/self/status", Some("SigBlk:")));
    put("ignored_signals", text("/proc/self/status", Some("SigIgn:")));
    put("dumpable", sys::prctl_get(3, 0).ok().into());
    put("rlimits", rlimits());
    put("oom_score_adj", text("/proc/self/oom_score_adj", None));
    put("scheduler", scheduler());
    put("io_priority", io_priority());
    put("affinity", sys::affinity().into_iter().collect());
    put("memory_policy", memory_policy());
    put("personality", sys::personality().ok().into());
    put("namespaces", namespaces());
    put("names", sys::system_names().into_iter().collect());
    put("clocks", clocks());
    put("mountinfo", text("/proc/self/mountinfo", None));
    put("cgroup", text("/proc/self/cgroup", None));
    put("label", text("/proc/self/attr/current", None));
    put("uid_map", text("/proc/self/uid_map", None));
    put("gid_map", text("/proc/self/gid_map", None));
    put("setgroups", text("/proc/self/setgroups", None));
    put("timens_offsets", text("/proc/self/timens_offsets", None));
    put("keyring", keyring());
    put("cwd", std::env::current_dir().ok().map(|p| p.display().to_string()).into());
    put("exe", fs::read_link("/proc/self/exe").ok().map(|p| p.display().to_string()).into());
    put("args", std::env::args_os().map(lossy).collect());
    put("env", std::env::vars_os().map(|(k, v)| format!("{}={}", lossy(k), lossy(v))).collect());
    put("files", files());
    put("terminal", terminal());
    Value::Map(report)
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn lossy(text: impl AsRef<std::ffi::OsStr>) -> String {
    String::from_utf8_lossy(text.as_ref().as_bytes()).into_owned()
}

/// A file's text, or what stands behind `field` on its line.
fn text(path: &str, field: Option<&str>) -> Value {
    let Ok(bytes) = fs::read(path) else {
        return Value::Null;
    };
    let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\0']).to_owned();
    match field {
        None => text.into(),
        Some(field) => text.lines().find_map(|line| line.strip_prefix(field)).map(str::trim).into(),
    }
}

fn capabilities() -> Value {
    let [effective, permitted, inheritable] = sys::capabilities();
    let bits = |mask: u64| (0..64u32).filter(|bit| mask >> bit & 1 == 1).collect::<Value>();
    map([
        ("effective", bits(effective)),
        ("permitted", bits(permitted)),
        ("inheritable", bits(inheritable)),
        ("bounding", (0..64u32).filter(|&cap| sys::prctl_get(23, u64::from(cap)) == Ok(1)).collect()),
        ("ambient", (0..64u32).filter(|&cap| sys::ambient(u64::from(cap))).collect()),
    ])
}

fn rlimits() -> Value {
    let limit = |(i, name): (usize, &&str)| {
        let pair = sys::rlimit(u32::try_from(i).ok()?).ok()?;
        Some((format!("RLIMIT_{name}"), pair.into_iter().collect()))
    };
    Value::Map(RLIMITS.iter().enumerate().filter_map(limit).collect())
}

fn scheduler() -> Value {
    let Ok((policy, flags, nice, priority, [runtime, deadline, period])) = sys::scheduler() else {
        return Value::Null;
    };
    map([
        ("policy", policy.into()),
        ("flags", flags.into()),
        // For realtime policies the kernel's struct says 0; the nice value is kept all the same.
        ("nice", if policy == 0 || policy == 3 { nice } else { sys::nice() }.into()),
        ("priority", priority.into()),
        ("runtime", runtime.into()),
        ("deadline", deadline.into()),
        ("period", period.into()),
    ])
}

fn io_priority() -> Value {
    sys::io_priority().map_or(Value::Null, |(class, level)| map([("class", class.into()), ("priority", level.into())]))
}

fn memory_policy() -> Value {
    sys::memory_policy().map_or(Value::Null, |(mode, nodes)| map([("mode", mode.into()), ("nodes", nodes.into())]))
}

fn namespaces() -> Value {
    let link = |name: &&str| {
        let target = fs::read_link(format!("/proc/self/ns/{name}")).ok()?;
        Some(((*name).to_owned(), target.display().to_string().into()))
    };
    Value::Map(NAMESPACES.iter().filter_map(link).collect())
}

fn clocks() -> Value {
    map([("monotonic", sys::clock(1).into_iter().collect()), ("boottime", sys::clock(7).into_iter().collect())])
}

fn keyring() -> Value {
    match sys::session_keyring() {
        Ok((id, description)) => map([("id", id.into()), ("description", description.into())]),
        Err(errno) => map([("errno", errno.into())]),
    }
}

fn files() -> Value {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return Value::Null;
    };
    let numbers: Vec<i32> =
        entries.flatten().filter_map(|e| e.file_name().to_str().and_then(|n| n.parse().ok())).collect();
    numbers.into_iter().filter_map(file).collect()
}

fn file(fd: i32) -> Option<Value> {
    let path = format!("/proc/self/fd/{fd}");
    // The descriptor that listed the directory is closed by now and drops out here.
    let meta = fs::metadata(&path).ok()?;
    let target = fs::read_link(&path).ok()?.display().to_string();
    Some(map([
        ("fd", fd.into()),
        ("target", target.into()),
        ("kind", kind(&meta).into()),
        ("cloexec", sys::closes_on_exec(fd).ok().into()),
    ]))
}

pub(crate) fn kind(meta: &fs::Metadata) -> &'static str {
    let kind = meta.file_type();
    match () {
        () if kind.is_dir() => "directory",
        () if kind.is_file() => "file",
        () if kind.is_symlink() => "link",
        () if kind.is_char_device() => "char",
        () if kind.is_block_device() => "block",
        () if kind.is_fifo() => "fifo",
        () if kind.is_socket() => "socket",
        () => "unknown",
    }
}

/// What `stat` answers: kind, permissions, owner, device numbers, size.
pub(crate) fn facts(meta: &fs::Metadata) -> Value {
    let device = meta.rdev();
    map([
        ("kind", kind(meta).into()),
        ("mode", (meta.mode() & 0o7777).into()),
        ("uid", meta.uid().into()),
        ("gid", meta.gid().into()),
        ("major", ((device >> 8) & 0xfff | (device >> 32) & !0xfff).into()),
        ("minor", (device & 0xff | (device >> 12) & !0xff & 0xffff_ffff).into()),
        ("size", meta.size().into()),
        ("device", meta.dev().into()),
        ("inode", meta.ino().into()),
    ])
}

fn terminal() -> Value {
    map([
        ("standard", (0..3).map(sys::is_terminal).collect()),
        ("size", sys::window_size(0).ok().map(|s| s.into_iter().collect::<Value>()).into()),
        ("output_flags", sys::terminal_output_flags(0).ok().into()),
        ("foreground_group", sys::foreground_group(0).ok().into()),
        ("controlling", fs::File::open("/dev/tty").is_ok().into()),
    ])
}
