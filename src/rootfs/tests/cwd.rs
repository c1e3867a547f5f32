//! A working directory that the root filesystem lacks.

use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

const ROOT: &str = "/mnt/bundle/rootfs";

fn protected(mounts: &str, cwd: &str) -> Result<()> {
    let rootfs = parsed(mounts, r#""readonlyPaths":["/"]"#)?;
    let built = built(&rootfs)?;
    built.pivot(Enter::Pivot)?;
    built.protect(Some(cwd))
}

fn owner_and_mode(path: &str) -> (u32, u32, u32) {
    let meta = fs::metadata(path).unwrap();
    (meta.uid(), meta.gid(), meta.mode() & 0o7777)
}

#[test]
fn a_missing_working_directory_is_made_before_the_root_becomes_read_only() {
    in_namespace(|| {
        credentials::set_umask(0o077);
        protected(USUAL, "/work/dir").unwrap();
        for dir in ["/work", "/work/dir"] {
            assert_eq!(owner_and_mode(dir), (0, 0, 0o755), "{dir}");
        }
        assert_eq!(credentials::set_umask(0), 0o077, "the caller's mask is as it was");
    });
}

#[test]
fn a_working_directory_belongs_to_root_whatever_the_callers_group_is() {
    in_namespace(|| {
        credentials::set_fs_gid(1234);
        protected(USUAL, "/work/dir").unwrap();
        assert_eq!(owner_and_mode("/work/dir"), (0, 0, 0o755));
    });
}

#[test]
fn a_working_directory_that_is_there_stays_as_it_is() {
    in_namespace(|| {
        fs::create_dir_all(format!("{ROOT}/work")).unwrap();
        fs::set_permissions(format!("{ROOT}/work"), PermissionsExt::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(format!("{ROOT}/work"), Some(7), Some(8)).unwrap();
        protected(USUAL, "/work").unwrap();
        assert_eq!(owner_and_mode("/work"), (7, 8, 0o700));
    });
}

#[test]
fn a_working_directory_is_made_in_a_mount_and_through_links_but_never_outside() {
    for (cwd, made) in [
        ("/dev/shm/a/b", "/dev/shm/a/b"),
        ("/out/new", "/mnt/outside/dir/new"),
        ("/dangling/new", "/nowhere/new"),
        ("/link/../beside", "/far/beside"),
        ("/../../above", "/above"),
        ("//double//slash/./x/", "/double/slash/x"),
    ] {
        in_namespace(move || {
            for (link, target) in [("out", "/mnt/outside/dir"), ("dangling", "/nowhere"), ("link", "far/away")] {
                symlink(target, format!("{ROOT}/{link}")).unwrap();
            }
            fs::create_dir_all(format!("{ROOT}/far/away")).unwrap();
            protected(USUAL, cwd).unwrap();
            assert!(fs::metadata(made).unwrap().is_dir(), "{cwd}");
            fs::metadata(cwd).unwrap();
        });
    }
}

/// Then the error of chdir(2) is the one that people know.
#[test]
fn no_working_directory_is_made_where_nothing_can_be_made() {
    let filled = r#"{"destination":"/m","type":"tmpfs","options":["ro"]},{"destination":"/m/in","type":"tmpfs"}"#;
    for (more, cwd) in [
        (r#"{"destination":"/m","type":"tmpfs","options":["ro"]}"#, "/m/new"),
        (filled, "/m/new"),
        (filled, "/sys/new"),
        (filled, "/proc/new"),
        (filled, "/proc/self/fd/0/new"),
        (filled, "/proc/self/root/new"),
        (filled, "/dev/null/new"),
        (filled, "/round/new"),
    ] {
        in_namespace(move || {
            symlink("round", format!("{ROOT}/round")).unwrap();
            protected(&format!("{USUAL},{more}"), cwd).unwrap();
            assert!(fs::metadata(cwd).is_err(), "{cwd}");
        });
    }
}

#[test]
fn a_working_directory_is_made_in_the_mount_that_was_made_though_it_has_another_name() {
    in_namespace(|| {
        let neighbour = Neighbour::new();
        fs::create_dir(format!("{ROOT}/empty")).unwrap();
        fs::create_dir(format!("{ROOT}/work")).unwrap();
        let rootfs = parsed(r#"{"destination":"/work","type":"tmpfs"}"#, "").unwrap();
        let built = built(&rootfs).unwrap();
        neighbour.exchange("work", "empty");
        built.pivot(Enter::Pivot).unwrap();
        built.protect(Some("/work/dir")).unwrap();
        assert!(fs::metadata("/empty/dir").unwrap().is_dir());
        assert_eq!(fs::read_dir("/work").unwrap().count(), 0);
    });
}
