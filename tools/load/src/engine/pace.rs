//! When requests are due.

use std::time::Duration;

/// When requests are due.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Closed loop: a connection's next request is due with the reply to the one before.
    Closed,
    /// Open loop: whatever the replies do.
    Open(Arrivals),
    /// Users, each with a connection of its own, who pause after every reply.
    Users(Users),
}

/// Requests that are due at given times, from one or more streams of them, each with a rate of its own.
///
/// A stream's k-th request, counted from 0, is due when the integral of its rate reaches k + ½. So a stretch whose
/// integral is a whole number has exactly that many requests, none of them at its very ends, where
/// rounding could put it into the neighbour; and streams that begin together do not all send at once.
#[derive(Clone, Debug)]
pub struct Arrivals {
    streams: Vec<Stream>,
}

/// A stretch of time in which a rate goes from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Requests a second at its beginning.
    pub from: f64,
    /// Requests a second at its end.
    pub to: f64,
    /// How long it takes.
    pub length: Duration,
}

/// How many users there are, and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Users {
    /// At the beginning.
    pub first: usize,
    /// At the end of the ramp, which is as long as the run.
    pub last: usize,
    /// From a reply to the same user's next request.
    pub pause: Duration,
}

impl Arrivals {
    /// One stream of so many requests a second, without an end.
    pub fn constant(rate: f64) -> Arrivals {
        Arrivals::streams(vec![vec![Segment {
            from: rate,
            to: rate,
            length: Duration::MAX,
        }]])
    }

    /// Of each stream its segments, one after the other. With the last of them it ends.
    pub fn streams(streams: Vec<Vec<Segment>>) -> Arrivals {
        let streams = streams.into_iter().map(Stream::new);
        Arrivals {
            streams: streams.collect(),
        }
    }
}

impl Iterator for Arrivals {
    type Item = (Duration, usize);

    /// When, from the beginning on, the next request is due, and of which stream it is.
    fn next(&mut self) -> Option<(Duration, usize)> {
        let upcoming = self.streams.iter().enumerate();
        let (due, number) = upcoming
            .filter_map(|(number, stream)| Some((stream.due?, number)))
            .min()?;
        self.streams[number].advance();
        Some((due, number))
    }
}

#[derive(Clone, Debug)]
struct Stream {
    segments: Vec<Segment>,
    /// The segment that the next request is due in.
    at: usize,
    /// Where it begins, and the integral of the rate up to there.
    begin: Duration,
    integral: f64,
    /// Of the next request.
    number: u64,
    /// When that is due; `None`: the stream has ended.
    due: Option<Duration>,
}

impl Stream {
    fn new(segments: Vec<Segment>) -> Stream {
        let mut stream = Stream {
            segments,
            at: 0,
            begin: Duration::ZERO,
            integral: 0.0,
            number: 0,
            due: None,
        };
        stream.find();
        stream
    }

    fn advance(&mut self) {
        self.number += 1;
        self.find();
    }

    fn find(&mut self) {
        self.due = None;
        while let Some(segment) = self.segments.get(self.at) {
            let share = self.number as f64 + 0.5 - self.integral;
            if share <= segment.integral() {
                self.due = Some(self.begin + segment.when(share));
                return;
            }
            self.integral += segment.integral();
            self.begin += segment.length;
            self.at += 1;
        }
    }
}

impl Segment {
    fn integral(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.length.as_secs_f64()
    }

    /// How long after its beginning the integral reaches `share`: the root of `slope/2·t² + from·t = share`, in
    /// the form that loses no digits when the slope is small.
    fn when(&self, share: f64) -> Duration {
        let slope = (self.to - self.from) / self.length.as_secs_f64();
        let root = (self.from * self.from + 2.0 * slope * share).max(0.0);
        Duration::from_secs_f64(2.0 * share / (self.from + root.sqrt())).min(self.length)
    }
}

impl Users {
    /// When the user with this number, counted from 0, comes, if the ramp takes `ramp`: the n-th of them when the line
    /// from `first` to `last` reaches n (k6, `ramping-vus`); so the last one comes at its very end.
    pub fn comes(&self, number: usize, ramp: Duration) -> Duration {
        match (number + 1).checked_sub(self.first) {
            None | Some(0) => Duration::ZERO,
            Some(after) => ramp.mul_f64(after as f64 / (self.last - self.first) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: Duration = Duration::from_secs(120);

    fn ramp(to: f64) -> Segment {
        Segment {
            from: 1.0,
            to,
            length: MINUTES,
        }
    }

    fn constant(rate: f64) -> Segment {
        Segment {
            from: rate,
            to: rate,
            length: MINUTES,
        }
    }

    fn all(arrivals: Arrivals) -> Vec<(Duration, usize)> {
        arrivals.collect()
    }

    #[test]
    fn totals_are_those_of_the_official_run() {
        for (rate, in_ramp, in_all) in [
            (220.0, 13_260, 39_660),
            (110.0, 6_660, 19_860),
            (10.0, 660, 1_860),
        ] {
            let due = all(Arrivals::streams(vec![vec![ramp(rate), constant(rate)]]));
            let ramped = due.iter().filter(|(due, _)| *due < MINUTES).count();
            assert_eq!((ramped, due.len()), (in_ramp, in_all));
        }
        let streams = [220.0, 110.0, 10.0].map(|rate| vec![ramp(rate), constant(rate)]);
        let due = all(Arrivals::streams(streams.to_vec()));
        assert_eq!(due.len(), 61_380);
        assert!(due.windows(2).all(|pair| pair[0].0 <= pair[1].0));
        let credits = due.iter().filter(|(_, stream)| *stream == 1);
        assert_eq!(credits.count(), 19_860);
    }

    #[test]
    fn a_ramp_follows_its_line() {
        let due = all(Arrivals::streams(vec![vec![ramp(220.0)]]));
        for (k, (at, _)) in due.iter().enumerate() {
            let t = at.as_secs_f64();
            let integral = t + (219.0 / 120.0) / 2.0 * t * t;
            assert!((integral - (k as f64 + 0.5)).abs() < 1e-6, "{k} at {t}");
        }
        // Downwards, to nothing, and a pause.
        let down = Segment {
            from: 10.0,
            to: 0.0,
            length: Duration::from_secs(2),
        };
        let pause = Segment {
            from: 0.0,
            to: 0.0,
            length: Duration::from_secs(3),
        };
        let due = all(Arrivals::streams(vec![vec![down, pause, down]]));
        assert_eq!(due.len(), 20);
        assert!(due[9].0 < Duration::from_secs(2) && due[10].0 > Duration::from_secs(5));
    }

    #[test]
    fn a_constant_rate_has_no_end() {
        let mut arrivals = Arrivals::constant(20_000.0);
        for k in 0..100_000_u32 {
            let due = Duration::from_micros(25) + k * Duration::from_micros(50);
            let (at, stream) = arrivals.next().unwrap();
            assert!(at.abs_diff(due) < Duration::from_nanos(2) && stream == 0);
        }
    }

    #[test]
    fn users_come_along_a_line() {
        let users = Users {
            first: 1,
            last: 551,
            pause: Duration::ZERO,
        };
        let ramp = Duration::from_secs(55);
        let comes = |number| users.comes(number, ramp);
        assert_eq!(comes(0), Duration::ZERO);
        assert_eq!(comes(1), Duration::from_millis(100));
        assert_eq!(comes(550), ramp);
        let same = Users { last: 1, ..users };
        assert_eq!(same.comes(0, ramp), Duration::ZERO);
    }
}
