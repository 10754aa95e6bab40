//! Nodes on several machines: what the cluster was founded with, and whether this node is of it.

use std::sync::mpsc::Sender;
use std::sync::Arc;

use nix::sys::statvfs::statvfs;

use super::{own, random, ProcessEvent, ServeError};
use crate::clients;
use crate::config::{Replicate, Serve};
use crate::limits::{JOURNAL_SEGMENT_BYTES, MIB};
use crate::machine::engine::ShardFile;
use crate::members::Members;
use crate::nats::charter::PROTOCOL;
use crate::nats::{Charter, Client, ClientError};
use crate::replicate;
use crate::shard::{self, Directory, LogPosition, Owned, RealDisk};

/// What this node takes the cluster for.
fn charter(
    settings: &Serve,
    replicate: &Replicate,
    meta: &shard::Meta,
    clients: Option<u32>,
) -> Charter {
    let payments = settings.payments.as_ref();
    Charter {
        protocol: PROTOCOL,
        directory: meta.directory,
        shards: meta.shards,
        nodes: replicate.nodes.clone(),
        cores: settings.cores as u32,
        clients,
        processors: payments.map(|payments| {
            let urls = payments.processors.each_ref().map(ToString::to_string);
            let [default, fallback] = urls.map(|url| meta.mark(&url));
            format!("{default:x},{fallback:x}")
        }),
    }
}

/// Why `ours` is not of the cluster that was `found`; `None`: it is, and the cluster knows our processors, as far as it
/// may. `replace`: it may take them although it has others.
fn mismatch(
    client: &Client,
    ours: &Charter,
    found: &Charter,
    replace: bool,
) -> Result<Option<String>, ClientError> {
    if let Some(difference) = ours.difference(found) {
        return Ok(Some(difference));
    }
    let others = &found.processors;
    match &ours.processors {
        None => {}
        Some(_) if ours.processors == *others => {}
        Some(_) if others.is_some() && !replace => {
            return Ok(Some(
                "its processors are others, or the other way round, and a payment could be paid twice. If it is \
                 meant (the same ones under another name, say): once with --replace-processors"
                    .to_owned(),
            ));
        }
        Some(_) => {
            client.amend(ours.clone())?;
            log::info!("from now on the cluster's payments go to these processors");
        }
    }
    Ok(None)
}

fn replaces(settings: &Serve) -> bool {
    let payments = settings.payments.as_ref();
    payments.is_some_and(|payments| payments.replace)
}

fn differs(settings: &Serve, replicate: &Replicate, difference: &str) -> String {
    format!(
        "{}: not a node of the cluster {} at the engine: {difference}",
        settings.data.display(),
        replicate.engine.cluster
    )
}

fn unfit(settings: &Serve, replicate: &Replicate, why: &str) -> Result<(), ServeError> {
    Err(ServeError::Engine(differs(settings, replicate, why)))
}

/// What the cluster was founded with, for a directory that is about to be made: the cluster that is there, or that is
/// founded now. Waits for the engine.
pub(super) fn found(
    client: &Client,
    settings: &Serve,
    replicate: &Replicate,
    shards: u32,
    clients: &[shard::Client],
) -> Result<Charter, ServeError> {
    let clients = clients::checksum(clients);
    let mut meta = shard::Meta {
        directory: random()?,
        shards,
    };
    let ours = charter(settings, replicate, &meta, Some(clients));
    log::info!(
        "{}: waits for the engine, to be made",
        settings.data.display()
    );
    let found = client.charter(Some(&ours))?.expect("one was proposed");
    meta.directory = found.directory;
    if settings.shards.is_none() {
        meta.shards = found.shards;
    }
    let clients = found.clients.map(|_| clients);
    let ours = charter(settings, replicate, &meta, clients);
    expect_same(client, settings, replicate, (&ours, &found))?;
    Ok(found)
}

fn expect_same(
    client: &Client,
    settings: &Serve,
    replicate: &Replicate,
    (ours, found): (&Charter, &Charter),
) -> Result<(), ServeError> {
    match mismatch(client, ours, found, replaces(settings))? {
        None => Ok(()),
        Some(difference) => unfit(settings, replicate, &difference),
    }
}

/// `--seed` is about a directory that is there.
pub(super) fn expect_seed(settings: &Serve, is_new: bool) -> Result<(), ServeError> {
    match &settings.replicate {
        Some(replicate) if replicate.seed && is_new => Err(ServeError::Engine(format!(
            "--seed: {} has nothing to found a cluster with",
            settings.data.display()
        ))),
        _ => Ok(()),
    }
}

/// Sees to it that there is room for what the copies of so many shards take up next. A node without it would take shards
/// over, to end with the first write.
pub(super) fn expect_room(settings: &Serve, shards: u32) -> Result<(), ServeError> {
    let needed = u64::from(shards) * JOURNAL_SEGMENT_BYTES;
    let there = statvfs(&settings.data)
        .map_err(|error| ServeError::System("cannot tell the room on the disk", error.into()))?;
    let room = there.blocks_available() * there.fragment_size();
    if room < needed {
        return Err(ServeError::Engine(format!(
            "{}: {} MiB of room, and the copies of its shards need {}",
            settings.data.display(),
            room / MIB as u64,
            needed / MIB as u64
        )));
    }
    Ok(())
}

/// Sees to it that all shards' files are copies of what the cluster has. Those of a new directory come from the engine, if the
/// cluster began with a directory of one machine; with `--seed` this is that one.
pub(super) fn have_copies(
    client: &Client,
    settings: &Serve,
    replicate: &Replicate,
    directory: &Directory<RealDisk>,
) -> Result<(), ServeError> {
    let without = directory.without_copies()?;
    if without.is_empty() && !replicate.seed {
        return Ok(());
    }
    let Some(found) = client.charter(None)? else {
        if replicate.seed {
            return seed(client, settings, replicate, directory);
        }
        let why = "there is no such cluster; --seed would found it with what is here";
        return unfit(settings, replicate, why);
    };
    let meta = &directory.meta;
    let ours = charter(settings, replicate, meta, found.clients);
    expect_same(client, settings, replicate, (&ours, &found))?;
    if replicate.seed && without.is_empty() {
        log::info!(
            "--seed: the cluster is there, and this directory is of it: not needed any more"
        );
    }
    let no_copy = |shard: u32, and: &str| {
        let data = settings.data.display();
        let text = format!("{data}: shard {shard} is no copy of what the cluster has, {and}");
        Err(ServeError::Engine(text))
    };
    for shard in without {
        if !directory.is_unused(shard)? {
            return no_copy(
                shard,
                "and has been served without it: it begins with an empty directory here",
            );
        }
        log::info!("shard {shard}: comes from the engine's store");
        let file = directory.fetched(shard);
        if !client.fetch(shard, file)? {
            return no_copy(shard, "and the engine's store has none");
        }
        directory.accept(shard)?;
    }
    Ok(())
}

/// Founds a cluster with what is here. The charter comes last: before, there is no cluster.
fn seed(
    client: &Client,
    settings: &Serve,
    replicate: &Replicate,
    directory: &Directory<RealDisk>,
) -> Result<(), ServeError> {
    let owned = own(directory)?;
    // One that was interrupted may be done again.
    let is_begun = |it: &Owned<RealDisk>| {
        let noted = it.recovered.log_position;
        it.recovered.is_copy && noted.is_none_or(|it| it.place != LogPosition::BEGIN.place)
    };
    if owned.iter().any(is_begun) {
        let why = "there is no such cluster, and --seed takes no directory of another one";
        return unfit(settings, replicate, why);
    }
    for (owned, shard) in owned.iter().zip(0..) {
        let begin = LogPosition {
            records: owned.recovered.report.sequence,
            ..LogPosition::BEGIN
        };
        let path = directory.archive(shard, begin)?;
        let file = ShardFile {
            shard,
            epoch: 0,
            sequence: 0,
            path,
        };
        client.seed(file)?;
        log::info!("--seed: shard {shard} is in the engine's store");
    }
    // As it is for the other nodes; and from now on it is not served without the cluster.
    for shard in 0..directory.meta.shards {
        directory.begin_with_archive(shard)?;
    }
    let meta = &directory.meta;
    let ours = charter(settings, replicate, meta, None);
    let found = client.charter(Some(&ours))?.expect("one was proposed");
    expect_same(client, settings, replicate, (&ours, &found))?;
    log::info!(
        "--seed: the cluster {} is founded with {}",
        replicate.engine.cluster,
        settings.data.display()
    );
    Ok(())
}

/// Has the process end if a directory that was made before is not of the cluster, once the engine says so.
pub(super) fn check(
    client: &Arc<Client>,
    settings: &Serve,
    replicate: &Replicate,
    meta: &shard::Meta,
    events: &Sender<ProcessEvent>,
) -> Result<(), ServeError> {
    let (client, events) = (client.clone(), events.clone());
    // What clients it began with is not known any more; the records would not fit.
    let ours = charter(settings, replicate, meta, None);
    let replace = replaces(settings);
    let none = differs(settings, replicate, "there is no such cluster");
    let other = differs(settings, replicate, "");
    let look = move || {
        let problem = match client.charter(None) {
            Err(error) => Some(error.0),
            Ok(None) => Some(none),
            Ok(Some(found)) => {
                let ours = Charter {
                    clients: found.clients,
                    ..ours
                };
                match mismatch(&client, &ours, &found, replace) {
                    Ok(difference) => difference.map(|it| format!("{other}{it}")),
                    Err(error) => Some(error.0),
                }
            }
        };
        if let Some(problem) = problem {
            let _ = events.send(ProcessEvent::Unfit(problem));
        }
    };
    let thread = std::thread::Builder::new().name("galo/charter".to_owned());
    let started = thread.spawn(look).map(drop);
    started.map_err(|error| ServeError::System("cannot start a thread", error))
}

/// Refuses a cluster's directory without `--replicate`: what it would get then is not in the log, and its copies would not
/// be equal any more.
pub(super) fn expect_no_copies(
    settings: &Serve,
    owned: &[Owned<RealDisk>],
) -> Result<(), ServeError> {
    let are_copies = owned.iter().any(|it| it.recovered.is_copy);
    if settings.replicate.is_some() || !are_copies {
        return Ok(());
    }
    Err(ServeError::Engine(format!(
        "{}: a copy of what a cluster has at its engine: served with --replicate only",
        settings.data.display()
    )))
}

/// What a core's replica is told.
pub(super) fn replica(
    replicate: &Replicate,
    members: &Members,
    directory: u128,
) -> Result<replicate::Settings, ServeError> {
    let candidates = |shard| members.candidates(shard).map(|it| it as u32).collect();
    Ok(replicate::Settings {
        cluster: directory,
        member: members.own() as u32,
        members: members.count() as u32,
        process: random()? as u64,
        candidates: (0..members.shards).map(candidates).collect(),
        log_bytes_max: replicate.log_bytes_max,
    })
}
