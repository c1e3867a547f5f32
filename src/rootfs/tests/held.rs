//! What is done to a mount after it was made is done to that mount, wherever its directory is by then.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

const ROOT: &str = "/mnt/bundle/rootfs";
const PROC: &str = r#"{"destination":"/proc","type":"proc","source":"proc"}"#;
const PROTECTED: &str = r#""maskedPaths":["/proc/keys","/sys/firmware"],"readonlyPaths":["/proc/sys"]"#;

fn is_protected(proc: &str) {
    assert!(fs::metadata(format!("{proc}/self")).is_ok(), "{proc} is a procfs");
    assert_eq!(fs::metadata(format!("{proc}/keys")).unwrap().rdev(), 0x103, "{proc}/keys");
    let pattern = fs::OpenOptions::new().append(true).open(format!("{proc}/sys/kernel/core_pattern"));
    assert_eq!(pattern.unwrap_err().raw_os_error(), Some(libc::EROFS), "{proc}");
}

fn is_empty(dir: &str) -> bool {
    fs::read_dir(dir).unwrap().count() == 0
}

#[test]
fn masks_are_on_the_procfs_that_was_made_though_its_directory_has_another_name() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        fs::create_dir(format!("{ROOT}/empty")).unwrap();
        let rootfs = parsed(USUAL, PROTECTED).unwrap();
        let built = built(&rootfs).unwrap();
        neighbour.exchange("proc", "empty");
        built.pivot(Enter::Pivot).unwrap();
        built.protect(None).unwrap();
        is_protected("/empty");
        assert!(is_empty("/proc"));
        neighbour.exchange("proc", "empty");
        is_protected("/proc");
        assert!(is_empty("/sys/firmware"));
    });
}

#[test]
fn a_mask_reached_by_a_link_is_on_the_procfs_that_was_made_too() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        fs::create_dir(format!("{ROOT}/empty")).unwrap();
        symlink("proc", format!("{ROOT}/relative")).unwrap();
        symlink("/relative/../proc", format!("{ROOT}/absolute")).unwrap();
        let linux = r#""maskedPaths":["/absolute/keys"],"readonlyPaths":["/relative/sys"]"#;
        let rootfs = parsed(PROC, linux).unwrap();
        let built = built(&rootfs).unwrap();
        neighbour.exchange("proc", "empty");
        built.pivot(Enter::Pivot).unwrap();
        built.protect(None).unwrap();
        is_protected("/empty");
    });
}

#[test]
fn what_belongs_into_a_mount_is_put_into_it_though_its_directory_has_another_name() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        let rootfs = parsed(USUAL, "").unwrap();
        let prepared = rootfs.prepare(Sources::ByChild).unwrap();
        crate::sys::fs::change_dir_to(prepared.directory()).unwrap();
        rootfs.propagate().unwrap();
        let root = rootfs.attach_root(&prepared).unwrap();
        let mut tree = tree::Tree::new(root);
        let tmpfs = calls::MountArgs { source: Some("made"), kind: Some("tmpfs"), ..Default::default() };
        calls::mount(format!("{ROOT}/dev"), &tmpfs).unwrap();
        let mount = crate::sys::file::open(format!("{ROOT}/dev"), libc::O_PATH).unwrap();
        tree.mounted(InRoot::new("/dev"), Some(mount));
        fs::create_dir(format!("{ROOT}/empty")).unwrap();
        neighbour.exchange("dev", "empty");
        device::create(&tree, &rootfs.devices, device::Nodes::Own).unwrap();
        device::link(&tree).unwrap();
        tree.find_or_create(&InRoot::new("/dev/pts"), crate::path::Create::Directory).unwrap();
        assert!(is_empty(&format!("{ROOT}/dev")), "nothing was made in what has the name now");
        for name in ["null", "ptmx", "fd", "pts"] {
            assert!(fs::symlink_metadata(format!("{ROOT}/empty/{name}")).is_ok(), "{name}");
        }
    });
}

#[test]
fn a_destination_that_became_another_mount_is_an_error() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        let mut rootfs = parsed(&format!("{PROC},{}", r#"{"destination":"/sys","type":"sysfs"}"#), PROTECTED).unwrap();
        let later = rootfs.mounts.split_off(1);
        let mut built = built(&rootfs).unwrap();
        neighbour.exchange("proc", "sys");
        let rest = parsed(r#"{"destination":"/sys","type":"tmpfs"}"#, "").unwrap();
        for mount in later.iter().chain(&rest.mounts) {
            let error = built.attach(mount, None, &CgroupView::default()).unwrap_err().to_string();
            assert!(error.contains("was exchanged with /proc"), "{error}");
        }
    });
}

#[test]
fn what_a_hook_mounts_over_a_procfs_is_masked_and_so_is_the_procfs() {
    in_namespace(|| {
        let rootfs = parsed(PROC, PROTECTED).unwrap();
        let mut built = built(&rootfs).unwrap();
        let proc = calls::MountArgs { source: Some("proc"), kind: Some("proc"), ..Default::default() };
        calls::mount(format!("{ROOT}/proc"), &proc).unwrap();
        built.after_hooks().unwrap();
        built.pivot(Enter::Pivot).unwrap();
        built.protect(None).unwrap();
        is_protected("/proc");
        calls::detach("/proc", 0).unwrap();
        is_protected("/proc");
    });
}

#[test]
fn masks_are_on_a_procfs_that_another_mount_covers() {
    in_namespace(|| {
        fs::create_dir(format!("{ROOT}/aside")).unwrap();
        let mounts = r#"{"destination":"/data/proc","type":"proc"},{"destination":"/data","type":"tmpfs"}"#;
        let linux = r#""maskedPaths":["/data/proc/keys"],"readonlyPaths":["/data/proc/sys"]"#;
        let rootfs = parsed(mounts, linux).unwrap();
        let built = built(&rootfs).unwrap();
        built.pivot(Enter::Pivot).unwrap();
        built.protect(None).unwrap();
        assert!(is_empty("/data"));
        calls::detach("/data", 0).unwrap();
        is_protected("/data/proc");
    });
}

/// A read-only path is a copy with all mounts beneath it: what is put into those afterwards would be missing in the copy.
#[test]
fn masks_are_in_a_read_only_copy_of_what_they_are_in_and_in_the_original() {
    in_namespace(|| {
        let mounts = format!(r#"{USUAL},{{"destination":"/data/proc","type":"proc"}}"#);
        let linux = r#""maskedPaths":["/proc/keys","/data/proc/keys"],"readonlyPaths":["/data","/proc","/data/proc/sys","/proc/sys"]"#;
        let rootfs = parsed(&mounts, linux).unwrap();
        let built = built(&rootfs).unwrap();
        built.pivot(Enter::Pivot).unwrap();
        built.protect(None).unwrap();
        for proc in ["/proc", "/data/proc"] {
            is_protected(proc);
        }
        calls::detach("/data", 0).unwrap();
        calls::detach("/proc", 0).unwrap();
        for proc in ["/proc", "/data/proc"] {
            is_protected(proc);
        }
    });
}

#[test]
fn a_mount_by_the_old_call_has_its_attributes_though_its_directory_has_another_name() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        fs::create_dir_all(format!("{ROOT}/a")).unwrap();
        let handle = crate::sys::file::open(format!("{ROOT}/a"), libc::O_PATH).unwrap();
        assert!(tree::topmost(&handle).unwrap().is_none());
        let tmpfs = calls::MountArgs { source: Some("first"), kind: Some("tmpfs"), ..Default::default() };
        calls::mount(format!("{ROOT}/a"), &tmpfs).unwrap();
        let over = tree::topmost(&handle).unwrap().unwrap();
        fs::create_dir(format!("{ROOT}/b")).unwrap();
        neighbour.exchange("a", "b");
        let again = tree::topmost(&handle).unwrap().unwrap();
        let id = |fd: &std::os::fd::OwnedFd| crate::sys::fs::mount_id(fd).unwrap();
        assert_eq!(id(&over), id(&again));
        let mount = r#"{"destination":"/b","type":"tmpfs","options":["silent","nosuid","noexec"]}"#;
        let rootfs = parsed(mount, "").unwrap();
        let mut built = built(&rootfs).unwrap();
        assert!(mount_at(&format!("{ROOT}/b")).unwrap()[0].contains("nosuid,noexec"));
        let remount = parsed(r#"{"destination":"/b","options":["remount","bind","ro"]}"#, "").unwrap();
        neighbour.exchange("a", "b");
        built.attach(&remount.mounts[0], None, &CgroupView::default()).unwrap();
        assert!(mount_at(&format!("{ROOT}/a")).unwrap()[0].starts_with("ro,"));
    });
}

#[test]
fn the_root_is_made_read_only_by_whatever_name_and_is_never_masked() {
    for path in ["/", "/link", "/up", "/deep/link"] {
        let scene = || {
            fs::create_dir(format!("{ROOT}/deep")).unwrap();
            for (link, target) in [("link", "/"), ("up", "deep/.."), ("deep/link", "../link")] {
                symlink(target, format!("{ROOT}/{link}")).unwrap();
            }
        };
        in_namespace(move || {
            scene();
            let rootfs = parsed(USUAL, &format!(r#""readonlyPaths":["{path}","/proc/sys"]"#)).unwrap();
            let built = built(&rootfs).unwrap();
            built.pivot(Enter::Pivot).unwrap();
            built.protect(None).unwrap();
            assert_eq!(fs::create_dir("/new").unwrap_err().raw_os_error(), Some(libc::EROFS), "{path}");
            assert!(fs::write("/dev/shm/new", "").is_ok(), "mounts in it are as they were");
        });
        in_namespace(move || {
            scene();
            let parsed = parsed(USUAL, &format!(r#""maskedPaths":["/none","{path}"]"#));
            let refused = |error: String| {
                assert!(error.starts_with("linux.maskedPaths[1]: "), "{error}");
                assert!(error.ends_with("would mask the whole container"), "{error}");
            };
            let rootfs = match parsed {
                Ok(rootfs) => rootfs,
                Err(error) => return refused(error.to_string()),
            };
            let built = built(&rootfs).unwrap();
            built.pivot(Enter::Pivot).unwrap();
            refused(built.protect(None).unwrap_err().to_string());
        });
    }
}

#[test]
fn a_bind_mount_of_the_root_is_not_the_root() {
    in_namespace(|| {
        let mounts = r#"{"destination":"/again","source":"/mnt/bundle/rootfs","options":["bind"]}"#;
        let rootfs = parsed(mounts, r#""maskedPaths":["/again"]"#).unwrap();
        let built = built(&rootfs).unwrap();
        built.pivot(Enter::Pivot).unwrap();
        built.protect(None).unwrap();
        assert!(is_empty("/again"));
    });
}

#[test]
fn a_door_of_procfs_to_other_files_is_no_way_for_a_mask() {
    in_namespace(|| {
        let rootfs = parsed(PROC, r#""maskedPaths":["/proc/self/root/etc"]"#).unwrap();
        let built = built(&rootfs).unwrap();
        built.pivot(Enter::Pivot).unwrap();
        assert_eq!(built.protect(None).unwrap_err().errno(), libc::ELOOP);
    });
}

/// A copy of a directory above the root holds what is mounted there at that moment.
#[test]
fn a_volume_above_the_root_does_not_hold_the_mounts_of_the_container() {
    for many in [0, 300] {
        in_namespace(move || {
            symlink("/mnt", "/mnt/outside-link").unwrap();
            let volumes = ["/mnt", "/mnt/bundle", "/mnt/outside-link/bundle/rootfs"].into_iter().enumerate();
            let volumes = volumes
                .map(|(n, source)| format!(r#"{{"destination":"/host{n}","source":"{source}","options":["rbind"]}}"#));
            let others = (0..many)
                .map(|n| format!(r#"{{"destination":"/other/{n}","source":"/mnt/outside/file","options":["bind"]}}"#));
            let mounts: Vec<String> = [USUAL.to_owned()].into_iter().chain(others).chain(volumes).collect();
            let rootfs = parsed(&mounts.join(","), PROTECTED).unwrap();
            let built = built(&rootfs).unwrap();
            built.pivot(Enter::Pivot).unwrap();
            built.protect(None).unwrap();
            for root in ["/host0/bundle/rootfs", "/host1/rootfs", "/host2"] {
                assert!(is_empty(&format!("{root}/proc")), "{root}");
                assert!(is_empty(&format!("{root}/sys")), "{root}");
            }
            is_protected("/proc");
        });
    }
}

/// After a restore: a mount that lost an attribute, and whose name leads elsewhere, is not passed over.
#[test]
fn a_restored_mount_that_lost_an_attribute_is_restricted_or_refused() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        for dir in ["a", "c/d"] {
            fs::create_dir_all(format!("{ROOT}/{dir}")).unwrap();
        }
        let mounts = r#"{"destination":"/a","type":"tmpfs","options":["nosuid"]},
            {"destination":"/c/d","type":"tmpfs","options":["ro"]},{"destination":"/c","type":"tmpfs"}"#;
        let rootfs = parsed(mounts, "").unwrap();
        built(&rootfs).unwrap().pivot(Enter::Pivot).unwrap();
        fs::create_dir("/table").unwrap();
        calls::mount("/table", &calls::MountArgs { source: Some("proc"), kind: Some("proc"), ..Default::default() })
            .unwrap();
        let table = || fs::read("/table/thread-self/mountinfo").unwrap();
        let restrict = |point: &str, flags| Rootfs::restrict(point, flags, &table());
        restrict("/a", libc::MS_RDONLY | libc::MS_NOSUID).unwrap();
        assert_eq!(fs::write("/a/x", "").unwrap_err().raw_os_error(), Some(libc::EROFS));
        restrict("/c/d", libc::MS_RDONLY).unwrap();
        let refused = |result: Result<()>, text: &str| assert_eq!(result.unwrap_err().to_string(), text);
        let text =
            |point: &str| format!("the mount at {point} was replaced or is covered: it cannot be made nodev again");
        refused(restrict("/c/d", libc::MS_NODEV), &text("/c/d"));
        let before = table();
        neighbour.exchange("a", "c");
        refused(Rootfs::restrict("/a", libc::MS_NODEV, &before), &text("/a"));
        Rootfs::restrict("/a", libc::MS_NOSUID, &before).unwrap();
        refused(Rootfs::restrict("/none", libc::MS_NODEV, &before), &text("/none"));
    });
}
