//! From the rules of a profile to what becomes of each number of one architecture.

use std::borrow::Cow;

use super::action::Action;
use super::architecture::{ARM_PRIVATE, Architecture, Entry, X32_BIT};
use super::condition::{self, Condition};
use super::profile::Profile;

/// Numbers beyond this are no newer calls: they are those of x32, or private ones of 32-bit ARM.
const NEWER_END: u32 = if cfg!(any(target_arch = "aarch64", target_arch = "arm")) { ARM_PRIVATE } else { X32_BIT };
/// Numbers that a profile can name and that say nothing of its age.
const PRIVATE: std::ops::Range<u32> = NEWER_END..X32_BIT;

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome<'p> {
    Always(Action),
    /// The action of the first alternative that holds, else the default.
    FirstOf(Vec<Alternative<'p>>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alternative<'p> {
    pub(super) conditions: Cow<'p, [Condition]>,
    pub(super) action: Action,
    /// Whether arguments have 64 bits.
    pub(super) wide: bool,
}

/// The numbers from `start` up to the next range's start.
#[derive(Debug, PartialEq)]
pub(super) struct Range<'p> {
    pub(super) start: u32,
    pub(super) outcome: Outcome<'p>,
}

/// Ranges that cover every number; neighbours differ.
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

    /// Adds the rules for `architecture`, whose numbers all lie above those added before.
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

    /// Calls that came after the newest that the profile names do not exist for it, so a program that tries one and has
    /// an older way falls back. It is runc's rule (since 1.0.0-rc93), and what keeps old profiles and new libcs together.
    fn newer(&mut self, newest: u32) {
        let end = if newest < NEWER_END { NEWER_END } else { u32::MAX };
        self.set(newest + 1, end - 1, Outcome::Always(Action::ENOSYS));
    }

    /// Gives the numbers from `first` to `last`, all above those set before, an outcome; those after get the default.
    pub(super) fn set(&mut self, first: u32, last: u32, outcome: Outcome<'p>) {
        // Most often a neighbour has the same, and only the end moves.
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

/// That a name of the profile means a number; in the order of numbers, then of the profile.
#[derive(Clone, Copy, Default)]
struct Mention {
    number: u32,
    /// Where in the profile's names.
    name: u32,
    /// What the first argument must be for it.
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

/// In the order of numbers, and where those are equal as before. The numbers of an architecture lie so close together that each
/// can be counted.
fn by_number(mut mentions: Vec<Mention>) -> Vec<Mention> {
    const MOST: usize = 4096;
    let numbers = mentions.iter().map(|mention| mention.number);
    let (Some(low), Some(high)) = (numbers.clone().min(), numbers.max()) else { return mentions };
    let width = (high - low) as usize + 1;
    if width > MOST {
        mentions.sort_by_key(|mention| mention.number);
        return mentions;
    }
    // How many have a lower number, which becomes the place of the next one.
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

/// What the mentions of one number come to; nothing where their rules say no more than the default.
///
/// The first without conditions decides alone, before or after others, as in libseccomp. Of several whose conditions
/// hold at once libseccomp chooses by the numbers of their arguments, or refuses to add the second; here the strictest
/// is chosen, so that no order of the rules makes a profile weaker than one of them says.
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
        // libseccomp refuses a rule that says what the default says, and runc leaves it out.
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
