//! Amounts: integer cents, read from and written as decimals without a floating-point number between.

use crate::limits::AMOUNT_CENTS_MAX;

/// Reads a JSON number as it is written: positive, at most two decimals that are not zero, at most
/// [`AMOUNT_CENTS_MAX`]. An exponent is a number's right, too. `None` for whatever else it is.
pub fn parse(text: &str) -> Option<u64> {
    let text = text.as_bytes();
    let (mantissa, exponent) = match memchr::memchr2(b'e', b'E', text) {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (whole, fraction) = match memchr::memchr(b'.', mantissa) {
        Some(at) if at + 1 < mantissa.len() => (&mantissa[..at], &mantissa[at + 1..]),
        Some(_) => return None,
        None => (mantissa, &[][..]),
    };
    // No sign, and no zeros in front: JSON has none, and a negative amount is none.
    if whole.is_empty() || (whole[0] == b'0' && whole.len() > 1) {
        return None;
    }
    let (mut number, mut zeros) = (0_u64, 0_i64);
    for digit in whole.iter().chain(fraction) {
        match digit {
            b'0' => zeros += 1,
            b'1'..=b'9' => {
                for _ in 0..=zeros {
                    number *= 10;
                    // As it ends in a digit that is not zero, it has decimals in excess if it is
                    // not too large.
                    if number > AMOUNT_CENTS_MAX {
                        return None;
                    }
                }
                number += u64::from(digit - b'0');
                zeros = 0;
            }
            _ => return None,
        }
    }
    // `number`, with as many zeros behind it, is the amount in cents.
    let scale = exponent
        .saturating_add(zeros)
        .saturating_add(2)
        .saturating_sub(fraction.len() as i64);
    if number == 0 || scale < 0 {
        return None;
    }
    for _ in 0..scale {
        number *= 10;
        if number > AMOUNT_CENTS_MAX {
            return None;
        }
    }
    (number <= AMOUNT_CENTS_MAX).then_some(number)
}

const _: () = assert!(AMOUNT_CENTS_MAX < u64::MAX / 10 - 9);

/// What follows the `e`; beyond 64 bits, as much as they hold.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut exponent = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        exponent = exponent
            .saturating_mul(10)
            .saturating_add(i64::from(digit - b'0'));
    }
    Some(if negative { -exponent } else { exponent })
}

/// Appends cents as a decimal with two places: `19.90`.
pub fn write(out: &mut Vec<u8>, cents: u128) {
    out.extend_from_slice(itoa::Buffer::new().format(cents / 100).as_bytes());
    let rest = (cents % 100) as u8;
    out.extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cents: u128) -> String {
        let mut out = Vec::new();
        write(&mut out, cents);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn these_are_amounts() {
        for (text, cents) in [
            ("19.90", 1990),
            ("19.9", 1990),
            ("19.900000000000000000000000000", 1990),
            ("0.010", 1),
            ("0.01", 1),
            ("1", 100),
            ("100", 10_000),
            ("100.00", 10_000),
            ("1e1", 1000),
            ("1E+1", 1000),
            ("1e0", 100),
            ("1e-2", 1),
            ("1990e-2", 1990),
            ("1990.00e-2", 1990),
            ("0.00000000000000000001e20", 100),
            ("100000000000000000000e-20", 100),
            ("0.1e+00000000000000000000001", 100),
            // A floating-point number would make 1.1500000000000000888 of it, and others less.
            ("1.15", 115),
            ("4.35", 435),
            ("9999999999.99", AMOUNT_CENTS_MAX - 1),
            ("10000000000", AMOUNT_CENTS_MAX),
            ("10000000000.00", AMOUNT_CENTS_MAX),
            ("1e10", AMOUNT_CENTS_MAX),
        ] {
            assert_eq!(parse(text), Some(cents), "{text}");
        }
    }

    #[test]
    fn these_are_none() {
        for text in [
            "0",
            "0.00",
            "0e5",
            "0e99999999999999999999",
            "-0",
            "-1",
            "-0.01",
            "0.001",
            "19.901",
            "1e-3",
            "1990e-4",
            "1.2345678901234567890123456789",
            "10000000000.01",
            "10000000000.1",
            "1e11",
            "1e999",
            "1e-999",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "99999999999999999999999999",
            "123456789012345678901234567890e-20",
            "",
            ".",
            ".5",
            "5.",
            "5.e1",
            "e1",
            "1e",
            "1e+",
            "1e+-1",
            "1e1.0",
            "01",
            "00",
            "+1",
            " 1",
            "1 ",
            "1,5",
            "1_000",
            "0x10",
            "1.2.3",
            "NaN",
            "Infinity",
            "true",
            "null",
            "\"1\"",
            "[1]",
            "{}",
            "٣",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn cents_have_two_places() {
        for (cents, expected) in [
            (0, "0.00"),
            (1, "0.01"),
            (10, "0.10"),
            (1990, "19.90"),
            (41_554_234_598, "415542345.98"),
            (
                u64::MAX as u128 * u64::MAX as u128,
                "3402823669209384634264811192843491082.25",
            ),
        ] {
            assert_eq!(text(cents), expected);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut cents = 1_u64;
        while cents <= AMOUNT_CENTS_MAX {
            assert_eq!(parse(&text(cents.into())), Some(cents));
            cents += 1 + cents / 7;
        }
    }
}
