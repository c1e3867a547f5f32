//! `process`: working directory, arguments, environment, privileges, score.

use crate::bench::prelude::*;

/// Either the program runs in this directory, or some operation before fails and it never runs.
fn in_the_cwd_or_an_error(bundle: crate::bench::bundle::Bundle<'_>, cwd: &str) -> Result<()> {
    let (c, created) = bundle.try_create()?;
    if !created.succeeded() {
        return c.must_not_exist().context("after the failed create");
    }
    let started = c.call("start", &[])?;
    let seen = c.finish()?;
    if started.succeeded() {
        return same("cwd", seen.report("/cwd")?, cwd);
    }
    ensure!(seen.answers.is_empty(), "start failed, but the program ran");
    Ok(())
}

cases! {
    /// Starts the probe in /tmp and reads its working directory.
    ["process.cwd"]
    fn the_program_starts_in_its_cwd(t) {
        let seen = t.bundle()?.set("/process/cwd", "/tmp").observe()?;
        same("cwd", seen.report("/cwd")?, "/tmp")?;
    }

    /// A relative working directory.
    ["process.cwd.absolute", "valid-values"]
    fn a_relative_cwd_is_refused(t) {
        t.bundle()?.set("/process/cwd", "tmp").refused()?;
    }

    /// No working directory at all.
    ["process.cwd"]
    fn a_missing_cwd_is_refused(t) {
        t.bundle()?.remove("/process/cwd").refused()?;
    }

    /// The working directory is a file.
    ["process.cwd", "create.cannot-apply"]
    fn a_cwd_that_is_a_file_is_an_error(t) {
        t.bundle()?.set("/process/cwd", "/etc/passwd").never_runs()?;
    }

    /// The working directory is a symbolic link to a directory: it is followed inside the container.
    ["process.cwd"]
    fn a_cwd_behind_a_symbolic_link_is_followed_inside(t) {
        let b = t.bundle()?;
        std::os::unix::fs::symlink("/tmp", b.rootfs().join("link"))?;
        same("cwd", b.set("/process/cwd", "/link").observe()?.report("/cwd")?, "/tmp")?;
    }

    /// The root filesystem has no such directory: runtimes may make it or refuse, and the program starts nowhere else.
    ["process.cwd", "create.cannot-apply"]
    fn a_cwd_that_does_not_exist_is_made_or_an_error(t) {
        in_the_cwd_or_an_error(t.bundle()?.set("/process/cwd", "/no/such/dir"), "/no/such/dir")?;
    }

    /// The same for a user other than root, who could not make it.
    ["process.cwd", "create.cannot-apply"]
    fn a_cwd_that_does_not_exist_is_made_or_an_error_for_another_user(t) {
        t.needs_root()?;
        let b = t.bundle()?.set("/process/user", json!({"uid": 1000, "gid": 1000}));
        in_the_cwd_or_an_error(b.set("/process/cwd", "/no/such/dir"), "/no/such/dir")?;
    }

    /// The same in a read-only root.
    ["process.cwd", "create.cannot-apply"]
    fn a_cwd_that_does_not_exist_is_made_or_an_error_in_a_readonly_root(t) {
        let b = t.bundle()?.set("/root/readonly", true);
        in_the_cwd_or_an_error(b.set("/process/cwd", "/no/such/dir"), "/no/such/dir")?;
    }

    /// The working directory lies on a mount of the config, which hides the directory of the root filesystem.
    ["process.cwd", "mounts.order"]
    fn a_cwd_on_a_mount_of_the_config_is_the_mounts(t) {
        let source = t.path("source");
        std::fs::create_dir_all(format!("{source}/dir"))?;
        std::fs::write(format!("{source}/dir/of-the-mount"), "x")?;
        let b = t.bundle()?.directory("/data/dir")?.bind(&source, "/data", &[]);
        let seen = b.set("/process/cwd", "/data/dir").does(&["report", "read of-the-mount"]).observe()?;
        same("cwd", seen.report("/cwd")?, "/data/dir")?;
        equal("file in the cwd", seen.text_of("read of-the-mount")?, "x".to_owned())?;
    }

    /// A path with a dot, two dots and slashes too many.
    ["process.cwd"]
    fn a_cwd_with_dots_is_resolved(t) {
        same("cwd", t.bundle()?.set("/process/cwd", "/etc/.././/tmp//").observe()?.report("/cwd")?, "/tmp")?;
    }

    /// A path that climbs above the root stays at the root.
    ["process.cwd", "root.path"]
    fn a_cwd_that_climbs_stays_inside(t) {
        same("cwd", t.bundle()?.set("/process/cwd", "/../../../../tmp").observe()?.report("/cwd")?, "/tmp")?;
    }

    /// A symbolic link that climbs above the root stays inside.
    ["process.cwd", "root.path"]
    fn a_cwd_behind_a_link_that_climbs_stays_inside(t) {
        let b = t.bundle()?;
        std::os::unix::fs::symlink("../../../../../../../../tmp", b.rootfs().join("link"))?;
        same("cwd", b.set("/process/cwd", "/link").observe()?.report("/cwd")?, "/tmp")?;
    }

    /// A symbolic link to a directory that the host has and the root filesystem lacks: nothing is made on the host.
    ["process.cwd", "root.path"]
    fn a_cwd_behind_a_link_to_the_host_stays_inside(t) {
        let outside = t.path("outside");
        std::fs::create_dir(&outside)?;
        let b = t.bundle()?;
        std::os::unix::fs::symlink(&outside, b.rootfs().join("link"))?;
        in_the_cwd_or_an_error(b.set("/process/cwd", "/link/dir"), &format!("{outside}/dir"))?;
        ensure!(std::fs::read_dir(&outside)?.next().is_none(), "something was made outside of the root");
    }

    /// A symbolic link that leads to itself.
    ["process.cwd", "create.cannot-apply"]
    fn a_cwd_behind_a_link_to_itself_is_an_error(t) {
        let b = t.bundle()?;
        std::os::unix::fs::symlink("/loop", b.rootfs().join("loop"))?;
        b.set("/process/cwd", "/loop").never_runs()?;
    }

    /// A FIFO and a device are no directories.
    ["process.cwd", "create.cannot-apply"]
    fn a_cwd_that_is_a_device_is_an_error(t) {
        t.bundle()?.set("/process/cwd", "/dev/null").never_runs()?;
    }

    /// A FIFO, which must not block either.
    ["process.cwd", "create.cannot-apply"]
    fn a_cwd_that_is_a_fifo_is_an_error(t) {
        let b = t.bundle()?;
        nix::unistd::mkfifo(&b.rootfs().join("fifo"), nix::sys::stat::Mode::S_IRUSR)?;
        b.set("/process/cwd", "/fifo").never_runs()?;
    }

    /// A name that is longer than a file system takes.
    ["process.cwd", "create.cannot-apply"]
    fn a_cwd_with_a_name_that_is_too_long_is_an_error(t) {
        t.bundle()?.set("/process/cwd", format!("/{}", "x".repeat(256))).never_runs()?;
    }

    /// The working directory is a descriptor that the runtime may hold: of each number, the program is inside or nowhere.
    ["process.cwd", "root.path"]
    fn a_cwd_that_is_a_descriptor_of_the_runtime_is_no_way_out(t) {
        for number in 3..=12 {
            let b = t.bundle()?.set("/process/cwd", format!("/proc/self/fd/{number}"));
            let c = match b.does(&["report", "stat ../../../../../..", "stat /"]).try_create()? {
                (c, created) if created.succeeded() => c,
                _ => continue,
            };
            if !c.call("start", &[])?.succeeded() {
                continue;
            }
            let seen = c.finish()?;
            // A program that was never executed has said nothing.
            let (Ok(above), Ok(root)) = (seen.value("stat ../../../../../.."), seen.value("stat /")) else { continue };
            same(&format!("directory above /proc/self/fd/{number}"), &above["inode"], root["inode"].clone())?;
            same(&format!("its device, of /proc/self/fd/{number}"), &above["device"], root["device"].clone())?;
        }
    }

    /// The variables are exactly those of the config, in no particular order; HOME may be added for programs that need it.
    ["process.env"]
    fn the_program_gets_the_environment_of_the_config(t) {
        let seen = t.bundle()?.set("/process/env", json!(["A=1", "B=two words", "C=x=y", "HOME=/h"])).observe()?;
        same_set("environment", seen.report("/env")?, &json!(["A=1", "B=two words", "C=x=y", "HOME=/h"]))?;
    }

    /// A variable of the runtime's own environment.
    ["process.env"]
    fn the_program_gets_none_of_the_runtimes_environment(t) {
        let seen = t.bundle()?.set("/process/env", json!([])).observe()?;
        let env = seen.report("/env")?.to_string();
        for name in ["SHELL=", "PWD=", "CARGO", "OLDPWD="] {
            ensure!(!env.contains(name), "{name} is in the environment: {env}");
        }
    }

    /// An empty value is a value.
    ["process.env"]
    fn an_empty_variable_is_kept(t) {
        let seen = t.bundle()?.set("/process/env", json!(["EMPTY=", "HOME=/"])).observe()?;
        same_set("environment", seen.report("/env")?, &json!(["EMPTY=", "HOME=/"]))?;
    }

    /// Arguments with spaces, quotes, and an empty one arrive as they are.
    ["process.args"]
    fn arguments_arrive_as_they_are(t) {
        let args = json!(["/probe", "report", "", "a b", "\"q\" $x *", "ü"]);
        same("args", t.bundle()?.set("/process/args", args.clone()).observe()?.report("/args")?, args)?;
    }

    /// The list of arguments is empty.
    ["process.args.one"]
    fn an_empty_list_of_arguments_is_refused(t) {
        t.bundle()?.set("/process/args", json!([])).refused()?;
    }

    /// The list of arguments is missing.
    ["process.args.one"]
    fn missing_arguments_are_an_error(t) {
        t.bundle()?.remove("/process/args").never_runs()?;
    }

    /// A name without a slash is looked up in PATH as `execvp` does.
    ["process.args.one"]
    fn a_program_without_a_slash_is_looked_up_in_path(t) {
        let b = t.bundle()?.set("/process/env", json!(["PATH=/nowhere:/bin"]));
        std::fs::hard_link(&t.bench.probe, b.rootfs().join("bin/looked-up"))?;
        let seen = b.set("/process/args", json!(["looked-up", "report"])).observe()?;
        same("exe", seen.report("/exe")?, "/bin/looked-up")?;
        same("first argument", seen.report("/args/0")?, "looked-up")?;
    }

    /// A name without a slash that is in the working directory, but not in PATH.
    ["process.args.one"]
    fn a_program_without_a_slash_is_not_looked_for_elsewhere(t) {
        let b = t.bundle()?.set("/process/env", json!(["PATH=/bin"]));
        b.set("/process/args", json!(["probe", "report"])).never_runs()?;
    }

    /// A path with a slash is relative to the working directory.
    ["process.args.one"]
    fn a_program_with_a_slash_is_relative_to_the_cwd(t) {
        let b = t.bundle()?.set("/process/cwd", "/bin");
        std::fs::hard_link(&t.bench.probe, b.rootfs().join("bin/here"))?;
        same("exe", b.set("/process/args", json!(["./here", "report"])).observe()?.report("/exe")?, "/bin/here")?;
    }

    /// `noNewPrivileges: true`.
    ["process.no-new-privileges"]
    fn no_new_privileges_is_set(t) {
        same("no_new_privs", t.bundle()?.set("/process/noNewPrivileges", true).observe()?.report("/no_new_privs")?, 1)?;
    }

    /// `noNewPrivileges: false`.
    ["process.no-new-privileges"]
    fn no_new_privileges_is_not_set_when_false(t) {
        same("no_new_privs", t.bundle()?.set("/process/noNewPrivileges", false).observe()?.report("/no_new_privs")?, 0)?;
    }

    /// The property is absent.
    ["process.no-new-privileges"]
    fn no_new_privileges_is_not_set_by_default(t) {
        same("no_new_privs", t.bundle()?.remove("/process/noNewPrivileges").observe()?.report("/no_new_privs")?, 0)?;
    }

    /// A program with the set-user-id bit of root, run by another user, with and without the property.
    ["process.no-new-privileges"]
    fn no_new_privileges_keeps_a_setuid_program_from_becoming_root(t) {
        t.needs_root()?;
        let run = |on: bool| -> Result<Value> {
            let b = t.bundle()?.set("/process/user", json!({"uid": 1000, "gid": 1000})).set("/process/noNewPrivileges", on);
            let suid = b.rootfs().join("suid");
            std::fs::copy(&t.bench.probe, &suid)?;
            std::fs::set_permissions(&suid, std::os::unix::fs::PermissionsExt::from_mode(0o4755))?;
            Ok(b.does(&["exec /suid report"]).observe()?.report("/uid/1")?.clone())
        };
        same("effective uid without", &run(false)?, 0)?;
        same("effective uid with", &run(true)?, 1000)?;
    }

    /// A higher score than the runtime's.
    ["process.oom-score-adj"]
    fn oom_score_adj_is_set(t) {
        same("oom_score_adj", t.bundle()?.set("/process/oomScoreAdj", 432).observe()?.report("/oom_score_adj")?, "432")?;
    }

    /// The highest score.
    ["process.oom-score-adj"]
    fn the_highest_oom_score_adj_is_set(t) {
        same("oom_score_adj", t.bundle()?.set("/process/oomScoreAdj", 1000).observe()?.report("/oom_score_adj")?, "1000")?;
    }

    /// A negative score, which needs CAP_SYS_RESOURCE.
    ["process.oom-score-adj"]
    fn a_negative_oom_score_adj_is_set(t) {
        t.needs_root()?;
        t.needs_capability(24, "CAP_SYS_RESOURCE")?;
        same("oom_score_adj", t.bundle()?.set("/process/oomScoreAdj", -300).observe()?.report("/oom_score_adj")?, "-300")?;
    }

    /// A score beyond the kernel's range.
    ["process.oom-score-adj", "valid-values"]
    fn an_oom_score_adj_out_of_range_is_an_error(t) {
        t.bundle()?.set("/process/oomScoreAdj", 1001).never_runs()?;
    }

    /// Without the property the score is that of the suite, from which the runtime inherits it.
    ["process.oom-score-adj.unset"]
    fn oom_score_adj_is_not_changed_when_it_is_not_set(t) {
        let ours = std::fs::read_to_string("/proc/self/oom_score_adj")?.trim().to_owned();
        same("oom_score_adj", t.bundle()?.observe()?.report("/oom_score_adj")?, ours)?;
    }

    /// A profile on a kernel without AppArmor cannot be applied.
    ["process.apparmor", "create.cannot-apply"]
    fn an_apparmor_profile_without_apparmor_is_an_error(t) {
        if std::path::Path::new("/sys/kernel/security/apparmor").exists() {
            return skip("this kernel has AppArmor");
        }
        t.bundle()?.set("/process/apparmorProfile", "no-such-profile").never_runs()?;
    }

    /// A profile that is not loaded.
    ["process.apparmor", "create.cannot-apply"]
    fn an_apparmor_profile_that_is_not_loaded_is_an_error(t) {
        t.needs_file("/sys/kernel/security/apparmor")?;
        t.bundle()?.set("/process/apparmorProfile", "ort-no-such-profile").never_runs()?;
    }

    /// The profile that every AppArmor kernel has.
    ["process.apparmor"]
    fn the_apparmor_profile_unconfined_is_applied(t) {
        t.needs_file("/sys/kernel/security/apparmor")?;
        let seen = t.bundle()?.set("/process/apparmorProfile", "unconfined").observe()?;
        contains("label", seen.report_text("/label")?, "unconfined")?;
    }

    /// A label on a kernel without SELinux cannot be applied.
    ["process.selinux", "create.cannot-apply"]
    fn an_selinux_label_without_selinux_is_an_error(t) {
        if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
            return skip("this kernel has SELinux");
        }
        t.bundle()?.set("/process/selinuxLabel", "system_u:system_r:svirt_lxc_net_t:s0:c1,c2").never_runs()?;
    }

    /// Signals that the runtime or its caller blocked or ignored do not stay so for the program.
    ["lifecycle.program-run"]
    fn the_program_starts_with_no_signal_blocked(t) {
        same("blocked", t.bundle()?.observe()?.report("/blocked_signals")?, "0000000000000000")?;
    }

    /// The standard streams are those that `create` was given.
    ["fds.standard-only"]
    fn what_the_program_writes_goes_where_create_was_told(t) {
        let seen = t.bundle()?.does(&["report"]).observe()?;
        holds("something was written", !seen.text.is_empty())?;
    }

    /// The CPU affinity of the config is for processes that join later: the program runs everywhere that the suite may.
    ["process.exec-affinity"]
    fn the_exec_affinity_does_not_touch_the_program(t) {
        t.needs_version(2)?;
        let ours = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0))?;
        let cpus: Vec<usize> = (0..1024).filter(|&cpu| ours.is_set(cpu).unwrap_or(false)).collect();
        if cpus.len() < 2 {
            return skip("this machine has one CPU");
        }
        let one = cpus[0].to_string();
        let seen = t.bundle()?.set("/process/execCPUAffinity", json!({"initial": one, "final": one})).observe()?;
        same("affinity", seen.report("/affinity")?, json!(cpus))?;
    }
}
