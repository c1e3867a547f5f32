//! Annotations of a config.json that this runtime acts on.

/// All of them, sorted; a name that ends with a dot is a prefix. With each whether an engine should
/// deny it to untrusted users, since its effect reaches beyond the container.
pub(super) static ANNOTATIONS: [(&str, bool); 8] = [
    ("org.criu.config", true),
    ("org.systemd.property.", true),
    ("orlop.init", false),
    ("orlop.init.grace", false),
    ("run.oci.keep_original_groups", true),
    ("run.oci.pidfd_receiver", true),
    ("run.oci.seccomp_bpf_data", true),
    ("run.oci.seccomp_fail_unknown_syscall", false),
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
        for (name, _) in &ANNOTATIONS {
            assert!(text.contains(&format!("\"{name}\"")), "{name}");
        }
    }

    #[test]
    fn what_is_listed_is_documented_and_nothing_else() {
        let listed: Vec<&str> = ANNOTATIONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(documented(), listed);
    }
}
