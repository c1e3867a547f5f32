//! `process.capabilities`.

use crate::bench::prelude::*;

const ALL: [&str; 5] = ["bounding", "effective", "permitted", "inheritable", "ambient"];

/// CAP_CHOWN, CAP_KILL, CAP_NET_RAW and their numbers.
const NAMES: [&str; 3] = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"];
const NUMBERS: [i32; 3] = [0, 5, 13];

cases! {
    /// The bounding set is exactly that of the config.
    ["process.capabilities.bounding"]
    fn the_bounding_set_is_that_of_the_config(t) {
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted"], &NAMES);
        same_set("bounding", b.observe()?.report("/capabilities/bounding")?, &json!(NUMBERS))?;
    }

    /// The effective set of root is exactly that of the config.
    ["process.capabilities.effective"]
    fn the_effective_set_is_that_of_the_config(t) {
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted"], &NAMES);
        same_set("effective", b.observe()?.report("/capabilities/effective")?, &json!(NUMBERS))?;
    }

    /// The permitted set of root is exactly that of the config.
    ["process.capabilities.permitted"]
    fn the_permitted_set_is_that_of_the_config(t) {
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted"], &NAMES);
        same_set("permitted", b.observe()?.report("/capabilities/permitted")?, &json!(NUMBERS))?;
    }

    /// The inheritable set is exactly that of the config.
    ["process.capabilities.inheritable"]
    fn the_inheritable_set_is_that_of_the_config(t) {
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted"], &NAMES);
        let b = b.capabilities(&["inheritable"], &["CAP_KILL"]);
        same_set("inheritable", b.observe()?.report("/capabilities/inheritable")?, &json!([5]))?;
    }

    /// The ambient set of a user other than root, with what it needs in the other sets.
    ["process.capabilities.ambient"]
    fn the_ambient_set_is_that_of_the_config(t) {
        t.needs_root()?;
        let b = t.bundle()?.capabilities(&ALL, &NAMES).capabilities(&["ambient"], &["CAP_KILL"]);
        let seen = b.set("/process/user", json!({"uid": 1000, "gid": 1000})).observe()?;
        same_set("ambient", seen.report("/capabilities/ambient")?, &json!([5]))?;
        same_set("effective", seen.report("/capabilities/effective")?, &json!([5]))?;
    }

    /// A user other than root has no effective capability without the ambient set, as `execve` takes them away.
    ["process.capabilities.effective", "process.capabilities.ambient"]
    fn a_user_other_than_root_has_no_capabilities_without_the_ambient_set(t) {
        t.needs_root()?;
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted"], &NAMES);
        let seen = b.set("/process/user", json!({"uid": 1000, "gid": 1000})).observe()?;
        for set in ["effective", "permitted", "ambient"] {
            same_set(set, seen.report(&format!("/capabilities/{set}"))?, &json!([]))?;
        }
        same_set("bounding", seen.report("/capabilities/bounding")?, &json!(NUMBERS))?;
    }

    /// All five lists are empty.
    ["process.capabilities.bounding"]
    fn empty_sets_leave_no_capability(t) {
        let seen = t.bundle()?.capabilities(&ALL, &[]).observe()?;
        for set in ALL {
            same_set(set, seen.report(&format!("/capabilities/{set}"))?, &json!([]))?;
        }
    }

    /// A root without CAP_CHOWN cannot give files away.
    ["process.capabilities.bounding"]
    fn an_operation_without_its_capability_fails(t) {
        t.needs_root()?;
        let b = t.bundle()?.capabilities(&ALL, &[]).does(&["create /tmp/f", "chown 5 5 /tmp/f"]);
        b.observe()?.fails("chown 5 5 /tmp/f", &[errno::EPERM])?;
    }

    /// The same with CAP_CHOWN.
    ["process.capabilities.effective"]
    fn an_operation_with_its_capability_works(t) {
        t.needs_root()?;
        let b = t.bundle()?.capabilities(&ALL, &["CAP_CHOWN"]).does(&["create /tmp/f", "chown 5 5 /tmp/f"]);
        b.observe()?.value("chown 5 5 /tmp/f")?;
    }

    /// A set that is larger than the bounding set cannot be had after `execve`; nothing beyond the bounding set is there.
    ["process.capabilities.bounding"]
    fn no_capability_is_beyond_the_bounding_set(t) {
        let b = t.bundle()?.capabilities(&["effective", "permitted"], &NAMES).capabilities(&["bounding"], &["CAP_KILL"]);
        let (c, created) = b.try_create()?;
        if !created.succeeded() {
            return Ok(());
        }
        if c.call("start", &[])?.succeeded() {
            let seen = c.finish()?;
            same_set("bounding", seen.report("/capabilities/bounding")?, &json!([5]))?;
            same_set("effective", seen.report("/capabilities/effective")?, &json!([5]))?;
        }
    }

    /// An unknown name is only a warning: the container runs with the rest.
    ["process.capabilities.unknown", "process.capabilities.no-failure", "warnings.flow"]
    fn an_unknown_capability_is_no_failure(t) {
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted"], &["CAP_KILL", "CAP_NO_SUCH_THING"]);
        same_set("bounding", b.observe()?.report("/capabilities/bounding")?, &json!([5]))?;
    }

    /// An unknown name is logged: something is written to the standard error of `create` or to its log.
    ["process.capabilities.unknown"]
    fn an_unknown_capability_is_logged(t) {
        let log = t.path("log");
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted"], &["CAP_KILL", "CAP_NO_SUCH_THING"]);
        b.write()?;
        let dir = b.dir.display().to_string();
        let output = t.runtime(&["--log", &log, "create", "--bundle", &dir, &b.id])?.expect_success("create")?;
        let text = output.stderr + &std::fs::read_to_string(&log).unwrap_or_default();
        t.runtime(&["delete", "--force", &b.id])?;
        contains("what was logged", &text, "CAP_NO_SUCH_THING")?;
    }

    /// A capability that the suite itself lacks.
    ["process.capabilities.no-failure"]
    fn a_capability_that_cannot_be_granted_is_no_failure(t) {
        t.needs_root()?;
        if t.machine().has_capability(24) {
            return skip("this machine grants every capability");
        }
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted"], &["CAP_KILL", "CAP_SYS_RESOURCE"]);
        same_set("bounding", b.observe()?.report("/capabilities/bounding")?, &json!([5]))?;
    }

    /// A list that is no list.
    ["valid-values"]
    fn a_capability_set_that_is_a_string_is_refused(t) {
        t.bundle()?.set("/process/capabilities/bounding", "CAP_KILL").refused()?;
    }

    /// Ambient capabilities that are not inheritable cannot be granted; they must not be there.
    ["process.capabilities.ambient"]
    fn an_ambient_capability_that_is_not_inheritable_is_not_granted(t) {
        t.needs_root()?;
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted", "ambient"], &["CAP_KILL"]);
        let b = b.capabilities(&["inheritable"], &[]).set("/process/user", json!({"uid": 1000, "gid": 1000}));
        let (c, created) = b.try_create()?;
        if created.succeeded() && c.call("start", &[])?.succeeded() {
            same_set("ambient", c.finish()?.report("/capabilities/ambient")?, &json!([]))?;
        }
    }

    /// A user other than root executes a program: nothing comes back.
    ["process.capabilities.bounding", "process.no-new-privileges"]
    fn capabilities_do_not_come_back_with_another_program(t) {
        let b = t.bundle()?.capabilities(&["bounding", "effective", "permitted"], &["CAP_KILL"]);
        let seen = b.does(&["exec /probe report"]).observe()?;
        same_set("effective", seen.report("/capabilities/effective")?, &json!([5]))?;
    }

    /// Without `capabilities` nothing says that any is kept.
    ["process.capabilities.bounding"]
    fn without_capabilities_in_the_config_the_program_has_none(t) {
        let seen = t.bundle()?.remove("/process/capabilities").observe()?;
        same_set("effective", seen.report("/capabilities/effective")?, &json!([]))?;
    }

    /// In a user namespace the sets are those of the config too.
    ["process.capabilities.bounding", "ns.user"]
    fn the_sets_are_those_of_the_config_in_a_user_namespace(t) {
        t.needs_root()?;
        let b = t.bundle()?.user_namespace(200_000)?.capabilities(&["bounding", "effective", "permitted"], &NAMES);
        let seen = b.observe()?;
        same_set("bounding", seen.report("/capabilities/bounding")?, &json!(NUMBERS))?;
        same_set("effective", seen.report("/capabilities/effective")?, &json!(NUMBERS))?;
    }
}
