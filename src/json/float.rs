//! Numbers with a fraction, as files of the kernel and D-Bus values in text form have them.

/// Parses a number in the forms that Rust takes, such as `1.5`, `.5` and `-1e3`.
///
/// serde_json is in the program anyway; the parser of `core` has a table of 10 KB.
pub(crate) fn float(text: &str) -> Option<f64> {
    let (digits, sign) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (digits, if text.starts_with('-') { -1.0 } else { 1.0 }),
        None => (text, 1.0),
    };
    let is_of_number = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        || digits == "."
        || !digits.bytes().all(is_of_number)
    {
        return None;
    }
    // JSON has a digit before the point, and no other zero there.
    let whole = format!("0{}", digits.strip_suffix('.').unwrap_or(digits));
    let at = whole.find(|it: char| it != '0').unwrap_or(whole.len());
    let from = if whole[at..].starts_with(|first: char| first.is_ascii_digit()) { at } else { at - 1 };
    serde_json::from_str::<f64>(&whole[from..]).ok().map(|number| sign * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_is_what_the_standard_library_makes_of_it() {
        for text in ["0", "0.00", "1.5", "12.34", "100.00", ".5", "1.", "007.25", "-1e3", "+2.5E-2", "0e5", "42"] {
            assert_eq!(float(text), Some(text.parse().unwrap()), "{text}");
        }
        for hundredths in 0..=10_000 {
            let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
            assert_eq!(float(&text), Some(text.parse().unwrap()), "{text}");
        }
        for text in ["", ".", "-", "x", "1x", "1.5.2", "--1", "+-1", "0x10", "1 ", "null", "é"] {
            assert_eq!(float(text), None, "{text:?}");
        }
    }
}
