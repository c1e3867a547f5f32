//! Conditions on the arguments of a system call.

use std::borrow::Cow;

use crate::config::SyscallArg;
use crate::error::{Error, Result};

/// Every operator that a config may name: a comparison, and whether its contrary is meant.
pub(crate) static OPERATORS: [(&str, (Test, bool)); 7] = [
    ("SCMP_CMP_NE", (Test::Equal, true)),
    ("SCMP_CMP_LT", (Test::GreaterOrEqual, true)),
    ("SCMP_CMP_LE", (Test::Greater, true)),
    ("SCMP_CMP_EQ", (Test::Equal, false)),
    ("SCMP_CMP_GE", (Test::GreaterOrEqual, false)),
    ("SCMP_CMP_GT", (Test::Greater, false)),
    ("SCMP_CMP_MASKED_EQ", (Test::Equal, false)),
];

/// A comparison of unsigned numbers. The other operators are the negations of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
}

/// `(argument & mask) test value`, or its negation if `contrary` is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// The index of the argument, from 0 to 5.
    pub(super) argument: u8,
    pub(super) test: Test,
    pub(super) contrary: bool,
    pub(super) value: u64,
    pub(super) mask: u64,
}

impl Condition {
    pub(super) fn equal(argument: u8, value: u64) -> Condition {
        Condition { argument, test: Test::Equal, contrary: false, value, mask: u64::MAX }
    }

    fn parse(arg: &SyscallArg<'_>, path: impl Fn(&str) -> String) -> Result<Condition> {
        let index = arg.index.unwrap_or(0);
        let argument = match u8::try_from(index) {
            Ok(argument) if argument < 6 => argument,
            _ => return Err(Error::config(path("index"), format!("{index} is more than 5: calls have six arguments"))),
        };
        let value = arg.value.unwrap_or(0);
        let op = arg.op.as_deref().unwrap_or("");
        let Some(&(_, (test, contrary))) = OPERATORS.iter().find(|(known, _)| *known == op) else {
            let problem = if op.is_empty() { "missing".into() } else { format!("unknown operator {op}") };
            return Err(Error::config(path("op"), problem));
        };
        let condition = Condition { argument, test, contrary, value, mask: u64::MAX };
        Ok(match op {
            // As in libseccomp, bits of the value outside the mask are ignored.
            "SCMP_CMP_MASKED_EQ" => Condition { mask: value, value: arg.value_two.unwrap_or(0) & value, ..condition },
            _ => condition,
        })
    }
}

/// The alternatives of `syscalls[index]`. An alternative holds if all of its conditions hold; an
/// empty one always does.
///
/// Conditions on different arguments form one alternative. If two are on the same argument, each
/// condition becomes an alternative: libseccomp refuses two in one rule, runc therefore adds them
/// as separate rules, and profiles rely on that (`personality` is one of five values).
pub(super) fn alternatives(args: &[SyscallArg<'_>], index: usize) -> Result<Vec<Vec<Condition>>> {
    let mut conditions = Vec::with_capacity(args.len());
    for (number, arg) in args.iter().enumerate() {
        let path = |field: &str| format!("linux.seccomp.syscalls[{index}].args[{number}].{field}");
        conditions.push(Condition::parse(arg, path)?);
    }
    let repeated = conditions
        .iter()
        .enumerate()
        .any(|(number, condition)| conditions[..number].iter().any(|earlier| earlier.argument == condition.argument));
    Ok(match repeated {
        true => conditions.into_iter().map(|condition| vec![condition]).collect(),
        false => vec![conditions],
    })
}

/// The conditions for a system call that is made through a multiplexer, where the first argument is
/// the `selector`. The call's own first argument is in memory, which a filter cannot read, so a
/// condition on it is dropped, as in libseccomp.
pub(super) fn selected(conditions: &[Condition], selector: Option<u32>) -> Cow<'_, [Condition]> {
    let Some(selector) = selector else { return Cow::Borrowed(conditions) };
    let others = conditions.iter().filter(|condition| condition.argument != 0).copied();
    Cow::Owned(std::iter::once(Condition::equal(0, selector.into())).chain(others).collect())
}
