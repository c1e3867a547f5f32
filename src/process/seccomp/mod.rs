//! The seccomp filter generator, from `linux.seccomp` to the BPF program. It makes no system calls;
//! [`crate::process`] loads the filter.
//!
//! ```text
//! config::Seccomp --profile--> names, actions, conditions --decision--> ranges of numbers --program--> instructions
//! ```
//!
//! The filters give the same answers as those of runc with libseccomp, in fewer instructions;
//! `docs/seccomp.md` lists the differences.

mod action;
mod architecture;
mod condition;
mod decision;
mod flag;
#[cfg(any(test, fuzzing))]
#[path = "../../../integration/fuzz/targets/seccomp.rs"]
pub(crate) mod fuzz;
mod interpreter;
mod listing;
mod multiplex;
mod profile;
mod program;
mod raw;
mod summary;
mod tables;

#[cfg(test)]
mod tests;

pub(crate) use action::{ACTIONS, Action};
pub(crate) use architecture::ARCHITECTURES;
pub(crate) use condition::OPERATORS;
pub(crate) use flag::FLAGS;
pub(crate) use interpreter::{Call, run};
pub(crate) use listing::listing;
pub(crate) use program::SockFilter;
pub(crate) use summary::names_of;
pub(crate) use summary::{ArchitectureSummary, Verdict};
pub(crate) use tables::all_names as names;

use crate::config::Seccomp;
use crate::error::{Error, Result};
use architecture::{Architecture, FAMILY, X32_BIT};
use decision::{Outcome, Range, Ranges};
use profile::Profile;

/// A filter that is ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The flags for seccomp(2), with NEW_LISTENER if the program contains SCMP_ACT_NOTIFY.
    pub flags: u32,
    pub program: Vec<SockFilter>,
    /// The agent that receives the listener.
    pub notify: Option<Listener>,
    /// Warnings about names in the config that have no effect, one line each.
    pub warnings: Vec<String>,
}

/// The agent that answers for calls with SCMP_ACT_NOTIFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// The path of the agent's socket in the runtime's mount namespace.
    pub path: String,
    pub metadata: String,
}

/// All flags of the specification: those of Linux 5.19.
pub(crate) fn all_flags() -> u32 {
    FLAGS.iter().fold(0, |all, (_, flag)| all | flag)
}

impl Filter {
    /// Generates the filter for a config, for a kernel with these `flags` of seccomp(2). Like runc it returns `None` if there are neither a
    /// default action nor rules.
    ///
    /// # Errors
    /// An action, operator, architecture or flag is unknown; an action without an error number has
    /// one; the kernel does not support a flag; the listener is missing; or the program is longer
    /// than the kernel allows.
    pub(crate) fn parse(seccomp: &Seccomp<'_>, flags: u32) -> Result<Option<Filter>> {
        let unset = seccomp.default_action.as_deref().unwrap_or("").is_empty();
        if unset && seccomp.syscalls.as_ref().is_none_or(Vec::is_empty) {
            return Ok(None);
        }
        let mut profile = Profile::parse(seccomp)?;
        let program = program::write(&sections(&profile), profile.default)?;
        let notifies = program.contains(&SockFilter { code: 0x06, jt: 0, jf: 0, k: Action::NOTIFY.0 });
        Ok(Some(Filter {
            flags: flag::parse(seccomp, flags, notifies)?,
            notify: listener(seccomp, notifies)?,
            warnings: std::mem::take(&mut profile.warnings),
            program,
        }))
    }

    /// Decodes a filter from the base64 form of its `struct sock_filter` array.
    ///
    /// # Errors
    /// The text is not base64, or the kernel would refuse the program.
    pub(crate) fn from_base64(text: &str) -> std::result::Result<Filter, String> {
        raw::parse(text)
    }

    /// The program as an array of `struct sock_filter`.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 8 * self.program.len()];
        for (place, instruction) in bytes.chunks_exact_mut(8).zip(&self.program) {
            place[..2].copy_from_slice(&instruction.code.to_ne_bytes());
            (place[2], place[3]) = (instruction.jt, instruction.jf);
            place[4..].copy_from_slice(&instruction.k.to_ne_bytes());
        }
        bytes
    }

    /// The filter's action for `call`.
    pub(crate) fn answer(&self, call: &Call) -> Action {
        // Generated programs always return.
        run(&self.program, call).unwrap_or(Action::KILL_PROCESS)
    }

    /// Checks that the filter allows all `needed` system calls (numbers of the native architecture
    /// with arguments).
    ///
    /// # Errors
    /// The first system call with another action than ALLOW or LOG, and that action.
    pub(crate) fn check(&self, needed: &[(u32, [u64; 6])]) -> std::result::Result<(), (u32, Action)> {
        for &(number, arguments) in needed {
            let answer = self.answer(&Call::native(number, arguments));
            if answer != Action::ALLOW && answer != Action::LOG {
                return Err((number, answer));
            }
        }
        Ok(())
    }
}

impl Call {
    /// A system call of the architecture that this program is built for.
    pub(crate) fn native(number: u32, arguments: [u64; 6]) -> Call {
        Call { number, architecture: FAMILY[0].audit, arguments }
    }
}

/// The ranges for each `AUDIT_ARCH_*` value; x32 shares the section of x86_64.
fn sections<'p>(profile: &'p Profile) -> Vec<(u32, Vec<Range<'p>>)> {
    let mut sections: Vec<(u32, Ranges<'p>)> = Vec::new();
    for architecture in &profile.architectures {
        match sections.iter_mut().find(|(audit, _)| *audit == architecture.audit) {
            Some((_, ranges)) => ranges.add(profile, architecture),
            None => {
                let mut ranges = Ranges::new(profile.default);
                ranges.add(profile, architecture);
                sections.push((architecture.audit, ranges));
            }
        }
    }
    if cfg!(target_arch = "x86_64") && !profile.architectures.iter().any(|other| other.name == "SCMP_ARCH_X32") {
        without_x32(&mut sections, &FAMILY[0]);
    }
    sections.into_iter().map(|(audit, ranges)| (audit, ranges.into_list())).collect()
}

/// Kills x32 system calls if the filter does not contain x32: they belong to an unlisted
/// architecture, although the kernel reports them as x86_64. The number -1 is left alone, since a
/// tracer sets it to skip a system call.
fn without_x32(sections: &mut [(u32, Ranges<'_>)], native: &Architecture) {
    for (_, ranges) in sections.iter_mut().filter(|(audit, _)| *audit == native.audit) {
        ranges.set(X32_BIT, u32::MAX - 1, Outcome::Always(Action::KILL_THREAD));
    }
}

fn listener(seccomp: &Seccomp<'_>, notifies: bool) -> Result<Option<Listener>> {
    let path = seccomp.listener_path.as_deref().unwrap_or("");
    let metadata = seccomp.listener_metadata.as_deref().unwrap_or("");
    match (path, metadata, notifies) {
        ("", "", false) => Ok(None),
        ("", "", true) => Err(Error::config("linux.seccomp.listenerPath", "missing: SCMP_ACT_NOTIFY needs it")),
        ("", ..) => Err(Error::config("linux.seccomp.listenerMetadata", "set without listenerPath")),
        (.., false) => Ok(None),
        _ => Ok(Some(Listener { path: path.into(), metadata: metadata.into() })),
    }
}
