//! From the rules of a profile to the outcome for each system call number of an architecture.

use std::borrow::Cow;

use super::action::Action;
use super::architecture::{ARM_PRIVATE, Architecture, Entry, X32_BIT};
use super::condition::{self, Condition};
use super::profile::Profile;

/// The end of the numbers that new system calls get: numbers from here on are those of x32, or
/// private ones of 32-bit ARM.
const NEWER_END: u32 = if cfg!(any(target_arch = "aarch64", target_arch = "arm")) { ARM_PRIVATE } else { X32_BIT };
/// Numbers that do not count when the newest system call of a profile is determined.
const PRIVATE: std::ops::Range<u32> = NEWER_END..X32_BIT;

/// The outcome for a system call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome<'p> {
    Always(Action),
    /// The action of the first alternative that holds, or else the default action.
    FirstOf(Vec<Alternative<'p>>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alternative<'p> {
    pub(super) conditions: Cow<'p, [Condition]>,
    pub(super) action: Action,
    /// Whether arguments have 64 bits.
    pub(super) wide: bool,
}

/// The numbers from `start` to the start of the next range, and their outcome.
#[derive(Debug, PartialEq)]
pub(super) struct Range<'p> {
    pub(super) start: u32,
    pub(super) outcome: Outcome<'p>,
}

/// Ranges that cover every number. Neighbours have different outcomes.
pub(super) struct Ranges<'p> {
    list: Vec<Range<'p>>,
    default: Action,
}

impl<'p> Ranges<'p> {
    pub(super) fn new(default: Action) -> Self {
        Self { list: vec![Range { start: 0, outcome: Outcome::Always(default) }], default }
    }

    pub(super) fn into_list(self) -> Vec<Range<'p>> {
        self.list
    }

    /// Adds the rules for `architecture`. All of its numbers must be above those added before.
    pub(super) fn add(&mut self, profile: &'p Profile, architecture: &Architecture) {
        let mentions = mentions(profile, architecture);
        let mut newest = None;
        for same in mentions.chunk_by(|one, other| one.number == other.number) {
            let number = same[0].number;
            if let Some(outcome) = outcome(profile, same, architecture.wide) {
                self.set(number, number, outcome);
            }
            newest = Some(number).filter(|number| !PRIVATE.contains(number)).or(newest);
        }
        if let Some(newest) = newest.filter(|_| profile.unknown_is_enosys()) {
            self.newer(newest);
        }
    }

    /// System calls that are newer than the newest one in the profile fail with ENOSYS, so that a
    /// program falls back to an older system call. This is runc's rule (since 1.0.0-rc93); it keeps
    /// new libcs working under old profiles.
    fn newer(&mut self, newest: u32) {
        let end = if newest < NEWER_END { NEWER_END } else { u32::MAX };
        self.set(newest + 1, end - 1, Outcome::Always(Action::ENOSYS));
    }

    /// Sets the outcome of the numbers from `first` to `last`, which must be above those set
    /// before. Higher numbers get the default action.
    pub(super) fn set(&mut self, first: u32, last: u32, outcome: Outcome<'p>) {
        // Usually the neighbour has the same outcome, and only its end moves.
        if let ([.., before, rest], Some(next)) = (&mut self.list[..], last.checked_add(1))
            && rest.start == first
            && before.outcome == outcome
        {
            rest.start = next;
            return;
        }
        self.push(first, outcome);
        if let Some(next) = last.checked_add(1) {
            self.push(next, Outcome::Always(self.default));
        }
    }

    fn push(&mut self, start: u32, outcome: Outcome<'p>) {
        if self.list.last().is_some_and(|last| last.start == start) {
            self.list.pop();
        }
        if self.list.last().is_none_or(|last| last.outcome != outcome) {
            self.list.push(Range { start, outcome });
        }
    }
}

/// A system call number that a name of the profile stands for.
#[derive(Clone, Copy, Default)]
struct Mention {
    number: u32,
    /// The index of the name in the profile.
    name: u32,
    /// The first argument that selects the system call, if the number is a multiplexer's.
    selector: Option<u32>,
}

fn mentions(profile: &Profile, architecture: &Architecture) -> Vec<Mention> {
    let mut mentions = Vec::with_capacity(profile.names.len() * 5 / 4);
    for (name, entry) in (0..).zip(&profile.names) {
        for Entry { number, selector } in architecture.entries(entry.row, entry.selected).into_iter().flatten() {
            mentions.push(Mention { number, name, selector });
        }
    }
    by_number(mentions)
}

/// Sorts by number; the sort is stable. It is a counting sort, since the numbers of an architecture
/// are dense.
fn by_number(mut mentions: Vec<Mention>) -> Vec<Mention> {
    const MOST: usize = 4096;
    let numbers = mentions.iter().map(|mention| mention.number);
    let (Some(low), Some(high)) = (numbers.clone().min(), numbers.max()) else { return mentions };
    let width = (high - low) as usize + 1;
    if width > MOST {
        mentions.sort_by_key(|mention| mention.number);
        return mentions;
    }
    // For each number the count of mentions with lower numbers, which is the index of its next
    // mention.
    let mut places = vec![0; width + 1];
    for mention in &mentions {
        places[(mention.number - low) as usize + 1] += 1;
    }
    for number in 1..width {
        places[number] += places[number - 1];
    }
    let mut sorted = vec![Mention::default(); mentions.len()];
    for mention in mentions {
        let place = &mut places[(mention.number - low) as usize];
        sorted[*place] = mention;
        *place += 1;
    }
    sorted
}

/// The outcome of all mentions of one number; `None` if every rule has the default action.
///
/// The first rule without conditions decides alone, as in libseccomp. If the conditions of several
/// rules hold at once, libseccomp chooses by the indices of their arguments, or refuses the second
/// rule. Here the strictest action wins, so that the order of the rules cannot weaken a profile.
fn outcome<'p>(profile: &'p Profile, mentions: &[Mention], wide: bool) -> Option<Outcome<'p>> {
    if let [Mention { name, selector: None, .. }] = mentions {
        let rule = &profile.rules[profile.names[*name as usize].rule];
        if rule.alternatives.first().is_some_and(Vec::is_empty) {
            return (rule.action != profile.default).then_some(Outcome::Always(rule.action));
        }
    }
    let mut list = Vec::new();
    for mention in mentions {
        let rule = &profile.rules[profile.names[mention.name as usize].rule];
        // libseccomp refuses a rule with the default action, so runc leaves it out.
        if rule.action == profile.default {
            continue;
        }
        for conditions in &rule.alternatives {
            let conditions = condition::selected(conditions, mention.selector);
            if conditions.is_empty() {
                return Some(Outcome::Always(rule.action));
            }
            list.push(Alternative { conditions, action: rule.action, wide });
        }
    }
    list.sort_by_key(|alternative: &Alternative<'_>| alternative.action.strictness());
    list.dedup();
    (!list.is_empty()).then_some(Outcome::FirstOf(list))
}
