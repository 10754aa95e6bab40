//! A unit of systemd, as far as a start needs it.

/// Settings in their order.
pub struct Unit(Vec<(String, String)>);

impl Unit {
    pub fn parse(text: &str) -> Unit {
        let settings = text.lines().filter(|line| !line.starts_with('#'));
        let settings = settings.filter_map(|line| line.split_once('='));
        Unit(
            settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.0.iter().filter(move |(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A setting that is there once.
    pub fn one<'a>(&'a self, name: &'a str) -> &'a str {
        let all: Vec<&str> = self.all(name).collect();
        assert_eq!(all.len(), 1, "{name} is there once");
        all[0]
    }
}
