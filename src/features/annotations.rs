//! Annotations of a config.json that this runtime acts on.

/// An annotation, or a prefix of annotations if the name ends with a dot.
pub(super) struct Annotation {
    pub(super) name: &'static str,
    /// Whether an engine should deny it to untrusted users: its effect reaches beyond the
    /// container.
    pub(super) is_unsafe: bool,
}

/// All of them, sorted.
pub(super) static ANNOTATIONS: [Annotation; 8] = [
    Annotation { name: "org.criu.config", is_unsafe: true },
    Annotation { name: "org.systemd.property.", is_unsafe: true },
    Annotation { name: "orlop.init", is_unsafe: false },
    Annotation { name: "orlop.init.grace", is_unsafe: false },
    Annotation { name: "run.oci.keep_original_groups", is_unsafe: true },
    Annotation { name: "run.oci.pidfd_receiver", is_unsafe: true },
    Annotation { name: "run.oci.seccomp_bpf_data", is_unsafe: true },
    Annotation { name: "run.oci.seccomp_fail_unknown_syscall", is_unsafe: false },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn sources(directory: &Path, text: &mut String) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("features") {
                sources(&path, text);
            } else if path.extension().is_some_and(|e| e == "rs") && path != Path::new(file!()) {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }

    /// The names in the first column of the tables of honoured annotations in docs/annotations.md.
    fn documented() -> Vec<String> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/annotations.md");
        let text = fs::read_to_string(page).unwrap();
        let honoured = text.split("\n## Refused").next().unwrap();
        let names = honoured.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned));
        let mut names: Vec<String> = names.map(|name| name.trim_end_matches("NAME").to_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_listed_is_read_by_somebody() {
        let mut text = String::new();
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut text);
        for annotation in &ANNOTATIONS {
            assert!(text.contains(&format!("\"{}\"", annotation.name)), "{}", annotation.name);
        }
    }

    #[test]
    fn what_is_listed_is_documented_and_nothing_else() {
        let listed: Vec<&str> = ANNOTATIONS.iter().map(|a| a.name).collect();
        assert_eq!(documented(), listed);
    }
}
