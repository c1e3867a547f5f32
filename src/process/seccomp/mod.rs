//! The filter of system calls, from `linux.seccomp` to the program that the kernel runs. Pure: loading it is not done here.
//!
//! ```text
//! config::Seccomp --profile--> names, actions, conditions --decision--> ranges of numbers --program--> instructions
//! ```
//!
//! It says what libseccomp and runc's use of it say, in fewer steps; `docs/seccomp.md` lists what differs.

mod action;
mod architecture;
mod condition;
mod decision;
mod flag;
mod interpreter;
mod multiplex;
mod profile;
mod program;
mod raw;
mod tables;

#[cfg(test)]
mod tests;

pub(crate) use action::{ACTIONS, Action};
pub(crate) use architecture::ARCHITECTURES;
pub(crate) use condition::OPERATORS;
pub(crate) use flag::FLAGS;
pub(crate) use interpreter::{Call, run};
pub(crate) use program::SockFilter;

use crate::config::Seccomp;
use crate::error::{Error, Result};
use architecture::{Architecture, FAMILY, X32_BIT};
use decision::{Outcome, Range, Ranges};
use profile::Profile;

/// A filter that is ready to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    /// For seccomp(2), NEW_LISTENER included where the program notifies.
    pub flags: u32,
    pub program: Vec<SockFilter>,
    /// To whom the listener goes.
    pub notify: Option<Listener>,
    /// What the config says that has no effect here, one line each.
    pub warnings: Vec<String>,
}

/// The agent that answers for calls with SCMP_ACT_NOTIFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Of its socket, in the runtime's mount namespace.
    pub path: String,
    pub metadata: String,
}

/// What the kernel can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// The flags that seccomp(2) takes; see [`FLAGS`].
    pub flags: u32,
}

impl Default for Kernel {
    /// A kernel that can do all of the specification (Linux 5.19).
    fn default() -> Self {
        Self { flags: FLAGS.iter().fold(0, |all, (_, flag)| all | flag) }
    }
}

impl Filter {
    /// The filter that a config asks for; none where it has neither a default action nor rules, as runc takes it.
    ///
    /// # Errors
    /// An unknown action, operator, architecture or flag; an error number beside an action without one; a flag that the
    /// kernel does not support; a listener that is missing; more than the kernel takes in one program.
    pub(crate) fn parse(seccomp: &Seccomp<'_>, kernel: &Kernel) -> Result<Option<Filter>> {
        let unset = seccomp.default_action.as_deref().unwrap_or("").is_empty();
        if unset && seccomp.syscalls.as_ref().is_none_or(Vec::is_empty) {
            return Ok(None);
        }
        let mut profile = Profile::parse(seccomp)?;
        let program = program::write(&sections(&profile), profile.default)?;
        let notifies = program.contains(&SockFilter { code: 0x06, jt: 0, jf: 0, k: Action::NOTIFY.0 });
        Ok(Some(Filter {
            flags: flag::parse(seccomp, kernel.flags, notifies)?,
            notify: listener(seccomp, notifies)?,
            warnings: std::mem::take(&mut profile.warnings),
            program,
        }))
    }

    /// A filter that is given in base64, as the kernel reads it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn from_base64(text: &str) -> std::result::Result<Filter, String> {
        raw::parse(text)
    }

    /// The instructions as the kernel reads them.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 8 * self.program.len()];
        for (place, instruction) in bytes.chunks_exact_mut(8).zip(&self.program) {
            place[..2].copy_from_slice(&instruction.code.to_ne_bytes());
            (place[2], place[3]) = (instruction.jt, instruction.jf);
            place[4..].copy_from_slice(&instruction.k.to_ne_bytes());
        }
        bytes
    }

    /// What the filter does with `call`.
    pub(crate) fn answer(&self, call: &Call) -> Action {
        // Programs that were written here always end.
        run(&self.program, call).unwrap_or(Action::KILL_PROCESS)
    }

    /// The first of `needed` calls of the native architecture, each a number with its arguments, that would not just be
    /// done: one that would fail, kill, stop at a tracer or wait for an agent.
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
    /// A call of the architecture that this is built for.
    pub(crate) fn native(number: u32, arguments: [u64; 6]) -> Call {
        Call { number, architecture: FAMILY[0].audit, arguments }
    }
}

/// One section for each value that the kernel reports as the architecture; x32 shares that of x86_64.
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

/// Where x32 is not in the filter its calls are of another architecture, though the kernel reports them as x86_64; but
/// -1 is the number by which a tracer skips a call.
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
