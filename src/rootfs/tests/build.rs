//! What a config becomes.

use super::*;
use crate::sys::cgroup::magic_of;
use std::fs;

#[test]
fn a_usual_container_has_its_filesystems_devices_and_links() {
    in_namespace(|| {
        let rootfs = parsed(USUAL, "").unwrap();
        let built = built(&rootfs).unwrap();
        built.pivot(Enter::Pivot).unwrap();
        assert_eq!(mount_at("/proc").unwrap()[2], "proc");
        assert_eq!(mount_at("/sys").unwrap()[0], "ro,nosuid,nodev,noexec,relatime");
        assert_eq!(mount_at("/dev").unwrap()[0], "rw,nosuid");
        assert!(mount_at("/dev/shm").unwrap()[3].contains("size=65536k"));
        assert_eq!(mount_at("/dev/mqueue").unwrap()[2], "mqueue");
        for (path, number) in [("null", 0x103), ("zero", 0x105), ("full", 0x107), ("random", 0x108), ("tty", 0x500)] {
            let node = fs::metadata(format!("/dev/{path}")).unwrap();
            assert_eq!((node.rdev(), node.mode()), (number, libc::S_IFCHR | 0o666), "{path}");
        }
        assert_eq!(fs::read_link("/dev/fd").unwrap(), Path::new("/proc/self/fd"));
        assert_eq!(fs::read_link("/dev/ptmx").unwrap(), Path::new("pts/ptmx"));
        assert_eq!(mode("/dev/pts/ptmx") & 0o777, 0o666);
        assert!(!Path::new("/mnt/outside").exists(), "the old root is gone");
        let console = built.console().unwrap();
        assert!(crate::sys::terminal::is_terminal(&console.slave));
        assert_eq!(mount_at("/dev/console").unwrap()[2], "devpts");
        assert_eq!(fs::metadata("/dev/console").unwrap().ino(), fs::metadata("/dev/pts/0").unwrap().ino());
        built.protect(None).unwrap();
    });
}

#[test]
fn a_bind_mount_keeps_what_no_option_speaks_of() {
    // Recursive attributes are of 5.12, nosymfollow as an attribute of 5.14.
    if older_than((5, 14)) {
        return;
    }
    in_namespace(|| {
        let flags = libc::MS_NOSUID | libc::MS_NOEXEC;
        let how = calls::MountArgs { source: Some("x"), kind: Some("tmpfs"), flags, data: None };
        calls::mount("/mnt/outside/dir", &how).unwrap();
        let mounts = r#"{"destination":"/a","source":"/mnt/outside","options":["rbind","ro"]},
            {"destination":"/b","source":"/mnt/outside/dir","options":["bind","ro","exec"]},
            {"destination":"/c","source":"/mnt/outside","options":["rbind","rro","noatime","rslave"]},
            {"destination":"/etc/file","source":"/mnt/outside/file","options":["bind","nosuid","nosymfollow"]}"#;
        let rootfs = parsed(mounts, "").unwrap();
        for sources in [Sources::ByChild, Sources::ByParent] {
            built_with(&rootfs, sources, &CgroupView::default()).unwrap();
            let at = |path: &str| mount_at(&format!("/mnt/bundle/rootfs{path}")).unwrap()[0].clone();
            assert_eq!(at("/a"), "ro,relatime");
            assert_eq!(at("/a/dir"), "rw,nosuid,noexec,relatime");
            assert_eq!(at("/b"), "ro,nosuid,relatime");
            assert_eq!(at("/c"), "ro,noatime");
            assert_eq!(at("/c/dir"), "ro,nosuid,noexec,relatime");
            assert_eq!(at("/etc/file"), "rw,nosuid,relatime,nosymfollow");
            assert_eq!(fs::read_to_string("etc/file").unwrap(), "canary");
        }
        calls::detach("/mnt/outside/dir", 0).unwrap();
    });
}

#[test]
fn paths_are_masked_and_protected_and_the_root_is_read_only_last() {
    in_namespace(|| {
        let linux = r#""maskedPaths":["/proc/keys","/proc/timer_list","/sys/firmware","/secret/dir","/other","/none"],
            "readonlyPaths":["/proc/sys","/secret","/none"]"#;
        let mut rootfs = parsed(USUAL, linux).unwrap();
        rootfs.readonly = true;
        for dir in ["secret/dir", "other"] {
            fs::create_dir_all(format!("/mnt/bundle/rootfs/{dir}")).unwrap();
            fs::write(format!("/mnt/bundle/rootfs/{dir}/x"), "x").unwrap();
        }
        let built = built(&rootfs).unwrap();
        built.pivot(Enter::Pivot).unwrap();
        built.protect(None).unwrap();
        assert_eq!(fs::read("/proc/keys").unwrap(), b"");
        assert_eq!(fs::metadata("/proc/keys").unwrap().rdev(), 0x103);
        fs::write("/proc/keys", "writing to the mask goes nowhere").unwrap();
        let chmod = fs::set_permissions("/proc/keys", std::os::unix::fs::PermissionsExt::from_mode(0o0));
        assert_eq!(chmod.unwrap_err().raw_os_error(), Some(libc::EROFS), "the host's node is out of reach");
        for dir in ["/secret/dir", "/other"] {
            assert_eq!(fs::read_dir(dir).unwrap().count(), 0);
            assert!(fs::write(format!("{dir}/new"), "").is_err());
        }
        let write = |path: &str| fs::write(path, "x").map_err(|e| e.raw_os_error());
        assert_eq!(write("/secret/new"), Err(Some(libc::EROFS)));
        assert_eq!(write("/proc/sys/kernel/domainname"), Err(Some(libc::EROFS)));
        assert_eq!(write("/new"), Err(Some(libc::EROFS)));
        assert!(write("/dev/null").is_ok());
    });
}

#[test]
fn a_path_may_be_listed_twice_by_any_name_and_beneath_another_one_in_any_order() {
    in_namespace(|| {
        for dir in ["bundle/rootfs/secret/dir", "bundle/rootfs/kept/dir"] {
            fs::create_dir_all(format!("/mnt/{dir}")).unwrap();
            fs::write(format!("/mnt/{dir}/file"), "text").unwrap();
        }
        std::os::unix::fs::symlink("secret", "/mnt/bundle/rootfs/link").unwrap();
        let mut masked = [
            r#""/secret""#,
            r#""/secret/dir""#,
            r#""/secret/dir/file""#,
            r#""/link/""#,
            r#""/proc/keys""#,
            r#""/proc/keys""#,
        ];
        let mut kept = [
            r#""/kept""#,
            r#""/kept/dir""#,
            r#""/kept/dir/file""#,
            r#""/proc/sys""#,
            r#""/proc/sys/kernel""#,
            r#""/secret""#,
        ];
        for _ in 0..2 {
            masked.reverse();
            kept.reverse();
            let twice = |list: &[&str]| [list, list].concat().join(",");
            let linux = format!(r#""maskedPaths":[{}],"readonlyPaths":[{}]"#, twice(&masked), twice(&kept));
            // A lookup of the root's path would find the one before.
            let scope = std::thread::spawn(move || {
                namespace::unshare(libc::CLONE_NEWNS | libc::CLONE_FS).unwrap();
                let rootfs = parsed(USUAL, &linux).unwrap();
                let built = built(&rootfs).unwrap();
                built.pivot(Enter::Pivot).unwrap();
                built.protect(None).unwrap();
                assert_eq!(fs::read_dir("/secret").unwrap().count(), 0);
                assert_eq!(fs::read("/proc/keys").unwrap(), b"");
                for path in ["/kept/new", "/kept/dir/new", "/kept/dir/file", "/proc/sys/kernel/domainname", "/secret/x"]
                {
                    assert_eq!(fs::write(path, "x").map_err(|e| e.raw_os_error()), Err(Some(libc::EROFS)), "{path}");
                }
            });
            scope.join().unwrap();
        }
    });
}

#[test]
fn paths_in_an_unbindable_root_are_masked_and_protected() {
    in_namespace(|| {
        for propagation in ["unbindable", "runbindable"] {
            fs::create_dir_all("/mnt/bundle/rootfs/kept").unwrap();
            let lists = r#""maskedPaths":["/proc/keys"],"readonlyPaths":["/kept","/proc/sys"]"#;
            let linux = format!(r#""rootfsPropagation":"{propagation}",{lists}"#);
            let thread = std::thread::spawn(move || {
                namespace::unshare(libc::CLONE_NEWNS | libc::CLONE_FS).unwrap();
                let rootfs = parsed(USUAL, &linux).unwrap();
                let built = built(&rootfs).unwrap();
                built.pivot(Enter::Pivot).unwrap();
                built.protect(None).unwrap();
                for path in ["/kept/new", "/proc/sys/kernel/domainname"] {
                    assert_eq!(fs::write(path, "x").map_err(|e| e.raw_os_error()), Err(Some(libc::EROFS)), "{path}");
                }
                assert_eq!(mount_at("/").unwrap()[1], "unbindable");
                let recursive = propagation == "runbindable";
                assert_eq!(mount_at("/proc").unwrap()[1] == "unbindable", recursive);
            });
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_root_is_entered_without_pivot_root_and_without_the_hosts_proc() {
    in_namespace(|| {
        let rootfs = parsed(USUAL, "").unwrap();
        let built = built(&rootfs).unwrap();
        built.pivot(Enter::Move).unwrap();
        assert!(!Path::new("/mnt/outside").exists());
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert_eq!(table.lines().filter(|line| line.contains(" - proc ")).count(), 1, "{table}");
    });
}

#[test]
fn a_tmpfs_takes_the_mode_of_what_it_covers_and_may_begin_with_its_contents() {
    in_namespace(|| {
        let root = "/mnt/bundle/rootfs";
        fs::create_dir_all(format!("{root}/run/sub")).unwrap();
        fs::write(format!("{root}/run/sub/file"), "text").unwrap();
        std::os::unix::fs::symlink("/mnt/outside/file", format!("{root}/run/link")).unwrap();
        std::os::unix::fs::chown(format!("{root}/run/sub/file"), Some(7), Some(8)).unwrap();
        let set = |path: &str, mode: u32| {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        };
        set(&format!("{root}/run"), 0o1750);
        set(&format!("{root}/run/sub/file"), 0o640);
        let mounts = r#"{"destination":"/run","type":"tmpfs","source":"tmpfs","options":["ro","tmpcopyup"]},
            {"destination":"/run/put/in","type":"tmpfs","source":"tmpfs","options":[]}"#;
        let rootfs = parsed(mounts, "").unwrap();
        let built = built(&rootfs).unwrap();
        built.protect(None).unwrap();
        assert_eq!(mode("run") & 0o7777, 0o1750);
        assert_eq!(mode("run/put/in") & 0o7777, 0o1777);
        let file = fs::metadata("run/sub/file").unwrap();
        assert_eq!((file.mode() & 0o7777, file.uid(), file.gid(), file.len()), (0o640, 7, 8, 4));
        assert_eq!(fs::read_link("run/link").unwrap(), Path::new("/mnt/outside/file"));
        assert!(mount_at(&format!("{root}/run")).unwrap()[0].starts_with("ro,"));
    });
}

/// An access control list (acl(5)) of tags, permissions and ids.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut list = vec![2, 0, 0, 0];
    for (tag, permissions, id) in entries {
        list.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        list.extend(id.to_le_bytes());
    }
    list
}

#[test]
fn a_copied_up_tmpfs_has_attributes_lists_hard_links_and_holes() {
    use crate::sys::{file, xattr};
    const ACCESS: &str = "system.posix_acl_access";
    const DEFAULT: &str = "system.posix_acl_default";
    in_namespace(|| {
        let root = "/mnt/bundle/rootfs";
        fs::create_dir_all(format!("{root}/run/sub/deep")).unwrap();
        let open = |path: &str| file::open(format!("{root}/run/{path}"), libc::O_RDONLY).unwrap();
        fs::write(format!("{root}/run/sub/file"), "text").unwrap();
        fs::hard_link(format!("{root}/run/sub/file"), format!("{root}/run/zlink")).unwrap();
        fs::hard_link(format!("{root}/run/sub/file"), format!("{root}/run/sub/deep/link")).unwrap();
        let sparse = fs::File::create(format!("{root}/run/sparse")).unwrap();
        let write = |bytes: &[u8], at| std::os::unix::fs::FileExt::write_all_at(&sparse, bytes, at).unwrap();
        write(&[1; 70_000], 1 << 20);
        write(b"end", 8 << 20);
        sparse.set_len(64 << 20).unwrap();
        let list = acl(&[(1, 7, !0), (2, 7, 7), (4, 5, !0), (16, 7, !0), (32, 0, !0)]);
        xattr::set(open("sub/file"), ACCESS, &list).unwrap();
        xattr::set(open(""), ACCESS, &list).unwrap();
        xattr::set(open("sub"), DEFAULT, &list).unwrap();
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        xattr::set(open("sub/file"), "security.capability", &capability).unwrap();
        let of_users = xattr::set(open("sub/file"), "user.word", b"value").is_ok();
        let mounts = r#"{"destination":"/run","type":"tmpfs","source":"tmpfs","options":["tmpcopyup"]},
            {"destination":"/a","type":"tmpfs","source":"tmpfs","options":["tmpcopyup","mode=711"]},
            {"destination":"/b","type":"tmpfs","source":"tmpfs"},
            {"destination":"/c","type":"tmpfs","source":"tmpfs","options":["tmpcopyup","silent"]}"#;
        for name in ["a", "b", "c"] {
            fs::create_dir(format!("{root}/{name}")).unwrap();
            xattr::set(file::open(format!("{root}/{name}"), libc::O_RDONLY).unwrap(), ACCESS, &list).unwrap();
        }
        fs::write(format!("{root}/c/file"), "text").unwrap();
        built(&parsed(mounts, "").unwrap()).unwrap();

        let get = |path: &str, name: &str| xattr::get(file::open(path, libc::O_RDONLY).unwrap(), name).unwrap();
        let file = fs::metadata("run/sub/file").unwrap();
        assert_eq!((file.nlink(), file.mode() & 0o7777), (3, 0o770));
        for link in ["run/zlink", "run/sub/deep/link"] {
            assert_eq!(fs::metadata(link).unwrap().ino(), file.ino(), "{link}");
        }
        assert_eq!(get("run/sub/file", ACCESS), Some(list.clone()));
        assert_eq!(get("run/sub/file", "security.capability"), Some(capability.to_vec()));
        assert_eq!(get("run/sub/file", "user.word"), of_users.then(|| b"value".to_vec()));
        assert_eq!((get("run", ACCESS), mode("run") & 0o7777), (Some(list.clone()), 0o770));
        assert_eq!((get("run/sub", DEFAULT), get("run/sub", ACCESS)), (Some(list), None));
        assert_eq!(get("run/sub/deep", ACCESS), None, "a default list is for what is made later");
        // Without the list its mask is not what the group may do.
        assert_eq!((get("a", ACCESS), mode("a") & 0o7777), (None, 0o711));
        assert_eq!((get("b", ACCESS), mode("b") & 0o7777), (None, 0o750));
        assert_eq!(fs::read_to_string("c/file").unwrap(), "text");

        let sparse = fs::read("run/sparse").unwrap();
        assert_eq!((sparse.len(), sparse[(1 << 20) - 1], sparse[1 << 20]), (64 << 20, 0, 1));
        assert_eq!((sparse[(1 << 20) + 69_999], sparse[(1 << 20) + 70_000]), (1, 0));
        assert_eq!(&sparse[8 << 20..(8 << 20) + 4], b"end\0");
        let blocks = fs::metadata("run/sparse").unwrap().blocks();
        assert!(blocks < 400, "{blocks} blocks are stored");
    });
}

#[test]
fn every_option_reaches_the_kernel() {
    in_namespace(|| {
        let at = |options: &str| {
            let mount = format!(r#"{{"destination":"/x","type":"tmpfs","source":"name","options":[{options}]}}"#);
            let rootfs = parsed(&mount, "").unwrap();
            built(&rootfs).unwrap();
            let [own, optional, _, fs] = mount_at("/mnt/bundle/rootfs/x").unwrap();
            crate::sys::fs::change_dir("/").unwrap();
            calls::detach("/mnt/bundle/rootfs", 0).unwrap();
            std::fs::remove_dir("/mnt/bundle/rootfs/x").unwrap();
            format!("{own} [{optional}] {fs}").replace(",inode64", "")
        };
        assert_eq!(at(r#""size=1m","mode=700","nr_inodes=9""#), "rw,relatime [] rw,size=1024k,nr_inodes=9,mode=700");
        assert_eq!(at(r#""sync","dirsync","lazytime""#), "rw,relatime [] rw,sync,dirsync,lazytime");
        assert_eq!(at(r#""mode=755","nodiratime","noexec""#), "rw,noexec,nodiratime,relatime [] rw,mode=755");
        assert_eq!(at(r#""iversion","silent","nodev""#), "rw,nodev,relatime [] rw");
        assert!(at(r#""shared""#).starts_with("rw,relatime [shared:"));
        assert_eq!(at(r#""unbindable""#), "rw,relatime [unbindable] rw");
        assert_eq!(at(r#""defaults","loud","async","nomand","x-mine","norelatime""#), "rw,relatime [] rw");
        // Recursive attributes are of 5.12, nosymfollow as an attribute of 5.14.
        if !older_than((5, 14)) {
            assert_eq!(at(r#""rrw""#), "rw,relatime [] rw");
            assert_eq!(at(r#""strictatime","rnosuid","nosymfollow""#), "rw,nosuid,nosymfollow [] rw");
        }
    });
}

#[test]
fn an_option_that_the_filesystem_does_not_know_is_named_with_the_kernels_reason() {
    in_namespace(|| {
        let mount = r#"{"destination":"/x","type":"tmpfs","source":"tmpfs","options":["ro","foo=1"]}"#;
        let rootfs = parsed(mount, "").unwrap();
        let error = built(&rootfs).unwrap_err().to_string();
        let text = "mounts[0]: mount /x: options[1]: fsconfig(\"foo\", \"1\") [tmpfs: Unknown parameter 'foo']: invalid argument";
        assert!(error.starts_with(text), "{error}");
    });
}

#[test]
fn a_remount_changes_what_is_mounted_already() {
    in_namespace(|| {
        let mounts = r#"{"destination":"/x","type":"tmpfs","source":"tmpfs","options":["size=1m"]},
            {"destination":"/x","options":["remount","ro","size=2m"]},
            {"destination":"/y","type":"tmpfs","source":"tmpfs"},
            {"destination":"/y","options":["remount","bind","nosuid","ro"]}"#;
        let rootfs = parsed(mounts, "").unwrap();
        built(&rootfs).unwrap();
        let [own, _, _, fs] = mount_at("/mnt/bundle/rootfs/x").unwrap();
        assert!(own.starts_with("ro") && fs.starts_with("ro,size=2048k"), "{own} {fs}");
        let [own, _, _, fs] = mount_at("/mnt/bundle/rootfs/y").unwrap();
        assert!(own.starts_with("ro,nosuid") && fs.starts_with("rw"), "{own} {fs}");
    });
}

#[test]
fn symbolic_links_are_copied_bound_or_covered_as_asked() {
    in_namespace(|| {
        std::os::unix::fs::symlink("there", "/mnt/bundle/link").unwrap();
        fs::write("/mnt/bundle/there", "there").unwrap();
        std::os::unix::fs::symlink("/target", "/mnt/bundle/rootfs/dangling").unwrap();
        let mounts = r#"{"destination":"/copied","source":"link","options":["bind","copy-symlink"]},
            {"destination":"/plain","source":"there","options":["bind","copy-symlink"]},
            {"destination":"/followed","source":"link","options":["bind"]},
            {"destination":"/dangling","source":"there","options":["bind","dest-nofollow"]}"#;
        let rootfs = parsed(mounts, "").unwrap();
        built(&rootfs).unwrap();
        assert_eq!(fs::read_link("copied").unwrap(), Path::new("there"));
        assert_eq!(fs::read_to_string("plain").unwrap(), "there");
        assert_eq!(fs::read_to_string("followed").unwrap(), "there");
        assert_eq!(fs::read_to_string("dangling").unwrap(), "there");
        assert!(!Path::new("target").exists());
    });
}

#[test]
fn shared_propagation_makes_a_peer_group_of_the_containers_own() {
    in_namespace(|| {
        let shared = calls::MountArgs { flags: libc::MS_REC | libc::MS_SHARED, ..Default::default() };
        calls::mount("/", &shared).unwrap();
        for (name, expected) in
            [("shared", "shared:"), ("slave", "master:"), ("private", ""), ("unbindable", "unbindable")]
        {
            std::thread::spawn(move || {
                let count = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap().lines().count();
                let before = count();
                std::thread::spawn(move || {
                    namespace::unshare(libc::CLONE_NEWNS | libc::CLONE_FS).unwrap();
                    let rootfs = parsed(USUAL, &format!(r#""rootfsPropagation":"{name}""#)).unwrap();
                    let built = built(&rootfs).unwrap();
                    built.pivot(Enter::Pivot).unwrap();
                    built.protect(None).unwrap();
                    let [_, optional, _, _] = mount_at("/").unwrap();
                    assert!(optional.starts_with(expected) && optional.is_empty() == expected.is_empty(), "{optional}");
                    assert_eq!(optional.split(' ').count(), 1);
                })
                .join()
                .unwrap();
                assert_eq!(count(), before, "{name}: the host sees nothing of it");
            })
            .join()
            .unwrap();
        }
    });
}

#[test]
fn devices_of_the_config_have_their_mode_and_owner() {
    in_namespace(|| {
        let linux = r#""devices":[
            {"path":"/dev/sub/fuse","type":"c","major":10,"minor":229,"fileMode":438,"uid":3,"gid":4},
            {"path":"/dev/disk","type":"b","major":7,"minor":9,"fileMode":384},
            {"path":"/run/fifo","type":"p","fileMode":448}]"#;
        let rootfs = parsed(USUAL, linux).unwrap();
        built(&rootfs).unwrap();
        let fuse = fs::metadata("dev/sub/fuse").unwrap();
        assert_eq!((fuse.rdev(), fuse.mode(), fuse.uid(), fuse.gid()), (0xae5, libc::S_IFCHR | 0o666, 3, 4));
        assert_eq!(mode("dev/disk"), libc::S_IFBLK | 0o600);
        assert_eq!(mode("run/fifo"), libc::S_IFIFO | 0o700);
    });
}

#[test]
fn devices_are_bound_from_the_host_in_a_user_namespace() {
    in_namespace(|| {
        let rootfs = parsed(USUAL, r#""namespaces":[{"type":"user"}]"#).unwrap();
        built(&rootfs).unwrap();
        assert_eq!(mount_at("/mnt/bundle/rootfs/dev/null").unwrap()[2], "devtmpfs");
        fs::write("dev/null", "x").unwrap();
    });
}

#[test]
fn cgroup_hierarchies_stand_in_a_tmpfs_with_their_links() {
    in_namespace(|| {
        fs::create_dir_all("/mnt/bundle/cg/cpu,cpuacct").unwrap();
        fs::write("/mnt/bundle/cg/cpu,cpuacct/tasks", "").unwrap();
        let view = CgroupView {
            hierarchies: vec![Hierarchy {
                name: "cpu,cpuacct".into(),
                links: vec!["cpu".into(), "cpuacct".into()],
                directory: "/mnt/bundle/cg/cpu,cpuacct".into(),
                parameters: vec!["cpu".into(), "cpuacct".into()],
            }],
            ..CgroupView::default()
        };
        let mount = r#"{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["ro","nosuid"]}"#;
        let rootfs = parsed(mount, "").unwrap();
        built_with(&rootfs, Sources::ByChild, &view).unwrap();
        assert!(Path::new("sys/fs/cgroup/cpu/tasks").exists());
        for place in ["", "/cpu,cpuacct"] {
            let [own, _, kind, _] = mount_at(&format!("/mnt/bundle/rootfs/sys/fs/cgroup{place}")).unwrap();
            assert!(own.starts_with("ro,nosuid") && kind == "tmpfs", "{own}");
        }
    });
}

#[test]
fn the_hosts_tree_of_version_2_is_bound_as_a_new_mount_would_be() {
    let is_tree = |path: &&str| magic_of(path).is_ok_and(|magic| magic == libc::CGROUP2_SUPER_MAGIC);
    let Some(tree) = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().find(is_tree) else { return };
    in_namespace(|| {
        let place = || Some("/mnt/bundle".into());
        let shared = CgroupView { shared: true, tree: Some(tree.into()), ..CgroupView::default() };
        let elsewhere = CgroupView { tree: place(), ..shared.clone() };
        let alone = CgroupView { unified: place(), ..shared.clone() };
        for (kind, view) in [("cgroup", &alone), ("cgroup2", &alone), ("cgroup2", &shared)] {
            let mount = |option: &str| {
                let to = format!("/sys/fs/{kind}");
                let json = format!(
                    r#"{{"destination":"{to}","type":"{kind}","source":"x","options":["ro","nosuid"{option}]}}"#
                );
                parsed(&json, "").unwrap()
            };
            let refused = |option: &str, view: &CgroupView| {
                built_with(&mount(option), Sources::ByChild, view).unwrap_err().to_string()
            };
            let error = refused(r#","nsdelegate""#, view);
            assert!(error.contains("mounts[0].options[2]"), "{error}");
            assert!(error.contains("a cgroup namespace of its own"), "{error}");
            let error = refused(r#","sync""#, view);
            assert!(error.contains("mounts[0].options: \"sync\""), "{error}");
            built_with(&mount(""), Sources::ByChild, view).unwrap();
            assert!(Path::new(&format!("sys/fs/{kind}/cgroup.procs")).exists());
            let [own, _, is, _] = mount_at(&format!("/mnt/bundle/rootfs/sys/fs/{kind}")).unwrap();
            assert!(own.starts_with("ro,nosuid") && !own.contains("noexec") && is == "cgroup2", "{own} {is}");
        }
        let json = r#"{"destination":"/x","type":"cgroup2","source":"x"}"#;
        let error = built_with(&parsed(json, "").unwrap(), Sources::ByChild, &elsewhere).unwrap_err().to_string();
        assert!(error.contains("/mnt/bundle is not a cgroup2"), "{error}");
        let none = CgroupView { tree: None, ..shared };
        let error = built_with(&parsed(json, "").unwrap(), Sources::ByChild, &none).unwrap_err().to_string();
        assert!(error.contains("mounts[0].type"), "{error}");
    });
}

#[test]
fn a_remount_of_what_the_host_has_too_is_of_the_mount_alone() {
    in_namespace(|| {
        let with = |options: &str| {
            let json = format!(
                r#"{{"destination":"/q","type":"mqueue","source":"mqueue"}},{{"destination":"/q","options":[{options}]}}"#
            );
            built(&parsed(&json, "").unwrap()).map(drop)
        };
        with(r#""remount","ro""#).unwrap();
        let [own, _, _, all] = mount_at("/mnt/bundle/rootfs/q").unwrap();
        assert!(own.starts_with("ro") && all.starts_with("rw"), "{own} {all}");
        let error = with(r#""remount","sync""#).unwrap_err().to_string();
        assert!(error.contains("mounts[1].options") && error.contains("for the host too"), "{error}");
    });
}

#[test]
fn a_file_where_a_directory_is_bound_is_an_error_that_engines_know() {
    in_namespace(|| {
        fs::write("/mnt/bundle/rootfs/x", "").unwrap();
        let rootfs = parsed(r#"{"destination":"/x","source":"/mnt/outside","options":["bind"]}"#, "").unwrap();
        let error = built(&rootfs).unwrap_err().to_string();
        assert!(error.contains("not a directory"), "{error}");
    });
}

#[test]
fn a_bind_mount_is_seen_through_its_id_mapping() {
    // Since then a tmpfs can be mapped.
    if older_than((6, 3)) {
        return;
    }
    in_namespace(|| {
        fs::create_dir("/mnt/bundle/source").unwrap();
        fs::create_dir("/mnt/bundle/source/sub").unwrap();
        calls::mount(
            "/mnt/bundle/source/sub",
            &calls::MountArgs { source: Some("x"), kind: Some("tmpfs"), ..Default::default() },
        )
        .unwrap();
        let ids = r#""uidMappings":[{"containerID":0,"hostID":1000,"size":10}],"gidMappings":[{"containerID":0,"hostID":2000,"size":10}]"#;
        let mounts = format!(
            r#"{{"destination":"/one","source":"source","options":["rbind","idmap"],{ids}}},
            {{"destination":"/tree","source":"source","options":["rbind","ridmap","ro"],{ids}}}"#
        );
        let rootfs = parsed(&mounts, "").unwrap();
        let mut prepared = rootfs.prepare(Sources::ByParent).unwrap();
        let single = crate::sys::process::SingleThreaded::of_test();
        for (n, of) in rootfs.id_mapped() {
            let IdmapOf::Own(ids) = of else { panic!("{of:?}") };
            let userns = user_namespace(&single, ids).unwrap();
            prepared.trees.set(n, rootfs.map_ids(n, &userns).unwrap());
        }
        crate::sys::fs::change_dir_to(prepared.directory()).unwrap();
        rootfs.propagate().unwrap();
        let trees = prepared.take_trees();
        rootfs.build(&prepared, trees, &CgroupView::default()).unwrap();
        let owner = |path: &str| fs::metadata(path).map(|m| (m.uid(), m.gid())).unwrap();
        assert_eq!(owner("one"), (1000, 2000));
        assert_eq!(owner("one/sub"), (0, 0));
        assert_eq!(owner("tree/sub"), (1000, 2000));
        assert!(fs::write("tree/x", "").is_err());
    });
}

#[test]
fn fifteen_hundred_bind_mounts_need_no_more_descriptors_than_one() {
    in_namespace(|| {
        let mounts: Vec<String> = (0..1500)
            .map(|n| format!(r#"{{"destination":"/m/{n}","source":"/mnt/outside/file","options":["rbind","ro"]}}"#))
            .collect();
        let rootfs = parsed(&mounts.join(","), "").unwrap();
        let before = open_files();
        let built = built(&rootfs).unwrap();
        assert!(open_files() < before + 512);
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert_eq!(table.lines().filter(|line| line.contains("/rootfs/m/")).count(), 1500);
        drop(built);
    });
}

/// Of the whole test process, other tests included.
fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_kernel_without_mount_setattr_gives_the_same_mounts_but_for_recursive_options() {
    in_namespace(|| {
        without_call(libc::SYS_mount_setattr);
        let mounts = format!(
            r#"{USUAL},{{"destination":"/a","source":"/mnt/outside","options":["rbind","ro","nosuid","noatime","private"]}},
            {{"destination":"/etc/file","source":"/mnt/outside/file","options":["bind","ro"]}}"#
        );
        let linux = r#""maskedPaths":["/proc/keys","/sys/firmware"],"readonlyPaths":["/proc/sys"],"rootfsPropagation":"shared""#;
        let mut rootfs = parsed(&mounts, linux).unwrap();
        rootfs.readonly = true;
        let built = built(&rootfs).unwrap();
        built.pivot(Enter::Pivot).unwrap();
        built.console().unwrap();
        built.protect(None).unwrap();
        assert_eq!(mount_at("/a").unwrap()[0], "ro,nosuid,noatime");
        assert_eq!(mount_at("/etc/file").unwrap()[0], "ro,relatime");
        assert_eq!(mount_at("/proc/keys").unwrap()[0], "ro,nosuid,noexec,relatime");
        assert_eq!(mount_at("/proc/sys").unwrap()[0], "ro,nosuid,nodev,noexec,relatime");
        let [own, optional, ..] = mount_at("/").unwrap();
        assert!(own.starts_with("ro,") && optional.starts_with("shared:"), "{own} {optional}");
    });
    in_namespace(|| {
        without_call(libc::SYS_mount_setattr);
        let rootfs = parsed(r#"{"destination":"/a","source":"/mnt/outside","options":["rbind","rro"]}"#, "").unwrap();
        let error = built(&rootfs).unwrap_err().to_string();
        assert!(error.contains("need mount_setattr(2) of Linux 5.12"), "{error}");
    });
}

/// From here on the calling thread gets ENOSYS for a system call.
fn without_call(number: libc::c_long) {
    let statement = |code: u8, jt: u8, jf: u8, k: u32| [&[code, 0, jt, jf][..], &k.to_ne_bytes()].concat();
    let program = [
        statement(0x20, 0, 0, 0),
        statement(0x15, 0, 1, number as u32),
        statement(0x06, 0, 0, 0x0005_0000 | libc::ENOSYS as u32),
        statement(0x06, 0, 0, 0x7fff_0000),
    ];
    assert!(crate::sys::tests::load_filter(&program.concat()));
}

#[test]
fn options_of_a_filesystem_on_a_bind_mount_are_warned_of() {
    let rootfs = parsed(r#"{"destination":"/a","source":"/b","options":["bind","sync"]}"#, "").unwrap();
    assert!(rootfs.warnings()[0].starts_with("mounts[0].options: "));
}

/// What an engine asks for with a volume of `shared` or `slave` propagation.
#[test]
fn mounts_pass_between_a_volume_and_the_host_as_its_propagation_says() {
    for (root, volume, to_host, to_container) in [
        ("rshared", "rshared", true, true),
        ("rslave", "rslave", false, true),
        ("rslave", "rprivate", false, false),
        ("rprivate", "rslave", false, false),
    ] {
        in_namespace(move || {
            for dir in ["host", "container"] {
                fs::create_dir_all(format!("/mnt/bundle/vol/{dir}")).unwrap();
            }
            let shared = calls::MountArgs { flags: libc::MS_REC | libc::MS_SHARED, ..Default::default() };
            calls::mount("/", &shared).unwrap();
            let tmpfs = calls::MountArgs { source: Some("x"), kind: Some("tmpfs"), ..Default::default() };
            let (built_tell, built_wait) = std::sync::mpsc::channel();
            let (mounted_tell, mounted_wait) = std::sync::mpsc::channel();
            let container = std::thread::spawn(move || {
                namespace::unshare(libc::CLONE_NEWNS | libc::CLONE_FS).unwrap();
                let mounts =
                    format!(r#"{USUAL},{{"destination":"/vol","source":"vol","options":["rbind","{volume}"]}}"#);
                let rootfs = parsed(&mounts, &format!(r#""rootfsPropagation":"{root}""#)).unwrap();
                let built = built(&rootfs).unwrap();
                built.pivot(Enter::Pivot).unwrap();
                calls::mount("/vol/container", &tmpfs).unwrap();
                built_tell.send(()).unwrap();
                mounted_wait.recv().unwrap();
                mount_at("/vol/host").is_some()
            });
            built_wait.recv().unwrap();
            let reached_host = mount_at("/mnt/bundle/vol/container").is_some();
            calls::mount("/mnt/bundle/vol/host", &tmpfs).unwrap();
            mounted_tell.send(()).unwrap();
            let reached_container = container.join().unwrap();
            assert_eq!((reached_host, reached_container), (to_host, to_container), "{root} {volume}");
        });
    }
}
