//! Lists of CPUs and memory nodes such as `0-3,7` (cpuset(7)), read as the kernel reads them (`bitmap_parselist`).

/// The numbers of a list as bits, 64 in a word; no word for an empty list. None if the text is no list or names a number
/// above `highest`.
///
/// Regions are separated by commas or white space: `a`, `a-b`, or `a-b:used/group`, of each `group` numbers the first `used`.
pub(crate) fn parse(text: &str, highest: u32) -> Option<Vec<u64>> {
    let mut words = Vec::new();
    for region in text.split([',', ' ', '\t', '\n']).filter(|region| !region.is_empty()) {
        let (range, pattern) = region.split_once(':').map_or((region, None), |(range, pattern)| (range, Some(pattern)));
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None if pattern.is_none() => (number(range)?, number(range)?),
            None => return None,
        };
        let (used, group) = match pattern.map(|pattern| pattern.split_once('/')) {
            Some(pattern) => pattern.map(|(used, group)| Some((number(used)?, number(group)?)))??,
            None => (1, 1),
        };
        if first > last || last > highest || group == 0 || used > group {
            return None;
        }
        if used == 0 {
            continue;
        }
        if words.len() <= last as usize / 64 {
            words.resize(last as usize / 64 + 1, 0);
        }
        if used == group {
            set(&mut words, first, last);
            continue;
        }
        for start in (first..=last).step_by(group as usize) {
            set(&mut words, start, last.min(start.saturating_add(used - 1)));
        }
    }
    Some(words)
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// Sets whole words at a time: a long list may name the same numbers over and over.
fn set(words: &mut [u64], first: u32, last: u32) {
    let (low, high) = (first as usize / 64, last as usize / 64);
    for (n, word) in words.iter_mut().enumerate().take(high + 1).skip(low) {
        let begins = if n == low { u64::MAX << (first % 64) } else { u64::MAX };
        let ends = if n == high { u64::MAX >> (63 - last % 64) } else { u64::MAX };
        *word |= begins & ends;
    }
}

/// The numbers of which [`parse`] made bits.
pub(crate) fn numbers(words: &[u64]) -> impl Iterator<Item = u32> + '_ {
    (0u32..)
        .zip(words)
        .flat_map(|(n, word)| (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| n * 64 + bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_the_kernel_reads_it() {
        let of = |text: &str| parse(text, 1023).map(|words| numbers(&words).collect::<Vec<_>>());
        for (text, expected) in [
            ("", &[][..]),
            (",", &[]),
            ("7", &[7]),
            ("0-2, 65", &[0, 1, 2, 65]),
            ("1 3\n", &[1, 3]),
            ("62-66,62-66,64", &[62, 63, 64, 65, 66]),
            ("0-9:2/4", &[0, 1, 4, 5, 8, 9]),
            ("3-8:1/2", &[3, 5, 7]),
            ("0-4:3/3", &[0, 1, 2, 3, 4]),
            ("5-6:0/2", &[]),
            ("1023", &[1023]),
        ] {
            assert_eq!(of(text).as_deref(), Some(expected), "{text:?}");
        }
        for text in [
            "x",
            "-",
            "3-1",
            "1024",
            "0 - 3",
            "+1",
            "1-",
            "-1",
            "1-2-3",
            "1:1/2",
            "0-9:1",
            "0-9:3/2",
            "0-9:0/0",
            "0-9:/",
            "4294967296",
        ] {
            assert_eq!(of(text), None, "{text:?}");
        }
        assert_eq!(parse("0-127", u32::MAX).unwrap(), [u64::MAX; 2]);
    }

    #[test]
    fn a_list_that_repeats_itself_costs_little() {
        assert_eq!(parse(&"0-65535,".repeat(10_000), 65_535).unwrap().len(), 1024);
    }
}
