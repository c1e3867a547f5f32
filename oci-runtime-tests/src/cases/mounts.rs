//! `mounts`: order, destinations, sources, types.

use crate::bench::prelude::*;
use std::os::unix::fs::symlink;

/// A directory of the suite's with one file in it.
fn source(t: &Trial, name: &str) -> Result<String> {
    let path = t.path(name);
    std::fs::create_dir(&path)?;
    std::fs::write(format!("{path}/file"), name)?;
    Ok(path)
}

cases! {
    /// Of two mounts at one place the later one is seen.
    ["mounts.order"]
    fn the_later_of_two_mounts_at_one_place_is_seen(t) {
        let b = t.bundle()?.bind(&source(t, "first")?, "/data", &[]).bind(&source(t, "second")?, "/data", &[]);
        equal("file", b.does(&["read /data/file"]).observe()?.text_of("read /data/file")?, "second")?;
    }

    /// A mount inside of an earlier mount is seen in it.
    ["mounts.order"]
    fn a_mount_is_made_inside_of_an_earlier_one(t) {
        let b = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &[]).bind(&source(t, "inner")?, "/data/inner", &[]);
        equal("file", b.does(&["read /data/inner/file"]).observe()?.text_of("read /data/inner/file")?, "inner")?;
    }

    /// A mount that comes before one above it is hidden by that.
    ["mounts.order"]
    fn a_mount_is_hidden_by_a_later_one_above_it(t) {
        let b = t.bundle()?.bind(&source(t, "inner")?, "/data/inner", &[]).mount("/data", "tmpfs", "tmpfs", &[]);
        b.does(&["read /data/inner/file"]).observe()?.fails("read /data/inner/file", &[errno::ENOENT])?;
    }

    /// The list in the container's mount table is in the order of the config.
    ["mounts.order"]
    fn the_mount_table_has_the_order_of_the_config(t) {
        let mut b = t.bundle()?;
        for name in ["/m3", "/m1", "/m2"] {
            b = b.mount(name, "tmpfs", "tmpfs", &[]);
        }
        let points: Vec<String> = b.observe()?.mounts()?.iter().map(|m| m.mount_point.display().to_string()).collect();
        let ours: Vec<&String> = points.iter().filter(|point| point.starts_with("/m")).collect();
        equal("order", ours, [&"/m3".to_owned(), &"/m1".to_owned(), &"/m2".to_owned()].to_vec())?;
    }

    /// The first mount at the root is below all others: every later path begins in it.
    ["mounts.destination", "mounts.order"]
    fn a_first_mount_at_the_root_is_the_root(t) {
        let b = t.bundle()?.file("/marker", "here")?;
        let elsewhere = t.path("elsewhere");
        std::fs::rename(b.rootfs(), &elsewhere)?;
        std::fs::create_dir(b.rootfs())?;
        let first = json!([{"destination": "/", "type": "bind", "source": elsewhere, "options": ["rbind"]}]);
        let mounts: Vec<Value> = first.as_array().into_iter().chain(b.config["mounts"].as_array()).flatten().cloned().collect();
        let b = b.set("/mounts", mounts).bind(&source(t, "inner")?, "/data", &[]);
        let seen = b.does(&["read /marker", "read /data/file"]).observe()?;
        equal("file of the mount", seen.text_of("read /marker")?, "here")?;
        equal("file of a later mount", seen.text_of("read /data/file")?, "inner")?;
    }

    /// An absolute destination.
    ["mounts.destination", "mounts.destination.absolute"]
    fn an_absolute_destination_is_taken(t) {
        equal("type", t.bundle()?.mount("/data", "tmpfs", "tmpfs", &[]).observe()?.mount("/data")?.fs_type, "tmpfs")?;
    }

    /// A relative destination is relative to the container's root.
    ["mounts.destination.relative"]
    fn a_relative_destination_is_relative_to_the_root(t) {
        let b = t.bundle()?.set("/process/cwd", "/tmp").mount("data", "tmpfs", "tmpfs", &[]);
        equal("type", b.observe()?.mount("/data")?.fs_type, "tmpfs")?;
    }

    /// A mount without a destination.
    ["mounts.destination", "valid-values"]
    fn a_mount_without_a_destination_is_refused(t) {
        t.bundle()?.set("/mounts/-", json!({"type": "tmpfs", "source": "tmpfs"})).refused()?;
    }

    /// The destination does not exist: it is made.
    ["mounts.destination", "create.properties-applied"]
    fn a_destination_that_does_not_exist_is_made(t) {
        t.bundle()?.mount("/a/b/c", "tmpfs", "tmpfs", &[]).observe()?.mount("/a/b/c")?;
    }

    /// The destination of a file does not exist: a file is made.
    ["mounts.destination", "mounts.bind"]
    fn the_destination_of_a_file_is_made(t) {
        let file = format!("{}/file", source(t, "s")?);
        let b = t.bundle()?.bind(&file, "/a/b/file", &[]);
        equal("file", b.does(&["read /a/b/file"]).observe()?.text_of("read /a/b/file")?, "s")?;
    }

    /// A link in the root filesystem at the destination is resolved inside: the host's /tmp sees nothing.
    ["mounts.destination"]
    fn a_destination_behind_an_absolute_link_is_resolved_inside(t) {
        let b = t.bundle()?.directory("/real")?;
        symlink("/real", b.rootfs().join("data"))?;
        let seen = b.bind(&source(t, "s")?, "/data", &[]).does(&["read /real/file"]).observe()?;
        equal("file", seen.text_of("read /real/file")?, "s")?;
    }

    /// A link that climbs out of the root filesystem stays in it.
    ["mounts.destination", "ns.mount"]
    fn a_destination_behind_a_climbing_link_stays_inside(t) {
        let outside = source(t, "outside")?;
        let b = t.bundle()?;
        symlink(format!("../../../../../../../..{outside}"), b.rootfs().join("data"))?;
        let (c, created) = b.mount("/data", "tmpfs", "tmpfs", &[]).does(&["wait"]).try_create()?;
        if created.succeeded() {
            let mounts = std::fs::read_to_string(c.proc("mountinfo")?)?;
            let host = mounts.lines().any(|line| line.split(' ').nth(4) == Some(outside.as_str()));
            let path = c.proc(&format!("root{outside}"))?;
            ensure!(!host || std::path::Path::new(&path).exists(), "the mount is outside of the root");
        }
        ensure!(std::path::Path::new(&format!("{outside}/file")).exists(), "the host's directory was covered");
    }

    /// A destination with `..` in it.
    ["mounts.destination"]
    fn a_destination_with_dots_stays_inside(t) {
        let (c, created) = t.bundle()?.mount("/../../data", "tmpfs", "tmpfs", &[]).try_create()?;
        if created.succeeded() {
            let path = c.proc("root/data")?;
            holds("the mount is at /data inside", std::path::Path::new(&path).exists())?;
        }
    }

    /// A bind mount by the option `bind`.
    ["mounts.bind", "mounts.options.bind"]
    fn a_bind_mount_shows_its_source(t) {
        let b = t.bundle()?.bind(&source(t, "s")?, "/data", &[]).does(&["read /data/file"]);
        equal("file", b.observe()?.text_of("read /data/file")?, "s")?;
    }

    /// What is written into a bind mount is in its source.
    ["mounts.bind"]
    fn a_bind_mount_is_written_through(t) {
        let dir = source(t, "s")?;
        t.bundle()?.bind(&dir, "/data", &[]).does(&["create /data/new"]).observe()?.value("create /data/new")?;
        holds("the file is in the source", std::path::Path::new(&format!("{dir}/new")).exists())?;
    }

    /// The type of a bind mount is a dummy.
    ["mounts.type.dummy"]
    fn the_type_of_a_bind_mount_is_ignored(t) {
        let b = t.bundle()?.mount("/data", "no-such-type", &source(t, "s")?, &["bind"]).does(&["read /data/file"]);
        equal("file", b.observe()?.text_of("read /data/file")?, "s")?;
    }

    /// The type of a bind mount is missing.
    ["mounts.type", "mounts.bind"]
    fn a_bind_mount_needs_no_type(t) {
        let entry = json!({"destination": "/data", "source": source(t, "s")?, "options": ["rbind"]});
        let b = t.bundle()?.set("/mounts/-", entry).does(&["read /data/file"]);
        equal("file", b.observe()?.text_of("read /data/file")?, "s")?;
    }

    /// A relative source is relative to the bundle.
    ["mounts.source"]
    fn a_relative_source_of_a_bind_is_relative_to_the_bundle(t) {
        let b = t.bundle()?;
        std::fs::create_dir(b.dir.join("volume"))?;
        std::fs::write(b.dir.join("volume/file"), "in the bundle")?;
        let b = b.bind("volume", "/data", &[]).does(&["read /data/file"]);
        equal("file", b.observe()?.text_of("read /data/file")?, "in the bundle")?;
    }

    /// A source that does not exist.
    ["mounts.source", "create.cannot-apply"]
    fn a_bind_source_that_does_not_exist_is_refused(t) {
        t.bundle()?.bind("/there/is/no/such/source", "/data", &[]).refused()?;
    }

    /// A directory on a file.
    ["create.cannot-apply"]
    fn a_directory_cannot_be_bound_on_a_file(t) {
        t.bundle()?.bind(&source(t, "s")?, "/etc/passwd", &[]).refused()?;
    }

    /// A filesystem type that the kernel does not have.
    ["mounts.type", "create.cannot-apply"]
    fn an_unknown_filesystem_type_is_refused(t) {
        t.bundle()?.mount("/data", "no-such-type", "none", &[]).refused()?;
    }

    /// proc shows the container's processes.
    ["mounts.type"]
    fn a_proc_is_mounted(t) {
        equal("type", t.bundle()?.observe()?.mount("/proc")?.fs_type, "proc")?;
    }

    /// sysfs.
    ["mounts.type"]
    fn a_sysfs_is_mounted(t) {
        equal("type", t.bundle()?.observe()?.mount("/sys")?.fs_type, "sysfs")?;
    }

    /// devpts with its options.
    ["mounts.type", "mounts.options.unknown"]
    fn a_devpts_is_mounted_with_its_options(t) {
        let mount = t.bundle()?.observe()?.mount("/dev/pts")?;
        equal("type", mount.fs_type, "devpts")?;
        equal("ptmxmode", mount.super_options.get("ptmxmode").cloned().flatten(), Some("666".to_owned()))?;
    }

    /// mqueue.
    ["mounts.type"]
    fn an_mqueue_is_mounted(t) {
        if !std::fs::read_to_string("/proc/filesystems")?.contains("\tmqueue\n") {
            return skip("this kernel has no mqueue");
        }
        let seen = t.bundle()?.mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]).observe()?;
        equal("type", seen.mount("/dev/mqueue")?.fs_type, "mqueue")?;
    }

    /// The cgroup type shows the container's groups.
    ["mounts.type"]
    fn a_cgroup_filesystem_is_mounted(t) {
        t.needs_root()?;
        let b = t.bundle()?.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]);
        let seen = b.observe()?;
        let found = seen.mounts()?.iter().any(|m| m.fs_type.starts_with("cgroup"));
        holds("a cgroup filesystem is mounted", found)?;
    }

    /// A cgroup mount that is read-only cannot be written.
    ["mounts.type", "mounts.options.ro"]
    fn a_readonly_cgroup_filesystem_cannot_be_written(t) {
        t.needs_root()?;
        let v1 = t.controller_is_v1("pids")?;
        let b = t.bundle()?.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]);
        let action = if v1 { "mkdir /sys/fs/cgroup/pids/ort" } else { "mkdir /sys/fs/cgroup/ort" };
        b.does(&[action]).observe()?.fails(action, &[errno::EROFS])?;
    }

    /// tmpfs with a size and a mode, which are the filesystem's own options.
    ["mounts.options.unknown"]
    fn options_of_the_filesystem_are_passed_to_it(t) {
        let b = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &["size=1048576", "mode=700"]);
        let seen = b.does(&["size /data", "stat /data"]).observe()?;
        same("size", seen.value("size /data")?, 1_048_576)?;
        same("mode", &seen.value("stat /data")?["mode"], 0o700)?;
    }

    /// Options of the mount and of the filesystem together.
    ["mounts.options.unknown"]
    fn options_of_the_mount_and_of_the_filesystem_go_together(t) {
        let seen = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &["nosuid", "size=65536", "noexec"]).observe()?;
        let mount = seen.mount("/data")?;
        holds("nosuid", mount.mount_options.contains_key("nosuid"))?;
        holds("noexec", mount.mount_options.contains_key("noexec"))?;
        equal("size", mount.super_options.get("size").cloned().flatten(), Some("64k".to_owned()))?;
    }

    /// The kernel refuses an option that tmpfs does not have.
    ["mounts.options.unknown", "create.cannot-apply"]
    fn an_option_that_the_filesystem_does_not_know_is_refused(t) {
        t.bundle()?.mount("/data", "tmpfs", "tmpfs", &["ort-no-such-option=1"]).refused()?;
    }

    /// No options at all.
    ["mounts.options.defaults"]
    fn a_mount_without_options_is_made(t) {
        let entry = json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs"});
        equal("type", t.bundle()?.set("/mounts/-", entry).observe()?.mount("/data")?.fs_type, "tmpfs")?;
    }

    /// The source of a mount that is no bind is a name in the mount table.
    ["mounts.source"]
    fn the_source_of_a_filesystem_is_its_name(t) {
        let seen = t.bundle()?.mount("/data", "tmpfs", "a-name", &[]).observe()?;
        equal("source", seen.mount("/data")?.mount_source, Some("a-name".to_owned()))?;
    }

    /// An overlay with two layers.
    ["mounts.type", "mounts.options.unknown"]
    fn an_overlay_is_mounted(t) {
        t.needs_root()?;
        // To ask for it loads its module; without layers it is refused for another reason.
        let asked = nix::mount::mount(Some("overlay"), &t.dir, Some("overlay"), nix::mount::MsFlags::empty(), None::<&str>);
        if asked == Err(nix::Error::ENODEV) {
            return skip("this kernel has no overlay");
        }
        let lower = source(t, "lower")?;
        let upper = t.dir.join("layers");
        crate::bench::mounts::tmpfs(&upper, "size=1m")?;
        std::fs::create_dir(upper.join("upper"))?;
        std::fs::create_dir(upper.join("work"))?;
        let dir = upper.display();
        let options = [format!("lowerdir={lower}"), format!("upperdir={dir}/upper"), format!("workdir={dir}/work")];
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let seen = t.bundle()?.mount("/data", "overlay", "overlay", &options).does(&["report", "read /data/file"]).observe()?;
        equal("type", seen.mount("/data")?.fs_type, "overlay")?;
        equal("file", seen.text_of("read /data/file")?, "lower")?;
    }

    /// tmpcopyup keeps what was at the destination.
    ["mounts.options.tmpcopyup"]
    fn a_tmpfs_with_tmpcopyup_has_the_files_that_were_there(t) {
        t.needs_listed("/mountOptions", "tmpcopyup")?;
        let b = t.bundle()?.file("/data/kept", "text")?.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
        let seen = b.does(&["report", "read /data/kept", "create /data/new"]).observe()?;
        equal("file", seen.text_of("read /data/kept")?, "text")?;
        equal("type", seen.mount("/data")?.fs_type, "tmpfs")?;
    }

    /// Without it they are hidden.
    ["mounts.options.tmpcopyup"]
    fn a_tmpfs_without_tmpcopyup_is_empty(t) {
        let b = t.bundle()?.file("/data/kept", "text")?.mount("/data", "tmpfs", "tmpfs", &[]).does(&["list /data"]);
        same("files", b.observe()?.value("list /data")?, json!([]))?;
    }

    /// 300 mounts.
    ["mounts.order", "create.properties-applied"]
    fn many_mounts_are_made(t) {
        let dir = source(t, "s")?;
        let mut b = t.bundle()?;
        for i in 0..300 {
            b = b.bind(&dir, &format!("/many/{i}"), &[]);
        }
        let count = b.observe()?.mounts()?.iter().filter(|m| m.mount_point.starts_with("/many")).count();
        equal("mounts", count, 300)?;
    }

    /// A path with a space.
    ["mounts.destination", "mounts.source"]
    fn paths_with_spaces_are_taken(t) {
        let b = t.bundle()?.bind(&source(t, "a b")?, "/c d", &[]).does(&["list /"]);
        let names = b.observe()?.value("list /")?.clone();
        holds("the destination is there", names.as_array().is_some_and(|names| names.contains(&json!("c d"))))?;
    }

    /// `mounts` that is no list.
    ["valid-values"]
    fn mounts_that_are_no_list_are_refused(t) {
        t.bundle()?.set("/mounts", json!({"destination": "/data"})).refused()?;
    }

    /// Options that are no list.
    ["valid-values"]
    fn mount_options_that_are_no_list_are_refused(t) {
        let entry = json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": "ro"});
        t.bundle()?.set("/mounts/-", entry).refused()?;
    }
}
