//! End-to-end tests of orlop: what its users do, done by hand and under engines.
