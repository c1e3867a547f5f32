//! `process.rlimits`.

use crate::bench::prelude::*;

/// Every limit of getrlimit(2) with values that an unprivileged process may set.
const LIMITS: [(&str, u64, u64); 16] = [
    ("RLIMIT_AS", 4 << 30, 8 << 30),
    ("RLIMIT_CORE", 0, 1024),
    ("RLIMIT_CPU", 100, 200),
    ("RLIMIT_DATA", 2 << 30, 4 << 30),
    ("RLIMIT_FSIZE", 1 << 30, 2 << 30),
    ("RLIMIT_LOCKS", 100, 200),
    ("RLIMIT_MEMLOCK", 4096, 8192),
    ("RLIMIT_MSGQUEUE", 8192, 16384),
    ("RLIMIT_NICE", 0, 0),
    ("RLIMIT_NOFILE", 100, 200),
    ("RLIMIT_NPROC", 1000, 2000),
    ("RLIMIT_RSS", 1 << 30, 2 << 30),
    ("RLIMIT_RTPRIO", 0, 0),
    ("RLIMIT_RTTIME", 1_000_000, 2_000_000),
    ("RLIMIT_SIGPENDING", 100, 200),
    ("RLIMIT_STACK", 1 << 22, 1 << 23),
];

/// Limits so small that a runtime which takes them on itself fails, and that a small program can do with.
const SMALL: [(&str, u64); 14] = [
    ("RLIMIT_AS", 16 << 20),
    ("RLIMIT_CPU", 1),
    ("RLIMIT_DATA", 1 << 20),
    ("RLIMIT_LOCKS", 0),
    ("RLIMIT_MEMLOCK", 0),
    ("RLIMIT_MSGQUEUE", 0),
    ("RLIMIT_NOFILE", 3),
    ("RLIMIT_NOFILE", 4),
    ("RLIMIT_NOFILE", 5),
    ("RLIMIT_NOFILE", 7),
    ("RLIMIT_NOFILE", 10),
    ("RLIMIT_RSS", 0),
    ("RLIMIT_SIGPENDING", 0),
    ("RLIMIT_STACK", 1 << 16),
];

fn limit(kind: &str, soft: u64, hard: u64) -> Value {
    json!([{"type": kind, "soft": soft, "hard": hard}])
}

/// No other container of the suite has processes of these ids, which the kernel counts for RLIMIT_NPROC.
const MAPPED: u32 = 700_000;
const ALONE: u32 = 54_321;

fn small(bundle: crate::bench::bundle::Bundle<'_>, kind: &str, value: u64) -> Result<()> {
    let seen = bundle.set("/process/rlimits", limit(kind, value, value)).observe()?;
    same(kind, seen.report(&format!("/rlimits/{kind}"))?, json!([value, value]))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = LIMITS
        .into_iter()
        .map(|(kind, soft, hard)| {
            Case::new(
                format!("{}_is_set", kind.to_lowercase()),
                &["process.rlimits", "process.rlimits.type", "process.rlimits.soft", "process.rlimits.hard"],
                "The program asks for its limit with getrlimit.",
                move |t| {
                    let seen = t.bundle()?.set("/process/rlimits", limit(kind, soft, hard)).observe()?;
                    same(kind, seen.report(&format!("/rlimits/{kind}"))?, json!([soft, hard]))
                },
            )
        })
        .collect();
    for (kind, value) in SMALL {
        all.push(Case::new(
            format!("{}_of_{value}_is_set", kind.to_lowercase()),
            &["process.rlimits.soft", "process.rlimits.hard"],
            "The soft and the hard limit are this small: the program starts, and has exactly that.",
            move |t| small(t.bundle()?, kind, value),
        ));
    }
    for (kind, value) in [("RLIMIT_NOFILE", 3), ("RLIMIT_AS", 16 << 20), ("RLIMIT_NPROC", 1)] {
        all.push(Case::new(
            format!("{}_of_{value}_is_set_in_a_user_namespace", kind.to_lowercase()),
            &["process.rlimits.soft", "process.rlimits.hard", "ns.user"],
            "The same in a user namespace, where the runtime's process may not raise a hard limit again.",
            move |t| small(t.bundle()?.user_namespace(MAPPED)?, kind, value),
        ));
    }
    all.extend(single::cases());
    all
}

mod single {
    use super::*;

    cases! {
        /// 2^64 - 1 is the kernel's infinity.
        ["process.rlimits.hard"]
        fn an_infinite_limit_is_set(t) {
            let seen = t.bundle()?.set("/process/rlimits", limit("RLIMIT_FSIZE", u64::MAX, u64::MAX)).observe()?;
            same("RLIMIT_FSIZE", seen.report("/rlimits/RLIMIT_FSIZE")?, json!([u64::MAX, u64::MAX]))?;
        }

        /// A hard limit above the runtime's own, which needs CAP_SYS_RESOURCE.
        ["process.rlimits.hard"]
        fn a_hard_limit_above_the_runtimes_is_set(t) {
            t.needs_root()?;
            t.needs_capability(24, "CAP_SYS_RESOURCE")?;
            let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_MSGQUEUE)?;
            let seen = t.bundle()?.set("/process/rlimits", limit("RLIMIT_MSGQUEUE", hard + 1, hard + 2)).observe()?;
            same("RLIMIT_MSGQUEUE", seen.report("/rlimits/RLIMIT_MSGQUEUE")?, json!([hard + 1, hard + 2]))?;
        }

        /// Two limits at once.
        ["process.rlimits"]
        fn several_limits_are_set(t) {
            let limits = json!([
                {"type": "RLIMIT_CORE", "soft": 1, "hard": 2},
                {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128},
            ]);
            let seen = t.bundle()?.set("/process/rlimits", limits).observe()?;
            same("RLIMIT_CORE", seen.report("/rlimits/RLIMIT_CORE")?, json!([1, 2]))?;
            same("RLIMIT_NOFILE", seen.report("/rlimits/RLIMIT_NOFILE")?, json!([64, 128]))?;
        }

        /// One process, of a user who has no other.
        ["process.rlimits.soft", "process.rlimits.hard"]
        fn rlimit_nproc_of_1_is_set_for_another_user(t) {
            t.needs_root()?;
            let b = t.bundle()?.set("/process/user", json!({"uid": ALONE, "gid": ALONE}));
            small(b, "RLIMIT_NPROC", 1)?;
        }

        /// No file may grow: the program starts and ends as it likes, and nothing of what it writes arrives.
        ["process.rlimits.soft", "process.rlimits.hard"]
        fn rlimit_fsize_of_0_is_set(t) {
            let run = |action: &str| t.bundle()?.set("/process/rlimits", limit("RLIMIT_FSIZE", 0, 0)).does(&[action]).observe();
            equal("status of a program that writes nothing", run("exit 7")?.status, Some(7))?;
            equal("what a program wrote", run("report")?.text, "")?;
        }

        /// Three descriptors are enough for the program, and the runtime has forty mounts to make first.
        ["process.rlimits.soft", "process.rlimits.hard"]
        fn a_small_limit_of_open_files_holds_beside_many_mounts(t) {
            let source = t.path("source");
            std::fs::create_dir(&source)?;
            let mut b = t.bundle()?;
            for number in 0..40 {
                b = b.bind(&source, &format!("/data/{number}"), &[]);
            }
            small(b, "RLIMIT_NOFILE", 3)?;
        }

        /// The soft limit is small, and the hard one is not.
        ["process.rlimits.soft", "process.rlimits.hard"]
        fn a_small_soft_limit_of_open_files_keeps_its_hard_limit(t) {
            let seen = t.bundle()?.set("/process/rlimits", limit("RLIMIT_NOFILE", 4, 1000)).observe()?;
            same("RLIMIT_NOFILE", seen.report("/rlimits/RLIMIT_NOFILE")?, json!([4, 1000]))?;
        }

        /// A name that getrlimit(2) does not have.
        ["process.rlimits.unknown"]
        fn an_unknown_limit_is_refused(t) {
            t.bundle()?.set("/process/rlimits", limit("RLIMIT_NO_SUCH", 1, 2)).refused()?;
        }

        /// The name without its prefix.
        ["process.rlimits.unknown"]
        fn a_limit_without_its_prefix_is_refused(t) {
            t.bundle()?.set("/process/rlimits", limit("NOFILE", 1, 2)).refused()?;
        }

        /// The same limit twice, with the same values.
        ["process.rlimits.duplicate"]
        fn a_limit_that_is_there_twice_is_refused(t) {
            let one = json!({"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128});
            t.bundle()?.set("/process/rlimits", json!([one, one])).refused()?;
        }

        /// A soft limit above the hard one.
        ["process.rlimits.soft", "valid-values"]
        fn a_soft_limit_above_the_hard_one_is_an_error(t) {
            t.bundle()?.set("/process/rlimits", limit("RLIMIT_NOFILE", 200, 100)).never_runs()?;
        }

        /// Limits that are not in the config are those of the runtime's caller.
        ["process.rlimits"]
        fn a_limit_that_is_not_in_the_config_is_the_callers(t) {
            let (soft, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE)?;
            let seen = t.bundle()?.observe()?;
            same("RLIMIT_CORE", seen.report("/rlimits/RLIMIT_CORE")?, json!([soft, hard]))?;
        }

        /// The soft limit of open files is the caller's too: runtimes that raise theirs for their own work put it back.
        ["process.rlimits"]
        fn the_limit_of_open_files_is_the_callers_when_it_is_not_in_the_config(t) {
            let (soft, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
            let seen = t.bundle()?.observe()?;
            same("RLIMIT_NOFILE", seen.report("/rlimits/RLIMIT_NOFILE")?, json!([soft, hard]))?;
        }

        /// A negative limit.
        ["valid-values"]
        fn a_negative_limit_is_refused(t) {
            let limits = json!([{"type": "RLIMIT_NOFILE", "soft": -1, "hard": -1}]);
            t.bundle()?.set("/process/rlimits", limits).refused()?;
        }
    }
}
