//! The deliberate defects with which the tests are tried are of these sources, not of former ones.

use std::path::Path;
use std::process::Command;

#[test]
fn every_deliberate_defect_can_be_put_into_the_sources() {
    for script in ["oci-runtime-tests/mutants/run", "integration/tools/window-defects"] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(script);
        let output = Command::new(script).arg("--check").output().expect("the script runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
