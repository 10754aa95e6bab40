//! Compares the processors with those that the data directory was used with. Journals name them by their numbers
//! only, so with another processor under a number a payment could be sent again, and paid twice.

use super::ServeError;
use crate::config::PaymentFlags;
use crate::payments::Processor;
use crate::shard::layout::CREATION_LOCK;
use crate::shard::lock::ShardLock;
use crate::shard::meta::ProcessorMarks;
use crate::shard::{bound_payments, Directory, Meta, Owned, RealDisk, RecoveryError};

/// Refuses other processors than before while payments are with those, unless that is meant; and remembers these.
/// `owned`: the shards that are ours already.
pub(super) fn expect(
    payments: &PaymentFlags,
    directory: &Directory<RealDisk>,
    owned: &[Owned<RealDisk>],
) -> Result<(), ServeError> {
    let Directory {
        disk, path, meta, ..
    } = directory;
    let urls = payments.processors.each_ref().map(ToString::to_string);
    let marks = urls.each_ref().map(|url| meta.mark(url));
    if Meta::processors(disk, path)? == Some(marks) {
        return Ok(());
    }
    // One node after the other; the next one finds what this one has left.
    let lock = path.join(CREATION_LOCK);
    let _lock =
        ShardLock::wait(&lock, &directory.descriptor).map_err(|error| RecoveryError::Io {
            action: "lock",
            path: lock,
            error,
        })?;
    match Meta::processors(disk, path)? {
        Some(known) if known == marks => return Ok(()),
        Some(known) => {
            let changed = changed(&known, &marks);
            let with = with_those(directory, owned)?;
            let with: usize = changed.iter().map(|number| with[*number]).sum();
            let what = describe(&known, &marks, &urls, with);
            if with > 0 && !payments.replace {
                return Err(ServeError::Processors(format!(
                    "{}: {what}. Start with those of before until these are settled; or, if it is meant (the same \
                     ones under another name, say), with --replace-processors",
                    path.display()
                )));
            }
            log::warn!("{}: {what}", path.display());
        }
        None => {}
    }
    Ok(Meta::set_processors(disk, path, &marks)?)
}

/// By number: those that are others.
fn changed(known: &ProcessorMarks, marks: &ProcessorMarks) -> Vec<usize> {
    let numbers = 0..marks.len();
    numbers.filter(|it| known[*it] != marks[*it]).collect()
}

/// How many payments of all shards are with a processor, by its number.
fn with_those(
    directory: &Directory<RealDisk>,
    owned: &[Owned<RealDisk>],
) -> Result<[usize; 2], RecoveryError> {
    let mut sums = [0; 2];
    for number in 0..directory.meta.shards {
        let identity = directory.meta.identity(number);
        let ours = owned
            .iter()
            .find(|it| *it.recovered.shard.identity() == identity);
        let counts = match ours {
            Some(ours) => ours.recovered.shard.payments().bound_to(),
            None => bound_payments(&directory.disk, &directory.path, &identity)?,
        };
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    Ok(sums)
}

fn describe(
    known: &ProcessorMarks,
    marks: &ProcessorMarks,
    urls: &[String; 2],
    with: usize,
) -> String {
    let [default, fallback] = known;
    let payments = match with {
        0 => "no payment is with those of before".to_owned(),
        1 => "1 payment is with one of before, and could be paid twice".to_owned(),
        with => format!("{with} payments are with those of before, and could be paid twice"),
    };
    if [*fallback, *default] == *marks {
        return format!("default and fallback processor have changed places; {payments}");
    }
    let flags = changed(known, marks).into_iter().map(|number| {
        let name = Processor::ALL[number].name();
        format!("--processor-{name} {}", urls[number])
    });
    let flags: Vec<String> = flags.collect();
    let is = if flags.len() > 1 { "are" } else { "is" };
    let other = if flags.len() > 1 { "others" } else { "another" };
    format!(
        "{} {is} {other} than before; {payments}",
        flags.join(" and ")
    )
}
