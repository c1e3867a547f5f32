//! orlop, a low-level OCI container runtime.
//!
//! The program `orlop` is [`cli::main`]. A program that embeds the runtime calls the operations in [`container`];
//! `integration/examples` has two such programs.
//!
//! The modules form floors. A module imports only from lower floors or from its own folder; a test checks
//! every `use`:
//!
//! ```text
//!  6  src/bin/orlop/main.rs  the program: the allocator, and a call of cli::main
//!  5  cli/                   argv -> request -> container::* -> one line of error, exit code
//!  4  container/  state  features  explain  one short function per OCI operation
//!  3  process/               plan, launch (parent), stage (child), sequence, protocol, report, stub, seccomp/
//!  2  namespaces/  cgroups/  rootfs/  criu/  hooks  siblings do not import one another
//!  1  config/  json/  path  beneath  procfs  mountinfo  error  log  text  calendar  cpulist  idmap  host_program
//!  0  sys/                   all unsafe code of the library; one function per system call, independent of containers
//!  -  init/                  the init stub, a program of its own without a libc
//! ```
//!
//! Other crates cannot call the lower floors, so safe code outside can break neither memory nor descriptors:
//!
//! ```
//! #![forbid(unsafe_code)]
//! let _ = orlop::container::Context::new("/run/containers");
//! let _ = orlop::beneath::Directory::open("/".as_ref());
//! ```
//! ```compile_fail
//! #![forbid(unsafe_code)]
//! let x = 5;
//! let _ = orlop::sys::process::prctl(37, &x as *const _ as u64, 0, 0, 0);
//! ```
//! ```compile_fail
//! #![forbid(unsafe_code)]
//! let _ = (orlop::sys::file::inherited(1), orlop::sys::file::inherited(1));
//! ```
//! ```compile_fail
//! #![forbid(unsafe_code)]
//! let _ = orlop::sys::process::SingleThreaded::of_caller();
//! ```
//! ```compile_fail
//! #![forbid(unsafe_code)]
//! let _ = orlop::container::Context { is_whole_process: true, ..orlop::container::Context::new("/run") };
//! ```

#![warn(missing_docs)]
// Tests ignore errors of their clean-up.
#![cfg_attr(not(test), warn(clippy::let_underscore_must_use))]

pub mod beneath;
mod calendar;
mod cgroups;
pub mod cli;
mod config;
pub mod container;
mod cpulist;
mod criu;
pub mod error;
pub mod explain;
pub mod features;
#[cfg(any(test, fuzzing))]
#[path = "../integration/fuzz/targets/mod.rs"]
pub mod fuzz;
mod hooks;
mod host_program;
mod idmap;
mod json;
mod log;
mod mountinfo;
mod namespaces;
mod nearest;
mod path;
mod process;
mod procfs;
mod rootfs;
#[cfg(any(test, fuzzing))]
mod skip;
mod state;
mod sys;
mod text;
