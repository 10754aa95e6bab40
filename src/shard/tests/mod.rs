//! Tests of the shard, and what they share.

mod archive;
mod check;
mod clock;
mod creation;
mod dedup;
pub(crate) mod faulty;
mod journal;
mod lock;
mod mapping;
mod payment_runs;
mod payments;
mod recovery;
mod recovery_journal;
mod state;
mod store;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::disk::{Disk, RealDisk};
use super::{create, layout, open, Client, Meta, Recovered, RecoveryError, Shard, Store, StoreJob};
use crate::bank::{Description, Kind, Order};
use crate::command::Ids;
use crate::machine::Job as _;

/// 2024-01-01T00:00:00Z, microseconds since 1970.
const TIME_US: u64 = 1_704_067_200_000_000;

const CLIENTS: [Client; 5] = [
    client(1, 100_000),
    client(2, 80_000),
    client(3, 1_000_000),
    client(4, 10_000_000),
    client(5, 500_000),
];

const NO_IDS: Ids = Ids {
    forward: None,
    key: None,
};

const fn client(id: u32, limit: i64) -> Client {
    Client {
        id,
        limit,
        balance: 0,
    }
}

/// A data directory of one shard.
struct Directory {
    dir: TempDir,
    meta: Meta,
}

impl Directory {
    fn new() -> Directory {
        let dir = tempfile::tempdir().unwrap();
        let meta = Meta {
            directory: 0x1234_5678_9abc_def0_1122_3344_5566_7788,
            shards: 1,
        };
        create(&RealDisk, dir.path(), &meta, &CLIENTS).unwrap();
        Directory { dir, meta }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn shard_dir(&self) -> PathBuf {
        layout::shard_dir(self.path(), 0)
    }

    fn segment(&self, first: u64) -> PathBuf {
        layout::segment(&self.shard_dir(), first)
    }

    fn snapshot(&self, end: u64) -> PathBuf {
        layout::snapshot(&self.shard_dir(), end)
    }

    fn try_open(&self) -> Result<Recovered<RealDisk>, RecoveryError> {
        open(&RealDisk, self.path(), &self.meta, 0)
    }

    fn open(&self) -> Recovered<RealDisk> {
        self.try_open().unwrap()
    }

    fn refusal(&self) -> RecoveryError {
        let Err(error) = self.try_open() else {
            panic!("it should be refused");
        };
        assert!(error.to_string().len() > 40, "{error}");
        error
    }
}

fn text(text: &str) -> Description<'_> {
    Description::new(text).unwrap()
}

fn order(client: u32, kind: Kind, amount: i64, description: &str) -> Order<'_> {
    Order {
        client,
        kind,
        amount,
        description: text(description),
    }
}

/// One credit of one cent to a client, written in a tick of its own.
fn credit<D: Disk>(shard: &mut Shard, store: &mut Store<D>, client: u32) {
    let index = shard.find(client).unwrap();
    let posted = shard.transact(index, Kind::Credit, 1, text("descricao!"), TIME_US, &NO_IDS);
    posted.unwrap();
    write(shard, store);
}

fn write<D: Disk>(shard: &mut Shard, store: &mut Store<D>) {
    store.append(shard).unwrap();
    shard.written();
}

fn run<D: Disk>(shard: &mut Shard, store: &mut Store<D>, job: Option<StoreJob<D>>) {
    let done = job.expect("a job").run();
    store.done(shard, done).unwrap();
}

fn sync<D: Disk>(shard: &mut Shard, store: &mut Store<D>) {
    let job = store.sync();
    run(shard, store, job);
    assert_eq!(shard.synced_sequence(), shard.sequence());
}

/// A whole snapshot, of what is synced.
fn take_snapshot<D: Disk>(shard: &mut Shard, store: &mut Store<D>) {
    assert!(store.snapshot_begin(shard));
    while let Some(job) = store.snapshot_step(shard) {
        run(shard, store, Some(job));
    }
    assert!(!store.snapshot_under_way());
}

/// All accounts as bytes.
fn state(shard: &Shard) -> Vec<u8> {
    super::accounts::bytes_of(shard.accounts()).to_vec()
}

/// Changes a file's bytes.
fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}
