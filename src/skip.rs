//! Tests that cannot run on a machine say so.

use std::io::Write;

/// Reports the test of this thread as skipped, on a line of its own that libtest does not capture
/// (`integration/src/skip.rs` is the same for tests from outside).
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    let _ = writeln!(std::io::stderr(), "SKIP {}: {reason}", thread.name().unwrap_or("a test"));
}
