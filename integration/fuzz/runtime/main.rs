//! The runtime's targets under libFuzzer.

#![no_main]

#[path = "../choose.rs"]
mod choose;
#[path = "../grow.rs"]
mod grow;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(|data: &[u8]| choose::chosen(orlop::fuzz::TARGETS)(data));
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { grow::mutate(data, size, max_size, seed) });
