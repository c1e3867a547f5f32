//! Suggestions for misspelled names.

/// The known name nearest to `name`, if it is near enough to suggest.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + name.len() / 4;
    known
        .map(|candidate| (cost(name, candidate), candidate))
        .filter(|(cost, _)| *cost <= limit)
        .min_by_key(|(cost, _)| *cost)
        .map(|(_, candidate)| candidate)
}

/// The edit distance: letters added, removed, replaced or swapped with their neighbour. A prefix
/// costs one.
fn cost(a: &str, b: &str) -> usize {
    if a.len() > 1 && b.starts_with(a) {
        return 1;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let exchanged = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = exchanged.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood() {
        let known = ["create", "delete", "exec", "state", "start", "bundle", "console-socket"];
        for (typed, meant) in [
            ("craete", "create"),
            ("exce", "exec"),
            ("strat", "start"),
            ("bundel", "bundle"),
            ("bund", "bundle"),
            ("console-sock", "console-socket"),
            ("delet", "delete"),
        ] {
            assert_eq!(nearest(typed, known.into_iter()), Some(meant), "{typed}");
        }
    }

    #[test]
    fn a_wild_guess_is_not_suggested() {
        for typed in ["frobnicate", "xyz", "", "b"] {
            assert_eq!(nearest(typed, ["create", "bundle"].into_iter()), None, "{typed}");
        }
    }
}
