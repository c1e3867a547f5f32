//! Capabilities by name (`capabilities(7)`; config.md, "Linux Process", `capabilities`).

use crate::config::Capabilities as Written;
use crate::error::{Error, Result};
use crate::log;
use crate::sys;
use crate::text;
use caps::Capability;
use std::borrow::Cow;

/// Those that are known, in the order of their numbers.
pub(crate) fn all() -> Vec<Capability> {
    let mut all: Vec<Capability> = caps::all().into_iter().collect();
    all.sort_unstable_by_key(Capability::index);
    all
}

/// The number of the capability `CAP_NAME`.
pub(crate) fn number(name: &str) -> Option<u32> {
    name.parse::<Capability>().ok().map(|known| known.index().into())
}

/// The five sets, a bit for each capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sets {
    /// The bounding set: the most that `execve` may grant.
    pub bounding: u64,
    /// The set that the kernel checks.
    pub effective: u64,
    /// The set from which capabilities can be made effective.
    pub permitted: u64,
    /// Kept over `execve` of a file with the same inheritable capability.
    pub inheritable: u64,
    /// Kept over `execve` of any file.
    pub ambient: u64,
}

impl Sets {
    /// Checks the five lists.
    ///
    /// A capability that the kernel, orlop or the runtime's own sets do not have cannot be granted:
    /// it is left out with a warning (config.md: "runtime SHOULD ... log a warning").
    pub(crate) fn parse<'w>(field: &str, written: &'w Written<'_>, last: u32) -> Result<Sets> {
        let mut unknown: Vec<&str> = Vec::new();
        let mut set = |list: &'w Option<Vec<Cow<'_, str>>>| {
            let mut bits = 0u64;
            for name in list.iter().flatten() {
                match number(name).filter(|n| *n <= last) {
                    Some(n) => bits |= 1 << n,
                    None => unknown.push(name),
                }
            }
            bits
        };
        let mut sets = Sets {
            bounding: set(&written.bounding),
            effective: set(&written.effective),
            permitted: set(&written.permitted),
            inheritable: set(&written.inheritable),
            ambient: set(&written.ambient),
        };
        if !unknown.is_empty() {
            let unknown = text::list(&text::without_doubles(unknown));
            log::warning(format!("{field}: ignoring unknown or unavailable capabilities: [{unknown}]"));
        }
        if sets.effective & !sets.permitted != 0 {
            let name = name((sets.effective & !sets.permitted).trailing_zeros());
            return Err(Error::config(format_args!("{field}.effective"), format_args!("{name} is not permitted")));
        }
        // The kernel raises a capability into the ambient set only if it is permitted and
        // inheritable.
        let raised = sets.ambient & sets.permitted & sets.inheritable;
        if raised != sets.ambient {
            log::debug(|| {
                format!(
                    "{field}.ambient: capabilities that are not permitted and inheritable cannot be ambient: [{}]",
                    names(sets.ambient & !raised).join(" ")
                )
            });
            sets.ambient = raised;
        }
        Ok(sets)
    }

    /// Each set without the capabilities that the runtime does not hold: it cannot grant them.
    pub(crate) fn within(self, held: u64) -> Sets {
        Sets {
            bounding: self.bounding,
            effective: self.effective & held,
            permitted: self.permitted & held,
            inheritable: self.inheritable & held,
            ambient: self.ambient & held,
        }
    }
}

/// The names of a set, with `CAP_`.
pub(crate) fn names(set: u64) -> Vec<String> {
    (0..64).filter(|n| set & 1 << n != 0).map(name).collect()
}

/// The name of a capability, with `CAP_`.
pub(crate) fn name(number: u32) -> String {
    let known = caps::all().into_iter().find(|known| u32::from(known.index()) == number);
    known.map_or_else(|| format!("capability {number}"), |known| known.to_string())
}

/// The last capability that the running kernel knows, asked by reading the bounding set (`prctl(2)`, PR_CAPBSET_READ).
pub(crate) fn last_known() -> u32 {
    let known = |n: u32| sys::process::knows_capability(n);
    let mut last = u32::from(Capability::CAP_CHECKPOINT_RESTORE.index());
    // Kernels differ by a few capabilities: search from the newest known one.
    if known(last) {
        while last < 63 && known(last + 1) {
            last += 1;
        }
    } else {
        while last > 0 && !known(last) {
            last -= 1;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capabilities_are_those_from_number_0_on_without_a_gap() {
        let all = all();
        for (n, known) in all.iter().enumerate() {
            assert_eq!((number(&known.to_string()), name(n as u32)), (Some(n as u32), known.to_string()));
        }
        assert_eq!(all.last(), Some(&Capability::CAP_CHECKPOINT_RESTORE));
    }

    #[test]
    fn a_name_has_its_kernel_number() {
        assert_eq!(number("CAP_SYS_ADMIN"), Some(21));
        assert_eq!(number("CAP_CHECKPOINT_RESTORE"), Some(40));
        assert_eq!(number("SYS_ADMIN"), None);
        assert_eq!(name(5), "CAP_KILL");
    }

    #[test]
    fn an_effective_capability_must_be_permitted() {
        let written = Written { effective: Some(vec!["CAP_KILL".into()]), ..Written::default() };
        let error = Sets::parse("process.capabilities", &written, 40).unwrap_err();
        assert_eq!(error.to_string(), "process.capabilities.effective: CAP_KILL is not permitted");
    }

    #[test]
    fn ambient_needs_inheritable() {
        let both = Some(vec!["CAP_KILL".into(), "CAP_CHOWN".into()]);
        let one = Some(vec!["CAP_CHOWN".into()]);
        let written = Written { permitted: both.clone(), ambient: both, inheritable: one, ..Written::default() };
        assert_eq!(Sets::parse("x", &written, 40).unwrap().ambient, 1);
    }
}
