//! `linux.netDevices`. The suite has a network namespace of its own, so that nothing of the host's is touched.

use crate::bench::bundle::Bundle;
use crate::bench::prelude::*;
use std::process::Command;

fn ip(args: &str) -> Result<String> {
    let output = Command::new("ip").args(args.split(' ')).output().context("run ip")?;
    ensure!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A virtual device in the suite's network namespace; its name.
fn device(t: &Trial) -> Result<String> {
    t.needs_root()?;
    t.needs_version(3)?;
    t.needs_enabled("/linux/netDevices/enabled")?;
    virtual_device(t)
}

/// The same for any runtime; the caller must be root.
pub(super) fn virtual_device(t: &Trial) -> Result<String> {
    if Command::new("ip").arg("-V").output().is_err() {
        return skip("this machine has no ip command");
    }
    let name = format!("ort{}", crate::bench::runtime::unique());
    if ip(&format!("link add {name} type dummy")).is_err() && ip(&format!("link add {name} type veth peer name {name}p")).is_err() {
        return skip("this kernel makes neither dummy nor veth devices");
    }
    let gone = name.clone();
    t.on_end(move || {
        // Gone already when its namespace went.
        let _ = ip(&format!("link del {gone}"));
    });
    Ok(name)
}

fn with<'t>(t: &'t Trial, name: &str, value: Value) -> Result<Bundle<'t>> {
    Ok(t.bundle()?.set("/linux/netDevices", json!({name: value})).does(&["read /proc/net/dev", "wait"]))
}

/// What `ip` says in the container's network namespace.
fn inside(c: &crate::bench::container::Container<'_>, args: &str) -> Result<String> {
    let output = Command::new("nsenter").arg(format!("--net={}", c.proc("ns/net")?)).arg("ip").args(args.split(' ')).output()?;
    ensure!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

cases! {
    /// The device is inside, and no longer outside.
    ["netdev", "netdev.name"]
    fn a_network_device_is_moved(t) {
        let name = device(t)?;
        let c = with(t, &name, json!({}))?.live()?;
        contains("devices inside", &c.seen_so_far()?.text_of("read /proc/net/dev")?, &name)?;
        ensure!(ip(&format!("link show {name}")).is_err(), "{name} is still outside");
    }

    /// The device has another name inside.
    ["netdev.name"]
    fn a_network_device_gets_its_new_name(t) {
        let name = device(t)?;
        let c = with(t, &name, json!({"name": "inner0"}))?.live()?;
        let devices = c.seen_so_far()?.text_of("read /proc/net/dev")?;
        contains("devices inside", &devices, "inner0:")?;
        ensure!(!devices.contains(&format!("{name}:")), "the old name is inside");
    }

    /// The device is up.
    ["netdev.up"]
    fn a_network_device_is_set_up(t) {
        let name = device(t)?;
        let c = with(t, &name, json!({}))?.live()?;
        let text = inside(&c, &format!("-o link show {name}"))?;
        ensure!(text.contains("UP"), "the device is not up: {text}");
    }

    /// Addresses of both families.
    ["netdev.addresses"]
    fn a_network_device_keeps_its_addresses(t) {
        let name = device(t)?;
        ip(&format!("addr add 192.0.2.7/24 dev {name}"))?;
        ip(&format!("-6 addr add 2001:db8::7/64 dev {name} nodad"))?;
        let c = with(t, &name, json!({}))?.live()?;
        let text = inside(&c, &format!("-o addr show {name}"))?;
        contains("addresses", &text, "192.0.2.7/24")?;
        contains("addresses", &text, "2001:db8::7/64")?;
    }

    /// Its hardware address and MTU.
    ["netdev.addresses"]
    fn a_network_device_keeps_its_attributes(t) {
        let name = device(t)?;
        ip(&format!("link set {name} address 02:00:00:00:00:77 mtu 1234"))?;
        let c = with(t, &name, json!({}))?.live()?;
        let text = inside(&c, &format!("-o link show {name}"))?;
        contains("link", &text, "02:00:00:00:00:77")?;
        contains("link", &text, "mtu 1234")?;
    }

    /// The kernel makes the number.
    ["netdev.template"]
    fn a_template_gives_a_unique_name(t) {
        let name = device(t)?;
        let c = with(t, &name, json!({"name": "tpl%d"}))?.live()?;
        contains("devices inside", &c.seen_so_far()?.text_of("read /proc/net/dev")?, "tpl0:")?;
    }

    /// The name is taken inside.
    ["netdev.exists"]
    fn a_name_that_is_taken_inside_is_refused(t) {
        let name = device(t)?;
        with(t, &name, json!({"name": "lo"}))?.refused()?;
        ip(&format!("link show {name}")).context("the device must be back outside")?;
    }

    /// There is no such device.
    ["netdev", "create.cannot-apply"]
    fn a_network_device_that_does_not_exist_is_refused(t) {
        device(t)?;
        with(t, "ortnosuch0", json!({}))?.refused()?;
    }

    /// A container in the runtime's own network namespace.
    ["netdev", "create.cannot-apply"]
    fn a_network_device_without_a_network_namespace_is_refused(t) {
        let name = device(t)?;
        let mut b = with(t, &name, json!({"name": "other0"}))?.without_namespace("network");
        b.config["mounts"].as_array_mut().context("mounts")?.retain(|mount| mount["destination"] != "/sys");
        b.refused()?;
    }

    /// The device is back when `create` fails after it was moved.
    ["netdev", "errors.environment"]
    fn a_network_device_is_back_after_a_failed_create(t) {
        let name = device(t)?;
        with(t, &name, json!({}))?.hook("createRuntime", "h", &["fail"]).refused()?;
        ip(&format!("link show {name}")).context("the device must be back outside")?;
    }

    /// A running container whose namespace is joined elsewhere: `delete` does not take the device out.
    ["netdev.unmanaged"]
    fn a_network_device_stays_in_a_namespace_that_lives_on(t) {
        let name = device(t)?;
        let owner = t.bundle()?.does(&["wait"]).live()?;
        let path = owner.proc("ns/net")?;
        let c = t.bundle()?.namespace("network", Some(&path)).set("/linux/netDevices", json!({&name: {}})).start()?;
        c.finish()?;
        c.delete()?;
        contains("devices in the namespace", &inside(&owner, "-o link show")?, &name)?;
    }
}
