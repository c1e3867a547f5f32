//! `root`.

use crate::bench::prelude::*;
use std::os::unix::fs::symlink;

cases! {
    /// The program finds the files of the root filesystem.
    ["root.path"]
    fn the_root_filesystem_is_the_containers_root(t) {
        let seen = t.bundle()?.file("/marker", "here")?.does(&["read /marker", "list /"]).observe()?;
        equal("file", seen.text_of("read /marker")?, "here")?;
    }

    /// A relative path is relative to the bundle.
    ["root.path.forms"]
    fn a_relative_root_path_is_relative_to_the_bundle(t) {
        let b = t.bundle()?;
        std::fs::rename(b.rootfs(), b.dir.join("other"))?;
        b.set("/root/path", "other").observe()?.value("report")?;
    }

    /// The absolute form.
    ["root.path.forms"]
    fn an_absolute_root_path_is_taken(t) {
        let b = t.bundle()?;
        let path = b.rootfs().display().to_string();
        b.set("/root/path", path).observe()?.value("report")?;
    }

    /// An absolute path outside of the bundle.
    ["root.path.forms"]
    fn the_root_filesystem_may_be_outside_of_the_bundle(t) {
        let b = t.bundle()?;
        let path = t.path("elsewhere");
        std::fs::rename(b.rootfs(), &path)?;
        b.set("/root/path", path).observe()?.value("report")?;
    }

    /// There is no such directory.
    ["root.path.exists"]
    fn a_root_path_that_does_not_exist_is_refused(t) {
        t.bundle()?.set("/root/path", "missing").refused()?;
    }

    /// The path leads to a file.
    ["root.path.exists"]
    fn a_root_path_that_is_a_file_is_refused(t) {
        let b = t.bundle()?;
        std::fs::write(b.dir.join("file"), "")?;
        b.set("/root/path", "file").refused()?;
    }

    /// There is no `root`.
    ["root.required"]
    fn a_config_without_a_root_is_refused(t) {
        t.bundle()?.remove("/root").refused()?;
    }

    /// There is no `root.path`.
    ["root.path"]
    fn a_root_without_a_path_is_refused(t) {
        t.bundle()?.remove("/root/path").refused()?;
    }

    /// `readonly: true`: nothing can be made in the root.
    ["root.readonly"]
    fn a_readonly_root_cannot_be_written(t) {
        let seen = t.bundle()?.set("/root/readonly", true).does(&["report", "create /new", "mkdir /newdir"]).observe()?;
        seen.fails("create /new", &[errno::EROFS])?;
        seen.fails("mkdir /newdir", &[errno::EROFS])?;
        holds("the mount at / is read-only", seen.mount("/")?.mount_options.contains_key("ro"))?;
    }

    /// The root of a host that sees the same files stays writable.
    ["root.readonly"]
    fn a_readonly_root_stays_writable_for_the_host(t) {
        let c = t.bundle()?.set("/root/readonly", true).does(&["wait"]).live()?;
        std::fs::write(c.bundle.join("rootfs/from-outside"), "x")?;
    }

    /// Mounts of the config can be written in a read-only root.
    ["root.readonly"]
    fn mounts_in_a_readonly_root_can_be_written(t) {
        let b = t.bundle()?.set("/root/readonly", true).mount("/tmp", "tmpfs", "tmpfs", &[]);
        b.does(&["create /tmp/new"]).observe()?.value("create /tmp/new")?;
    }

    /// Devices and links are still made in a read-only root.
    ["root.readonly", "devices.default"]
    fn a_readonly_root_has_its_devices(t) {
        let seen = t.bundle()?.set("/root/readonly", true).does(&["open rw /dev/null"]).observe()?;
        seen.value("open rw /dev/null")?;
    }

    /// `readonly: false`.
    ["root.readonly"]
    fn a_root_that_is_not_readonly_can_be_written(t) {
        let c = t.bundle()?.set("/root/readonly", false).does(&["create /new"]).start()?;
        c.finish()?.value("create /new")?;
        holds("the file is in the bundle", c.bundle.join("rootfs/new").exists())?;
    }

    /// `readonly` absent.
    ["root.readonly"]
    fn a_root_can_be_written_by_default(t) {
        t.bundle()?.remove("/root/readonly").does(&["create /new"]).observe()?.value("create /new")?;
    }

    /// Nothing of the host is seen outside of the root: `/..` is `/`, and the host's files are not there.
    ["root.path", "ns.mount"]
    fn the_host_is_not_seen_from_inside(t) {
        let marker = t.path("outside");
        std::fs::write(&marker, "x")?;
        let (up, far) = (format!("stat /..{marker}"), format!("stat /proc/1/root{marker}"));
        let seen = t.bundle()?.does(&[&up, &far]).observe()?;
        seen.fails(&up, &[errno::ENOENT])?;
        seen.fails(&far, &[errno::ENOENT])?;
    }

    /// No mount of the host's stays in the container's mount namespace, except below its root.
    ["ns.mount"]
    fn the_mounts_of_the_host_are_gone(t) {
        let seen = t.bundle()?.observe()?;
        // Where devices cannot be made they are bound.
        let wanted = [
            "/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/sys", "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
            "/dev/urandom", "/dev/tty", "/dev/ptmx",
        ];
        for mount in seen.mounts()? {
            let point = mount.mount_point.display().to_string();
            ensure!(wanted.contains(&point.as_str()), "{point} ({}) is mounted inside", mount.fs_type);
        }
    }

    /// A symbolic link in the root filesystem that leads up is resolved inside.
    ["root.path"]
    fn absolute_links_in_the_root_filesystem_are_resolved_inside(t) {
        let b = t.bundle()?.file("/target", "inside")?;
        symlink("/target", b.rootfs().join("link"))?;
        equal("file behind the link", b.does(&["read /link"]).observe()?.text_of("read /link")?, "inside")?;
    }

    /// `root.readonly` that is no boolean.
    ["valid-values"]
    fn a_readonly_that_is_a_string_is_refused(t) {
        t.bundle()?.set("/root/readonly", "true").refused()?;
    }
}
