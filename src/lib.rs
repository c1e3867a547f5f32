//! orlop, a low-level OCI container runtime.
