//! Dates as text, from microseconds since 1970: the `Date` of a reply (RFC 9110, section 5.6.7), and
//! the timestamps in bodies and queries (ISO 8601, in the profile of RFC 3339), which are also read.

use crate::limits::SECOND_US;
const DAY_S: u64 = 86_400;
/// The last second that four digits of a year can tell. Later ones are told as this one.
const SECOND_MAX: u64 = 253_402_300_799;

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The present second as an IMF-fixdate, rendered once a second and not once a reply.
#[derive(Clone, Debug)]
pub struct Date {
    second: u64,
    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    pub text: [u8; 29],
}

impl Date {
    /// `realtime_us`: microseconds since 1970-01-01 UTC.
    pub fn new(realtime_us: u64) -> Date {
        let second = realtime_us / SECOND_US;
        Date {
            second,
            text: imf_fixdate(second),
        }
    }

    /// Follows the clock, which may step either way.
    pub fn update(&mut self, realtime_us: u64) {
        if realtime_us / SECOND_US != self.second {
            *self = Date::new(realtime_us);
        }
    }
}

impl Default for Date {
    /// 1970, until the first update.
    fn default() -> Date {
        Date::new(0)
    }
}

fn imf_fixdate(second: u64) -> [u8; 29] {
    let second = second.min(SECOND_MAX);
    let (year, month, day) = civil(second / DAY_S);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[(second / DAY_S % 7) as usize]);
    put(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    put(&mut text[12..16], year);
    put_time(&mut text[17..25], second);
    text
}

/// `2024-01-17T02:34:41.217753Z`, from microseconds since 1970-01-01 UTC.
pub fn iso8601(realtime_us: u64) -> [u8; 27] {
    let realtime_us = realtime_us.min(SECOND_MAX * SECOND_US + SECOND_US - 1);
    let second = realtime_us / SECOND_US;
    let (year, month, day) = civil(second / DAY_S);
    let mut text = *b"1970-01-01T00:00:00.000000Z";
    put(&mut text[..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put_time(&mut text[11..19], second);
    put(&mut text[20..26], realtime_us % SECOND_US);
    text
}

/// `2025-07-15T12:34:56.000Z`, from microseconds since 1970-01-01 UTC; what is past the millisecond
/// is cut off.
pub fn iso8601_ms(realtime_us: u64) -> [u8; 24] {
    let mut text = *b"1970-01-01T00:00:00.000Z";
    text[..23].copy_from_slice(&iso8601(realtime_us)[..23]);
    text
}

/// Where a moment between two microseconds goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// To the later microsecond.
    Up,
    /// To the earlier microsecond.
    Down,
}

/// Reads `YYYY-MM-DDTHH:MM:SS`, then maybe a point and any number of digits, then maybe `Z` or an
/// offset, `+hh:mm` or `-hh:mm`; without either it is UTC. `T` and `Z` may be of lower case. In
/// microseconds since 1970-01-01 UTC; what was before is 0. `None` for other texts and for dates and
/// times that are not, a 60th second among them.
pub fn parse_iso8601(text: &[u8], round: Round) -> Option<u64> {
    let (moment, rest) = text.split_at_checked(19)?;
    let year = number(&moment[..4])?;
    let month = number(&moment[5..7])?;
    let day = number(&moment[8..10])?;
    let [hour, minute, second] = [11, 14, 17].map(|at| number(&moment[at..at + 2]));
    let (hour, minute, second) = (hour?, minute?, second?);
    let marks = [4, 7, 10, 13, 16].map(|at| moment[at].to_ascii_uppercase());
    let is_date = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    if marks != *b"--T::" || !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }

    let (mut micros, mut beyond, mut zone) = (0, false, rest);
    if let [b'.', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|it| it.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let past = digits.min(6);
        micros = number(&fraction[..past])? * 10_i64.pow(6 - past as u32);
        beyond = fraction[past..digits].iter().any(|digit| *digit != b'0');
        zone = &fraction[digits..];
    }
    let offset_minutes = match zone {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let ahead = hours * 60 + minutes;
            if *sign == b'+' {
                ahead
            } else {
                -ahead
            }
        }
        _ => return None,
    };
    let minutes = (days(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    let rounded = i64::from(beyond && round == Round::Up);
    let micros = (minutes * 60 + second) * SECOND_US as i64 + micros + rounded;
    Some(micros.max(0) as u64)
}

/// A number of decimal digits; `None` for any other text.
fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(digit - b'0'))
    })
}

fn month_days(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The opposite of [`civil`], for years from 0 on: `days_from_civil` of the same source.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let of_year = (153 * month_from_march + 2) / 5 + day - 1;
    // Of the year before 0, too, to which its January and February belong.
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + of_year - 719_468
}

/// `hh:mm:ss`; the colons are there.
fn put_time(text: &mut [u8], second: u64) {
    put(&mut text[..2], second % DAY_S / 3600);
    put(&mut text[3..5], second % 3600 / 60);
    put(&mut text[6..8], second % 60);
}

/// Fills `text` with the last digits of `number`.
fn put(text: &mut [u8], mut number: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month from 1, day from 1, of a day counted from 1970-01-01 in the Gregorian calendar.
///
/// Years begin in March, so that the leap day is the last and months follow one formula: Howard
/// Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(day: u64) -> (u64, u64, u64) {
    const ERA_DAYS: u64 = 146_097; // 400 years
    let day = day + 719_468; // since 0000-03-01
    let of_era = day % ERA_DAYS;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let month = (month_from_march + 2) % 12 + 1;
    let year = day / ERA_DAYS * 400 + year_of_era + u64::from(month <= 2);
    (year, month, of_year - (153 * month_from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixdate(second: u64) -> String {
        String::from_utf8(Date::new(second * SECOND_US).text.to_vec()).unwrap()
    }

    fn iso(realtime_us: u64) -> String {
        String::from_utf8(iso8601(realtime_us).to_vec()).unwrap()
    }

    #[test]
    fn seconds_have_these_dates() {
        for (second, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (SECOND_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (SECOND_MAX + 1, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(fixdate(second), expected);
        }
    }

    #[test]
    fn microseconds_have_these_timestamps() {
        for (realtime_us, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_705_458_881_217_753, "2024-01-17T02:34:41.217753Z"),
            (1_705_458_881_000_001, "2024-01-17T02:34:41.000001Z"),
            (u64::MAX, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(iso(realtime_us), expected);
        }
    }

    #[test]
    fn days_follow_one_another_through_400_years() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..146_097 {
            assert_eq!(civil(number), (year, month, day));
            let [y, m, d] = [year, month, day].map(|part| part as i64);
            assert_eq!(days(y, m, d), number as i64);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            assert_eq!(month_days(y, m), days as i64);
            day += 1;
            if day > days {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn milliseconds_have_these_timestamps() {
        for (realtime_us, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_752_582_896_000_000, "2025-07-15T12:34:56.000Z"),
            (1_752_582_896_789_999, "2025-07-15T12:34:56.789Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(iso8601_ms(realtime_us), expected.as_bytes());
        }
    }

    #[test]
    fn timestamps_are_these_microseconds() {
        const NOON: u64 = 1_752_582_896_000_000;
        for (text, down, up) in [
            ("2025-07-15T12:34:56Z", NOON, NOON),
            ("2025-07-15T12:34:56", NOON, NOON),
            ("2025-07-15t12:34:56z", NOON, NOON),
            ("2025-07-15T12:34:56.000Z", NOON, NOON),
            ("2025-07-15T12:34:56.7", NOON + 700_000, NOON + 700_000),
            ("2025-07-15T12:34:56.789Z", NOON + 789_000, NOON + 789_000),
            ("2025-07-15T12:34:56.000001", NOON + 1, NOON + 1),
            ("2025-07-15T12:34:56.0000010000Z", NOON + 1, NOON + 1),
            ("2025-07-15T12:34:56.0000001Z", NOON, NOON + 1),
            (
                "2025-07-15T12:34:56.99999999999999999999999999999999Z",
                NOON + 999_999,
                NOON + 1_000_000,
            ),
            ("2025-07-15T14:34:56+02:00", NOON, NOON),
            ("2025-07-15T07:04:56-05:30", NOON, NOON),
            ("2025-07-16T12:33:56.000001+23:59", NOON + 1, NOON + 1),
            ("2025-07-15T12:34:56-00:00", NOON, NOON),
            (
                "2000-02-29T00:00:00Z",
                951_782_400_000_000,
                951_782_400_000_000,
            ),
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1969-12-31T23:59:59.9999999Z", 0, 0),
            ("1970-01-01T00:00:00.5+01:00", 0, 0),
            ("0000-01-01T00:00:00Z", 0, 0),
            (
                "9999-12-31T23:59:59-23:59",
                253_402_387_139_000_000,
                253_402_387_139_000_000,
            ),
        ] {
            assert_eq!(
                parse_iso8601(text.as_bytes(), Round::Down),
                Some(down),
                "{text}"
            );
            assert_eq!(
                parse_iso8601(text.as_bytes(), Round::Up),
                Some(up),
                "{text}"
            );
        }
    }

    #[test]
    fn whatever_else_is_no_timestamp() {
        for text in [
            "",
            "now",
            "0",
            "1752582896",
            "2025-07-15",
            "2025-07-15T12:34",
            "2025-07-15 12:34:56",
            "2025-07-15T12:34:56.",
            "2025-07-15T12:34:56.Z",
            "2025-07-15T12:34:56,5Z",
            "2025-07-15T12:34:56ZZ",
            "2025-07-15T12:34:56.5ZZ",
            "2025-07-15T12:34:56 Z",
            "2025-07-15T12:34:56+02",
            "2025-07-15T12:34:56+0200",
            "2025-07-15T12:34:56+24:00",
            "2025-07-15T12:34:56+02:60",
            "2025-07-15T12:34:56 02:00",
            "2025-00-15T12:34:56Z",
            "2025-13-15T12:34:56Z",
            "2025-07-00T12:34:56Z",
            "2025-07-32T12:34:56Z",
            "2025-06-31T12:34:56Z",
            "2025-02-29T12:34:56Z",
            "1900-02-29T12:34:56Z",
            "2024-02-30T12:34:56Z",
            "2025-07-15T24:00:00Z",
            "2025-07-15T12:60:56Z",
            "2025-07-15T12:34:60Z",
            "2025-7-15T12:34:56.0Z",
            "+025-07-15T12:34:56Z",
            "12025-07-15T12:34:56Z",
            "2025/07/15T12:34:56Z",
            "2025-07-15T12-34-56Z",
            "2025-07-15T12:34:5\u{663}Z",
        ] {
            for round in [Round::Up, Round::Down] {
                assert_eq!(parse_iso8601(text.as_bytes(), round), None, "{text}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut realtime_us = 1;
        while realtime_us < SECOND_MAX * SECOND_US {
            for round in [Round::Up, Round::Down] {
                assert_eq!(
                    parse_iso8601(&iso8601(realtime_us), round),
                    Some(realtime_us)
                );
            }
            realtime_us += 1 + realtime_us / 5;
        }
    }

    #[test]
    fn a_date_follows_the_clock_both_ways() {
        let mut date = Date::default();
        for (realtime_us, expected) in [
            (999_999, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_000_000, "Thu, 01 Jan 1970 00:00:01 GMT"),
            (784_111_777_999_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (5_000_000, "Thu, 01 Jan 1970 00:00:05 GMT"),
        ] {
            date.update(realtime_us);
            assert_eq!(date.text, expected.as_bytes());
        }
    }
}
