//! The table of `docs/attacks.md` and the tests belong together.

use std::fs;
use std::path::Path;

#[test]
fn every_test_in_the_table_of_attacks_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = fs::read_to_string(root.join("docs/attacks.md")).unwrap();
    let mut sources = String::new();
    for dir in ["integration/tests/attacks", "src/rootfs/tests"] {
        for entry in fs::read_dir(root.join(dir)).unwrap().flatten() {
            sources += &fs::read_to_string(entry.path()).unwrap();
        }
    }
    let rows: Vec<&str> =
        table.lines().filter(|line| line.starts_with("| CVE") || line.starts_with("| GHSA")).collect();
    assert!(rows.len() > 20, "{}", rows.len());
    for row in rows {
        let tests: Vec<&str> = row.split('`').skip(1).step_by(2).filter(|name| name.contains('_')).collect();
        assert!(!tests.is_empty() || row.contains("not applicable"), "no test: {row}");
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "no test of that name: {test}");
        }
    }
}
