//! `linux.sysctl`.

use crate::bench::prelude::*;

fn set(t: &Trial, name: &str, value: &str) -> Result<String> {
    let action = format!("read /proc/sys/{}", name.replace('.', "/"));
    let b = t.bundle()?.set("/linux/sysctl", json!({name: value})).does(&[&action]);
    b.observe()?.text_of(&action)
}

fn host(name: &str) -> Result<String> {
    Ok(std::fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/")))?.trim().to_owned())
}

cases! {
    /// A setting of the network namespace.
    ["sysctl", "ns.network"]
    fn a_network_setting_is_made(t) {
        let before = host("net.ipv4.ip_forward")?;
        let wanted = if before == "1" { "0" } else { "1" };
        equal("inside", set(t, "net.ipv4.ip_forward", wanted)?, wanted)?;
        equal("outside", host("net.ipv4.ip_forward")?, before)?;
    }

    /// A setting of the IPC namespace.
    ["sysctl", "ns.ipc"]
    fn an_ipc_setting_is_made(t) {
        equal("inside", set(t, "kernel.msgmax", "4242")?, "4242")?;
        ensure!(host("kernel.msgmax")? != "4242", "the host's setting was changed");
    }

    /// Shared memory.
    ["sysctl", "ns.ipc"]
    fn a_shared_memory_setting_is_made(t) {
        equal("inside", set(t, "kernel.shm_rmid_forced", "1")?, "1")?;
    }

    /// Semaphores: four numbers.
    ["sysctl", "ns.ipc"]
    fn a_setting_of_several_numbers_is_made(t) {
        let text = set(t, "kernel.sem", "100 200 30 40")?;
        equal("inside", text.split_whitespace().collect::<Vec<_>>(), ["100", "200", "30", "40"])?;
    }

    /// POSIX message queues.
    ["sysctl", "ns.ipc"]
    fn a_message_queue_setting_is_made(t) {
        t.needs_file("/proc/sys/fs/mqueue/msg_max")?;
        equal("inside", set(t, "fs.mqueue.msg_max", "17")?, "17")?;
    }

    /// Two settings at once.
    ["sysctl"]
    fn several_settings_are_made(t) {
        let settings = json!({"kernel.msgmax": "5000", "net.ipv4.ip_forward": "1"});
        let b = t.bundle()?.set("/linux/sysctl", settings);
        let seen = b.does(&["read /proc/sys/kernel/msgmax", "read /proc/sys/net/ipv4/ip_forward"]).observe()?;
        equal("kernel.msgmax", seen.text_of("read /proc/sys/kernel/msgmax")?, "5000")?;
        equal("net.ipv4.ip_forward", seen.text_of("read /proc/sys/net/ipv4/ip_forward")?, "1")?;
    }

    /// A setting is made although the program itself cannot write there.
    ["sysctl", "readonly"]
    fn a_setting_is_made_under_a_readonly_proc_sys(t) {
        let b = t.bundle()?.set("/linux/sysctl", json!({"kernel.msgmax": "5001"})).set("/linux/readonlyPaths", json!(["/proc/sys"]));
        equal("inside", b.does(&["read /proc/sys/kernel/msgmax"]).observe()?.text_of("read /proc/sys/kernel/msgmax")?, "5001")?;
    }

    /// A setting that does not exist.
    ["sysctl", "create.cannot-apply"]
    fn an_unknown_setting_is_refused(t) {
        t.bundle()?.set("/linux/sysctl", json!({"net.ipv4.ort_no_such": "1"})).refused()?;
    }

    /// A value that the kernel does not take.
    ["sysctl", "create.cannot-apply"]
    fn a_value_that_the_kernel_refuses_is_an_error(t) {
        t.bundle()?.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "not a number"})).refused()?;
    }

    /// A setting of the whole machine is not the container's to make.
    ["sysctl", "create.cannot-apply"]
    fn a_setting_of_the_whole_machine_is_not_changed(t) {
        t.needs_root()?;
        let before = host("vm.swappiness")?;
        let (_c, _) = t.bundle()?.set("/linux/sysctl", json!({"vm.swappiness": "37"})).try_create()?;
        let after = host("vm.swappiness")?;
        std::fs::write("/proc/sys/vm/swappiness", &before)?;
        equal("vm.swappiness outside", after, before)?;
    }

    /// A network setting without a network namespace would be the host's.
    ["sysctl", "ns.inherited"]
    fn a_network_setting_without_a_network_namespace_is_not_the_hosts(t) {
        t.needs_root()?;
        let before = host("net.ipv4.ip_default_ttl")?;
        let mut b = t.bundle()?.without_namespace("network").set("/linux/sysctl", json!({"net.ipv4.ip_default_ttl": "63"}));
        b.config["mounts"].as_array_mut().context("mounts")?.retain(|mount| mount["destination"] != "/sys");
        let (_c, _) = b.try_create()?;
        let after = host("net.ipv4.ip_default_ttl")?;
        std::fs::write("/proc/sys/net/ipv4/ip_default_ttl", &before)?;
        equal("net.ipv4.ip_default_ttl outside", after, before)?;
    }

    /// A setting of the IPC namespace without one.
    ["sysctl", "ns.inherited"]
    fn an_ipc_setting_without_an_ipc_namespace_is_not_the_hosts(t) {
        t.needs_root()?;
        let before = host("kernel.msgmnb")?;
        let (_c, _) = t.bundle()?.without_namespace("ipc").set("/linux/sysctl", json!({"kernel.msgmnb": "16385"})).try_create()?;
        let after = host("kernel.msgmnb")?;
        std::fs::write("/proc/sys/kernel/msgmnb", &before)?;
        equal("kernel.msgmnb outside", after, before)?;
    }

    /// A value that is a number instead of a string.
    ["sysctl", "valid-values"]
    fn a_value_that_is_a_number_is_refused(t) {
        t.bundle()?.set("/linux/sysctl", json!({"net.ipv4.ip_forward": 1})).refused()?;
    }
}
