//! Namespaces beside one another: new and joined ones, clocks beside user namespaces, none for mounts.

use super::*;
use crate::bench::bundle::{Bundle, own};
use crate::bench::container::Container;
use nix::sched::{CloneFlags, unshare};

/// Kinds that are put beside a user namespace.
const BESIDE: [&str; 6] = ["pid", "network", "ipc", "uts", "cgroup", "time"];

/// Where the ids of all user namespaces here start.
const HOST: u32 = 200_000;

const MONOTONIC: i64 = 172_800;
const BOOTTIME: i64 = 604_800;

fn name(kind: &str) -> &'static str {
    KINDS.iter().find(|(k, _, _)| *k == kind).map_or("", |(_, name, _)| name)
}

/// A container to join: it has new namespaces of these kinds.
fn owner<'t>(t: &'t Trial, kinds: &[&str]) -> Result<Container<'t>> {
    let mut b = t.bundle()?.does(&["wait"]);
    for kind in kinds {
        needs(t, kind)?;
        b = if *kind == "user" { b.user_namespace(HOST)? } else { b.namespace(kind, None) };
    }
    b.live()
}

/// A bundle that asks for nothing the joined namespaces could forbid: no name of the host, and the host's `/proc` and `/sys`
/// instead of new ones, which only the owner of a pid or network namespace may mount.
fn modest(t: &Trial) -> Result<Bundle<'_>> {
    let mut b = t.bundle()?.remove("/hostname");
    let mounts = b.config["mounts"].as_array_mut().context("mounts")?;
    mounts.retain(|mount| mount["destination"] != "/proc" && mount["destination"] != "/sys");
    Ok(b.mount("/proc", "none", "/proc", &["rbind"]))
}

fn path(c: &Container<'_>, kind: &str) -> Result<Option<String>> {
    Ok(Some(c.proc(&format!("ns/{}", name(kind)))?))
}

/// What the program's namespace of this kind is to be: the one at the path, or a new one.
fn check(c: &Container<'_>, kind: &str, joined: Option<&str>) -> Result<()> {
    let inside = std::fs::read_link(c.proc(&format!("ns/{}", name(kind)))?)?;
    match joined {
        Some(path) => equal(&format!("{kind} namespace"), inside, std::fs::read_link(path)?),
        None => {
            ensure!(inside.display().to_string() != ours(name(kind))?, "the {kind} namespace is the runtime's");
            Ok(())
        }
    }
}

/// A container with two namespaces, each new or, where there is a path, joined.
fn two(t: &Trial, entries: [(&str, Option<String>); 2]) -> Result<()> {
    let mut b = modest(t)?;
    for (kind, path) in &entries {
        needs(t, kind)?;
        b = match (*kind, path) {
            ("user", None) => b.user_namespace(HOST)?,
            (kind, path) => b.namespace(kind, path.as_deref()),
        };
        if *kind == "user" && path.is_some() {
            own(&b.rootfs(), HOST)?;
        }
    }
    let c = b.does(&["wait"]).live()?;
    for (kind, path) in &entries {
        check(&c, kind, path.as_deref())?;
    }
    Ok(())
}

fn beside_a_user_namespace(kind: &'static str) -> [Case; 3] {
    let clauses = ["ns.path.joined", "ns.new", "ns.user"];
    [
        Case::new(
            format!("a_{kind}_namespace_is_joined_beside_a_new_user_namespace"),
            &clauses,
            "Another container owns the namespace that is joined by its path; the user namespace is new.",
            move |t| {
                let theirs = owner(t, &[kind])?;
                two(t, [(kind, path(&theirs, kind)?), ("user", None)])
            },
        ),
        Case::new(
            format!("a_new_{kind}_namespace_is_made_beside_a_joined_user_namespace"),
            &clauses,
            "Another container owns the user namespace that is joined by its path; the other namespace is new.",
            move |t| {
                let theirs = owner(t, &["user"])?;
                two(t, [(kind, None), ("user", path(&theirs, "user")?)])
            },
        ),
        Case::new(
            format!("a_{kind}_and_a_user_namespace_are_joined_together"),
            &clauses,
            "One other container owns both namespaces, as the first container of a pod does.",
            move |t| {
                let theirs = owner(t, &["user", kind])?;
                two(t, [(kind, path(&theirs, kind)?), ("user", path(&theirs, "user")?)])
            },
        ),
    ]
}

fn with_clocks(b: Bundle<'_>) -> Bundle<'_> {
    b.set("/linux/timeOffsets/monotonic", json!({"secs": MONOTONIC, "nanosecs": 5}))
        .set("/linux/timeOffsets/boottime", json!({"secs": BOOTTIME, "nanosecs": 7}))
}

/// Observes the bundle; both clocks of the program must be ahead by their offsets.
fn clocks_are_ahead(b: Bundle<'_>) -> Result<()> {
    let seen = b.observe()?;
    let offsets = words(seen.report_text("/timens_offsets")?);
    contains("offsets", &offsets, &format!("monotonic {MONOTONIC} 5"))?;
    contains("offsets", &offsets, &format!("boottime {BOOTTIME} 7"))?;
    for (clock, least) in [("monotonic", MONOTONIC), ("boottime", BOOTTIME)] {
        let inside = seen.report(&format!("/clocks/{clock}/0"))?.as_i64().unwrap_or_default();
        ensure!(inside > least, "the clock {clock} inside is {inside}");
    }
    Ok(())
}

pub(super) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Runs a case in a mount namespace of its own, so that a runtime that works in its caller's changes nothing else.
fn apart(t: &Trial, case: impl Fn(&Trial) -> Result<()> + Sync) -> Result<()> {
    let bench = t.bench.clone();
    let run = || {
        unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace for the case")?;
        case(&Trial::new(&bench)?)
    };
    let end = std::thread::scope(|scope| scope.spawn(run).join());
    end.map_err(|_| anyhow::anyhow!("the thread of the case panicked"))?
}

pub(super) fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = BESIDE.into_iter().flat_map(beside_a_user_namespace).collect();
    all.extend(single::cases());
    all
}

mod single {
    use super::*;

    cases! {
        /// Another container owns the pid namespace.
        ["ns.path.joined", "ns.new", "ns.time"]
        fn a_new_time_namespace_is_made_beside_a_joined_pid_namespace(t) {
            let theirs = owner(t, &["pid"])?;
            two(t, [("pid", path(&theirs, "pid")?), ("time", None)])?;
        }

        /// Another container owns the time namespace.
        ["ns.path.joined", "ns.new", "ns.time"]
        fn a_time_namespace_is_joined_beside_a_new_pid_namespace(t) {
            let theirs = owner(t, &["time"])?;
            two(t, [("pid", None), ("time", path(&theirs, "time")?)])?;
        }

        /// Another container owns all the namespaces but that of mounts, as the first container of a pod with ids of its own.
        ["ns.path.joined", "ns.user"]
        fn all_namespaces_of_another_container_are_joined_together(t) {
            let theirs = owner(t, &["user", "cgroup"])?;
            let mut b = modest(t)?;
            own(&b.rootfs(), HOST)?;
            let kinds = ["user", "pid", "network", "ipc", "uts", "cgroup"];
            for kind in kinds {
                b = b.namespace(kind, path(&theirs, kind)?.as_deref());
            }
            let c = b.does(&["wait"]).live()?;
            for kind in kinds {
                check(&c, kind, path(&theirs, kind)?.as_deref())?;
            }
        }

        /// The user namespace is the last of the list, and the first: it is the same container.
        ["ns.new", "ns.path.joined", "ns.user"]
        fn the_order_of_the_list_of_namespaces_is_no_matter(t) {
            let theirs = owner(t, &["ipc"])?;
            for reverse in [false, true] {
                let b = modest(t)?.namespace("ipc", path(&theirs, "ipc")?.as_deref());
                let mut b = b.user_namespace(HOST)?;
                if reverse {
                    b.config["linux"]["namespaces"].as_array_mut().context("namespaces")?.reverse();
                }
                let c = b.does(&["wait"]).live()?;
                check(&c, "ipc", path(&theirs, "ipc")?.as_deref())?;
                for kind in ["user", "pid", "network", "uts", "mount"] {
                    check(&c, kind, None)?;
                }
            }
        }

        /// Both clocks, in a time namespace that the mapped root owns.
        ["time-offsets", "ns.time", "ns.user"]
        fn the_clocks_have_their_offsets_beside_a_new_user_namespace(t) {
            needs(t, "time")?;
            needs(t, "user")?;
            clocks_are_ahead(with_clocks(t.bundle()?.user_namespace(HOST)?.namespace("time", None)))?;
        }

        /// Both clocks, in a new time namespace beside another container's user namespace.
        ["time-offsets", "ns.time", "ns.path.joined"]
        fn the_clocks_have_their_offsets_beside_a_joined_user_namespace(t) {
            needs(t, "time")?;
            let theirs = owner(t, &["user"])?;
            let b = t.bundle()?.namespace("user", path(&theirs, "user")?.as_deref()).namespace("time", None);
            own(&b.rootfs(), HOST)?;
            clocks_are_ahead(with_clocks(b))?;
        }

        /// The program runs as another user of the user namespace, which may not write the offsets itself.
        ["time-offsets", "ns.time", "ns.user", "user.uid"]
        fn the_clocks_have_their_offsets_for_another_user_of_a_user_namespace(t) {
            needs(t, "time")?;
            needs(t, "user")?;
            let b = t.bundle()?.user_namespace(HOST)?.namespace("time", None);
            clocks_are_ahead(with_clocks(b.set("/process/user", json!({"uid": 1000, "gid": 1000}))))?;
        }

        /// The clocks of a joined time namespace are those of its owner, whose config has set them.
        ["ns.path.joined", "ns.time", "ns.user"]
        fn the_clocks_of_a_joined_time_namespace_are_its_owners_beside_a_new_user_namespace(t) {
            needs(t, "time")?;
            needs(t, "user")?;
            let theirs = with_clocks(t.bundle()?.namespace("time", None)).does(&["wait"]).live()?;
            clocks_are_ahead(t.bundle()?.user_namespace(HOST)?.namespace("time", path(&theirs, "time")?.as_deref()))?;
        }

        /// The kernel takes no offsets for a time namespace that has processes, so they cannot be applied.
        ["time-offsets", "create.cannot-apply"]
        fn offsets_for_a_joined_time_namespace_are_an_error(t) {
            needs(t, "time")?;
            let theirs = owner(t, &["time"])?;
            with_clocks(t.bundle()?.namespace("time", path(&theirs, "time")?.as_deref())).refused()?;
        }

        /// Without an entry for mounts the program is in the runtime's mount namespace, or the runtime refuses: it makes no
        /// other one in silence. The case has a mount namespace of its own.
        ["ns.inherited", "ns.mount"]
        fn without_a_mount_namespace_that_of_the_runtime_is_inherited_or_it_is_an_error(t) {
            t.needs_root()?;
            apart(t, |t| {
                let caller = std::fs::read_link("/proc/thread-self/ns/mnt")?.display().to_string();
                let (c, created) = t.bundle()?.without_namespace("mount").does(&["report", "wait"]).try_create()?;
                if !created.succeeded() {
                    return c.must_not_exist().context("after the failed create");
                }
                c.start()?;
                equal("mount namespace", c.until_waiting()?.report_text("/namespaces/mnt")?, caller.as_str())
            })?;
        }

        /// A mount namespace by the path of the runtime's own: the mounts of the runtime stay as they are, whatever becomes
        /// of the container. The case has a mount namespace of its own.
        ["ns.path.joined", "ns.mount"]
        fn the_mounts_of_the_runtime_outlive_a_container_that_joins_its_mount_namespace(t) {
            t.needs_root()?;
            apart(t, |t| {
                let path = format!("/proc/{}/task/{}/ns/mnt", std::process::id(), nix::unistd::gettid());
                let kept = t.dir.join("kept");
                std::fs::write(&kept, "still here")?;
                let made = t.bundle()?.namespace("mount", Some(&path)).try_create();
                equal("a file outside", std::fs::read_to_string(&kept).context("read a file outside")?, "still here")?;
                ensure!(std::path::Path::new("/proc/self").exists(), "/proc is gone outside");
                made.map(|_| ())
            })?;
        }
    }
}
