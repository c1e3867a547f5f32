//! Devices of the config, and what else is in /dev.

use super::*;
use std::os::unix::fs::MetadataExt;

/// What the program in a user namespace sees of a device of the config, which it can open.
fn in_a_user_namespace(t: &Trial, entry: Value) -> Result<Value> {
    let path = entry["path"].as_str().unwrap_or_default().to_owned();
    let (stat, open) = (format!("stat {path}"), format!("open r {path}"));
    let allow = json!([{"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"}]);
    // The program has the rights of root inside over whatever it does not own.
    let b = t.bundle()?.user_namespace(200_000)?.set("/linux/devices", json!([entry])).set("/linux/resources/devices", allow);
    let b = b.capabilities(&["bounding", "permitted", "effective"], &["CAP_DAC_OVERRIDE"]);
    let seen = b.does(&[&stat, &open]).observe()?;
    seen.value(&open)?;
    Ok(seen.value(&stat)?.clone())
}

cases! {
    /// /dev/ptmx leads to the one of the container's own devpts.
    ["devices.default.ptmx", "devices.default"]
    fn dev_ptmx_is_that_of_the_containers_devpts(t) {
        let seen = t.bundle()?.does(&["stat /dev/ptmx", "stat /dev/pts/ptmx", "open rw /dev/ptmx"]).observe()?;
        let inner = seen.value("stat /dev/pts/ptmx")?.clone();
        for part in ["major", "minor", "device", "inode"] {
            same(part, &seen.value("stat /dev/ptmx")?[part], inner[part].clone())?;
        }
        seen.value("open rw /dev/ptmx")?;
    }

    /// A new pseudoterminal appears in the container's /dev/pts alone.
    ["devices.default.ptmx"]
    fn a_new_pseudoterminal_is_the_containers_own(t) {
        let seen = t.bundle()?.does(&["list /dev/pts"]).observe()?;
        same("entries of /dev/pts", seen.value("list /dev/pts")?, json!(["ptmx"]))?;
    }

    /// What the program reads and writes: zeros, no end of space.
    ["devices.default"]
    fn the_devices_do_what_they_are_for(t) {
        let seen = t.bundle()?.does(&["write /dev/null x", "write /dev/full x"]).observe()?;
        seen.value("write /dev/null x")?;
        seen.fails("write /dev/full x", &[libc::ENOSPC])?;
    }

    /// Another user than root uses them too.
    ["devices.default"]
    fn the_devices_open_for_every_user(t) {
        t.needs_root()?;
        let b = t.bundle()?.set("/process/user", json!({"uid": 1000, "gid": 1000}));
        let seen = b.does(&["open rw /dev/null", "open r /dev/urandom"]).observe()?;
        seen.value("open rw /dev/null")?;
        seen.value("open r /dev/urandom")?;
    }

    /// In a user namespace, where no device can be made.
    ["devices.default", "ns.user"]
    fn the_devices_are_there_in_a_user_namespace(t) {
        t.needs_root()?;
        let seen = t.bundle()?.user_namespace(200_000)?.does(&["open rw /dev/null", "open r /dev/zero"]).observe()?;
        seen.value("open rw /dev/null")?;
        seen.value("open r /dev/zero")?;
    }

    /// A config without a mount at /dev gets them all the same.
    ["devices.default"]
    fn the_devices_are_made_in_the_root_filesystem_without_a_mount_at_dev(t) {
        let mut b = t.bundle()?;
        let mounts = b.config["mounts"].as_array_mut().context("mounts")?;
        mounts.retain(|mount| !mount["destination"].as_str().is_some_and(|d| d.starts_with("/dev")));
        b.does(&["open rw /dev/null"]).observe()?.value("open rw /dev/null")?;
    }

    /// /dev has the default devices and links, the mounts of the config, and nothing else.
    ["devices.no-others"]
    fn there_are_no_other_devices(t) {
        let names = t.bundle()?.does(&["list /dev"]).observe()?.value("list /dev")?.clone();
        let known = [
            "null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin", "stdout", "stderr",
            "console", "core",
        ];
        for name in names.as_array().into_iter().flatten().filter_map(Value::as_str) {
            ensure!(known.contains(&name), "/dev/{name} is there");
        }
    }

    /// A character device.
    ["devices", "devices.type", "devices.numbers"]
    fn a_character_device_is_made(t) {
        t.needs_root()?;
        let b = t.bundle()?.set("/linux/devices", json!([device("/dev/mine", "c", 1, 5)])).does(&["stat /dev/mine"]);
        let seen = b.observe()?;
        let facts = seen.value("stat /dev/mine")?;
        same("kind", &facts["kind"], "char")?;
        same("major", &facts["major"], 1)?;
        same("minor", &facts["minor"], 5)?;
    }

    /// `u` is an unbuffered character device, which Linux does not tell from `c`.
    ["devices.type"]
    fn an_unbuffered_character_device_is_made(t) {
        t.needs_root()?;
        let b = t.bundle()?.set("/linux/devices", json!([device("/dev/mine", "u", 1, 5)])).does(&["stat /dev/mine"]);
        same("kind", &b.observe()?.value("stat /dev/mine")?["kind"], "char")?;
    }

    /// A block device, which need not exist to have a node.
    ["devices.type", "devices.numbers"]
    fn a_block_device_is_made(t) {
        t.needs_root()?;
        let b = t.bundle()?.set("/linux/devices", json!([device("/dev/mine", "b", 7, 200)])).does(&["stat /dev/mine"]);
        let seen = b.observe()?;
        let facts = seen.value("stat /dev/mine")?;
        same("kind", &facts["kind"], "block")?;
        same("major", &facts["major"], 7)?;
        same("minor", &facts["minor"], 200)?;
    }

    /// Numbers with more than eight bits.
    ["devices.numbers"]
    fn large_device_numbers_are_taken(t) {
        t.needs_root()?;
        let b = t.bundle()?.set("/linux/devices", json!([device("/dev/mine", "c", 511, 1_000_000)])).does(&["stat /dev/mine"]);
        let seen = b.observe()?;
        same("major", &seen.value("stat /dev/mine")?["major"], 511)?;
        same("minor", &seen.value("stat /dev/mine")?["minor"], 1_000_000)?;
    }

    /// A FIFO needs no numbers.
    ["devices.type", "devices.numbers"]
    fn a_fifo_is_made(t) {
        t.needs_root()?;
        let devices = json!([{"path": "/dev/fifo", "type": "p", "fileMode": 0o600}]);
        let b = t.bundle()?.set("/linux/devices", devices).does(&["stat /dev/fifo"]);
        same("kind", &b.observe()?.value("stat /dev/fifo")?["kind"], "fifo")?;
    }

    /// The permissions, which a umask does not touch.
    ["devices.mode"]
    fn a_device_has_the_mode_of_the_config(t) {
        t.needs_root()?;
        let mut entry = device("/dev/mine", "c", 1, 5);
        entry["fileMode"] = json!(0o627);
        let b = t.bundle()?.set("/linux/devices", json!([entry])).does(&["stat /dev/mine"]);
        same("mode", &b.observe()?.value("stat /dev/mine")?["mode"], 0o627)?;
    }

    /// The owner.
    ["devices.uid"]
    fn a_device_has_the_owner_of_the_config(t) {
        t.needs_root()?;
        let mut entry = device("/dev/mine", "c", 1, 5);
        entry["uid"] = json!(123);
        let b = t.bundle()?.set("/linux/devices", json!([entry])).does(&["stat /dev/mine"]);
        same("uid", &b.observe()?.value("stat /dev/mine")?["uid"], 123)?;
    }

    /// The group.
    ["devices.gid"]
    fn a_device_has_the_group_of_the_config(t) {
        t.needs_root()?;
        let mut entry = device("/dev/mine", "c", 1, 5);
        entry["gid"] = json!(321);
        let b = t.bundle()?.set("/linux/devices", json!([entry])).does(&["stat /dev/mine"]);
        same("gid", &b.observe()?.value("stat /dev/mine")?["gid"], 321)?;
    }

    /// A device outside of /dev, in a directory that does not exist.
    ["devices.path.anywhere"]
    fn a_device_may_be_outside_of_dev(t) {
        t.needs_root()?;
        let b = t.bundle()?.set("/linux/devices", json!([device("/some/where/zero", "c", 1, 5)]));
        same("kind", &b.does(&["stat /some/where/zero"]).observe()?.value("stat /some/where/zero")?["kind"], "char")?;
    }

    /// A file that is no device at the place.
    ["devices.path.mismatch"]
    fn a_file_at_the_place_of_a_device_is_refused(t) {
        let b = t.bundle()?.file("/some/file", "x")?;
        b.set("/linux/devices", json!([device("/some/file", "c", 1, 5)])).refused()?;
    }

    /// Another device at the place.
    ["devices.path.mismatch"]
    fn another_device_at_the_place_of_a_device_is_refused(t) {
        t.needs_root()?;
        let b = t.bundle()?.directory("/some")?;
        let path = b.rootfs().join("some/device");
        nix::sys::stat::mknod(&path, nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::S_IRUSR, nix::sys::stat::makedev(1, 3))?;
        b.set("/linux/devices", json!([device("/some/device", "c", 1, 5)])).refused()?;
    }

    /// The same device at the place is what is wanted.
    ["devices.path.mismatch"]
    fn the_same_device_at_its_place_is_taken(t) {
        t.needs_root()?;
        let b = t.bundle()?.directory("/some")?;
        let path = b.rootfs().join("some/device");
        nix::sys::stat::mknod(&path, nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::from_bits_truncate(0o666), nix::sys::stat::makedev(1, 5))?;
        let b = b.set("/linux/devices", json!([device("/some/device", "c", 1, 5)])).does(&["stat /some/device"]);
        same("minor", &b.observe()?.value("stat /some/device")?["minor"], 5)?;
    }

    /// A device of the host's in a user namespace, with the owner as it is outside or inside.
    ["devices", "ns.user"]
    fn a_device_is_there_in_a_user_namespace(t) {
        t.needs_root()?;
        let b = t.bundle()?.user_namespace(200_000)?.set("/linux/devices", json!([device("/dev/zero2", "c", 1, 5)]));
        // Where it cannot be made it is bound, and the host has it under its usual name.
        let allow = json!([{"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"}]);
        let b = b.set("/linux/devices/0/path", "/dev/zero").set("/linux/resources/devices", allow).does(&["stat /dev/zero", "open r /dev/zero"]);
        b.observe()?.value("open r /dev/zero")?;
    }

    /// A device of the host's under a path that the host does not have.
    ["devices", "devices.path.anywhere", "ns.user"]
    fn a_device_with_a_path_of_its_own_is_there_in_a_user_namespace(t) {
        let facts = in_a_user_namespace(t, device("/dev/ort-mine", "c", 1, 5))?;
        same("kind", &facts["kind"], "char")?;
        same("major", &facts["major"], 1)?;
        same("minor", &facts["minor"], 5)?;
    }

    /// Outside of /dev, in a directory that neither the host nor the root filesystem has.
    ["devices", "devices.path.anywhere", "ns.user"]
    fn a_device_outside_of_dev_is_there_in_a_user_namespace(t) {
        let facts = in_a_user_namespace(t, device("/some/where/ort-mine", "c", 1, 5))?;
        same("minor", &facts["minor"], 5)?;
    }

    /// The owner is an id of the container's user namespace.
    ["devices.uid", "devices.gid", "ns.user"]
    fn a_device_has_its_owner_in_a_user_namespace(t) {
        let mut entry = device("/dev/ort-mine", "c", 1, 5);
        entry["uid"] = json!(123);
        entry["gid"] = json!(321);
        let facts = in_a_user_namespace(t, entry)?;
        same("uid", &facts["uid"], 123)?;
        same("gid", &facts["gid"], 321)?;
    }

    /// The permissions.
    ["devices.mode", "ns.user"]
    fn a_device_has_its_mode_in_a_user_namespace(t) {
        let mut entry = device("/dev/ort-mine", "c", 1, 5);
        entry["fileMode"] = json!(0o640);
        same("mode", &in_a_user_namespace(t, entry)?["mode"], 0o640)?;
    }

    /// A device that the host has too, with another owner and mode: the host's node stays as it is.
    ["devices.mode", "devices.uid", "ns.user"]
    fn a_device_that_the_host_has_gets_its_own_owner_in_a_user_namespace(t) {
        let before = std::fs::metadata("/dev/zero")?;
        let mut entry = device("/dev/zero", "c", 1, 5);
        entry["uid"] = json!(123);
        entry["fileMode"] = json!(0o640);
        let facts = in_a_user_namespace(t, entry)?;
        let after = std::fs::metadata("/dev/zero")?;
        equal("owner outside", after.uid(), before.uid())?;
        equal("mode outside", after.mode(), before.mode())?;
        same("uid", &facts["uid"], 123)?;
        same("mode", &facts["mode"], 0o640)?;
    }

    /// A type that does not exist.
    ["devices.type", "valid-values"]
    fn an_unknown_device_type_is_refused(t) {
        t.bundle()?.set("/linux/devices", json!([device("/dev/mine", "x", 1, 5)])).refused()?;
    }

    /// A device without a path.
    ["devices.path.anywhere", "valid-values"]
    fn a_device_without_a_path_is_refused(t) {
        t.bundle()?.set("/linux/devices", json!([{"type": "c", "major": 1, "minor": 5}])).refused()?;
    }

    /// A device without a type.
    ["devices.type", "valid-values"]
    fn a_device_without_a_type_is_refused(t) {
        t.bundle()?.set("/linux/devices", json!([{"path": "/dev/mine", "major": 1, "minor": 5}])).refused()?;
    }

    /// A link at the place that leads out of the root: nothing must be made on the host.
    ["devices.path.mismatch", "root.path"]
    fn a_device_behind_a_link_stays_inside(t) {
        let outside = t.path("outside");
        std::fs::create_dir(&outside)?;
        let b = t.bundle()?;
        std::os::unix::fs::symlink(&outside, b.rootfs().join("some"))?;
        let (_c, _) = b.set("/linux/devices", json!([device("/some/device", "c", 1, 5)])).try_create()?;
        ensure!(std::fs::read_dir(&outside)?.next().is_none(), "something was made outside of the root");
    }
}
