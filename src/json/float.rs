//! Numbers with a fraction, as files of the kernel and D-Bus values in text form have them.

/// Parses a number in the forms that Rust takes, such as `1.5`, `.5` and `-1e3`. It is exact up to 15
/// digits and powers of 10^22; beyond, the last bits may differ from Rust's.
///
/// The parser of `core` has a table of 10 KB.
pub(crate) fn float(text: &str) -> Option<f64> {
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, exponent) = match number.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i16>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut value = 0.0;
    for digit in [whole, fraction].concat().chars() {
        value = value * 10.0 + f64::from(digit.to_digit(10)?);
    }
    let power = i32::from(exponent) - i32::try_from(fraction.len()).ok()?;
    let value = if power < 0 { value / 10f64.powi(-power) } else { value * 10f64.powi(power) };
    let is_number = value.is_finite() && whole.len() + fraction.len() > 0;
    is_number.then_some(if text.starts_with('-') { -value } else { value })
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
