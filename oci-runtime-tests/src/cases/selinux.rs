//! Labels of SELinux, where the kernel has it with a policy that knows categories.

use crate::bench::prelude::*;

/// The suite's own label, with another role and with two categories: what a policy allows without knowing of this suite.
fn label(t: &Trial, role: Option<&str>) -> Result<String> {
    t.needs_root()?;
    t.needs_file("/sys/fs/selinux/enforce")?;
    if t.bench.runtime.features.is_some() {
        t.needs_enabled("/linux/selinux/enabled")?;
    }
    let own = std::fs::read_to_string("/proc/self/attr/current")?;
    let words: Vec<&str> = plain(&own).split(':').collect();
    let [user, own_role, domain, _, ..] = words[..] else { return skip(format!("the policy has no levels: {own:?}")) };
    Ok(format!("{user}:{}:{domain}:s0:c1,c2", role.unwrap_or(own_role)))
}

/// What the kernel puts behind a label is none of it.
fn plain(label: &str) -> &str {
    label.trim_end_matches(['\0', '\n'])
}

cases! {
    /// The suite's label with two categories more, which the program finds to be its own.
    ["process.selinux"]
    fn the_label_of_the_process_is_applied(t) {
        let label = label(t, None)?;
        let seen = t.bundle()?.set("/process/selinuxLabel", label.clone()).observe()?;
        equal("label", plain(seen.report_text("/label")?), label.as_str())?;
    }

    /// Without a label the program has that of the suite.
    ["process.selinux"]
    fn without_a_label_that_of_the_runtime_is_inherited(t) {
        label(t, None)?;
        let own = std::fs::read_to_string("/proc/self/attr/current")?;
        equal("label", plain(t.bundle()?.observe()?.report_text("/label")?), plain(&own))?;
    }

    /// A label that no policy has.
    ["process.selinux", "create.cannot-apply"]
    fn a_label_of_no_form_is_an_error(t) {
        label(t, None)?;
        t.bundle()?.set("/process/selinuxLabel", "no-label").never_runs()?;
    }

    /// A tmpfs of the config has the label among its options in the mount table.
    ["mount-label"]
    fn the_label_of_mounts_is_applied(t) {
        let label = label(t, Some("object_r"))?;
        let b = t.bundle()?.set("/linux/mountLabel", label.clone()).mount("/data", "tmpfs", "tmpfs", &["size=64k"]);
        let text = b.does(&["read /proc/self/mountinfo"]).observe()?.text_of("read /proc/self/mountinfo")?;
        let line = text.lines().find(|line| line.contains(" /data ")).context("nothing is mounted at /data")?;
        ensure!(line.contains(&format!("context=\"{label}\"")), "the mount has another label: {line}");
    }
}
