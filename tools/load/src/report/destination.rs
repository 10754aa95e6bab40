//! Where outputs go: files, or standard output; and where that leaves room for what people read.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{bail, Context, Result};

/// Where one output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `-`, and whatever else is the same file as standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// What stays for people: a summary in the midst of a report's JSON would make both unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free {
    /// Where the summary goes: standard output, or else standard error, or else nowhere.
    pub summary: Option<Stream>,
    /// Lines of a run that goes on have standard error.
    pub lines: bool,
}

/// A standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What tells one file from others. `None`: a device that keeps nothing, such as /dev/null, which may be given to all.
type Identity = Option<(u64, u64)>;

impl Destination {
    /// What was given to a flag.
    ///
    /// # Errors
    /// The file cannot be opened for writing. What it holds is left alone.
    pub fn open(path: &Path) -> Result<Destination> {
        let is_stdout = path == Path::new("-")
            || fs::metadata(path).is_ok_and(|file| {
                let file = identity(&file, || File::open(path).is_ok_and(|it| it.is_terminal()));
                file.is_some() && file == of_stream(io::stdout().as_fd())
            });
        if is_stdout {
            return Ok(Destination::Stdout);
        }
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Destination::File(path.to_owned()))
    }

    fn identity(&self) -> Identity {
        match self {
            Destination::Stdout => of_stream(io::stdout().as_fd()),
            Destination::File(path) => {
                let is_terminal = || File::open(path).is_ok_and(|it| it.is_terminal());
                identity(&fs::metadata(path).ok()?, is_terminal)
            }
        }
    }

    /// Writes all that is to be there. Whoever has closed standard output (`| head`) has seen enough.
    ///
    /// # Errors
    /// The file's, with its path.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        match self {
            Destination::File(path) => {
                fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
            }
            Destination::Stdout => Stream::Stdout.print(bytes),
        }
    }
}

impl Stream {
    /// Writes to it. Whoever has closed it has seen enough.
    ///
    /// # Errors
    /// The stream's, with its name.
    pub fn print(self, bytes: &[u8]) -> Result<()> {
        let (name, written) = match self {
            Stream::Stdout => {
                let mut out = io::stdout().lock();
                (
                    "standard output",
                    out.write_all(bytes).and_then(|()| out.flush()),
                )
            }
            Stream::Stderr => ("standard error", io::stderr().lock().write_all(bytes)),
        };
        match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context(name),
            _ => Ok(()),
        }
    }
}

/// What these outputs, each with its flag, leave for people.
///
/// # Errors
/// Two of them are the same file.
pub fn free(outputs: &[(&str, &Destination)]) -> Result<Free> {
    let identities: Vec<Identity> = outputs
        .iter()
        .map(|(_, output)| output.identity())
        .collect();
    for (number, (flag, output)) in outputs.iter().enumerate() {
        for (earlier, (other, before)) in outputs[..number].iter().enumerate() {
            let is_same = identities[number].is_some() && identities[number] == identities[earlier];
            // Twice `-`, wherever that goes.
            if is_same || (*output == *before && **output == Destination::Stdout) {
                bail!("{other} and {flag} are the same file: what would be read there is neither");
            }
        }
    }
    let is_taken = |stream: BorrowedFd<'_>| {
        let stream = of_stream(stream);
        stream.is_some() && identities.contains(&stream)
    };
    let stdout = outputs
        .iter()
        .any(|(_, output)| **output == Destination::Stdout);
    let stderr = is_taken(io::stderr().as_fd());
    Ok(Free {
        summary: match (stdout, stderr) {
            (false, _) => Some(Stream::Stdout),
            (true, false) => Some(Stream::Stderr),
            (true, true) => None,
        },
        lines: !stderr,
    })
}

fn of_stream(stream: BorrowedFd<'_>) -> Identity {
    let file = File::from(stream.try_clone_to_owned().ok()?);
    let is_terminal = file.is_terminal();
    identity(&file.metadata().ok()?, || is_terminal)
}

fn identity(file: &Metadata, is_terminal: impl FnOnce() -> bool) -> Identity {
    let keeps = !file.file_type().is_char_device() || is_terminal();
    keeps.then_some((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_of_one_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| Destination::open(&folder.path().join(name)).unwrap();
        let (one, other) = (at("one"), at("other"));
        std::os::unix::fs::symlink("one", folder.path().join("link")).unwrap();
        fs::hard_link(folder.path().join("one"), folder.path().join("hard")).unwrap();
        let all = [("--json", &one), ("--html", &other)];
        let plain = Free {
            summary: Some(Stream::Stdout),
            lines: true,
        };
        assert_eq!(free(&all).unwrap(), plain);
        for same in [one.clone(), at("link"), at("hard")] {
            let error = free(&[("--json", &one), ("--csv", &same)]).unwrap_err();
            assert!(error
                .to_string()
                .starts_with("--json and --csv are the same file"));
        }
        let dash = Destination::open(Path::new("-")).unwrap();
        assert_eq!(dash, Destination::Stdout);
        let error = free(&[("--csv", &dash), ("--html", &dash)]).unwrap_err();
        assert!(error
            .to_string()
            .starts_with("--csv and --html are the same file"));
        // Nobody reads what is written there.
        let null = Destination::open(Path::new("/dev/null")).unwrap();
        assert_eq!(free(&[("--json", &null), ("--csv", &null)]).unwrap(), plain);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/run.json");
        let error = format!("{:#}", Destination::open(&path).unwrap_err());
        assert!(
            error.contains("none/run.json cannot be written: "),
            "{error}"
        );
        let error = format!("{:#}", Destination::File(path).write(b"x").unwrap_err());
        assert!(
            error.contains("cannot write ") && error.contains("none/run.json: "),
            "{error}"
        );
    }
}
