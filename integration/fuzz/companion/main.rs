//! The companion's targets under libFuzzer. The companion is a program, so its modules are this
//! program's.

#![no_main]
#![allow(dead_code)] // Most of the companion is no parser.

#[path = "../../../src/bin/orlop-bundle/src/arguments.rs"]
mod arguments;
#[path = "../../../src/bin/orlop-bundle/src/check/mod.rs"]
mod check;
#[path = "../choose.rs"]
mod choose;
#[path = "../../../src/bin/orlop-bundle/src/doctor/mod.rs"]
mod doctor;
#[path = "../../../src/bin/orlop-bundle/src/elf.rs"]
mod elf;
#[path = "../../../src/bin/orlop-bundle/src/explain/mod.rs"]
mod explain;
#[path = "../../../src/bin/orlop-bundle/src/finding.rs"]
mod finding;
#[path = "../grow.rs"]
mod grow;
#[path = "../../../src/bin/orlop-bundle/src/image/mod.rs"]
mod image;
#[path = "../../../src/bin/orlop-bundle/src/inspect.rs"]
mod inspect;
#[path = "../../../src/bin/orlop-bundle/src/observe.rs"]
mod observe;
#[path = "../../../src/bin/orlop-bundle/src/pages/mod.rs"]
mod pages;
#[path = "../../../src/bin/orlop-bundle/src/place.rs"]
mod place;
#[path = "../../../src/bin/orlop-bundle/src/style.rs"]
mod style;
#[path = "../../../src/bin/orlop-bundle/src/top/mod.rs"]
mod top;

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

/// The program's exit code of a command line that cannot be carried out.
const USAGE: u8 = 2;

fuzz_target!(|data: &[u8]| choose::chosen(image::fuzz::TARGETS)(data));
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { grow::mutate(data, size, max_size, seed) });
