//! The clauses of the specification: what is written in `clauses/*.txt`.

use anyhow::{Context, Result, ensure};

const TABLES: [(&str, &str); 6] = [
    ("runtime.md", include_str!("../clauses/runtime.txt")),
    ("runtime-linux.md", include_str!("../clauses/runtime-linux.txt")),
    ("config.md", include_str!("../clauses/config.txt")),
    ("config-linux.md", include_str!("../clauses/config-linux.txt")),
    ("features.md", include_str!("../clauses/features.txt")),
    ("features-linux.md", include_str!("../clauses/features-linux.txt")),
];

pub(crate) struct Clause {
    pub(crate) document: &'static str,
    pub(crate) id: &'static str,
    /// `MUST`, `MUST NOT`, `SHOULD`, `SHOULD NOT`, or `IS` for a definition without such a word.
    pub(crate) level: &'static str,
    pub(crate) anchor: &'static str,
    /// The words of the specification, cut with `...` where they are long.
    pub(crate) quote: &'static str,
    /// Why there is no case, if so.
    pub(crate) untested: Option<&'static str>,
}

impl Clause {
    pub(crate) fn place(&self) -> String {
        format!("{}#{}", self.document, self.anchor)
    }
}

/// A line is `id | level | anchor | quote`; a line below that starts with `!` is the reason for having no case.
pub(crate) fn table() -> Result<Vec<Clause>> {
    let mut clauses: Vec<Clause> = Vec::new();
    for (document, text) in TABLES {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(reason) = line.strip_prefix('!') {
                let last = clauses.last_mut().with_context(|| format!("{document}: a reason without a clause"))?;
                last.untested = Some(reason.trim());
                continue;
            }
            let parts: Vec<&str> = line.splitn(4, '|').map(str::trim).collect();
            let [id, level, anchor, quote] = parts[..] else { anyhow::bail!("{document}: {line:?} is no clause") };
            ensure!(!clauses.iter().any(|c| c.id == id), "{document}: {id} is there twice");
            clauses.push(Clause { document, id, level, anchor, quote, untested: None });
        }
    }
    Ok(clauses)
}

/// The id in the table that equals this text.
pub(crate) fn id(text: &str) -> Option<&'static str> {
    let lines = TABLES.iter().flat_map(|(_, table)| table.lines());
    lines.filter_map(|line| line.split(" | ").next()).find(|id| *id == text)
}

#[cfg(test)]
mod tests {
    use crate::cases;

    #[test]
    fn every_clause_has_a_case_or_a_reason() {
        let all = cases::selected(&[]);
        let mut wrong = Vec::new();
        for clause in super::table().unwrap() {
            let tested = all.iter().any(|case| case.clauses.contains(&clause.id));
            if tested == clause.untested.is_some() {
                wrong.push(clause.id);
            }
        }
        assert!(wrong.is_empty(), "with neither a case nor a reason, or with both: {wrong:#?}");
    }

    #[test]
    fn every_case_names_clauses_that_exist() {
        let clauses = super::table().unwrap();
        for case in cases::selected(&[]) {
            for id in &case.clauses {
                assert!(clauses.iter().any(|c| c.id == *id), "{} names {id}, which is no clause", case.id());
            }
        }
    }

    #[test]
    fn no_two_cases_share_a_name() {
        let mut ids: Vec<String> = cases::selected(&[]).iter().map(crate::case::Case::id).collect();
        ids.sort();
        for pair in ids.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }
}
