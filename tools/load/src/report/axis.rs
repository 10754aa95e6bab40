//! Scales, and the ticks on them: of the page and of the screen.

/// Beyond this factor between the least and the largest, a scale is logarithmic: two decades.
const LINEAR_FACTOR_MAX: f64 = 100.0;
/// Steps of a time axis, in seconds: those of a clock from fifteen seconds on.
const TIME_STEPS_S: [f64; 11] = [
    15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0,
];

/// Of a time axis: some four months.
const LENGTH_S_MAX: f64 = 1e7;

/// Where values lie, as a part of the axis' length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From, to.
    Linear(f64, f64),
    /// From, to; both more than zero.
    Log(f64, f64),
}

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Its place as a part of the axis' length, from the lower end.
    pub at: f64,
    /// What it says.
    pub label: String,
    /// It goes first where there is little room.
    pub fine: bool,
}

/// A scale with its ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Where values lie.
    pub scale: Scale,
    /// In order.
    pub ticks: Vec<Tick>,
}

impl Scale {
    /// The place of a value, from 0 to 1; what lies outside is at the nearer end, and what is no number at the lower one.
    pub fn at(&self, value: f64) -> f64 {
        let at = match *self {
            Scale::Linear(from, to) => (value - from) / (to - from),
            Scale::Log(from, to) => (value.max(from).ln() - from.ln()) / (to.ln() - from.ln()),
        };
        match at.is_finite() {
            true => at.clamp(0.0, 1.0),
            false if value == f64::INFINITY => 1.0,
            false => 0.0,
        }
    }
}

impl Axis {
    /// From zero to the next step above `max`, with about so many steps.
    pub fn from_zero(max: f64, steps: usize, label: impl Fn(f64) -> String) -> Axis {
        let max = if max.is_finite() && max > 1e-9 {
            max
        } else {
            1.0
        };
        let step = step(max / steps as f64);
        // A hair less, so that 0.3 / 0.1 is no four steps.
        let count = (max / step - 1e-9).ceil().max(1.0) as usize;
        let scale = Scale::Linear(0.0, step * count as f64);
        let ticks = (0..=count).map(|number| Tick {
            at: number as f64 / count as f64,
            label: label(step * number as f64),
            fine: number % 2 != 0,
        });
        Axis {
            ticks: ticks.collect(),
            scale,
        }
    }

    /// From the last 1, 2 or 5 below `min` to the next above `max`.
    pub fn log(min: f64, max: f64, label: impl Fn(f64) -> String) -> Axis {
        let usable = |value: f64| value.is_finite() && value > 0.0;
        let max = if usable(max) { max } else { 1.0 };
        let min = if usable(min) { min.min(max) } else { max };
        let (mut low, mut high) = (number_below(min), number_above(max));
        // A decade at least, so that a constant is a line and not the whole chart.
        while high - low < 3 {
            low -= 1;
            high += 1;
        }
        let scale = Scale::Log(one_two_five(low), one_two_five(high));
        let decades = (high - low) / 3;
        let every = 1 + decades / 8;
        let ticks = (low..=high).filter_map(|number| {
            let is_decade = number.rem_euclid(3) == 0;
            let wanted = match decades {
                0..=2 => true,
                _ => is_decade && number.div_euclid(3).rem_euclid(every) == 0,
            };
            let value = one_two_five(number);
            wanted.then(|| Tick {
                at: scale.at(value),
                label: label(value),
                fine: !is_decade && decades > 0,
            })
        });
        Axis {
            ticks: ticks.collect(),
            scale,
        }
    }

    /// Of such values: linear from zero, or logarithmic where they span more than two decades. Zeros are no values.
    pub fn fitting(
        values: impl Iterator<Item = f64>,
        steps: usize,
        label: impl Fn(f64) -> String,
    ) -> Axis {
        let values = values.filter(|value| value.is_finite() && *value > 0.0);
        let (min, max) = values.fold((f64::INFINITY, 0.0_f64), |(min, max), value| {
            (min.min(value), max.max(value))
        });
        match max > min * LINEAR_FACTOR_MAX {
            true => Axis::log(min, max, label),
            false => Axis::from_zero(max, steps, label),
        }
    }

    /// Of a run of so many seconds: exactly as long.
    pub fn time(length_s: f64) -> Axis {
        let usable = length_s.is_finite() && length_s > 1e-6;
        let length_s = if usable {
            length_s.min(LENGTH_S_MAX)
        } else {
            1.0
        };
        // Labels with hours are longer.
        let wanted = length_s / if length_s < 3_600.0 { 10.0 } else { 7.0 };
        let of_a_clock = TIME_STEPS_S.into_iter().find(|step| *step >= wanted);
        let step = match of_a_clock {
            Some(step_s) if wanted > 10.0 => step_s,
            _ => step(wanted),
        };
        let count = (length_s / step + 1e-9).floor() as usize;
        let ticks = (0..=count).map(|number| Tick {
            at: (step * number as f64 / length_s).min(1.0),
            label: clock(step * number as f64, length_s),
            fine: number % 2 != 0,
        });
        Axis {
            scale: Scale::Linear(0.0, length_s),
            ticks: ticks.collect(),
        }
    }
}

/// The next 1, 2 or 5 with any number of zeros, from `least` on.
fn step(least: f64) -> f64 {
    one_two_five(number_above(least))
}

/// The 1, 2, 5, 10, … of this number; 0 is 1.
pub fn one_two_five(number: i32) -> f64 {
    let decade = 10_f64.powi(number.div_euclid(3));
    decade * [1.0, 2.0, 5.0][number.rem_euclid(3) as usize]
}

/// The number of the first of [`one_two_five`] that is not less than a value more than zero.
pub fn number_above(value: f64) -> i32 {
    let decade = 3 * value.log10().floor() as i32;
    let above = (decade - 1..).find(|number| one_two_five(*number) >= value * (1.0 - 1e-9));
    above.unwrap_or(decade)
}

/// The number of the last of them that is not more than a value more than zero.
pub fn number_below(value: f64) -> i32 {
    let above = number_above(value);
    match one_two_five(above) > value * (1.0 + 1e-9) {
        true => above - 1,
        false => above,
    }
}

/// A moment of a run, as short as its length lets it be: `12.5 s`, `1:30`, `1:00:00`.
pub fn clock(at_s: f64, length_s: f64) -> String {
    if length_s <= 100.0 {
        return format!("{} s", short(at_s));
    }
    let seconds = at_s.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match length_s {
        length_s if length_s < 3_600.0 => format!("{minutes}:{seconds:02}"),
        length_s if length_s < 360_000.0 => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{hours} h"),
    }
}

/// A number of a scale without the digits that do not count.
fn short(number: f64) -> String {
    let rounded: f64 = format!("{number:.3e}").parse().unwrap_or_default();
    match rounded.abs() {
        size if !size.is_finite() => "–".to_owned(),
        size if size >= 1e9 || (size > 0.0 && size < 1e-6) => format!("{rounded:e}"),
        _ => rounded.to_string(),
    }
}

/// Label of a time in microseconds: `200 µs`, `5 ms`.
pub fn time_label(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", short(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", short(us / 1e3)),
        us if us > 0.0 => format!("{} µs", short(us)),
        _ => "0".to_owned(),
    }
}

/// Label of a number of things: `500`, `20k`, `1.5M`.
pub fn count_label(count: f64) -> String {
    match count {
        count if count >= 1e9 => format!("{}G", short(count / 1e9)),
        count if count >= 1e6 => format!("{}M", short(count / 1e6)),
        count if count >= 1e4 => format!("{}k", short(count / 1e3)),
        count => short(count),
    }
}

/// Label of a share of one: `2.5%`.
pub fn percent_label(share: f64) -> String {
    format!("{}%", short(share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| &*tick.label).collect()
    }

    #[test]
    fn linear_ticks_are_ones_twos_and_fives() {
        let axis = Axis::from_zero(340.0, 4, count_label);
        assert_eq!(labels(&axis), ["0", "100", "200", "300", "400"]);
        let axis = Axis::from_zero(21_400.0, 4, count_label);
        assert_eq!(labels(&axis), ["0", "10k", "20k", "30k"]);
        let axis = Axis::from_zero(0.3, 3, count_label);
        assert_eq!(labels(&axis), ["0", "0.1", "0.2", "0.3"]);
        let axis = Axis::from_zero(1_234.0, 4, time_label);
        assert_eq!(labels(&axis), ["0", "500 µs", "1 ms", "1.5 ms"]);
        assert_eq!(axis.scale, Scale::Linear(0.0, 1_500.0));
    }

    #[test]
    fn logarithmic_ticks_are_decades_where_there_are_many() {
        let axis = Axis::log(80.0, 1_300.0, time_label);
        let expected = ["50 µs", "100 µs", "200 µs", "500 µs", "1 ms", "2 ms"];
        assert_eq!(labels(&axis), expected);
        let axis = Axis::log(3.0, 7e6, time_label);
        let expected = ["10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s"];
        assert_eq!(labels(&axis), expected);
        assert_eq!(axis.scale, Scale::Log(2.0, 1e7));
        assert!((axis.scale.at(1_000.0) - 0.4029).abs() < 1e-3);
        // What is on a tick is no reason for another one beyond it.
        assert_eq!(
            Axis::log(1.0, 100.0, time_label).scale,
            Scale::Log(1.0, 100.0)
        );
    }

    #[test]
    fn labels_have_the_digits_that_count() {
        let texts = [0.0, 0.015, 2.5, 400.0, 20_000.0].map(count_label);
        assert_eq!(texts, ["0", "0.015", "2.5", "400", "20k"]);
        let texts = [0.5, 1.0, 200.0, 1_000.0, 5e4, 1e7].map(time_label);
        assert_eq!(texts, ["0.5 µs", "1 µs", "200 µs", "1 ms", "50 ms", "10 s"]);
        let up = [812.0, 100.0, 201.0].map(|us| one_two_five(number_above(us)));
        assert_eq!(up, [1_000.0, 100.0, 500.0]);
    }

    #[test]
    fn two_decades_are_linear_and_more_are_not() {
        let of = |values: &[f64]| Axis::fitting(values.iter().copied(), 4, time_label).scale;
        assert_eq!(of(&[0.0, 10.0, 1_000.0]), Scale::Linear(0.0, 1_000.0));
        assert_eq!(of(&[10.0, 1_001.0]), Scale::Log(10.0, 2_000.0));
    }

    #[test]
    fn axes_of_nothing_of_one_value_and_of_the_impossible_are_axes() {
        let awkward: [&[f64]; 6] = [
            &[],
            &[0.0],
            &[7.0],
            &[7.0, 7.0],
            &[f64::NAN, f64::INFINITY, -1.0],
            &[1e-300, 1e300],
        ];
        for values in awkward {
            let max = values.iter().copied().fold(0.0, f64::max);
            let min = values.iter().copied().fold(f64::INFINITY, f64::min);
            for axis in [
                Axis::fitting(values.iter().copied(), 4, time_label),
                Axis::from_zero(max, 4, count_label),
                Axis::log(min, max, time_label),
                Axis::time(max),
            ] {
                assert!((2..=16).contains(&axis.ticks.len()), "{values:?}: {axis:?}");
                for tick in &axis.ticks {
                    assert!((0.0..=1.0).contains(&tick.at), "{values:?}: {axis:?}");
                    assert!(!tick.label.contains("NaN"), "{values:?}: {axis:?}");
                }
                for pair in axis.ticks.windows(2) {
                    assert!(pair[0].at < pair[1].at, "{values:?}: {axis:?}");
                    assert_ne!(pair[0].label, pair[1].label, "{values:?}");
                }
                for value in values.iter().chain(&[0.0, f64::NAN, f64::INFINITY, -5.0]) {
                    assert!((0.0..=1.0).contains(&axis.scale.at(*value)), "{values:?}");
                }
            }
        }
    }

    #[test]
    fn time_has_the_steps_of_a_clock() {
        assert_eq!(labels(&Axis::time(3.2))[..3], ["0 s", "0.5 s", "1 s"]);
        assert_eq!(labels(&Axis::time(30.0))[..3], ["0 s", "5 s", "10 s"]);
        assert_eq!(labels(&Axis::time(240.0))[..3], ["0:00", "0:30", "1:00"]);
        let hour = Axis::time(3_600.0);
        assert_eq!(labels(&hour)[..3], ["0:00:00", "0:10:00", "0:20:00"]);
        assert_eq!(hour.ticks.last().map(|tick| tick.at), Some(1.0));
        assert_eq!(Axis::time(30.5).scale, Scale::Linear(0.0, 30.5));
    }
}
