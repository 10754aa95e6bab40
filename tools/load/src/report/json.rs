//! `--json`: a report as it is kept, and read again for `--compare`. Its schema is `report.schema.json` beside this
//! package's Cargo.toml.

use std::fs;
use std::path::Path;

use anyhow::{bail, Context, Result};
use serde::Deserialize;

use super::{Report, SCHEMA};

impl Report {
    /// As JSON.
    ///
    /// # Errors
    /// None that a report is known to have.
    pub fn json(&self) -> Result<String> {
        let mut text = serde_json::to_string_pretty(self).context("a report as JSON")?;
        text.push('\n');
        Ok(text)
    }

    /// Reads what [`Report::json`] made.
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

#[cfg(test)]
mod tests {
    use super::super::example::{full_report, report};
    use super::*;

    const SCHEMA_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/report.schema.json");
    /// Set, the test writes the schema instead of comparing it.
    const RENEW: &str = "GALO_LOAD_RENEW_SCHEMA";

    #[test]
    fn the_schema_is_that_of_reports() {
        let schema = schemars::schema_for!(Report);
        let mut text = serde_json::to_string_pretty(&schema).unwrap();
        text.push('\n');
        if std::env::var_os(RENEW).is_some() {
            fs::write(SCHEMA_FILE, &text).unwrap();
        }
        let kept = fs::read_to_string(SCHEMA_FILE).unwrap_or_default();
        assert!(
            kept == text,
            "tools/load/report.schema.json is not that of `Report` any more; renew it by\n\
             {RENEW}=1 cargo test -p galo-load --lib schema\n\
             and raise `SCHEMA` if a field has gone or means something else"
        );
    }

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        for report in [report(), full_report()] {
            fs::write(&path, report.json().unwrap()).unwrap();
            assert_eq!(Report::read(&path).unwrap(), report);
        }
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let error = || format!("{:#}", Report::read(&path).unwrap_err());
        assert!(error().contains("cannot read "), "{}", error());
        for text in [
            "",
            "at_s,length_s\n",
            "{}",
            "{\"schema\":1}",
            "{\"schema\":\"1\"}",
        ] {
            fs::write(&path, text).unwrap();
            assert!(error().contains("run.json is no report of galo-load's (--json)"));
        }
        fs::write(&path, "{\"schema\":2,\"other\":true}").unwrap();
        assert!(error().contains("is a report of schema 2; this galo-load reads schema 1"));
    }
}
