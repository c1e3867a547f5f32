//! Labels of SELinux, where the kernel has it with a policy.

use crate::bench::prelude::*;

/// A label that the policy knows and that is not the suite's own: with two categories, or with a type of containers.
fn label(t: &Trial, role: Option<&str>) -> Result<String> {
    t.needs_root()?;
    t.needs_file("/sys/fs/selinux/enforce")?;
    if t.bench.runtime.features.is_some() {
        t.needs_enabled("/linux/selinux/enabled")?;
    }
    let own = std::fs::read_to_string("/proc/self/attr/current")?;
    let words: Vec<&str> = plain(&own).split(':').collect();
    let [user, own_role, domain, ..] = words[..] else { return skip(format!("SELinux has no policy: {own:?}")) };
    let types = [format!("{domain}:s0:c1,c2"), "container_t:s0".into(), "container_t".into(), "container".into()];
    let labels = types.map(|kind| format!("{user}:{}:{kind}", role.unwrap_or(own_role)));
    let known = labels.into_iter().find(|label| std::fs::write("/sys/fs/selinux/context", label).is_ok());
    known.map_or_else(|| skip(format!("the policy knows no label for containers beside {own:?}")), Ok)
}

/// What the kernel puts behind a label is none of it.
fn plain(label: &str) -> &str {
    label.trim_end_matches(['\0', '\n'])
}

cases! {
    /// The program finds the label of the config to be its own.
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
        // Quoted when there is a comma in it.
        let shown = line.replace('"', "");
        ensure!(shown.contains(&format!("context={label}")), "the mount has another label: {line}");
    }
}
