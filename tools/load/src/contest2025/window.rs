//! The windows of time that totals are of.

use std::time::Duration;

use jiff::Timestamp;

/// From the end of a window to now, whatever the scale: how long a payment may take to be known is no part of the script's
/// times.
const CONFIRMED: Duration = Duration::from_millis(1_500);
/// Of a window at full length.
const WINDOW: Duration = Duration::from_millis(13_500);

/// From when to when, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    from: Timestamp,
    to: Timestamp,
}

impl Window {
    /// What is compared at this moment: at full length the script's `[now - 15 s, now - 1.5 s]`. Nothing before `earliest`: at
    /// first this moment alone.
    pub fn compared(now: Timestamp, scale: f64, earliest: Timestamp) -> Window {
        let to = now - CONFIRMED;
        Window {
            from: (to - WINDOW.mul_f64(scale)).max(earliest),
            to: to.max(earliest),
        }
    }

    /// What counts at the end: at full length the script's last 70 s.
    pub fn counted(now: Timestamp, length: Duration, earliest: Timestamp) -> Window {
        Window {
            from: (now - length - Duration::from_secs(10)).max(earliest),
            to: now,
        }
    }

    /// With its question mark.
    pub fn query(&self) -> String {
        format!("?from={:.3}&to={:.3}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest2025::stages::LENGTH;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_752_582_896 + second).unwrap()
    }

    #[test]
    fn windows_are_the_scripts_and_their_length_is_scaled() {
        let (now, always) = (at(0), Timestamp::UNIX_EPOCH);
        assert_eq!(
            Window::compared(now, 1.0, always).query(),
            "?from=2025-07-15T12:34:41.000Z&to=2025-07-15T12:34:54.500Z"
        );
        assert_eq!(
            Window::compared(now, 0.1, always).query(),
            "?from=2025-07-15T12:34:53.150Z&to=2025-07-15T12:34:54.500Z"
        );
        // Never one that ends before it begins.
        for (earliest, window) in [(-3, (-3, -1)), (0, (0, 0))] {
            let compared = Window::compared(at(0) + Duration::from_millis(500), 1.0, at(earliest));
            assert_eq!((compared.from, compared.to), (at(window.0), at(window.1)));
        }
        assert_eq!(Window::counted(now, LENGTH, always).from, at(-70));
        assert_eq!(Window::counted(now, LENGTH, at(-61)).from, at(-61));
    }
}
