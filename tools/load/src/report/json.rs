//! A report as a file.

use std::path::Path;

use anyhow::Result;

use super::Report;

impl Report {
    /// A former run.
    ///
    /// # Errors
    /// The file cannot be read, is no report, or one of another form.
    pub fn read(path: &Path) -> Result<Report> {
        let _ = path;
        todo!()
    }

    /// Writes it.
    ///
    /// # Errors
    /// The file's, with its path.
    pub fn write_json(&self, path: &Path) -> Result<()> {
        let _ = path;
        todo!()
    }
}
