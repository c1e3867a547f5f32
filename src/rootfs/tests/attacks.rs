//! Hostile root filesystems: one test for each past hole that a path led through.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

const ROOT: &str = "/mnt/bundle/rootfs";

fn plant(link: &str, target: &str) {
    let path = format!("{ROOT}/{link}");
    let _ = fs::remove_dir(&path);
    let _ = fs::remove_file(&path);
    symlink(target, path).unwrap();
}

/// CVE-2019-18837, CVE-2024-45310, CVE-2026-47766, CVE-2026-41579: absolute and relative links out of the root.
#[test]
fn a_symlinked_dev_leads_to_nothing_outside() {
    let links = [
        ("/mnt/outside/dir", "/mnt/outside/dir"),
        ("../../outside/dir", "/outside/dir"),
        ("/../../../mnt/outside/dir", "/mnt/outside/dir"),
    ];
    for (target, within) in links {
        in_namespace(move || {
            plant("dev", target);
            let rootfs = parsed("", "").unwrap();
            let _ = built(&rootfs);
        });
        in_namespace(move || {
            plant("dev", target);
            let rootfs = parsed(USUAL, "").unwrap();
            let built = built(&rootfs).unwrap();
            built.pivot(Enter::Pivot).unwrap();
            built.console().unwrap();
            assert_eq!(mount_at(within).unwrap()[2], "tmpfs", "the link leads somewhere within the root");
        });
    }
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-54867.
#[test]
fn a_symlinked_proc_or_sys_is_refused() {
    for name in ["proc", "sys"] {
        in_namespace(move || {
            plant(name, "/mnt/outside/dir");
            let rootfs = parsed(USUAL, "").unwrap();
            let error = built(&rootfs).unwrap_err().to_string();
            assert!(error.contains("must be mounted on ordinary directory"), "{error}");
        });
    }
    in_namespace(|| {
        plant("parent", "/proc");
        let mount = r#"{"destination":"/parent/sub","type":"sysfs","source":"sysfs"}"#;
        let rootfs = parsed(mount, "").unwrap();
        assert!(built(&rootfs).unwrap_err().to_string().contains("ordinary directory"));
    });
}

/// CVE-2019-16884: a volume over /proc, by a link too.
#[test]
fn nothing_but_a_procfs_is_mounted_over_proc() {
    in_namespace(|| {
        let fake = r#"{"destination":"/proc","source":"/mnt/outside/dir","options":["bind"]}"#;
        let rootfs = parsed(fake, "").unwrap();
        assert!(built(&rootfs).unwrap_err().to_string().contains("not the root of a procfs"));
    });
    in_namespace(|| {
        plant("alias", "/proc/self");
        let mounts = format!(r#"{USUAL},{{"destination":"/alias/attr","type":"tmpfs","source":"tmpfs"}}"#);
        let rootfs = parsed(&mounts, "").unwrap();
        assert!(built(&rootfs).unwrap_err().to_string().contains("inside /proc"));
    });
}

/// CVE-2025-31133: the mask is never the container's own /dev/null.
#[test]
fn a_mask_is_the_hosts_null_device_whatever_the_containers_is() {
    in_namespace(|| {
        let mounts = r#"{"destination":"/proc","type":"proc","source":"proc"}"#;
        let rootfs = parsed(mounts, r#""maskedPaths":["/proc/keys"]"#).unwrap();
        let built = built(&rootfs).unwrap();
        built.pivot(Enter::Pivot).unwrap();
        fs::remove_file("/dev/null").unwrap();
        symlink("/proc/sys/kernel/core_pattern", "/dev/null").unwrap();
        built.protect(None).unwrap();
        assert_eq!(fs::metadata("/proc/keys").unwrap().rdev(), 0x103);
    });
}

/// CVE-2026-88265: a link or a file that stands for a default device.
#[test]
fn a_default_device_that_is_something_else_is_refused() {
    in_namespace(|| {
        plant("dev/null", "/mnt/outside/file");
        let rootfs = parsed("", "").unwrap();
        let error = built(&rootfs).unwrap_err().to_string();
        assert_eq!(error, "device /dev/null: an existing file is not the device c 1:3");
    });
}

/// CVE-2026-88264 and CVE-2025-52565: /dev/console, and a devpts that is none.
#[test]
fn a_symlinked_console_leads_to_nothing_outside() {
    let devpts =
        r#"{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666"]}"#;
    for target in ["/mnt/outside/file", "/mnt/outside/new", "../../../outside/new"] {
        in_namespace(move || {
            plant("dev/console", target);
            let rootfs = parsed(devpts, "").unwrap();
            let built = built(&rootfs).unwrap();
            built.pivot(Enter::Pivot).unwrap();
            built.console().unwrap();
        });
    }
    in_namespace(|| {
        fs::create_dir_all(format!("{ROOT}/dev/pts")).unwrap();
        plant("dev/pts/ptmx", "/dev/tty");
        let rootfs = parsed("", "").unwrap();
        let built = built(&rootfs).unwrap();
        built.pivot(Enter::Pivot).unwrap();
        assert!(built.console().unwrap_err().to_string().contains("is not a devpts"));
    });
}

/// CVE-2025-52881: a mount inside the procfs makes a write fail instead of going elsewhere.
#[test]
fn a_write_to_procfs_is_never_led_astray() {
    in_namespace(|| {
        let mounts = r#"{"destination":"/proc","type":"proc","source":"proc"}"#;
        let rootfs = parsed(mounts, "").unwrap();
        let built = built(&rootfs).unwrap();
        let root = built.tree.root().open(&InRoot::new("/proc"), libc::O_PATH).unwrap();
        let proc = crate::procfs::ProcFd::checked(root).unwrap();
        assert!(proc.file("sys/kernel/ostype", libc::O_RDONLY).is_ok());
        let bind = calls::MountArgs { source: Some("/mnt/outside/file"), flags: libc::MS_BIND, ..Default::default() };
        calls::mount("/mnt/bundle/rootfs/proc/sys/kernel/domainname", &bind).unwrap();
        let error = proc.write_sysctl("kernel/domainname", "evil").unwrap_err();
        assert!(error.is(libc::EXDEV), "{error}");
        let pid = std::process::id();
        calls::mount(format!("/mnt/bundle/rootfs/proc/{pid}/oom_score_adj"), &bind).unwrap();
        assert!(proc.write_of(pid, "oom_score_adj", "0").unwrap_err().is(libc::EXDEV));
        assert!(proc.file("self/status", libc::O_RDONLY).is_err(), "no link is followed");
    });
}

/// CVE-2021-30465, CVE-2024-45310: a destination that is exchanged with a link while mounts are made.
#[test]
fn a_racing_exchange_never_moves_a_mount_outside() {
    in_namespace(|| {
        fs::create_dir_all(format!("{ROOT}/vol/dir")).unwrap();
        plant("vol/link", "/mnt/outside/dir");
        let stop = std::sync::atomic::AtomicBool::new(false);
        let dir = fs::File::open(format!("{ROOT}/vol")).unwrap();
        std::thread::scope(|scope| {
            let swapper = scope.spawn(|| {
                let mut swaps = 0u64;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    crate::sys::tests::exchange_at(&dir, "dir", "link").unwrap();
                    swaps += 1;
                }
                swaps
            });
            let mounts = r#"{"destination":"/vol/dir/made/deep","type":"tmpfs","source":"t"},
                {"destination":"/vol/dir/file","source":"/mnt/outside/file","options":["bind"]}"#;
            let rootfs = parsed(mounts, "").unwrap();
            for _ in 0..500 {
                let result = built(&rootfs);
                if let Err(error) = &result {
                    assert!(!error.to_string().contains("panicked"));
                }
                let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
                for line in table.lines() {
                    let target = line.split(' ').nth(4).unwrap();
                    assert!(!target.starts_with("/mnt/outside"), "{line}");
                }
                fs::write("/mnt/bundle/rootfs/../marker", "").unwrap();
                let _ = crate::sys::fs::change_dir("/");
                calls::detach(ROOT, 0).unwrap();
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(swapper.join().unwrap() > 0);
        });
    });
}

/// A FIFO as /etc/passwd does not hang, a device is not opened, a large file is not read.
#[test]
fn only_small_regular_files_of_a_root_are_read() {
    in_namespace(|| {
        let dir = crate::sys::file::open(ROOT, libc::O_PATH).unwrap();
        let root = crate::path::Root::from(dir);
        let path = InRoot::new("/etc/passwd");
        assert_eq!(root.read(&path).unwrap(), None);
        fs::create_dir_all(format!("{ROOT}/etc")).unwrap();
        crate::sys::fs::mknod_at(&root, "etc/passwd", libc::S_IFIFO | 0o644, 0).unwrap();
        assert!(root.read(&path).unwrap_err().to_string().contains("is not a regular file"));
        plant("etc/passwd", "/mnt/outside/file");
        assert_eq!(root.read(&path).unwrap(), None, "the link stays in the root");
        plant("etc/passwd", "../etc/real");
        fs::write(format!("{ROOT}/etc/real"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        assert_eq!(root.read(&path).unwrap().unwrap().len(), 26);
        fs::write(format!("{ROOT}/etc/real"), vec![b'x'; (1 << 20) + 1]).unwrap();
        assert_eq!(root.read(&path).unwrap_err().errno(), libc::EFBIG);
    });
}

/// A link that leads to what does not exist yet is followed inside the root, as /var/run is in many images.
#[test]
fn missing_directories_are_made_through_dangling_links_in_the_root() {
    in_namespace(|| {
        fs::create_dir_all(format!("{ROOT}/var/lib")).unwrap();
        plant("var/run", "/run");
        plant("var/lib/up", "../../../../made/x/../y");
        plant("loop", "loop");
        let mounts = r#"{"destination":"/var/run/secrets","type":"tmpfs","source":"t"},
            {"destination":"/var/lib/up/z","type":"tmpfs","source":"t"}"#;
        let rootfs = parsed(mounts, "").unwrap();
        built(&rootfs).unwrap();
        assert!(mount_at(&format!("{ROOT}/run/secrets")).is_some());
        assert!(mount_at(&format!("{ROOT}/made/y/z")).is_some());
        let rootfs = parsed(r#"{"destination":"/loop/x","type":"tmpfs","source":"t"}"#, "").unwrap();
        assert_eq!(built(&rootfs).unwrap_err().errno(), libc::ELOOP);
    });
}

/// The same race for devices, links and the console in a /dev that the image brings.
#[test]
fn a_racing_exchange_of_dev_makes_no_node_outside() {
    in_namespace(|| {
        plant("link", "/mnt/outside/dir");
        let stop = std::sync::atomic::AtomicBool::new(false);
        let dir = fs::File::open(ROOT).unwrap();
        std::thread::scope(|scope| {
            let swapper = scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    crate::sys::tests::exchange_at(&dir, "dev", "link").unwrap();
                }
            });
            let rootfs = parsed("", "").unwrap();
            for _ in 0..500 {
                let _ = built(&rootfs);
                crate::sys::fs::change_dir("/").unwrap();
                let _ = calls::detach(ROOT, 0);
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            swapper.join().unwrap();
        });
    });
}
