//! The engine's store of files: a bucket of JetStream's Object Store, `GALO_<cluster>`.
//!
//! An object is named `<shard>.<epoch>.<sequence>`, by its owner's epoch and the shard's record that it has. So what gets there
//! late, from an owner of earlier times, takes the place of nothing.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::object_store::{Config, ObjectInfo, ObjectMetadata, ObjectStore};
use async_nats::jetstream::Context;
use async_nats::Error;
use base64::engine::general_purpose::URL_SAFE;
use base64::Engine;
use futures_util::StreamExt;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::streams::{self, Names, Reply};
use super::ClientError;
use crate::limits::ENGINE_ANSWER_NS;
use crate::machine::engine::{Sequence, ShardFile};

/// For a step, of a chunk or a list.
const STEP: Duration = Duration::from_nanos(5 * ENGINE_ANSWER_NS);
/// Each chunk is acknowledged before the next one leaves, so that appends find their turn between.
const CHUNK_BYTES: usize = 128 * 1024;

/// A shard's file.
struct Kept {
    shard: u32,
    epoch: u64,
    sequence: Sequence,
    /// Of its chunks.
    nuid: String,
}

impl Kept {
    fn read(info: &ObjectInfo) -> Option<Kept> {
        let mut numbers = info.name.split('.').map(|it| it.parse().ok());
        Some(Kept {
            shard: u32::try_from(numbers.next()??).ok()?,
            epoch: numbers.next()??,
            sequence: numbers.next()??,
            nuid: info.nuid.clone(),
        })
    }

    fn name(&self) -> String {
        name(self.shard, self.epoch, self.sequence)
    }
}

fn name(shard: u32, epoch: u64, sequence: Sequence) -> String {
    format!("{shard}.{epoch}.{sequence}")
}

/// Removes an object, and that it was there: [`ObjectStore::delete`] leaves a message for each.
async fn remove(context: &Context, names: &Names, old: &Kept) -> Result<(), Error> {
    let bucket = names.bucket();
    let stream = context.get_stream_no_info(format!("OBJ_{bucket}")).await?;
    let name = URL_SAFE.encode(old.name());
    for subject in [
        format!("$O.{bucket}.M.{name}"),
        format!("$O.{bucket}.C.{}", old.nuid),
    ] {
        timeout(STEP, stream.purge().filter(subject)).await??;
    }
    Ok(())
}

async fn all(bucket: &ObjectStore) -> Result<Vec<Kept>, Error> {
    let mut list = timeout(STEP, bucket.list()).await??;
    let mut all = Vec::new();
    while let Some(info) = timeout(STEP, list.next()).await? {
        all.extend(Kept::read(&info?));
    }
    Ok(all)
}

/// A shard's newest file.
fn newest(all: &[Kept], shard: u32) -> Option<&Kept> {
    let its = all.iter().filter(|it| it.shard == shard);
    its.max_by_key(|it| (it.epoch, it.sequence))
}

/// The smallest record of all shards' newest files; 0: some shard has none.
fn smallest(all: &[Kept], shards: u32) -> Sequence {
    let newest = (0..shards).map(|shard| newest(all, shard).map_or(0, |it| it.sequence));
    newest.min().unwrap_or(0)
}

/// The same, as it is at the engine.
pub(super) async fn kept(context: &Context, names: &Names, shards: u32) -> Result<Sequence, Error> {
    let bucket = timeout(STEP, context.get_object_store(names.bucket())).await??;
    Ok(smallest(&all(&bucket).await?, shards))
}

/// The store, which is made if it is not there.
async fn bucket(context: &Context, names: &Names, replicas: usize) -> Result<ObjectStore, Error> {
    let found = timeout(STEP, context.get_object_store(names.bucket())).await?;
    if let Ok(bucket) = found {
        return Ok(bucket);
    }
    let config = Config {
        bucket: names.bucket(),
        max_bytes: -1,
        num_replicas: replicas,
        ..Config::default()
    };
    Ok(timeout(STEP, context.create_object_store(config)).await??)
}

async fn put(bucket: &ObjectStore, file: &ShardFile) -> Result<(), Error> {
    let metadata = ObjectMetadata {
        name: name(file.shard, file.epoch, file.sequence),
        chunk_size: Some(CHUNK_BYTES),
        ..ObjectMetadata::default()
    };
    let mut content = File::open(&file.path).await?;
    bucket.put(metadata, &mut content).await?;
    Ok(())
}

/// Stores a shard's file before the cluster is founded that begins with it. The inner error: the store is another's.
pub(super) async fn seed(
    context: &Context,
    names: &Names,
    replicas: usize,
    file: &ShardFile,
) -> Result<Result<(), ClientError>, Error> {
    let bucket = bucket(context, names, replicas).await?;
    if let Some(old) = all(&bucket).await?.iter().find(|it| it.epoch > 0) {
        return Ok(Err(ClientError(format!(
            "engine: the object store {} has {}, of a cluster that was there before: remove the store, or take another --cluster",
            names.bucket(),
            old.name()
        ))));
    }
    put(&bucket, file).await.map(Ok)
}

/// Stores a shard's file, and lets go what it makes superfluous. `info`: the log's stream.
pub(super) async fn keep(
    context: &Context,
    names: &Names,
    info: &Reply,
    kept: &ShardFile,
) -> Result<(), Error> {
    let charter = info.charter()?;
    let bucket = bucket(context, names, streams::replicas(&info.config)).await?;
    put(&bucket, kept).await?;
    let all = all(&bucket).await?;
    let ShardFile {
        shard,
        epoch,
        sequence,
        ..
    } = kept;
    let is_old = |it: &&Kept| it.shard == *shard && (it.epoch, it.sequence) < (*epoch, *sequence);
    for old in all.iter().filter(is_old) {
        remove(context, names, old).await?;
    }
    let before = smallest(&all, charter.shards);
    if before > 1 {
        let stream = context.get_stream_no_info(names.log_stream()).await?;
        timeout(STEP, stream.purge().sequence(before)).await??;
    }
    Ok(())
}

/// Gets a shard's newest file: which record it has. `None`: there is none.
pub(super) async fn fetch(
    context: &Context,
    names: &Names,
    shard: u32,
    file: &Path,
) -> Result<Option<Sequence>, Error> {
    let bucket = timeout(STEP, context.get_object_store(names.bucket())).await??;
    let all = all(&bucket).await?;
    let Some(newest) = newest(&all, shard) else {
        return Ok(None);
    };
    let mut object = timeout(STEP, bucket.get(newest.name())).await??;
    let mut file = File::create(file).await?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        // The last read checks the whole against its SHA-256.
        match timeout(STEP, object.read(&mut chunk)).await?? {
            0 => break,
            bytes => file.write_all(&chunk[..bytes]).await?,
        }
    }
    file.flush().await?;
    Ok(Some(newest.sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(shard: u32, epoch: u64, sequence: Sequence) -> Kept {
        Kept {
            shard,
            epoch,
            sequence,
            nuid: String::new(),
        }
    }

    #[test]
    fn the_newest_file_is_that_of_the_last_owner() {
        let all = [object(0, 3, 70), object(0, 2, 90), object(1, 1, 50)];
        assert_eq!(newest(&all, 0).map(|it| it.sequence), Some(70));
        assert_eq!(newest(&all, 1).map(|it| it.sequence), Some(50));
        assert!(newest(&all, 2).is_none());
    }

    #[test]
    fn nothing_may_go_that_some_shard_has_in_no_file() {
        let all = [object(0, 3, 70), object(0, 2, 10), object(1, 1, 50)];
        assert_eq!(smallest(&all, 2), 50);
        assert_eq!(smallest(&all, 3), 0);
        assert_eq!(smallest(&[], 1), 0);
    }
}
