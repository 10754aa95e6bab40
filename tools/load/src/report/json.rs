//! `--json`: a report as it is kept, and read again for `--compare`. Its schema is `report.schema.json` beside this
//! package's Cargo.toml.

use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};
use serde::Deserialize;

use super::{Report, SCHEMA};

impl Report {
    /// Writes it as JSON.
    ///
    /// # Errors
    /// The file's, with its path.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self).context("a report as JSON")?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads what [`Report::write_json`] wrote.
    ///
    /// # Errors
    /// The file cannot be read, is no report, or is one of another [`SCHEMA`]; with its path.
    pub fn read(path: &Path) -> Result<Report> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.display();
        // Another form may lack fields: what it says of itself is read first.
        #[derive(Deserialize)]
        struct Form {
            schema: u32,
        }
        let form: Form = serde_json::from_slice(&text)
            .with_context(|| format!("{name} is no report of galo-load's (--json)"))?;
        if form.schema != SCHEMA {
            let schema = form.schema;
            bail!("{name} is a report of schema {schema}; this galo-load reads schema {SCHEMA}: make it anew");
        }
        serde_json::from_slice(&text)
            .with_context(|| format!("{name} is no report of galo-load's (--json)"))
    }
}
