//! `linux.maskedPaths` and `linux.readonlyPaths`.

use crate::bench::prelude::*;

cases! {
    /// A file that is masked gives nothing.
    ["masked"]
    fn a_masked_file_gives_nothing(t) {
        let b = t.bundle()?.file("/secret", "text")?.set("/linux/maskedPaths", json!(["/secret"]));
        let seen = b.does(&["read /secret"]).observe()?;
        if let Ok(text) = seen.answer("read /secret")? {
            same("text", text, "")?;
        }
    }

    /// A directory that is masked is empty.
    ["masked"]
    fn a_masked_directory_is_empty(t) {
        let b = t.bundle()?.file("/secrets/one", "text")?.set("/linux/maskedPaths", json!(["/secrets"]));
        let seen = b.does(&["list /secrets", "read /secrets/one"]).observe()?;
        if let Ok(names) = seen.answer("list /secrets")? {
            same("names", names, json!([]))?;
        }
        seen.fails("read /secrets/one", &[])?;
    }

    /// Nothing can be made in a masked directory.
    ["masked"]
    fn a_masked_directory_cannot_be_written(t) {
        let b = t.bundle()?.directory("/secrets")?.set("/linux/maskedPaths", json!(["/secrets"]));
        b.does(&["create /secrets/new"]).observe()?.fails("create /secrets/new", &[errno::EROFS, errno::EACCES, errno::EPERM])?;
    }

    /// What is written to a masked file does not arrive.
    ["masked"]
    fn a_masked_file_is_not_written_through(t) {
        let c = t.bundle()?.file("/secret", "text")?.set("/linux/maskedPaths", json!(["/secret"])).does(&["write /secret x"]).start()?;
        c.finish()?;
        equal("file", std::fs::read_to_string(c.bundle.join("rootfs/secret"))?, "text")?;
    }

    /// A file of /proc.
    ["masked"]
    fn a_file_of_proc_is_masked(t) {
        let seen = t.bundle()?.set("/linux/maskedPaths", json!(["/proc/timer_list"])).does(&["read /proc/timer_list"]).observe()?;
        if let Ok(text) = seen.answer("read /proc/timer_list")? {
            same("text", text, "")?;
        }
    }

    /// A path on a mount of the config.
    ["masked"]
    fn a_path_on_a_mount_is_masked(t) {
        let source = t.path("source");
        std::fs::create_dir(&source)?;
        std::fs::write(format!("{source}/secret"), "text")?;
        let b = t.bundle()?.bind(&source, "/data", &[]).set("/linux/maskedPaths", json!(["/data/secret"]));
        let seen = b.does(&["read /data/secret"]).observe()?;
        if let Ok(text) = seen.answer("read /data/secret")? {
            same("text", text, "")?;
        }
    }

    /// A path that does not exist has nothing to hide.
    ["masked"]
    fn a_masked_path_that_does_not_exist_is_no_error(t) {
        t.bundle()?.set("/linux/maskedPaths", json!(["/no/such/path"])).observe()?.value("report")?;
    }

    /// The other files of the directory are as they were.
    ["masked"]
    fn a_path_beside_a_masked_one_is_as_it_was(t) {
        let b = t.bundle()?.file("/d/secret", "text")?.file("/d/open", "text")?.set("/linux/maskedPaths", json!(["/d/secret"]));
        equal("file", b.does(&["read /d/open"]).observe()?.text_of("read /d/open")?, "text")?;
    }

    /// A relative path.
    ["masked.absolute"]
    fn a_relative_masked_path_is_refused(t) {
        t.bundle()?.file("/secret", "text")?.set("/linux/maskedPaths", json!(["secret"])).refused()?;
    }

    /// Masks for a user other than root.
    ["masked"]
    fn a_masked_file_gives_nothing_to_another_user(t) {
        t.needs_root()?;
        let b = t.bundle()?.file("/secret", "text")?.set("/linux/maskedPaths", json!(["/secret"]));
        let seen = b.set("/process/user", json!({"uid": 1000, "gid": 1000})).does(&["read /secret"]).observe()?;
        if let Ok(text) = seen.answer("read /secret")? {
            same("text", text, "")?;
        }
    }

    /// In a user namespace.
    ["masked", "ns.user"]
    fn a_file_is_masked_in_a_user_namespace(t) {
        t.needs_root()?;
        let b = t.bundle()?.file("/secret", "text")?.user_namespace(200_000)?.set("/linux/maskedPaths", json!(["/secret"]));
        let seen = b.does(&["read /secret"]).observe()?;
        if let Ok(text) = seen.answer("read /secret")? {
            same("text", text, "")?;
        }
    }

    /// A file cannot be written.
    ["readonly"]
    fn a_readonly_file_cannot_be_written(t) {
        let b = t.bundle()?.file("/fixed", "text")?.set("/linux/readonlyPaths", json!(["/fixed"]));
        let seen = b.does(&["write /fixed x", "read /fixed"]).observe()?;
        seen.fails("write /fixed x", &[errno::EROFS])?;
        equal("file", seen.text_of("read /fixed")?, "text")?;
    }

    /// Nothing can be made in a directory.
    ["readonly"]
    fn a_readonly_directory_cannot_be_written(t) {
        let b = t.bundle()?.file("/fixed/file", "text")?.set("/linux/readonlyPaths", json!(["/fixed"]));
        let seen = b.does(&["create /fixed/new", "write /fixed/file x", "read /fixed/file"]).observe()?;
        seen.fails("create /fixed/new", &[errno::EROFS])?;
        seen.fails("write /fixed/file x", &[errno::EROFS])?;
        equal("file", seen.text_of("read /fixed/file")?, "text")?;
    }

    /// The root as a read-only path: by its own name, and by that of a link.
    ["readonly"]
    fn the_root_as_a_readonly_path_cannot_be_written(t) {
        for path in ["/", "/whole"] {
            let b = t.bundle()?.file("/fixed", "text")?.set("/linux/readonlyPaths", json!([path]));
            std::os::unix::fs::symlink("/", b.rootfs().join("whole"))?;
            let seen = b.does(&["create /new", "write /fixed x", "read /fixed"]).observe()?;
            seen.fails("create /new", &[errno::EROFS])?;
            seen.fails("write /fixed x", &[errno::EROFS])?;
            equal("file", seen.text_of("read /fixed")?, "text")?;
        }
    }

    /// /proc/sys, as engines ask for it.
    ["readonly"]
    fn proc_sys_is_readonly(t) {
        let seen = t.bundle()?.set("/linux/readonlyPaths", json!(["/proc/sys"])).does(&["report", "open w /proc/sys/kernel/domainname"]).observe()?;
        seen.fails("open w /proc/sys/kernel/domainname", &[errno::EROFS, errno::EACCES])?;
        holds("the mount at /proc/sys is read-only", seen.mount("/proc/sys")?.mount_options.contains_key("ro"))?;
    }

    /// The root around a read-only path can be written.
    ["readonly"]
    fn a_path_beside_a_readonly_one_can_be_written(t) {
        let b = t.bundle()?.directory("/fixed")?.set("/linux/readonlyPaths", json!(["/fixed"]));
        b.does(&["create /new"]).observe()?.value("create /new")?;
    }

    /// A path that does not exist.
    ["readonly"]
    fn a_readonly_path_that_does_not_exist_is_no_error(t) {
        t.bundle()?.set("/linux/readonlyPaths", json!(["/no/such/path"])).observe()?.value("report")?;
    }

    /// A relative path.
    ["readonly.absolute"]
    fn a_relative_readonly_path_is_refused(t) {
        t.bundle()?.directory("/fixed")?.set("/linux/readonlyPaths", json!(["fixed"])).refused()?;
    }

    /// A read-only path keeps the other options of its mount.
    ["readonly"]
    fn a_readonly_path_keeps_the_options_of_its_mount(t) {
        let b = t.bundle()?.mount("/data", "tmpfs", "tmpfs", &["nosuid", "noexec"]).set("/linux/readonlyPaths", json!(["/data"]));
        let mount = b.observe()?.mount("/data")?;
        for word in ["ro", "nosuid", "noexec"] {
            ensure!(mount.mount_options.contains_key(word), "the options are {:?}", mount.mount_options);
        }
    }

    /// The link /dev/null of a hostile image must not decide what masks.
    ["masked", "devices.default"]
    fn a_mask_does_not_come_from_the_root_filesystem(t) {
        let b = t.bundle()?.file("/secret", "text")?.file("/etc/decoy", "decoy")?;
        let mut b = b.set("/linux/maskedPaths", json!(["/secret"]));
        b.config["mounts"].as_array_mut().context("mounts")?.retain(|m| !m["destination"].as_str().is_some_and(|d| d.starts_with("/dev")));
        std::os::unix::fs::symlink("/etc/decoy", b.rootfs().join("dev/null"))?;
        let (c, created) = b.does(&["read /secret"]).try_create()?;
        if created.succeeded() && c.call("start", &[])?.succeeded()
            // A program that cannot say anything read nothing either.
            && let Ok(Ok(text)) = c.finish()?.answer("read /secret")
        {
            ensure!(*text != "decoy" && *text != "text", "the masked file reads {text}");
        }
    }
}
