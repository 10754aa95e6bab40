//! Decimals as whole numbers of their last place, without a floating-point number between.

/// Reads a decimal as JSON writes numbers, in units of its `places`-th place: `19.9` with 2 places is 1990.
/// None if it is none, negative, more precise than that or too large.
pub fn parse(text: &str, places: i32) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    if whole.is_empty() || (whole.starts_with('0') && whole.len() > 1) {
        return None;
    }
    let mut value: u64 = 0;
    // Places of `value` behind the point; zeros that may or may not be at the end do not count yet.
    let mut behind = -i32::from(exponent) - whole.len() as i32;
    let mut zeros = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        zeros += 1;
        if digit != b'0' {
            if value > 0 {
                value = value.checked_mul(10u64.checked_pow(zeros)?)?;
            }
            value = value.checked_add(u64::from(digit - b'0'))?;
            behind += zeros as i32;
            zeros = 0;
        }
    }
    if value == 0 {
        return Some(0);
    }
    let shift = u32::try_from(places - behind).ok()?;
    value.checked_mul(10u64.checked_pow(shift)?)
}

/// Writes so many units of the `places`-th place as a decimal, without zeros at its end beyond the second
/// place: 1990 with 2 places is `19.90`, 50000 with 6 places is `0.05`.
pub fn write(value: u128, places: usize) -> String {
    let unit = 10u128.pow(places as u32);
    let mut text = format!("{}.{:0places$}", value / unit, value % unit);
    let point = text.len() - places;
    while text.len() > point + 2 && text.ends_with('0') {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, cents) in [
            ("19.90", 1990),
            ("19.9", 1990),
            ("0.07", 7),
            ("0", 0),
            ("0.000", 0),
            ("0e9999", 0),
            ("100", 10_000),
            ("1.10000000000000000000000000000000", 110),
            ("1.99e1", 1990),
            ("1990e-2", 1990),
            ("19900e-3", 1990),
            ("1E+2", 10_000),
            ("0.29", 29),
            ("1001.05", 100_105),
            ("184467440737095516.15", u64::MAX),
        ] {
            assert_eq!(parse(text, 2), Some(cents), "{text}");
        }
        for text in [
            "",
            "-1",
            "+1",
            ".5",
            "5.",
            "01",
            "1e",
            "e1",
            "1.2.3",
            "0x1",
            "1 ",
            "1.999",
            "1e-3",
            "NaN",
            "184467440737095516.16",
            "1e99",
            "1e99999",
            "\"1\"",
            "true",
        ] {
            assert_eq!(parse(text, 2), None, "{text}");
        }
        assert_eq!(parse("0.05", 6), Some(50_000));
    }

    #[test]
    fn decimals_are_written_exactly() {
        assert_eq!(write(1990, 2), "19.90");
        assert_eq!(write(7, 2), "0.07");
        assert_eq!(write(0, 2), "0.00");
        assert_eq!(write(41_554_234_598, 2), "415542345.98");
        assert_eq!(write(50_000, 6), "0.05");
        assert_eq!(write(1990 * 50_000, 8), "0.995");
    }
}
