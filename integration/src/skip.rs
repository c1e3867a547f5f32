//! Tests that cannot run on a machine say so.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

/// Reports the test of this thread as skipped, on a line of its own that libtest does not capture: libtest counts such a
/// test as passed, `integration/tools/part` as skipped, and `integration/tools/skips` has those that are expected.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIP {}: {}", thread.name().unwrap_or("a test"), reason.trim());
}

/// Whether the test runs as root; else it is reported as skipped.
#[must_use]
pub fn is_root() -> bool {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        skip("needs root");
    }
    is_root
}
