//! Values for fields that are missing, so that the other faults of their objects are found.

use orlop::explain::Node;

/// Values for fields that must be there and that the default's config lacks: the end of a path, and the value. Without them the
/// whole object that lacks the field would have to go, with its other faults.
const STAND_INS: &[(&str, &str)] = &[
    ("mounts[].destination", "\"/orlop-check\""),
    ("mounts[].type", "\"tmpfs\""),
    ("mounts[].source", "\"/\""),
    ("devices[].path", "\"/dev/orlop-check\""),
    ("devices[].type", "\"p\""),
    ("devices[].major", "1"),
    ("devices[].minor", "3"),
    ("Mappings[].size", "1"),
    ("seccomp.defaultAction", "\"SCMP_ACT_ALLOW\""),
    ("syscalls[].action", "\"SCMP_ACT_ERRNO\""),
    ("syscalls[].names", "[\"read\"]"),
    ("args[].op", "\"SCMP_CMP_EQ\""),
    ("prestart[].path", "\"/bin/true\""),
    ("createRuntime[].path", "\"/bin/true\""),
    ("createContainer[].path", "\"/bin/true\""),
    ("startContainer[].path", "\"/bin/true\""),
    ("poststart[].path", "\"/bin/true\""),
    ("poststop[].path", "\"/bin/true\""),
    ("personality.domain", "\"LINUX\""),
    (".policy", "\"SCHED_OTHER\""),
    ("ioPriority.class", "\"IOPRIO_CLASS_BE\""),
    ("memoryPolicy.mode", "\"MPOL_DEFAULT\""),
    ("rlimits[].type", "\"RLIMIT_CORE\""),
    ("Device[].major", "1"),
    ("Device[].minor", "3"),
    ("hugepageLimits[].pageSize", "\"2MB\""),
    ("mounts[].gidMappings", "[{\"containerID\": 0, \"hostID\": 0, \"size\": 1}]"),
    ("mounts[].uidMappings", "[{\"containerID\": 0, \"hostID\": 0, \"size\": 1}]"),
];

/// The value for the field at `path`, which has no indexes, in `object`; `document` is the whole config.
pub(super) fn of(path: &str, object: &Node, document: &str) -> Option<&'static str> {
    let (_, usual) = STAND_INS.iter().find(|(end, _)| path.ends_with(end))?;
    Some(fitting(path, object, document).unwrap_or(usual))
}

/// A stand-in that goes with the other fields of the object: the usual one would be a fault beside them.
fn fitting(path: &str, object: &Node, document: &str) -> Option<&'static str> {
    const RLIMITS: [&str; 4] =
        ["\"RLIMIT_RTTIME\"", "\"RLIMIT_MSGQUEUE\"", "\"RLIMIT_LOCKS\"", "\"RLIMIT_SIGPENDING\""];
    let has = |names: &[&str]| names.iter().any(|name| object.get(name).is_some());
    match path {
        _ if path.ends_with("rlimits[].type") => RLIMITS.into_iter().find(|name| !document.contains(name)),
        // Pipes have no number.
        _ if path.ends_with("devices[].type") && has(&["major", "minor"]) => Some("\"c\""),
        _ if path.ends_with(".policy") && has(&["runtime", "deadline", "period"]) => Some("\"SCHED_DEADLINE\""),
        _ if path.ends_with(".policy") && has(&["priority"]) => Some("\"SCHED_FIFO\""),
        _ if path.ends_with("memoryPolicy.mode") && has(&["nodes"]) => Some("\"MPOL_BIND\""),
        _ => None,
    }
}
