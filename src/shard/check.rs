//! Verifies a data directory without changing anything: no lock is taken, no file is cut or removed, so a check can
//! run while galo serves.

use std::io::{self, Write};
use std::path::Path;

use super::disk::{Disk, RealDisk};
use super::error::{At, RecoveryError};
use super::payments::Run;
use super::snapshot::{self, HEADER_BYTES};
use super::{archive, layout, recovery, Identity, LogPosition, Meta, Shard};
use crate::bank::Account;

/// How often a shard is looked at again because galo removed a file meanwhile.
const ATTEMPTS_MAX: usize = 5;

/// What a data directory holds, all shards together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckSummary {
    /// Shards that were checked.
    pub shards: u32,
    /// Accounts in all shards.
    pub accounts: u64,
    /// Payments that wait for a processor, or that one may have.
    pub payments_open: u64,
    /// Payments that a processor has.
    pub payments_settled: u64,
    /// Journal records that are there (older ones are covered by snapshots, and gone).
    pub records: u64,
    /// Bytes of snapshots, of runs of settled payments, and of the journal's good records.
    pub bytes: u64,
}

/// Verifies the data directory: every snapshot, every account, outcome and payment in it, every run of settled
/// payments, every record, the chain, and that the journal applies to the snapshots. Prints what is in it, a line for each shard. `Err`:
/// the first damage. A torn tail is none.
pub fn check(dir: &Path, output: &mut impl Write) -> Result<CheckSummary, RecoveryError> {
    check_on(&RealDisk, dir, output)
}

/// [`check`] on any [`Disk`].
pub fn check_on<D: Disk>(
    disk: &D,
    dir: &Path,
    output: &mut impl Write,
) -> Result<CheckSummary, RecoveryError> {
    let meta = Meta::read(disk, dir)?.ok_or_else(|| RecoveryError::NotMade {
        dir: dir.to_owned(),
    })?;
    let mut summary = CheckSummary {
        shards: meta.shards,
        ..CheckSummary::default()
    };
    for shard in 0..meta.shards {
        let mut attempt = 1;
        let found = loop {
            match check_shard(disk, dir, &meta.identity(shard)) {
                Err(RecoveryError::Io { error, .. })
                    if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS_MAX =>
                {
                    attempt += 1;
                }
                // A run that was made while the directory was listed.
                Err(RecoveryError::RunMissing { .. }) if attempt < ATTEMPTS_MAX => attempt += 1,
                found => break found?,
            }
        };
        let found = match found {
            Found::Archive(archive) => {
                summary.bytes += archive.bytes;
                print(
                    output,
                    format_args!(
                        "shard {shard}: an archive of {} files with record {}, {} bytes, takes the place of what is here at the next start",
                        archive.files, archive.records, archive.bytes
                    ),
                )?;
                continue;
            }
            Found::Files(found) => found,
        };
        summary.accounts += found.accounts;
        summary.payments_open += found.open;
        summary.payments_settled += found.settled;
        summary.records += found.records;
        summary.bytes += found.bytes;
        print(output, format_args!("shard {shard}: {found}"))?;
    }
    let CheckSummary {
        shards,
        accounts,
        payments_open,
        payments_settled,
        records,
        bytes,
    } = summary;
    print(
        output,
        format_args!(
            "{}: good; {shards} shards, {accounts} accounts, payments: {payments_open} open, \
             {payments_settled} settled; {records} records, {bytes} bytes",
            dir.display()
        ),
    )?;
    Ok(summary)
}

fn print(output: &mut impl Write, line: std::fmt::Arguments<'_>) -> Result<(), RecoveryError> {
    writeln!(output, "{line}").at("write to", Path::new("the output"))
}

enum Found {
    Files(FoundInShard),
    Archive(archive::Summary),
}

struct FoundInShard {
    accounts: u64,
    snapshots: usize,
    segments: usize,
    records: u64,
    sequence: u64,
    bytes: u64,
    open: u64,
    settled: u64,
    torn: Option<super::chain::Torn>,
    /// A copy of what a cluster has: what is noted of it, if that is readable.
    copy: Option<Option<LogPosition>>,
}

impl std::fmt::Display for FoundInShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} accounts, payments: {} open, {} settled; {} snapshots, {} segments with {} records, last \
             sequence {}, {} bytes",
            self.accounts,
            self.open,
            self.settled,
            self.snapshots,
            self.segments,
            self.records,
            self.sequence,
            self.bytes
        )?;
        match &self.copy {
            None => {}
            Some(Some(noted)) => {
                write!(f, "; a cluster's copy, noted at record {}", noted.records)?
            }
            Some(None) => f.write_str(
                "; a cluster's copy, whose log-position says nothing: the whole log is read again",
            )?,
        }
        if let Some(torn) = &self.torn {
            write!(
                f,
                "; then {} bytes of a torn tail, or of what galo is just writing, from byte {} of {} on: {}",
                torn.bytes,
                torn.offset,
                torn.file.display(),
                torn.reason
            )?;
        }
        Ok(())
    }
}

fn check_shard<D: Disk>(disk: &D, dir: &Path, identity: &Identity) -> Result<Found, RecoveryError> {
    let dir = layout::shard_dir(dir, identity.shard);
    let listing = recovery::list(disk, &dir)?;
    if listing.archive {
        // What is beside it may be half of what was there, or half of what is in it.
        return archive::check(disk, &dir, identity).map(Found::Archive);
    }
    let copy = match listing.log_position {
        true => Some(LogPosition::read(disk, &dir, identity)?),
        false => None,
    };
    let mut snapshot_bytes = 0;
    let mut accounts = 0;
    // Replaying may begin with either of the two that are kept.
    let kept = &listing.snapshots[listing.snapshots.len().saturating_sub(2)..];
    let mut replayed = Vec::new();
    for end in &listing.snapshots {
        let file = layout::snapshot(&dir, *end);
        let mut read = snapshot::read(disk, &dir, *end, identity)
            .map_err(|error| snapshot::unreadable(error, &file))?;
        snapshot_bytes += read.bytes;
        let checked = super::accounts::Accounts::new(read.accounts, identity.shards);
        accounts = checked.len() as u64;
        check_accounts(&checked, identity, *end, &file)?;
        if kept.contains(end) {
            read.accounts = checked.into_mapping();
            replayed.push(read);
        }
    }
    if replayed.is_empty() {
        return Err(RecoveryError::NoSnapshot {
            dir,
            bad: Vec::new(),
        });
    }
    let mut runs = recovery::open_runs(disk, &dir, &listing, identity)?;
    runs.iter_mut().try_for_each(Run::check)?;
    let run_bytes: u64 = runs.iter().map(Run::bytes).sum();
    let chain = recovery::chain(disk, &dir, identity, &listing, &runs);
    let mut replayed = replayed.into_iter();
    let older = replayed.next().expect("there is one");
    let (shard, end, _) = recovery::replay(&chain, older, runs)?;
    for newer in replayed {
        let file = layout::snapshot(&dir, newer.position.end);
        let runs = recovery::open_runs(disk, &dir, &listing, identity)?;
        let (other, its_end, _) = recovery::replay(&chain, newer, runs)?;
        let counts = |shard: &Shard| (shard.payments().open(), shard.payments().settled());
        // Galo may have written more meanwhile.
        if its_end.log_end == end.log_end && counts(&other) != counts(&shard) {
            return Err(RecoveryError::SnapshotDamaged {
                file,
                offset: 0,
                reason: "it has other payments than the one before it and the journal",
            });
        }
    }
    Ok(Found::Files(FoundInShard {
        copy,
        open: shard.payments().open() as u64,
        settled: shard.payments().settled(),
        accounts,
        snapshots: listing.snapshots.len(),
        segments: end.segments.len(),
        records: end.records,
        sequence: end.log_end.sequence,
        bytes: snapshot_bytes
            + run_bytes
            + end
                .segments
                .iter()
                .map(|segment| segment.bytes)
                .sum::<u64>(),
        torn: end.torn,
    }))
}

fn check_accounts(
    accounts: &[Account],
    identity: &Identity,
    end: u64,
    file: &Path,
) -> Result<(), RecoveryError> {
    let mut before = None;
    for (index, account) in accounts.iter().enumerate() {
        let good = account.is_sound()
            && account.sequence() <= end
            && account.id() % identity.shards == identity.shard
            && before.is_none_or(|before| before < account.id());
        if !good {
            return Err(RecoveryError::Unsound {
                file: file.to_owned(),
                offset: (HEADER_BYTES + index * size_of::<Account>()) as u64,
                client: account.id(),
            });
        }
        before = Some(account.id());
    }
    Ok(())
}
