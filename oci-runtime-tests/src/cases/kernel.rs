//! `linux.personality`, `memoryPolicy`, `intelRdt` and `mountLabel`.

use crate::bench::prelude::*;

const LINUX32: u64 = 8;

fn policy(t: &Trial, policy: Value) -> Result<crate::bench::bundle::Bundle<'_>> {
    t.needs_version(3)?;
    let mode = policy["mode"].as_str().unwrap_or_default().to_owned();
    if mode != "MPOL_NO_SUCH" && !mode.is_empty() {
        t.needs_listed("/linux/memoryPolicy/modes", &mode)?;
    }
    t.needs_file("/sys/devices/system/node/node0")?;
    Ok(t.bundle()?.set("/linux/memoryPolicy", policy))
}

fn has_resctrl() -> Result<bool> {
    Ok(procfs::process::Process::myself()?.mountinfo()?.into_iter().any(|mount| mount.fs_type == "resctrl"))
}

fn without_resctrl(t: &Trial) -> Result<()> {
    t.needs_root()?;
    if has_resctrl()? { skip("this machine has resctrl") } else { Ok(()) }
}

cases! {
    /// The domain of 32-bit programs.
    ["personality.domain"]
    fn the_personality_linux32_is_set(t) {
        t.needs_version(1)?;
        let seen = t.bundle()?.set("/linux/personality", json!({"domain": "LINUX32"})).observe()?;
        same("personality", seen.report("/personality")?, LINUX32)?;
        if cfg!(target_arch = "x86_64") {
            same("machine", seen.report("/names/4")?, "i686")?;
        }
    }

    /// The usual domain.
    ["personality.domain"]
    fn the_personality_linux_is_set(t) {
        t.needs_version(1)?;
        same("personality", t.bundle()?.set("/linux/personality", json!({"domain": "LINUX"})).observe()?.report("/personality")?, 0)?;
    }

    /// A domain that does not exist.
    ["personality.domain", "valid-values"]
    fn an_unknown_personality_is_refused(t) {
        t.needs_version(1)?;
        t.bundle()?.set("/linux/personality", json!({"domain": "NOSUCH"})).never_runs()?;
    }

    /// No domain.
    ["personality.domain", "valid-values"]
    fn a_personality_without_a_domain_is_refused(t) {
        t.needs_version(1)?;
        t.bundle()?.set("/linux/personality", json!({"flags": []})).never_runs()?;
    }

    /// A flag: none is defined.
    ["personality.flags", "valid-values"]
    fn a_personality_flag_is_refused(t) {
        t.needs_version(1)?;
        t.bundle()?.set("/linux/personality", json!({"domain": "LINUX", "flags": ["NOSUCH"]})).never_runs()?;
    }

    /// MPOL_INTERLEAVE on the first node.
    ["mempolicy.mode", "mempolicy.nodes"]
    fn the_memory_policy_interleave_is_set(t) {
        let seen = policy(t, json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}))?.observe()?;
        same("policy", seen.report("/memory_policy")?, json!({"mode": 3, "nodes": 1}))?;
    }

    /// MPOL_BIND on the first node.
    ["mempolicy.mode", "mempolicy.nodes"]
    fn the_memory_policy_bind_is_set(t) {
        let seen = policy(t, json!({"mode": "MPOL_BIND", "nodes": "0"}))?.observe()?;
        same("policy", seen.report("/memory_policy")?, json!({"mode": 2, "nodes": 1}))?;
    }

    /// MPOL_PREFERRED on the first node.
    ["mempolicy.mode", "mempolicy.nodes"]
    fn the_memory_policy_preferred_is_set(t) {
        let seen = policy(t, json!({"mode": "MPOL_PREFERRED", "nodes": "0"}))?.observe()?;
        same("policy", seen.report("/memory_policy")?, json!({"mode": 1, "nodes": 1}))?;
    }

    /// MPOL_PREFERRED_MANY.
    ["mempolicy.mode"]
    fn the_memory_policy_preferred_many_is_set(t) {
        if !crate::sys::knows_memory_mode(5) {
            return skip("this kernel has no MPOL_PREFERRED_MANY");
        }
        let seen = policy(t, json!({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}))?.observe()?;
        same("mode", seen.report("/memory_policy/mode")?, 5)?;
    }

    /// MPOL_LOCAL takes no nodes.
    ["mempolicy.mode", "mempolicy.nodes.needed"]
    fn the_memory_policy_local_is_set(t) {
        let seen = policy(t, json!({"mode": "MPOL_LOCAL"}))?.observe()?;
        same("mode", seen.report("/memory_policy/mode")?, 4)?;
    }

    /// MPOL_DEFAULT takes no nodes.
    ["mempolicy.mode", "mempolicy.nodes.needed"]
    fn the_memory_policy_default_is_set(t) {
        let seen = policy(t, json!({"mode": "MPOL_DEFAULT"}))?.observe()?;
        same("mode", seen.report("/memory_policy/mode")?, 0)?;
    }

    /// MPOL_F_STATIC_NODES.
    ["mempolicy.flags"]
    fn the_flag_static_nodes_is_set(t) {
        let seen = policy(t, json!({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}))?.observe()?;
        same("mode", seen.report("/memory_policy/mode")?, 3 | 1 << 15)?;
    }

    /// MPOL_F_RELATIVE_NODES.
    ["mempolicy.flags"]
    fn the_flag_relative_nodes_is_set(t) {
        let seen = policy(t, json!({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}))?.observe()?;
        same("mode", seen.report("/memory_policy/mode")?, 3 | 1 << 14)?;
    }

    /// A mode that does not exist.
    ["mempolicy.mode", "valid-values"]
    fn an_unknown_memory_policy_is_refused(t) {
        policy(t, json!({"mode": "MPOL_NO_SUCH", "nodes": "0"}))?.never_runs()?;
    }

    /// No mode.
    ["mempolicy.mode", "valid-values"]
    fn a_memory_policy_without_a_mode_is_refused(t) {
        policy(t, json!({"nodes": "0"}))?.never_runs()?;
    }

    /// A mode that needs nodes without any.
    ["mempolicy.nodes.needed"]
    fn a_memory_policy_without_the_nodes_it_needs_is_refused(t) {
        policy(t, json!({"mode": "MPOL_BIND"}))?.never_runs()?;
    }

    /// A mode that takes no nodes with one.
    ["mempolicy.nodes.needed"]
    fn a_memory_policy_with_nodes_that_it_does_not_take_is_refused(t) {
        policy(t, json!({"mode": "MPOL_LOCAL", "nodes": "0"}))?.never_runs()?;
    }

    /// A list that is none.
    ["mempolicy.nodes", "valid-values"]
    fn a_list_of_nodes_that_is_none_is_refused(t) {
        policy(t, json!({"mode": "MPOL_BIND", "nodes": "a-b"}))?.never_runs()?;
    }

    /// A flag that does not exist.
    ["mempolicy.flags", "valid-values"]
    fn an_unknown_flag_of_a_memory_policy_is_refused(t) {
        policy(t, json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NO_SUCH"]}))?.never_runs()?;
    }

    /// No resctrl is mounted.
    ["rdt.no-resctrl"]
    fn intel_rdt_without_resctrl_is_refused(t) {
        without_resctrl(t)?;
        t.bundle()?.set("/linux/intelRdt", json!({"closID": "ort"})).refused()?;
    }

    /// No resctrl is mounted, and a schema is asked for.
    ["rdt.no-resctrl"]
    fn a_cache_schema_without_resctrl_is_refused(t) {
        without_resctrl(t)?;
        t.bundle()?.set("/linux/intelRdt", json!({"l3CacheSchema": "L3:0=f"})).refused()?;
    }

    /// A memory bandwidth schema with the wrong beginning.
    ["rdt.mem-bw"]
    fn a_memory_bandwidth_schema_with_a_wrong_beginning_is_refused(t) {
        t.needs_root()?;
        t.bundle()?.set("/linux/intelRdt", json!({"memBwSchema": "XX:0=20"})).refused()?;
    }

    /// A line of a schema with a newline.
    ["rdt.schemata.newline"]
    fn a_schema_with_a_newline_is_refused(t) {
        t.needs_root()?;
        t.needs_version(3)?;
        t.bundle()?.set("/linux/intelRdt", json!({"schemata": ["L3:0=f\nMB:0=20"]})).refused()?;
    }

    /// A label for mounts on a kernel without SELinux cannot be applied, or has no effect: nothing else changes.
    ["mount-label"]
    fn a_mount_label_without_selinux_is_refused_or_has_no_effect(t) {
        if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
            return skip("this kernel has SELinux");
        }
        let label = "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811";
        let (c, created) = t.bundle()?.set("/linux/mountLabel", label).try_create()?;
        if created.succeeded() {
            c.start()?;
            c.finish()?.value("report")?;
        } else {
            created.expect_failure("create")?;
        }
    }
}
