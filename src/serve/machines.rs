//! Nodes on several machines: what the cluster was founded with, and whether this node is of it.

use std::sync::mpsc::Sender;
use std::sync::Arc;

use super::{random, ProcessEvent, ServeError};
use crate::clients;
use crate::config::{Replicate, Serve};
use crate::members::Members;
use crate::nats::charter::PROTOCOL;
use crate::nats::{Charter, Client};
use crate::replicate;
use crate::shard::{self, Owned, RealDisk};

/// What this node takes the cluster for.
fn charter(
    settings: &Serve,
    replicate: &Replicate,
    shards: u32,
    directory: u128,
    clients: u32,
) -> Charter {
    Charter {
        protocol: PROTOCOL,
        directory,
        shards,
        nodes: replicate.nodes.clone(),
        cores: settings.cores as u32,
        clients,
    }
}

fn differs(settings: &Serve, replicate: &Replicate, difference: &str) -> String {
    format!(
        "{}: not a node of the cluster {} at the engine: {difference}",
        settings.data.display(),
        replicate.engine.cluster
    )
}

/// The id of the cluster's directories, for one that is about to be made: of the cluster that is there, or that is
/// founded now. Waits for the engine.
pub(super) fn found(
    client: &Client,
    settings: &Serve,
    replicate: &Replicate,
    shards: u32,
    clients: &[shard::Client],
) -> Result<u128, ServeError> {
    let clients = clients::checksum(clients);
    let ours = charter(settings, replicate, shards, random()?, clients);
    log::info!(
        "{}: waits for the engine, to be made",
        settings.data.display()
    );
    let found = client
        .charter(Some(&ours))
        .map_err(|error| ServeError::Engine(error.0))?;
    let found = found.expect("one was proposed");
    let ours = Charter {
        directory: found.directory,
        ..ours
    };
    match ours.difference(&found) {
        None => Ok(found.directory),
        Some(difference) => Err(ServeError::Engine(differs(
            settings,
            replicate,
            &difference,
        ))),
    }
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
    let ours = charter(settings, replicate, meta.shards, meta.directory, 0);
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
                let difference = ours.difference(&found);
                difference.map(|difference| format!("{other}{difference}"))
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
