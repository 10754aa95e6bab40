//! Figures as people read them.

/// `-` where there is none.
pub fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 1e-3 => format!("{:.0} µs", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.1} s"),
    }
}

/// A length of time in whole units: `12s`, `3m05s`, `1h00m`, `2d03h`.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    match (
        seconds / 86_400,
        seconds / 3_600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    ) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (0, hours, minutes, _) => format!("{hours}h{minutes:02}m"),
        (days, hours, _, _) => format!("{days}d{hours:02}h"),
    }
}

pub fn count(count: f64) -> String {
    match count {
        count if count < 10_000.0 => format!("{count:.0}"),
        count if count < 10_000_000.0 => format!("{:.1}k", count / 1e3),
        count => format!("{:.1}M", count / 1e6),
    }
}

pub fn bytes(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 1e3 => format!("{bytes:.0} B"),
        bytes if bytes < 1e6 => format!("{:.1} kB", bytes / 1e3),
        bytes if bytes < 1e9 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} GB", bytes / 1e9),
    }
}

pub fn or_dash(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.1}"))
}

/// Which shards each node owns: `a: 0-3, b: 4-7`, and those of nobody.
pub fn owners(owners: &[Option<String>]) -> String {
    let mut groups: Vec<(&str, usize, usize)> = Vec::new();
    for (shard, owner) in owners.iter().enumerate() {
        let owner = owner.as_deref().unwrap_or("NOBODY");
        match groups.last_mut() {
            Some((last, _, end)) if *last == owner => *end = shard,
            _ => groups.push((owner, shard, shard)),
        }
    }
    let groups = groups
        .iter()
        .map(|(owner, first, last)| match first == last {
            true => format!("{owner}: {first}"),
            false => format!("{owner}: {first}-{last}"),
        });
    groups.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_units_that_matter() {
        let times = [None, Some(0.000_042), Some(0.0123), Some(1.25)].map(time);
        assert_eq!(times, ["-", "42 µs", "12.3 ms", "1.2 s"]);
        assert_eq!(
            [5.0, 185.0, 3_700.0, 100_000.0].map(clock),
            ["5s", "3m05s", "1h01m", "1d03h"]
        );
        assert_eq!(
            [9_999.0, 112_345.0, 2.5e7].map(count),
            ["9999", "112.3k", "25.0M"]
        );
        assert_eq!(
            [900.0, 5_200.0, 5.2e6, 3e9].map(bytes),
            ["900 B", "5.2 kB", "5.2 MB", "3.0 GB"]
        );
        let shards = ["a", "a", "b", "-"].map(|name| (name != "-").then(|| name.to_owned()));
        assert_eq!(owners(&shards), "a: 0-1, b: 2, NOBODY: 3");
    }
}
