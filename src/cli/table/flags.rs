//! The flags: the global ones, and those of each command.

use super::{Flag, Value};

const DIR: Value = Value::path("DIR");
const FILE: Value = Value::path("FILE");
const SOCKET: Value = Value::path("SOCKET");
const SWITCH: Value = Value::Switch;

/// The global flags, given before the command.
pub static GLOBAL: [Flag; 12] = [
    Flag::new("root", DIR, "directory of the containers' state, best on a tmpfs"),
    Flag::new("log", FILE, "where the log goes: a file, file:FILE, journald:NAME or syslog:NAME (default: stderr)"),
    Flag::new("log-format", Value::text("FORMAT"), "form of the log: text or json (default: text)"),
    Flag::new("log-level", Value::text("LEVEL"), "what is logged: error, warning or debug (default: warning)"),
    Flag::new("debug", SWITCH, "log what happens, step by step"),
    Flag::new("trace", FILE, "write every step with its time to a file; for Perfetto if its name ends in .json"),
    Flag::new("systemd-cgroup", SWITCH, "let systemd make the cgroups; cgroupsPath has the form slice:prefix:name"),
    Flag::new("cgroup-manager", Value::Choice("cgroupfs|systemd|disabled"), "who makes the cgroups"),
    Flag::new(
        "rootless",
        Value::text("WHEN"),
        "forgive missing rights over cgroups: true, false or auto (default: auto)",
    ),
    Flag::new("criu", FILE, "CRIU's program").hidden(),
    Flag::new("help", SWITCH, "print this help").short('h'),
    Flag::new("version", SWITCH, "print the version").short('v'),
];

const BUNDLE: Flag = Flag::new("bundle", DIR, "directory of the bundle (default: the current directory)").short('b');
const CONFIG: Flag = Flag::new("config", FILE, "read this file instead of the bundle's config.json").short('f');
const CONSOLE_SOCKET: Flag = Flag::new("console-socket", SOCKET, "socket that receives the terminal's master");
const PIDFD_SOCKET: Flag = Flag::new("pidfd-socket", SOCKET, "socket that receives a pidfd of the process");
const PID_FILE: Flag = Flag::new("pid-file", FILE, "write the process id to a file");
const NO_PIVOT: Flag = Flag::new("no-pivot", SWITCH, "do not use pivot_root, for a root that is an initramfs");
const NO_NEW_KEYRING: Flag = Flag::new("no-new-keyring", SWITCH, "keep the caller's session keyring");
const PRESERVE_FDS: Flag = Flag::new(
    "preserve-fds",
    Value::number("N"),
    "pass those of the next N descriptors that are open to the container",
);
const INIT: Flag = Flag::new("init", SWITCH, "run a small PID 1 that forwards signals and reaps orphans");
const DETACH: Flag = Flag::new("detach", SWITCH, "return once the process runs").short('d');
const NO_SUBREAPER: Flag = Flag::new("no-subreaper", SWITCH, "do not reap the container's orphans");
const REGEX: Flag = Flag::new("regex", SWITCH, "ID is an extended regular expression; take every match").short('r');

pub(super) static CREATE: [Flag; 10] = [
    BUNDLE,
    CONFIG,
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    PID_FILE,
    NO_PIVOT,
    NO_NEW_KEYRING,
    PRESERVE_FDS,
    INIT,
    NO_SUBREAPER.hidden(),
];

pub(super) static RUN: [Flag; 12] = [
    BUNDLE,
    CONFIG,
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    PID_FILE,
    DETACH,
    Flag::new("keep", SWITCH, "keep the container after it has ended"),
    NO_SUBREAPER,
    NO_PIVOT,
    NO_NEW_KEYRING,
    PRESERVE_FDS,
    INIT,
];

pub(super) static KILL: [Flag; 2] =
    [Flag::new("all", SWITCH, "send the signal to every process of the container").short('a'), REGEX];

pub(super) static DELETE: [Flag; 2] =
    [Flag::new("force", SWITCH, "kill it first if it runs; succeed if it does not exist").short('f'), REGEX];

pub(super) static EXEC: [Flag; 18] = [
    Flag::new("process", FILE, "read the process from a file in the form of config.json's process").short('p'),
    Flag::new("tty", SWITCH, "give it a terminal").short('t'),
    Flag::new("user", Value::text("UID[:GID]"), "run as this user").short('u'),
    Flag::new("additional-gids", Value::list("GID"), "add a group; may be given again").short('g'),
    Flag::new("cwd", Value::text("DIR"), "working directory in the container"),
    Flag::new("env", Value::list("NAME=VALUE"), "set a variable of the environment; may be given again").short('e'),
    Flag::new("cap", Value::list("CAP"), "add a capability; may be given again").short('c'),
    Flag::new("no-new-privs", SWITCH, "set no_new_privs"),
    Flag::new("apparmor", Value::text("PROFILE"), "AppArmor profile"),
    Flag::new("process-label", Value::text("LABEL"), "SELinux label"),
    Flag::new("cgroup", Value::list("[CTRL[,CTRL]:]PATH"), "put it in a sub-cgroup; may be given again"),
    Flag::new("ignore-paused", SWITCH, "also into a paused container"),
    Flag::new("tools", SWITCH, "with the host's busybox at /.orlop-tools, for images without a shell"),
    DETACH,
    PID_FILE,
    CONSOLE_SOCKET,
    PIDFD_SOCKET,
    PRESERVE_FDS,
];

pub(super) static LIST: [Flag; 2] = [
    Flag::new("format", Value::text("FORMAT"), "table or json (default: table)").short('f'),
    Flag::new("quiet", SWITCH, "print ids alone").short('q'),
];

pub(super) static PS: [Flag; 1] =
    [Flag::new("format", Value::text("FORMAT"), "table or json (default: table)").short('f')];

pub(super) static EVENTS: [Flag; 2] = [
    Flag::new("interval", Value::text("TIME"), "time between two statistics, such as 500ms or 1m (default: 5s)"),
    Flag::new("stats", SWITCH, "print statistics once and return"),
];

/// A size such as 512M.
pub(crate) const BYTES: Value = Value::text("BYTES");
/// CPUs or memory nodes such as 0-3,7.
pub(crate) const NUMBERS: Value = Value::text("LIST");
const MICROSECONDS: Value = Value::text("US");

pub(super) static UPDATE: [Flag; 19] = [
    Flag::new("resources", FILE, "read the resources from a JSON file, or - for stdin; then no other flag counts")
        .short('r'),
    Flag::new("memory", BYTES, "limit of memory, such as 512M; -1 for none").sets("memory.limit"),
    Flag::new("memory-reservation", BYTES, "soft limit of memory").sets("memory.reservation"),
    Flag::new("memory-swap", BYTES, "limit of memory and swap together; -1 for none").sets("memory.swap"),
    Flag::new("kernel-memory", BYTES, "limit of kernel memory").sets("memory.kernel").hidden(),
    Flag::new("kernel-memory-tcp", BYTES, "limit of kernel memory for TCP").sets("memory.kernelTCP").hidden(),
    Flag::new("cpu-share", Value::text("N"), "weight of the cpu against other containers").sets("cpu.shares"),
    Flag::new("cpu-period", MICROSECONDS, "period of the cpu limit").sets("cpu.period"),
    Flag::new("cpu-quota", MICROSECONDS, "cpu time in a period; -1 for no limit").sets("cpu.quota"),
    Flag::new("cpu-burst", MICROSECONDS, "cpu time saved from earlier periods").sets("cpu.burst"),
    Flag::new("cpu-rt-period", MICROSECONDS, "period of the realtime limit").sets("cpu.realtimePeriod"),
    Flag::new("cpu-rt-runtime", MICROSECONDS, "realtime cpu time in a period").sets("cpu.realtimeRuntime"),
    Flag::new("cpu-idle", Value::text("0|1"), "1 to run only when nothing else wants the cpu").sets("cpu.idle"),
    Flag::new("cpuset-cpus", NUMBERS, "cpus to use, such as 0-3,7").sets("cpu.cpus"),
    Flag::new("cpuset-mems", NUMBERS, "memory nodes to use").sets("cpu.mems"),
    Flag::new("blkio-weight", Value::number("N"), "weight of block input and output, 10 to 1000")
        .sets("blockIO.weight"),
    Flag::new("pids-limit", Value::number("N"), "how many processes there may be; -1 for no limit").sets("pids.limit"),
    Flag::new("l3-cache-schema", Value::text("SCHEMA"), "Intel RDT schema of the L3 cache"),
    Flag::new("mem-bw-schema", Value::text("SCHEMA"), "Intel RDT schema of the memory bandwidth"),
];

pub(super) static SPEC: [Flag; 4] = [
    BUNDLE,
    Flag::new("detach", SWITCH, "without a terminal, for run --detach and create; the program sleeps").short('d'),
    Flag::new("file", FILE, "write to this file instead of config.json, or - for stdout").short('f'),
    Flag::new("rootless", SWITCH, "for a caller who is not root"),
];

const IMAGE_PATH: Flag = Flag::new("image-path", DIR, "directory of the images (default: checkpoint)");
const WORK_PATH: Flag = Flag::new("work-path", DIR, "directory of CRIU's log and work files");
const TCP_ESTABLISHED: Flag = Flag::new("tcp-established", SWITCH, "keep established TCP connections");
const EXT_UNIX_SK: Flag = Flag::new("ext-unix-sk", SWITCH, "keep Unix sockets whose other end is outside");
const SHELL_JOB: Flag = Flag::new("shell-job", SWITCH, "keep a terminal that comes from outside");
const FILE_LOCKS: Flag = Flag::new("file-locks", SWITCH, "keep file locks");
const LAZY_PAGES: Flag = Flag::new("lazy-pages", SWITCH, "move memory on demand (userfaultfd)");
const EMPTY_NS: Flag = Flag::new("empty-ns", Value::list("NAMESPACE"), "leave a namespace empty; may be given again");
const AUTO_DEDUP: Flag = Flag::new("auto-dedup", SWITCH, "remove duplicate pages from the images");
const MANAGE_CGROUPS: Flag =
    Flag::new("manage-cgroups-mode", Value::text("MODE"), "what to do about cgroups: soft, full, strict or ignore");
const NETWORK_LOCK: Flag =
    Flag::new("network-lock", Value::text("METHOD"), "how to hold packets back: iptables, nftables or skip");

pub(super) static CHECKPOINT: [Flag; 18] = [
    IMAGE_PATH,
    WORK_PATH,
    Flag::new("parent-path", DIR, "images of the pre-dump before this one"),
    Flag::new("leave-running", SWITCH, "let the container run on"),
    Flag::new("pre-dump", SWITCH, "dump memory only, and let the container run on"),
    TCP_ESTABLISHED,
    Flag::new("tcp-skip-in-flight", SWITCH, "leave out TCP connections that are being made"),
    EXT_UNIX_SK,
    SHELL_JOB,
    FILE_LOCKS,
    Flag::new("link-remap", SWITCH, "link deleted files back in"),
    LAZY_PAGES,
    Flag::new("status-fd", Value::number("FD"), "descriptor to tell once lazy pages are served"),
    Flag::new("page-server", Value::text("ADDRESS:PORT"), "send the pages there"),
    MANAGE_CGROUPS,
    EMPTY_NS,
    AUTO_DEDUP,
    NETWORK_LOCK,
];

pub(super) static RESTORE: [Flag; 22] = [
    BUNDLE,
    CONFIG.hidden(),
    IMAGE_PATH,
    WORK_PATH,
    DETACH,
    PID_FILE,
    CONSOLE_SOCKET,
    PRESERVE_FDS.hidden(),
    NO_SUBREAPER,
    NO_PIVOT,
    TCP_ESTABLISHED,
    Flag::new("tcp-close", SWITCH, "close TCP connections instead of restoring them"),
    EXT_UNIX_SK,
    SHELL_JOB,
    FILE_LOCKS,
    LAZY_PAGES,
    MANAGE_CGROUPS,
    EMPTY_NS,
    AUTO_DEDUP,
    NETWORK_LOCK,
    Flag::new("lsm-profile", Value::text("TYPE:NAME"), "LSM profile instead of the one in the images"),
    Flag::new("lsm-mount-context", Value::text("CONTEXT"), "SELinux mount context instead of the one in the images"),
];
