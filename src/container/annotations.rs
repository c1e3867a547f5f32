//! Annotations of a config.json that this runtime acts on; docs/annotations.md lists them all.

use crate::config::Spec;
use crate::error::{Error, Result};
use crate::log;
use std::path::Path;

/// Whether the container's processes keep the caller's supplementary groups
/// (`run.oci.keep_original_groups`).
///
/// # Errors
/// A value that says neither yes nor no.
pub(super) fn keep_groups(spec: &Spec<'_>) -> Result<bool> {
    is_on(spec, "run.oci.keep_original_groups")
}

/// The annotation with a seccomp filter: a BPF program in base64.
pub(super) const FILTER: &str = "run.oci.seccomp_bpf_data";

/// The value of [`FILTER`].
pub(super) fn filter<'a>(spec: &'a Spec<'_>) -> Option<&'a str> {
    spec.annotation(FILTER)
}

/// Whether a name of no system call in `linux.seccomp` is an error.
pub(super) const UNKNOWN_CALLS: &str = "run.oci.seccomp_fail_unknown_syscall";

/// Whether a name of no system call in `linux.seccomp` is an error.
///
/// # Errors
/// A value that says neither yes nor no.
pub(super) fn unknown_calls_fail(spec: &Spec<'_>) -> Result<bool> {
    is_on(spec, UNKNOWN_CALLS)
}

fn is_on(spec: &Spec<'_>, name: &str) -> Result<bool> {
    match spec.annotation(name) {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(refuse(name, &format!("{other:?} is neither 0 nor 1"))),
    }
}

/// A socket that receives a pidfd of init (`run.oci.pidfd_receiver`), as `--pidfd-socket` names one.
///
/// # Errors
/// A path that is not absolute.
pub(super) fn pidfd_receiver<'a>(spec: &'a Spec<'_>) -> Result<Option<&'a Path>> {
    const NAME: &str = "run.oci.pidfd_receiver";
    match spec.annotation(NAME).map(Path::new) {
        Some(path) if !path.is_absolute() => Err(refuse(NAME, &format!("{path:?} is not an absolute path"))),
        path => Ok(path),
    }
}

/// Annotations of crun that have no effect here; they are accepted without a warning.
static WITHOUT_EFFECT: [&str; 4] =
    ["run.oci.hooks.stderr", "run.oci.hooks.stdout", "run.oci.systemd.force_cgroup_v1", "run.oci.timens_offset"];

/// The facts about a container that [`refuse_others`] needs.
#[derive(Clone, Copy, Default)]
pub(super) struct ContainerFacts {
    /// Whether systemd creates the container's cgroup.
    pub(super) by_systemd: bool,
    /// Whether the filter has a listener.
    pub(super) notifies: bool,
}

/// Refuses an annotation of crun that asks for another isolation than the container would get. An
/// empty value has no effect.
///
/// # Errors
/// There is one.
pub(super) fn refuse_others(spec: &Spec<'_>, made: ContainerFacts) -> Result<()> {
    let has_label = spec.linux.as_ref().and_then(|linux| linux.mount_label.as_deref()).is_some_and(|l| !l.is_empty());
    for (name, value) in spec.annotations.iter().flatten().filter(|(_, value)| !value.is_empty()) {
        let problem = match name.as_ref() {
            "run.oci.handler" => "the container would be run by no other handler",
            name if name.starts_with("krun.") => "the container would not be a virtual machine",
            // compat-smart affects wasm programs only, and those cannot be executed here anyway.
            "module.wasm.image/variant" if value == "compat" => "the program would not be run by a wasm engine",
            "run.oci.delegate-cgroup" => "the container would have no cgroup below its own",
            "run.oci.systemd.subgroup" if made.by_systemd => "there would be no cgroup below the systemd scope",
            "run.oci.mount_context_type" if has_label && value != "context" => {
                "linux.mountLabel is given to mounts as \"context\" only"
            }
            "run.oci.seccomp.plugins" if made.notifies => "no plugin would serve the filter's listener",
            "run.oci.seccomp.receiver" if made.notifies => "the filter's listener goes to linux.seccomp.listenerPath",
            name => {
                warn_of_unknown(name);
                continue;
            }
        };
        return Err(refuse(name, &format!("{value:?} is not supported: {problem}")).hint("leave the annotation out"));
    }
    Ok(())
}

/// An annotation of a later crun may restrict the container: it gets a warning.
fn warn_of_unknown(name: &str) {
    let known = [FILTER, UNKNOWN_CALLS, "run.oci.keep_original_groups", "run.oci.pidfd_receiver"];
    let sometimes = [
        "run.oci.systemd.subgroup",
        "run.oci.mount_context_type",
        "run.oci.seccomp.plugins",
        "run.oci.seccomp.receiver",
    ];
    let mut all = known.iter().chain(&sometimes).chain(&WITHOUT_EFFECT);
    if name.starts_with("run.oci.") && !all.any(|known| *known == name) {
        log::warning(format!("annotations[{name:?}] has no effect"));
    }
}

/// The error of an annotation.
pub(super) fn refuse(name: &str, problem: &str) -> Error {
    Error::config(format_args!("annotations[{name:?}]"), problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn with<T>(name: &str, value: &str, f: impl Fn(&Spec<'_>) -> T) -> T {
        let json = format!(r#"{{"annotations":{{"{name}":"{value}"}},"linux":{{"mountLabel":"l"}}}}"#);
        f(&config::parse(&json).unwrap())
    }

    #[test]
    fn groups_are_kept_only_when_the_annotation_says_so() {
        let keep = |value| with("run.oci.keep_original_groups", value, keep_groups);
        assert!(keep("1").unwrap() && !keep("0").unwrap());
        assert!(keep("maybe").unwrap_err().to_string().starts_with("annotations[\"run.oci.keep_original_groups\"]: "));
        assert!(!with("other", "1", keep_groups).unwrap());
    }

    #[test]
    fn a_receiver_is_an_absolute_path() {
        let receiver = |value| {
            with("run.oci.pidfd_receiver", value, |spec| pidfd_receiver(spec).map(|path| path.map(Path::to_owned)))
        };
        assert_eq!(receiver("/run/x").unwrap().as_deref(), Some(Path::new("/run/x")));
        assert!(receiver("x").is_err());
    }

    const PAGE: &str = include_str!("../../docs/annotations.md");

    /// The names in the first column of the table below `heading` of docs/annotations.md.
    fn documented(heading: &str) -> Vec<String> {
        let table = PAGE.split_once(heading).unwrap().1.split("\n## ").next().unwrap().to_owned();
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned)).collect()
    }

    const ALWAYS: ContainerFacts = ContainerFacts { by_systemd: true, notifies: true };

    #[test]
    fn what_the_page_says_is_refused_is_refused_and_nothing_else() {
        let refused = documented("## Refused");
        assert_eq!(refused.len(), 8);
        for name in &refused {
            let (name, value) = match name.as_str() {
                "krun.*" => ("krun.ram_mib", "512"),
                "module.wasm.image/variant" => ("module.wasm.image/variant", "compat"),
                name => (name, "x"),
            };
            let refused = |value| with(name, value, |spec| refuse_others(spec, ALWAYS)).map_err(|e| e.to_string());
            assert!(refused(value).unwrap_err().starts_with(&format!("annotations[{name:?}]: \"{value}\"")));
            refused("").unwrap_or_else(|e| panic!("{name}: nothing is asked for: {e}"));
        }
        for name in documented("## Without effect").iter().map(String::as_str).chain([FILTER, "krunx", "example.a"]) {
            with(name, "x", |spec| refuse_others(spec, ALWAYS)).unwrap();
        }
        assert_eq!(documented("## Without effect"), WITHOUT_EFFECT);
    }

    #[test]
    fn what_would_have_no_effect_in_crun_either_is_not_refused() {
        for name in ["run.oci.systemd.subgroup", "run.oci.seccomp.plugins", "run.oci.seccomp.receiver"] {
            with(name, "x", |spec| refuse_others(spec, ContainerFacts::default())).unwrap();
        }
        with("run.oci.mount_context_type", "context", |spec| refuse_others(spec, ALWAYS)).unwrap();
        with("module.wasm.image/variant", "compat-smart", |spec| refuse_others(spec, ALWAYS)).unwrap();
    }

    /// Every name in this file stands on the page, and every one of crun's on the page stands in this file.
    #[test]
    fn the_page_and_the_source_have_the_same_names() {
        let source = include_str!("annotations.rs").split("#[cfg(test)]").next().unwrap();
        let words = |text: &str, quote: char| -> std::collections::BTreeSet<String> {
            let quoted = text.split(quote).skip(1).step_by(2).filter(|word| !word.contains([' ', '\n']));
            let of_crun = |word: &&str| ["run.oci.", "krun.", "module."].iter().any(|start| word.starts_with(start));
            quoted.map(|word| word.trim_end_matches('*')).filter(of_crun).map(str::to_owned).collect()
        };
        let named = words(&source.replace("run.oci.\")", ""), '"');
        assert!(named.len() > 12, "{named:?}");
        for name in &named {
            assert!(PAGE.contains(&format!("`{name}")), "{name} is not on the page");
        }
        for name in words(PAGE, '`') {
            assert!(source.contains(&format!("\"{name}")), "{name} is not in the source");
        }
    }
}
