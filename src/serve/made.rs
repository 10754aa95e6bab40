//! Undoes a start that fails: the directories, and the files of a new data directory, that it has made.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::shard::lock::ShardLock;
use crate::shard::{self, Locked};

/// See the module: dropped before [`keep`](Self::keep), it takes everything away again, as far as nobody else has
/// begun to use it.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Directories that were made, from the outside in.
    directories: Vec<PathBuf>,
    data: Option<PathBuf>,
    lock: Option<PathBuf>,
}

impl Made {
    /// This directory may be about to be made.
    pub fn note(&mut self, path: &Path) {
        if !path.exists() {
            self.directories.push(path.to_owned());
        }
    }

    /// Notes a lock file, to be removed with the rest.
    pub fn note_lock(&mut self, path: &Path) {
        if !path.exists() {
            self.lock = Some(path.to_owned());
        }
    }

    /// Makes a directory and those above it that are missing, durably: each new name is synced.
    pub fn directory(&mut self, path: &Path) -> io::Result<()> {
        let missing = path
            .ancestors()
            .take_while(|at| !at.as_os_str().is_empty() && !at.exists());
        let mut missing: Vec<&Path> = missing.collect();
        missing.reverse();
        let new = missing.iter().map(|path| path.to_path_buf());
        self.directories.extend(new);
        fs::create_dir_all(path)?;
        for made in missing.into_iter().rev() {
            let above = made.parent().filter(|above| !above.as_os_str().is_empty());
            fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    /// This data directory is about to be filled.
    pub fn data(&mut self, path: &Path) {
        self.data = Some(path.to_owned());
    }

    /// Keeps everything: the start went well.
    pub fn keep(mut self) {
        (self.directories, self.data, self.lock) = (Vec::new(), None, None);
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // What cannot be removed is a directory that can be made use of, or that is made anew: no reason for a
        // line beside the one that says why the start failed.
        if let Some(data) = &self.data {
            let _ = shard::unmake(data);
        }
        if let Some(path) = &self.lock {
            // Unless another has it by now.
            if let Ok(Locked::Ours(_lock)) = ShardLock::acquire(path, "") {
                let _ = fs::remove_file(path);
            }
        }
        for directory in self.directories.iter().rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}
