mod differential;
pub(super) mod model;
mod numbers;
mod oracle;
mod refusals;
mod semantics;

use super::{Action, Call, Filter, all_flags};
use crate::config::{Seccomp, Spec, parse};

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;

/// A config whose `linux.seccomp` is `seccomp`.
fn document(seccomp: &str) -> String {
    format!(r#"{{"linux":{{"seccomp":{seccomp}}}}}"#)
}

fn seccomp(spec: Spec<'_>) -> Seccomp<'_> {
    spec.linux.unwrap().seccomp.unwrap()
}

fn filter(json: &str) -> Filter {
    try_filter(json).unwrap().unwrap()
}

fn try_filter(json: &str) -> crate::error::Result<Option<Filter>> {
    Filter::parse(&seccomp(parse(&document(json)).unwrap()), all_flags())
}

/// What `filter` does with a call whose first arguments are `first`.
fn answer(filter: &Filter, architecture: u32, number: u32, first: &[u64]) -> Action {
    let mut arguments = [0; 6];
    arguments[..first.len()].copy_from_slice(first);
    filter.answer(&Call { number, architecture, arguments })
}
