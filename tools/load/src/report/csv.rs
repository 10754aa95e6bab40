//! The time series as comma-separated values.

use std::io::Write;

use anyhow::{Context, Result};

use super::{rounded, Report, WatchedPoint};
use crate::measure::Point;

/// Of the run itself; what was watched follows.
const COLUMNS: [&str; 10] = [
    "at_s", "length_s", "replies", "rate", "failed", "late", "p50_us", "p90_us", "p99_us", "max_us",
];

/// One line for each point of the series, after one with the columns' names. What was watched is in two columns of
/// its own each, `NAME resident_bytes` and `NAME cpu`: as it was last seen within that point, empty if it was not.
///
/// # Errors
/// None that memory is known to have.
pub fn csv(report: &Report) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    write_to(report, &mut text).context("a report as CSV")?;
    Ok(text)
}

fn write_to(report: &Report, out: impl Write) -> ::csv::Result<()> {
    let mut out = ::csv::Writer::from_writer(out);
    for column in COLUMNS {
        out.write_field(column)?;
    }
    for subject in &report.watched {
        out.write_field(format!("{} resident_bytes", subject.name))?;
        out.write_field(format!("{} cpu", subject.name))?;
    }
    out.write_record(None::<&[u8]>)?;
    for (number, point) in report.series.iter().enumerate() {
        let next = report.series.get(number + 1);
        for value in values(point) {
            out.write_field(value)?;
        }
        for subject in &report.watched {
            let seen = at_end(&subject.points, point, next);
            let resident = seen.map(|seen| seen.resident_bytes.to_string());
            out.write_field(resident.unwrap_or_default())?;
            out.write_field(seen.map(|seen| decimal(seen.cpu)).unwrap_or_default())?;
        }
        out.write_record(None::<&[u8]>)?;
    }
    out.flush()?;
    Ok(())
}

/// In the order of [`COLUMNS`].
fn values(point: &Point) -> [String; COLUMNS.len()] {
    [
        decimal(point.at_s),
        decimal(point.length_s),
        point.replies.to_string(),
        decimal(point.rate()),
        point.failed.to_string(),
        point.late.to_string(),
        latency(point.p50_us),
        latency(point.p90_us),
        latency(point.p99_us),
        latency(point.max_us),
    ]
}

/// The look at a subject that was made at the end of a point: the one nearest to it, from the point's middle to the next
/// one's. Looks are made when an interval has ended, so that most are a little later than that; the last point (`next`:
/// `None`) has all that follow.
fn at_end<'a>(
    looks: &'a [WatchedPoint],
    point: &Point,
    next: Option<&Point>,
) -> Option<&'a WatchedPoint> {
    let middle = |point: &Point| point.at_s + point.length_s / 2.0;
    let is_of_it = |look: &&WatchedPoint| {
        look.at_s > middle(point) && next.is_none_or(|next| look.at_s <= middle(next))
    };
    let from_end = |look: &WatchedPoint| (look.at_s - (point.at_s + point.length_s)).abs();
    let looks = looks.iter().filter(is_of_it);
    looks.min_by(|one, other| from_end(one).total_cmp(&from_end(other)))
}

/// In microseconds; empty where nothing was answered, so that no mean of the column takes an outage for a quick reply.
fn latency(us: f64) -> String {
    match us > 0.0 {
        true => decimal(us),
        false => String::new(),
    }
}

/// To a millionth, without noise behind it.
fn decimal(number: f64) -> String {
    rounded(number, 6).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::example::{report, watched};
    use super::*;

    #[test]
    fn one_line_for_each_point() {
        let mut report = report();
        let point = |at_s, length_s, replies| Point {
            at_s,
            length_s,
            replies,
            p99_us: 7_214.000_000_4,
            ..Point::default()
        };
        report.series = vec![
            point(0.0, 1.0, 340),
            point(1.0, 1.0, 341),
            point(2.0, 0.5, 17),
        ];
        let look = |at_s, resident_bytes| WatchedPoint {
            at_s,
            resident_bytes,
            cpu: 0.25,
        };
        // At the first end a little late, at the second not at all, at the third after the last replies.
        let looks = vec![look(0.0, 1), look(1.02, 2), look(3.4, 3)];
        report.watched = vec![watched("pid 7 (galo, the one)", looks)];
        let mut out = Vec::new();
        write_to(&report, &mut out).unwrap();
        let lines = [
            "at_s,length_s,replies,rate,failed,late,p50_us,p90_us,p99_us,max_us,\
             \"pid 7 (galo, the one) resident_bytes\",\"pid 7 (galo, the one) cpu\"",
            "0,1,340,340,0,0,,,7214,,2,0.25",
            "1,1,341,341,0,0,,,7214,,,",
            "2,0.5,17,34,0,0,,,7214,,3,0.25",
            "",
        ];
        assert_eq!(String::from_utf8(out).unwrap(), lines.join("\n"));
    }
}
