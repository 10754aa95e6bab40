//! Numbers as people read them: three digits that count, and the unit that fits.

/// Thousands apart: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits that count, and all those before the point: `0.0123`, `7.21`, `12,345`.
pub fn number(number: f64) -> String {
    significant(number, 3)
}

/// Five digits that count, because a rate is looked at for half a percent: `339.98`, `20,012`. A second's.
pub fn rate(rate: f64) -> String {
    significant(rate, 5)
}

/// As somebody has given it: `340`, `20,000`, `0.5`.
pub fn given(number: f64) -> String {
    match number.fract() == 0.0 {
        true => apart(number, 0),
        false => number.to_string(),
    }
}

/// To the cent: `99,196.99`.
pub fn amount(amount: f64) -> String {
    apart(amount, 2)
}

/// A time of so many microseconds, in µs, ms or s: `7.21 ms`.
pub fn time_us(us: f64) -> String {
    scaled(us, &[("µs", 1.0), ("ms", 1e3), ("s", 1e6)])
}

/// A time of so many seconds, as [`time_us`] has it.
pub fn time_s(seconds: f64) -> String {
    time_us(seconds * 1e6)
}

/// `512 B`, `7.21 MiB`: powers of 1024, as memory is counted.
pub fn bytes(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    let units = [
        ("B", 1.0),
        ("KiB", KIB),
        ("MiB", KIB * KIB),
        ("GiB", KIB * KIB * KIB),
    ];
    scaled(bytes, &units)
}

/// A share of one, in percent: `0.125` is `12.5%`.
pub fn percent(share: f64) -> String {
    format!("{}%", number(share * 100.0))
}

/// A change by a share of one, in percent, with its sign: `+12.5%`, `-3.10%`, `0%`.
pub fn change(share: f64) -> String {
    let sign = if share > 0.0 { "+" } else { "" };
    format!("{sign}{}", percent(share))
}

/// In the largest unit of which it is at least one, as it is rounded; `units`: smallest first.
fn scaled(number: f64, units: &[(&str, f64)]) -> String {
    let (name, factor) = units
        .iter()
        .rev()
        .find(|(_, factor)| rounded(number / factor, 3).abs() >= 1.0)
        .unwrap_or(&units[0]);
    format!("{} {name}", self::number(number / factor))
}

/// To so many digits that count, those before the point always.
fn rounded(number: f64, digits: i32) -> f64 {
    let power = 10_f64.powi(decimals(number, digits));
    (number * power).round() / power
}

/// Digits after the point, if so many count.
fn decimals(number: f64, digits: i32) -> i32 {
    if number == 0.0 || !number.is_finite() {
        return 0;
    }
    (digits - 1 - number.abs().log10().floor() as i32).clamp(0, 12)
}

fn significant(number: f64, digits: i32) -> String {
    // 9.996 becomes 10.0, which needs one digit less after the point than it seemed.
    let number = rounded(number, digits);
    let decimals = decimals(number, digits) as usize;
    apart(number, decimals)
}

/// With so many digits after the point, and thousands apart before it.
fn apart(number: f64, decimals: usize) -> String {
    if !number.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{:.decimals$}", number.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if number < 0.0 && !is_zero { "-" } else { "" };
    let whole = whole.parse().map_or(whole.to_owned(), count);
    format!("{sign}{whole}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        for (given, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (61_503, "61,503"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(given), text);
        }
    }

    #[test]
    fn three_digits_count() {
        for (given, text) in [
            (0.0, "0"),
            (0.012_34, "0.0123"),
            (1.0, "1.00"),
            (9.996, "10.0"),
            (-7.214, "-7.21"),
            (99.96, "100"),
            (999.6, "1,000"),
            (12_345.6, "12,346"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(given), text);
        }
        assert_eq!(rate(339.983), "339.98");
        assert_eq!([340.0, 20_000.0, 0.5].map(given), ["340", "20,000", "0.5"]);
        assert_eq!(rate(20_012.4), "20,012");
    }

    #[test]
    fn units_fit() {
        for (given, text) in [
            (0.0, "0 µs"),
            (0.1, "0.100 µs"),
            (84.0, "84.0 µs"),
            (999.4, "999 µs"),
            (999.6, "1.00 ms"),
            (7_214.0, "7.21 ms"),
            (999_600.0, "1.00 s"),
            (240e6, "240 s"),
            (3_600e6, "3,600 s"),
        ] {
            assert_eq!(time_us(given), text);
        }
        assert_eq!(time_s(0.0125), "12.5 ms");
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(1_536.0), "1.50 KiB");
        assert_eq!(bytes(1024.0 * 1024.0 * 18.3), "18.3 MiB");
        assert_eq!(bytes(5e12), "4,657 GiB");
    }

    #[test]
    fn amounts_have_cents() {
        for (given, text) in [
            (100_000.0, "100,000.00"),
            (99_196.994, "99,196.99"),
            (-803.01, "-803.01"),
            (-0.004, "0.00"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(amount(given), text);
        }
    }

    #[test]
    fn changes_have_a_sign() {
        assert_eq!(percent(0.125), "12.5%");
        assert_eq!(change(0.125), "+12.5%");
        assert_eq!(change(-0.031), "-3.10%");
        assert_eq!(change(0.0), "0%");
    }
}
