//! What an option does to a program, not only to the mount table.

use super::*;

cases! {
    /// An inner mount of the source is not in a plain bind.
    ["mounts.options.bind"]
    fn bind_leaves_inner_mounts_out(t) {
        let source = nested(t, MsFlags::empty())?;
        let seen = t.bundle()?.bind(&text(&source), "/data", &[]).observe()?;
        ensure!(seen.mount("/data/inner").is_err(), "the inner mount is there");
    }

    /// An inner mount of the source is in a recursive bind.
    ["mounts.options.rbind"]
    fn rbind_takes_inner_mounts_along(t) {
        let source = nested(t, MsFlags::empty())?;
        t.bundle()?.mount("/data", "none", &text(&source), &["rbind"]).observe()?.mount("/data/inner")?;
    }

    /// `ro` on a recursive bind makes the outer mount alone read-only.
    ["mounts.options.ro", "mounts.options.rbind"]
    fn ro_on_a_recursive_bind_is_for_the_outer_mount(t) {
        let source = nested(t, MsFlags::empty())?;
        let seen = t.bundle()?.mount("/data", "none", &text(&source), &["rbind", "ro"]).observe()?;
        check(&seen.mount("/data")?, Shows::Mount("ro"))?;
    }

    /// An option that the source's mount has stays when another is added.
    ["mounts.options.ro", "mounts.bind"]
    fn a_bind_mount_keeps_the_options_of_its_source(t) {
        t.needs_root()?;
        let dir = t.dir.join("source");
        std::fs::create_dir(&dir)?;
        mount(Some("tmpfs"), &dir, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("size=64k"))?;
        let mount = t.bundle()?.bind(&text(&dir), "/data", &["ro"]).observe()?.mount("/data")?;
        check(&mount, Shows::Mount("ro"))?;
    }

    /// The source of a read-only bind stays writable outside.
    ["mounts.options.ro"]
    fn a_readonly_bind_leaves_its_source_writable(t) {
        let source = t.path("source");
        std::fs::create_dir(&source)?;
        let b = t.bundle()?.bind(&source, "/data", &["ro"]).does(&["create /data/new", "wait"]);
        let c = b.live()?;
        c.seen_so_far()?.fails("create /data/new", &[errno::EROFS])?;
        std::fs::write(format!("{source}/outside"), "")?;
    }

    /// A program on a mount with `noexec`.
    ["mounts.options.noexec"]
    fn a_program_on_a_noexec_mount_does_not_run(t) {
        let source = t.path("source");
        std::fs::create_dir(&source)?;
        std::fs::copy(&t.bench.probe, format!("{source}/program"))?;
        let b = t.bundle()?.bind(&source, "/data", &["noexec"]).does(&["run /data/program exit"]);
        b.observe()?.fails("run /data/program exit", &[errno::EACCES])?;
    }

    /// A device on a mount with `nodev`.
    ["mounts.options.nodev"]
    fn a_device_on_a_nodev_mount_does_not_open(t) {
        t.needs_root()?;
        let b = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &["nodev"]).capabilities(&["bounding", "effective", "permitted"], &["CAP_MKNOD"]);
        let seen = b.does(&["mknod c 1 3 /data/null", "open rw /data/null"]).observe()?;
        seen.value("mknod c 1 3 /data/null")?;
        seen.fails("open rw /data/null", &[errno::EACCES])?;
    }

    /// A link on a mount with `nosymfollow`.
    ["mounts.options.nosymfollow"]
    fn a_link_on_a_nosymfollow_mount_is_not_followed(t) {
        t.needs_listed("/mountOptions", "nosymfollow")?;
        let b = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &["nosymfollow"]);
        let seen = b.does(&["symlink /etc/passwd /data/link", "open r /data/link"]).observe()?;
        seen.fails("open r /data/link", &[libc::ELOOP])?;
    }

    /// A program of root's with the set-user-id bit, on a mount with `nosuid`.
    ["mounts.options.nosuid"]
    fn a_setuid_program_on_a_nosuid_mount_gives_nothing(t) {
        t.needs_root()?;
        let source = t.path("source");
        std::fs::create_dir(&source)?;
        std::fs::copy(&t.bench.probe, format!("{source}/program"))?;
        std::fs::set_permissions(format!("{source}/program"), std::os::unix::fs::PermissionsExt::from_mode(0o4755))?;
        let b = t.bundle()?.bind(&source, "/data", &["nosuid"]).set("/process/user", json!({"uid": 1000, "gid": 1000}));
        same("effective uid", b.does(&["exec /data/program report"]).observe()?.report("/uid/1")?, 1000)?;
    }

    /// A mount is changed by a later entry with `remount`.
    ["mounts.options.remount"]
    fn remount_changes_an_earlier_mount(t) {
        let b = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &["rw"]);
        let seen = b.mount("/data", "tmpfs", "tmpfs", &["remount", "ro", "nosuid"]).observe()?;
        let points = seen.mounts()?.iter().filter(|m| m.mount_point == Path::new("/data")).count();
        equal("mounts at /data", points, 1)?;
        check(&seen.mount("/data")?, Shows::Mount("ro"))?;
        check(&seen.mount("/data")?, Shows::Mount("nosuid"))?;
    }

    /// What the host mounts in a shared source later is seen through a slave.
    ["mounts.options.rslave"]
    fn later_mounts_of_the_host_are_seen_through_a_slave(t) {
        let source = nested(t, MsFlags::empty())?;
        propagation(&source, MsFlags::MS_SHARED)?;
        std::fs::create_dir(source.join("later"))?;
        let c = t.bundle()?.mount("/data", "none", &text(&source), &["rbind", "rslave"]).does(&["wait"]).live()?;
        tmpfs(&source.join("later"), "size=64k")?;
        contains("mounts inside", &std::fs::read_to_string(c.proc("mountinfo")?)?, " /data/later ")?;
    }

    /// What the host mounts in the source later is not seen through a private bind.
    ["mounts.options.rprivate"]
    fn later_mounts_of_the_host_are_not_seen_through_a_private_bind(t) {
        let source = nested(t, MsFlags::empty())?;
        propagation(&source, MsFlags::MS_SHARED)?;
        std::fs::create_dir(source.join("later"))?;
        let c = t.bundle()?.mount("/data", "none", &text(&source), &["rbind", "rprivate"]).does(&["wait"]).live()?;
        tmpfs(&source.join("later"), "size=64k")?;
        let mounts = std::fs::read_to_string(c.proc("mountinfo")?)?;
        ensure!(!mounts.contains(" /data/later "), "the later mount is seen inside");
    }

    /// What the container mounts in a shared bind is seen by the host.
    ["mounts.options.rshared", "mounts.options.shared"]
    fn mounts_of_the_container_are_seen_through_a_shared_bind(t) {
        let source = nested(t, MsFlags::empty())?;
        propagation(&source, MsFlags::MS_SHARED)?;
        std::fs::create_dir(source.join("later"))?;
        // Without it the container's mounts are slaves of the host's, and nothing goes back.
        let b = t.bundle()?.set("/linux/rootfsPropagation", "shared");
        let b = b.mount("/data", "none", &text(&source), &["rbind", "rshared"]);
        let b = b.capabilities(&["bounding", "effective", "permitted"], &["CAP_SYS_ADMIN"]);
        let c = b.does(&["mount tmpfs 0 tmpfs /data/later", "wait"]).live()?;
        c.seen_so_far()?.value("mount tmpfs 0 tmpfs /data/later")?;
        let point = format!(" {} ", text(&source.join("later")));
        contains("mounts outside", &std::fs::read_to_string("/proc/self/mountinfo")?, &point)?;
    }
}
