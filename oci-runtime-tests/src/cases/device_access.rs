//! `linux.resources.devices`. Numbers without a driver tell what the cgroup says: opening such a node gives ENXIO when it is
//! allowed, EPERM when it is not.

use crate::bench::prelude::*;

/// Opens nodes of 251:77 and others, made by the suite in the root filesystem, under these rules.
fn tried(t: &Trial, rules: Value, actions: &[&str]) -> Result<crate::bench::seen::Seen> {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    t.needs_root()?;
    t.controller_is_v1("devices")?;
    let b = t.bundle()?.directory("/nodes")?;
    for (name, kind, major, minor) in [
        ("c251-77", SFlag::S_IFCHR, 251, 77),
        ("c251-78", SFlag::S_IFCHR, 251, 78),
        ("c252-77", SFlag::S_IFCHR, 252, 77),
        ("b251-77", SFlag::S_IFBLK, 251, 77),
    ] {
        mknod(&b.rootfs().join("nodes").join(name), kind, Mode::from_bits_truncate(0o666), makedev(major, minor))?;
    }
    b.set("/linux/resources/devices", rules).does(actions).observe()
}

const R: &str = "open r /nodes/c251-77";
const W: &str = "open w /nodes/c251-77";
const OTHER_MINOR: &str = "open r /nodes/c251-78";
const OTHER_MAJOR: &str = "open r /nodes/c252-77";
const BLOCK: &str = "open r /nodes/b251-77";

fn allowed(seen: &crate::bench::seen::Seen, action: &str) -> Result<()> {
    seen.fails(action, &[libc::ENXIO, libc::ENODEV]).context("the device must be allowed")
}

fn denied(seen: &crate::bench::seen::Seen, action: &str) -> Result<()> {
    seen.fails(action, &[errno::EPERM]).context("the device must be denied")
}

fn deny_all() -> Value {
    json!({"allow": false, "access": "rwm"})
}

cases! {
    /// Everything is denied.
    ["resources.devices.allow"]
    fn a_device_that_is_denied_does_not_open(t) {
        denied(&tried(t, json!([deny_all()]), &[R])?, R)?;
    }

    /// The default devices can be used although everything is denied.
    ["resources.devices.allow", "devices.default"]
    fn the_default_devices_open_when_everything_is_denied(t) {
        let seen = tried(t, json!([deny_all()]), &["open rw /dev/null", "open r /dev/urandom", "open rw /dev/ptmx"])?;
        seen.value("open rw /dev/null")?;
        seen.value("open r /dev/urandom")?;
        seen.value("open rw /dev/ptmx")?;
    }

    /// One device is allowed after all were denied.
    ["resources.devices.allow", "resources.devices.order"]
    fn a_device_that_is_allowed_opens(t) {
        let rules = json!([deny_all(), {"allow": true, "type": "c", "major": 251, "minor": 77, "access": "rw"}]);
        let seen = tried(t, rules, &[R, W, OTHER_MINOR, OTHER_MAJOR, BLOCK])?;
        allowed(&seen, R)?;
        allowed(&seen, W)?;
        denied(&seen, OTHER_MINOR)?;
        denied(&seen, OTHER_MAJOR)?;
        denied(&seen, BLOCK)?;
    }

    /// Reading alone.
    ["resources.devices.access"]
    fn a_device_that_may_be_read_cannot_be_written(t) {
        let rules = json!([deny_all(), {"allow": true, "type": "c", "major": 251, "minor": 77, "access": "r"}]);
        let seen = tried(t, rules, &[R, W])?;
        allowed(&seen, R)?;
        denied(&seen, W)?;
    }

    /// Writing alone.
    ["resources.devices.access"]
    fn a_device_that_may_be_written_cannot_be_read(t) {
        let rules = json!([deny_all(), {"allow": true, "type": "c", "major": 251, "minor": 77, "access": "w"}]);
        let seen = tried(t, rules, &[R, W])?;
        denied(&seen, R)?;
        allowed(&seen, W)?;
    }

    /// Without a minor number all of them.
    ["resources.devices.numbers"]
    fn a_rule_without_a_minor_number_is_for_all_of_them(t) {
        let rules = json!([deny_all(), {"allow": true, "type": "c", "major": 251, "access": "rw"}]);
        let seen = tried(t, rules, &[R, OTHER_MINOR, OTHER_MAJOR])?;
        allowed(&seen, R)?;
        allowed(&seen, OTHER_MINOR)?;
        denied(&seen, OTHER_MAJOR)?;
    }

    /// Without a major number all of them.
    ["resources.devices.numbers"]
    fn a_rule_without_a_major_number_is_for_all_of_them(t) {
        let rules = json!([deny_all(), {"allow": true, "type": "c", "minor": 77, "access": "rw"}]);
        let seen = tried(t, rules, &[R, OTHER_MINOR, OTHER_MAJOR])?;
        allowed(&seen, R)?;
        denied(&seen, OTHER_MINOR)?;
        allowed(&seen, OTHER_MAJOR)?;
    }

    /// A character device and a block device with the same numbers.
    ["resources.devices.type"]
    fn a_rule_for_block_devices_is_not_for_character_devices(t) {
        let rules = json!([deny_all(), {"allow": true, "type": "b", "major": 251, "minor": 77, "access": "rw"}]);
        let seen = tried(t, rules, &[R, BLOCK])?;
        denied(&seen, R)?;
        allowed(&seen, BLOCK)?;
    }

    /// Everything is allowed.
    ["resources.devices.type"]
    fn a_rule_without_a_type_is_for_all_devices(t) {
        let seen = tried(t, json!([{"allow": true, "access": "rwm"}]), &[R, W, OTHER_MAJOR, BLOCK])?;
        for action in [R, W, OTHER_MAJOR, BLOCK] {
            allowed(&seen, action)?;
        }
    }

    /// Type `a` is all types.
    ["resources.devices.type"]
    fn a_rule_of_the_type_a_is_for_all_devices(t) {
        let seen = tried(t, json!([{"allow": true, "type": "a", "access": "rwm"}]), &[R, BLOCK])?;
        allowed(&seen, R)?;
        allowed(&seen, BLOCK)?;
    }

    /// What comes later counts.
    ["resources.devices.order"]
    fn a_later_denial_takes_an_earlier_permission_back(t) {
        let one = |allow: bool| json!({"allow": allow, "type": "c", "major": 251, "minor": 77, "access": "rw"});
        denied(&tried(t, json!([deny_all(), one(true), one(false)]), &[R])?, R)?;
    }

    /// A denial of everything at the end takes every permission back.
    ["resources.devices.order"]
    fn a_later_denial_of_everything_takes_all_back(t) {
        let one = json!({"allow": true, "type": "c", "major": 251, "minor": 77, "access": "rw"});
        denied(&tried(t, json!([one, deny_all()]), &[R])?, R)?;
    }

    /// One device is denied after everything was allowed.
    ["resources.devices.order"]
    fn one_device_is_denied_after_everything_was_allowed(t) {
        let rules = json!([{"allow": true, "access": "rwm"}, {"allow": false, "type": "c", "major": 251, "minor": 77, "access": "rwm"}]);
        let seen = tried(t, rules, &[R, OTHER_MAJOR])?;
        denied(&seen, R)?;
        allowed(&seen, OTHER_MAJOR)?;
    }

    /// Without any rule a container does not have the devices of the host.
    ["devices.no-others"]
    fn without_rules_a_device_of_the_host_does_not_open(t) {
        denied(&tried(t, json!([]), &[R])?, R)?;
    }

    /// A letter that is no access.
    ["resources.devices.access", "valid-values"]
    fn an_unknown_access_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("devices")?;
        let rules = json!([{"allow": true, "type": "c", "major": 251, "minor": 77, "access": "xyz"}]);
        t.bundle()?.set("/linux/resources/devices", rules).refused()?;
    }

    /// A type that is none of a, b and c.
    ["resources.devices.type", "valid-values"]
    fn an_unknown_type_in_a_rule_is_refused(t) {
        t.needs_root()?;
        t.controller_is_v1("devices")?;
        let rules = json!([{"allow": true, "type": "x", "major": 251, "minor": 77, "access": "rw"}]);
        t.bundle()?.set("/linux/resources/devices", rules).refused()?;
    }
}
