//! `process.user`.

use crate::bench::bundle::own;
use crate::bench::prelude::*;

cases! {
    /// Real, effective and saved id.
    ["user.uid"]
    fn the_program_has_the_uid_of_the_config(t) {
        t.needs_root()?;
        let seen = t.bundle()?.set("/process/user/uid", 1234).observe()?;
        same("uids", seen.report("/uid")?, json!([1234, 1234, 1234]))?;
    }

    /// Real, effective and saved id.
    ["user.gid"]
    fn the_program_has_the_gid_of_the_config(t) {
        t.needs_root()?;
        let seen = t.bundle()?.set("/process/user/gid", 2345).observe()?;
        same("gids", seen.report("/gid")?, json!([2345, 2345, 2345]))?;
    }

    /// A uid and a gid that no file in the container names.
    ["user.uid", "user.gid"]
    fn ids_without_a_name_inside_are_taken_as_numbers(t) {
        t.needs_root()?;
        let seen = t.bundle()?.set("/process/user", json!({"uid": 4_000_000, "gid": 5_000_000})).observe()?;
        same("uid", seen.report("/uid/0")?, 4_000_000)?;
        same("gid", seen.report("/gid/0")?, 5_000_000)?;
    }

    /// 2^31 - 1, the highest that every runtime takes; values above are a matter of choice.
    ["user.uid"]
    fn a_high_uid_is_taken(t) {
        t.needs_root()?;
        let seen = t.bundle()?.set("/process/user/uid", 2_147_483_647).observe()?;
        same("uid", seen.report("/uid/0")?, 2_147_483_647)?;
    }

    /// /etc/passwd has an entry whose name is the number, with the uid 0: the number counts.
    ["user.uid"]
    fn a_user_named_like_the_uid_is_no_matter(t) {
        t.needs_root()?;
        let b = t.bundle()?.file("/etc/passwd", "1234:x:0:0::/:/probe\n")?;
        same("uid", b.set("/process/user/uid", 1234).observe()?.report("/uid/0")?, 1234)?;
    }

    /// A negative uid.
    ["user.uid", "valid-values"]
    fn a_negative_uid_is_refused(t) {
        t.bundle()?.set("/process/user/uid", -1).refused()?;
    }

    /// A uid with more than 32 bits.
    ["user.uid", "valid-values"]
    fn a_uid_beyond_32_bits_is_refused(t) {
        t.bundle()?.set("/process/user/uid", 4_294_967_296_u64).refused()?;
    }

    /// A uid that is a string.
    ["user.uid", "valid-values"]
    fn a_uid_that_is_a_string_is_refused(t) {
        t.bundle()?.set("/process/user/uid", "1000").refused()?;
    }

    /// Exactly the groups of the config, besides the gid.
    ["user.additional-gids"]
    fn the_program_has_the_additional_groups(t) {
        t.needs_root()?;
        let seen = t.bundle()?.set("/process/user/additionalGids", json!([5, 6, 70000])).observe()?;
        let mut groups: Vec<Value> = seen.report("/groups")?.as_array().cloned().unwrap_or_default();
        groups.retain(|group| *group != 0);
        same_set("groups", &json!(groups), &json!([5, 6, 70000]))?;
    }

    /// No group of the runtime's stays.
    ["user.additional-gids"]
    fn without_additional_groups_the_program_has_none_of_the_runtimes(t) {
        t.needs_root()?;
        let seen = t.bundle()?.set("/process/user", json!({"uid": 1000, "gid": 1000})).observe()?;
        let groups = seen.report("/groups")?.as_array().cloned().unwrap_or_default();
        ensure!(groups.iter().all(|group| *group == 1000), "groups are {groups:?}");
    }

    /// The group 0 is not added to a user that does not have it.
    ["user.gid"]
    fn the_group_0_is_not_added(t) {
        t.needs_root()?;
        let b = t.bundle()?.set("/process/user", json!({"uid": 1000, "gid": 1000, "additionalGids": [7]}));
        let groups = b.observe()?.report("/groups")?.as_array().cloned().unwrap_or_default();
        ensure!(!groups.contains(&json!(0)), "groups are {groups:?}");
    }

    /// umask 027, given as the decimal number 23.
    ["user.umask"]
    fn the_program_has_the_umask_of_the_config(t) {
        same("umask", t.bundle()?.set("/process/user/umask", 0o27).observe()?.report("/umask")?, 0o27)?;
    }

    /// umask 0 is a value and not the same as none.
    ["user.umask"]
    fn a_umask_of_zero_is_set(t) {
        same("umask", t.bundle()?.set("/process/user/umask", 0).observe()?.report("/umask")?, 0)?;
    }

    /// The suite, and so the runtime's caller, has the umask 022.
    ["user.umask.unset"]
    fn without_a_umask_that_of_the_caller_stays(t) {
        same("umask", t.bundle()?.observe()?.report("/umask")?, 0o22)?;
    }

    /// A program of another user than root may use its standard streams: it can open them again by /proc/self/fd.
    ["user.uid"]
    fn a_user_other_than_root_can_write_to_standard_output(t) {
        t.needs_root()?;
        let seen = t.bundle()?.set("/process/user", json!({"uid": 1000, "gid": 1000})).observe()?;
        same("uid", seen.report("/uid/0")?, 1000)?;
    }

    /// A file that only its owner may read, read by the owner and by another.
    ["user.uid"]
    fn files_open_to_the_user_of_the_config_alone(t) {
        t.needs_root()?;
        let run = |uid: u32| -> Result<bool> {
            let b = t.bundle()?.file("/home/secret", "s")?.set("/process/user", json!({"uid": uid, "gid": uid}));
            let file = b.rootfs().join("home/secret");
            std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            own(&b.rootfs().join("home"), 1000)?;
            Ok(b.does(&["read /home/secret"]).observe()?.answer("read /home/secret")?.is_ok())
        };
        equal("owner reads", run(1000)?, true)?;
        equal("another reads", run(1001)?, false)?;
    }

    /// In a user namespace the uid is the one inside.
    ["user.uid", "ns.user"]
    fn the_uid_is_that_inside_of_the_user_namespace(t) {
        t.needs_root()?;
        let c = t.bundle()?.user_namespace(200_000)?.set("/process/user", json!({"uid": 7, "gid": 8})).does(&["report", "wait"]).live()?;
        let seen = c.seen_so_far()?;
        same("uid inside", seen.report("/uid/0")?, 7)?;
        same("gid inside", seen.report("/gid/0")?, 8)?;
        equal("uid outside", procfs::process::Process::new(c.pid()?)?.status()?.euid, 200_007)?;
    }

    /// Additional groups in a user namespace.
    ["user.additional-gids", "ns.user"]
    fn additional_groups_are_those_inside_of_the_user_namespace(t) {
        t.needs_root()?;
        let b = t.bundle()?.user_namespace(200_000)?.set("/process/user/additionalGids", json!([50]));
        let groups = b.observe()?.report("/groups")?.as_array().cloned().unwrap_or_default();
        ensure!(groups.contains(&json!(50)), "groups are {groups:?}");
    }

    /// A uid that the user namespace does not map.
    ["user.uid", "create.cannot-apply"]
    fn a_uid_that_is_not_mapped_is_an_error(t) {
        t.needs_root()?;
        t.bundle()?.user_namespace(200_000)?.set("/process/user/uid", 70000).never_runs()?;
    }
}
