//! What must hold for any journal, however it was damaged; and for taking back, and for snapshots made
//! while transactions go on.

#[path = "../fuzz/journal.rs"]
mod fuzz_journal;

use std::path::Path;

use galo::bank::{Account, Description, Kind};
use galo::command::{ForwardId, Ids, Origin};
use galo::machine::Job as _;
use galo::shard::journal::{self, ReadStop, Reader, Record, SegmentHeader};
use galo::shard::{
    create, layout, open, Client, DedupResult, Disk, DiskFile, Meta, RealDisk, Recovered,
    RecoveryError, Shard, Store,
};
use proptest::collection::vec;
use proptest::prelude::*;

const META: Meta = Meta {
    directory: 0xfeed_beef,
    shards: 1,
};
const CLIENTS: u32 = 7;

/// One step of a shard.
#[derive(Clone, Debug)]
enum Step {
    Transact {
        client: u32,
        credit: bool,
        amount: i64,
        description: String,
        /// After the shard's time, microseconds.
        later_us: i64,
        ids: Ids,
    },
    Reset,
    /// The tick ends: its batch is written.
    Write,
    /// The tick ends: the disk is full.
    Refuse,
    Sync,
    Snapshot,
}

fn transact() -> impl Strategy<Value = Step> {
    let description = "[a-zA-Z0-9 \u{e3}\u{1f413}\u{0}]{1,10}";
    (
        1..=CLIENTS,
        any::<bool>(),
        1..1500_i64,
        description,
        prop_oneof![10 => -9..1_000_000_i64, 1 => 100_000_000..300_000_000_i64],
        ids(),
    )
        .prop_map(
            |(client, credit, amount, description, later_us, ids)| Step::Transact {
                client,
                credit,
                amount,
                description,
                later_us,
                ids,
            },
        )
}

/// Few enough that they come again.
fn ids() -> impl Strategy<Value = Ids> {
    let forward = (0..3_u16, 0..2_u64, 1..40_u64).prop_map(|(member, epoch, counter)| ForwardId {
        origin: Origin { member, epoch },
        counter,
    });
    let key = (0..40_u128).prop_map(|key| (key << 100) | (key % 7));
    let (forward, key) = (prop::option::of(forward), prop::option::of(key));
    (forward, key).prop_map(|(forward, key)| Ids { forward, key })
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => transact(),
        1 => Just(Step::Reset),
        8 => Just(Step::Write),
        1 => Just(Step::Refuse),
        2 => Just(Step::Sync),
        2 => Just(Step::Snapshot),
    ];
    vec(step, 1..most)
}

fn made(dir: &Path) -> Recovered<RealDisk> {
    let clients: Vec<Client> = (1..=CLIENTS)
        .map(|id| Client {
            id,
            limit: 1000,
            balance: 0,
        })
        .collect();
    create(&RealDisk, dir, &META, &clients).unwrap();
    open(&RealDisk, dir, &META, 0).unwrap()
}

/// A byte string for every field of every account, statements included.
fn state(shard: &Shard) -> String {
    let account = |account: &Account| {
        let statement: Vec<_> = account
            .statement()
            .map(|transaction| {
                let text = transaction.description().to_owned();
                let (amount, time) = (transaction.amount(), transaction.time_us());
                (amount, time, transaction.kind(), text)
            })
            .collect();
        let (balance, sequence) = (account.balance(), account.sequence());
        format!("{} {balance} {sequence} {statement:?}", account.id())
    };
    shard.accounts().iter().map(account).collect()
}

/// Every byte of every account.
fn bytes(shard: &Shard) -> &[u8] {
    galo::shard::accounts::bytes_of(shard.accounts())
}

/// What is known of every command, at the shard's time.
fn known(shard: &Shard, steps: &[Step]) -> Vec<DedupResult> {
    let known = |step: &Step| match step {
        Step::Transact {
            client,
            credit,
            amount,
            description,
            ids,
            ..
        } => {
            let apart = shard.accounts().len() as u32 / CLIENTS;
            let index = shard.find(client * apart).unwrap();
            let kind = if *credit { Kind::Credit } else { Kind::Debit };
            let description = Description::new(description).unwrap();
            Some(shard.recognise(index, kind, *amount, description, 0, ids))
        }
        _ => None,
    };
    steps.iter().filter_map(known).collect()
}

/// Takes one step; a snapshot goes on by one slice with every tick.
fn step<D: Disk>(shard: &mut Shard, store: &mut Store<D>, step: &Step) {
    match step {
        Step::Transact {
            client,
            credit,
            amount,
            description,
            later_us,
            ids,
        } => {
            if shard.accepts() {
                // Spread over all slices of a snapshot.
                let apart = shard.accounts().len() as u32 / CLIENTS;
                let index = shard.find(client * apart).unwrap();
                let kind = if *credit { Kind::Credit } else { Kind::Debit };
                let description = Description::new(description).unwrap();
                let time_us = shard.time_us(0).saturating_add_signed(*later_us);
                let amount = *amount;
                if shard.recognise(index, kind, amount, description, time_us, ids)
                    == DedupResult::New
                {
                    let _ = shard.transact(index, kind, amount, description, time_us, ids);
                }
            }
        }
        Step::Reset => {
            if shard.accepts() {
                shard.reset(None, 3);
            }
        }
        Step::Write => tick(shard, store),
        Step::Refuse => shard.refused(),
        Step::Sync => {
            tick(shard, store);
            if let Some(job) = store.sync() {
                store.done(shard, job.run()).unwrap();
            }
        }
        Step::Snapshot => {
            tick(shard, store);
            store.snapshot_begin(shard);
        }
    }
}

fn tick<D: Disk>(shard: &mut Shard, store: &mut Store<D>) {
    if !shard.batch().is_empty() {
        store.append(shard).unwrap();
        shard.written();
    }
    if let Some(job) = store.snapshot_step(shard) {
        store.done(shard, job.run()).unwrap();
    }
}

/// A journal of one segment: its bytes, and how far it was ever known to be durable.
fn written(steps: &[Step]) -> (Vec<u8>, u64) {
    let dir = tempfile::tempdir().unwrap();
    let Recovered {
        mut shard,
        mut store,
        ..
    } = made(dir.path());
    for one in steps {
        // Snapshots would prove records durable, too; they have a test of their own.
        if !matches!(one, Step::Snapshot) {
            step(&mut shard, &mut store, one);
        }
    }
    tick(&mut shard, &mut store);
    let segment = layout::segment(&layout::shard_dir(dir.path(), 0), 1);
    (std::fs::read(segment).unwrap(), shard.synced_sequence())
}

#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    /// 512-byte sectors that were never written.
    Zero(Vec<prop::sample::Index>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Damage::Cut),
        (index(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        vec(index(), 1..4).prop_map(Damage::Zero),
    ]
}

impl Damage {
    /// Spares the header: its damage has tests of its own.
    fn apply(&self, segment: &mut Vec<u8>) {
        let body = segment.len() - journal::HEADER_BYTES;
        if body == 0 {
            return;
        }
        let at = |index: &prop::sample::Index| journal::HEADER_BYTES + index.index(body);
        match self {
            Damage::Cut(index) => segment.truncate(at(index)),
            Damage::Flip(index, bit) => segment[at(index)] ^= 1 << bit,
            Damage::Zero(sectors) => {
                for index in sectors {
                    let begin = (at(index) / 512 * 512).max(journal::HEADER_BYTES);
                    let end = (begin / 512 * 512 + 512).min(segment.len());
                    segment[begin..end].fill(0);
                }
            }
        }
    }
}

fn read(segment: &[u8]) -> (Vec<Record<'_>>, Option<ReadStop>) {
    let header = SegmentHeader::read(segment).unwrap();
    let mut records = Vec::new();
    for record in Reader::new(segment, &header, journal::seed(&META.identity(0))) {
        match record {
            Ok(record) => records.push(record),
            Err(stop) => return (records, Some(stop)),
        }
    }
    (records, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// The reader yields a prefix of what was written, and nothing else; and what stops it is refused
    /// as damage if it had been durable and a later record can tell, else cut off.
    #[test]
    fn damage_yields_a_prefix_and_differs_from_a_torn_tail(
        steps in steps(200),
        damage in damage(),
    ) {
        let (whole, synced) = written(&steps);
        let (all, stop) = read(&whole);
        prop_assert_eq!(stop, None);

        let mut segment = whole.clone();
        damage.apply(&mut segment);
        let (left, stop) = read(&segment);
        prop_assert!(left.len() <= all.len());
        prop_assert_eq!(&all[..left.len()], &left[..]);
        // Every record that the damage did not reach is there.
        let good = left.last().map_or(journal::HEADER_BYTES, |last| last.offset + last.bytes);
        prop_assert_eq!(&segment[..good], &whole[..good]);
        prop_assert_eq!(stop.is_none(), good == segment.len());

        let dir = tempfile::tempdir().unwrap();
        drop(made(dir.path()));
        let path = layout::segment(&layout::shard_dir(dir.path(), 0), 1);
        std::fs::write(&path, &segment).unwrap();
        // What an oracle that knows both says: is there a later record, unharmed, that was written
        // when the first missing one was known to be durable?
        let missing = left.len() as u64 + 1;
        let proves = |record: &&Record<'_>| {
            let range = record.offset..record.offset + record.bytes;
            let unharmed = segment.get(range.clone()) == Some(&whole[range]);
            let durable = record.stamp.sequence - u64::from(record.stamp.unsynced);
            unharmed && durable >= missing
        };
        let proof = all[left.len()..].iter().find(proves);
        match open(&RealDisk, dir.path(), &META, 0) {
            Ok(recovered) => {
                prop_assert!(proof.is_none(), "{:?} and not {}", proof, missing);
                prop_assert_eq!(recovered.shard.sequence(), left.len() as u64);
                let length = std::fs::metadata(&path).unwrap().len();
                prop_assert_eq!(length as usize, good);
            }
            Err(RecoveryError::Damaged { offset, sequence, .. }) => {
                prop_assert!(proof.is_some());
                prop_assert_eq!((offset as usize, sequence), (good, missing));
                prop_assert!(synced >= missing, "only what was durable is missed");
                prop_assert_eq!(std::fs::read(&path).unwrap(), segment, "untouched");
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    /// What the fuzz target checks.
    #[test]
    fn a_changed_journal_yields_a_prefix(data in vec(any::<u8>(), 0..40)) {
        fuzz_journal::check(&data);
    }

    /// Whatever follows a header, reading it ends well.
    #[test]
    fn any_bytes_are_read_without_panic(body in vec(any::<u8>(), 0..2000)) {
        let header = SegmentHeader { directory: 1, shard: 0, first: 1, chain: 0 };
        let mut segment = header.to_bytes().to_vec();
        segment.extend(&body);
        prop_assert!(Reader::new(&segment, &header, 0).filter(Result::is_ok).count() <= body.len() / 32);
        let _ = journal::scan_durable_up_to(&segment, journal::HEADER_BYTES, 1, 0);
        let _ = SegmentHeader::read(&body);
    }

    /// A refused batch leaves no trace: not in an account, not in sequence, chain or time.
    #[test]
    fn refused_restores_every_byte(
        before in vec(transact(), 0..60),
        refused in vec(transact(), 0..60),
        reset in any::<bool>(),
        after in vec(transact(), 1..20),
    ) {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut incarnations = dirs.each_ref().map(|dir| made(dir.path()));
        for Recovered { shard, store, .. } in &mut incarnations {
            before.iter().for_each(|one| step(shard, store, one));
            tick(shard, store);
        }
        let [first, second] = &mut incarnations;
        refused.iter().for_each(|one| step(&mut first.shard, &mut first.store, one));
        if reset {
            first.shard.reset(None, 2000);
        }
        first.shard.refused();
        prop_assert!(bytes(&first.shard) == bytes(&second.shard));
        prop_assert_eq!(first.shard.log_end(), second.shard.log_end());
        for commands in [&before, &refused, &after] {
            prop_assert_eq!(known(&first.shard, commands), known(&second.shard, commands));
        }
        prop_assert!(first.shard.batch().is_empty() && first.shard.accepts());
        for Recovered { shard, store, .. } in &mut incarnations {
            after.iter().for_each(|one| step(shard, store, one));
        }
        let [first, second] = &incarnations;
        prop_assert_eq!(first.shard.batch(), second.shard.batch());
    }

    /// Slices copied while transactions and resets go on, and the journal over them, give the state
    /// at the end; also over the older snapshot.
    #[test]
    fn a_fuzzy_snapshot_and_the_journal_are_the_state(steps in steps(300)) {
        let dir = tempfile::tempdir().unwrap();
        let Recovered { mut shard, mut store, .. } = many(dir.path());
        for one in &steps {
            step(&mut shard, &mut store, one);
        }
        tick(&mut shard, &mut store);
        let recovered = open(&RealDisk, dir.path(), &META, 0).unwrap();
        prop_assert_eq!(state(&recovered.shard), state(&shard));
        prop_assert_eq!(recovered.shard.log_end(), shard.log_end());
        prop_assert_eq!(known(&recovered.shard, &steps), known(&shard, &steps));
        galo::shard::check::check(dir.path(), &mut Vec::new()).unwrap();

        if let [.., older, newest] = store.snapshots() {
            let path = layout::snapshot(&layout::shard_dir(dir.path(), 0), newest.end);
            let file = RealDisk.open(&path).unwrap();
            file.write_all_at(b"?", 5000).unwrap();
            let recovered = open(&RealDisk, dir.path(), &META, 0).unwrap();
            prop_assert_eq!(recovered.report.snapshot, older.end);
            prop_assert_eq!(state(&recovered.shard), state(&shard));
            prop_assert_eq!(known(&recovered.shard, &steps), known(&shard, &steps));
        }
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_hold() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/journal");
    for seed in std::fs::read_dir(seeds).unwrap() {
        fuzz_journal::check(&std::fs::read(seed.unwrap().path()).unwrap());
    }
}

/// So many clients that a snapshot takes several slices, each in a tick of its own.
fn many(dir: &Path) -> Recovered<RealDisk> {
    let client = |id| Client {
        id,
        limit: 1000,
        balance: 0,
    };
    let clients: Vec<Client> = (1..=1000).map(client).collect();
    create(&RealDisk, dir, &META, &clients).unwrap();
    open(&RealDisk, dir, &META, 0).unwrap()
}
