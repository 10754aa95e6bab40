//! A file system of a test's own.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small tmpfs, unmounted when dropped.
pub struct Mount(PathBuf);

impl Mount {
    /// With so many MiB, at a path that is made. Needs root.
    pub fn new(path: PathBuf, mib: usize) -> Mount {
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "galo-test"])
            .arg(&path);
        let output = mount.output().expect("there is a mount command");
        assert!(
            output.status.success(),
            "these tests need root (CAP_SYS_ADMIN) to mount a tmpfs: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Mount(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all the room that is left: the file that has it.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        let full = loop {
            if let Err(error) = file.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
    }
}
