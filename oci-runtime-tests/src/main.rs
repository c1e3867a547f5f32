//! A conformance suite for OCI runtimes.
fn main() {}
