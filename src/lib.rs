//! orlop, a low-level OCI container runtime.
//!
//! The house has floors; a module imports only from lower floors, or from its own folder:
//!
//! ```text
//!  6  src/bin/orlop/main.rs  three lines
//!  5  cli/                   argv -> request -> container::* -> one line of error, exit code
//!  4  container  state  features  explain  one short function per OCI operation
//!  3  process/              plan, launch (parent), stage (child), sequence, protocol, confine, execute, seccomp/
//!  2  namespaces/  cgroups/  rootfs/  criu/  hooks  siblings never import one another
//!  1  config/  json/  path  procfs  mountinfo  error  log  text   the words that everybody shares
//!  0  sys/                  all unsafe code; one function per system call; knows nothing of containers
//! ```

pub mod cgroups;
pub mod cli;
pub mod config;
pub mod container;
pub mod criu;
pub mod error;
pub mod explain;
pub mod features;
pub mod hooks;
mod json;
pub mod log;
pub mod mountinfo;
pub mod namespaces;
pub mod path;
pub mod process;
pub mod procfs;
pub mod rootfs;
pub mod state;
pub mod sys;
pub mod text;
