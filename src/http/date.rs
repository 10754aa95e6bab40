//! Dates as text, from microseconds since 1970: the `Date` of a reply (RFC 9110, section 5.6.7), and
//! the timestamps in bodies (ISO 8601, in the profile of RFC 3339).

const SECOND_US: u64 = 1_000_000;
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
    text: [u8; 29],
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

    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    pub fn as_bytes(&self) -> &[u8; 29] {
        &self.text
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
        String::from_utf8(Date::new(second * SECOND_US).as_bytes().to_vec()).unwrap()
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
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
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
    fn a_date_follows_the_clock_both_ways() {
        let mut date = Date::default();
        for (realtime_us, expected) in [
            (999_999, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (1_000_000, "Thu, 01 Jan 1970 00:00:01 GMT"),
            (784_111_777_999_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (5_000_000, "Thu, 01 Jan 1970 00:00:05 GMT"),
        ] {
            date.update(realtime_us);
            assert_eq!(date.as_bytes(), expected.as_bytes());
        }
    }
}
