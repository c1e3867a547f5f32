//! A case: one property of a runtime, named as a sentence.

use crate::bench::trial::Trial;
use anyhow::Result;
use std::fmt;

type Check = Box<dyn Fn(&Trial) -> Result<()> + Send + Sync>;

pub(crate) struct Case {
    pub(crate) group: &'static str,
    /// The sentence, with underscores.
    pub(crate) name: String,
    /// Ids of the clauses that it checks.
    pub(crate) clauses: Vec<&'static str>,
    /// What is checked, and how.
    pub(crate) how: String,
    pub(crate) check: Check,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        clauses: &[&'static str],
        how: impl Into<String>,
        check: impl Fn(&Trial) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let how = how.into().trim().to_owned();
        Case { group: "", name: name.into(), clauses: clauses.to_vec(), how, check: Box::new(check) }
    }

    /// `group/name`: what `--filter`, `explain` and the lists of skips use.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    pub(crate) fn sentence(&self) -> String {
        self.name.replace('_', " ")
    }
}

/// Why a case cannot be tried here. Travels as an error so that `?` ends the case.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

pub(crate) fn skip<T>(reason: impl Into<String>) -> Result<T> {
    Err(Skip(reason.into()).into())
}

/// Declares the cases of a file:
///
/// ```text
/// cases! {
///     /// What is checked and how.
///     ["clause.id"]
///     fn a_sentence(t) {
///         ...
///     }
/// }
/// ```
macro_rules! cases {
    ($(
        $(#[doc = $how:literal])+
        [$($clause:literal),+ $(,)?]
        fn $name:ident($trial:ident) $body:block
    )*) => {
        pub(crate) fn cases() -> Vec<$crate::case::Case> {
            vec![$(
                $crate::case::Case::new(
                    stringify!($name),
                    &[$($clause),+],
                    concat!($($how),+),
                    |$trial: &$crate::bench::trial::Trial| -> anyhow::Result<()> {
                        let () = $body;
                        Ok(())
                    },
                )
            ),*]
        }
    };
}
pub(crate) use cases;
