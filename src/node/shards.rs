//! The shards that are ours, and what is done to them.

use super::event::NodeEvent;
use super::transport::commit::{Dependency, Read};
use super::transport::encoder::Caller;
use super::transport::Transport;
use crate::command::{Command, ForwardId, Ids, Outcome, Scope};
use crate::http::Status;
use crate::shard::Shard;
use probe::probe;

/// A place for each shard of the directory.
#[derive(Default)]
struct Place {
    ours: Option<Shard>,
    /// The member to which it goes.
    releasing_to: Option<usize>,
}

pub(super) struct Shards {
    places: Vec<Place>,
    /// How many go to another member.
    pub(super) releasing: usize,
}

impl Shards {
    pub(super) fn new(places: usize) -> Shards {
        Shards {
            places: (0..places).map(|_| Place::default()).collect(),
            releasing: 0,
        }
    }

    /// Those of the directory.
    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// The shard that a command is for.
    pub(super) fn number_for(&self, command: &Command) -> usize {
        let shards = self.count();
        match *command {
            Command::Transact { client, .. } | Command::Statement { client } => {
                client as usize % shards
            }
            Command::Pay { id, .. } | Command::Show { id } => id.shard(shards),
        }
    }

    pub(super) fn put(&mut self, shard: Shard) {
        let place = &mut self.places[shard.identity().shard as usize];
        assert!(place.ours.is_none());
        place.ours = Some(shard);
    }

    /// A shard is not ours any more; to whom it was to go.
    pub(super) fn take(&mut self, number: usize) -> (Shard, Option<usize>) {
        let place = std::mem::take(&mut self.places[number]);
        self.releasing -= usize::from(place.releasing_to.is_some());
        (place.ours.expect("it was ours"), place.releasing_to)
    }

    /// To whom a shard of ours goes as soon as nothing is under way for it.
    pub(super) fn releasing_to(&self, number: usize) -> Option<usize> {
        self.places[number].releasing_to
    }

    /// From now on no command is begun for it; `None`: it stays.
    pub(super) fn release_to(&mut self, number: usize, member: Option<usize>) {
        let before = std::mem::replace(&mut self.places[number].releasing_to, member);
        self.releasing -= usize::from(before.is_some());
        self.releasing += usize::from(member.is_some());
    }

    pub(super) fn ours(&self) -> impl Iterator<Item = &Shard> {
        self.places.iter().filter_map(|place| place.ours.as_ref())
    }

    pub(super) fn ours_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        let places = self.places.iter_mut();
        places.filter_map(|place| place.ours.as_mut())
    }

    /// Those for which commands are carried out here.
    pub(super) fn served(&self) -> impl Iterator<Item = &Shard> {
        let served = self.places.iter().filter(|it| it.releasing_to.is_none());
        served.filter_map(|place| place.ours.as_ref())
    }

    pub(super) fn get(&self, number: usize) -> Option<&Shard> {
        self.places[number].ours.as_ref()
    }

    /// One that is ours.
    pub(super) fn shard(&mut self, number: usize) -> &mut Shard {
        self.places[number].ours.as_mut().expect("it is ours")
    }

    /// Whether the tick has journalled anything for a shard.
    pub(super) fn has_batch(&self, number: usize) -> bool {
        let shard = self.get(number);
        shard.is_some_and(|shard| !shard.batch().is_empty())
    }

    /// The tick's batch of a shard of ours is in the journal.
    pub(super) fn written(&mut self, number: usize) {
        self.shard(number).written();
    }

    /// Whether commands for a shard are carried out here.
    pub(super) fn serves(&self, number: usize) -> bool {
        let place = &self.places[number];
        place.ours.is_some() && place.releasing_to.is_none()
    }

    /// Whether this tick takes more for a shard of ours.
    pub(super) fn accepts(&self, number: usize) -> bool {
        self.get(number).is_some_and(Shard::accepts)
    }

    /// Applies a command to a shard of ours, and writes what came of it into the encoder's body. The reply's status,
    /// and what it rests on.
    pub(super) fn execute(
        &mut self,
        io: &mut Transport,
        number: usize,
        caller: &Caller,
        command: &Command,
        ids: &Ids,
    ) -> (Status, Dependency) {
        let shard = self.places[number].ours.as_mut().expect("it is ours");
        let time_us = shard.tell_time(io.now);
        let applied = shard.apply(command, ids, time_us);
        if applied.repeated {
            io.stats().duplicates.add(1);
        }
        match applied.outcome {
            Outcome::Posted(_) if !applied.repeated && io.replies_wait() => {
                if let Command::Transact { client, .. } = command {
                    io.commit.changes(number, *client);
                }
            }
            Outcome::Accepted if !applied.repeated => io.stats().payments.accepted.add(1),
            Outcome::QueueFull => io.stats().payments.queue_full.add(1),
            _ => {}
        }
        let dependency = match applied.is_written {
            true => Dependency::Written { shard: number },
            false => dependency_of(number, command),
        };
        let status = io.encoder.outcome(caller, &applied.outcome);
        probe!(galo, command, number, shard.sequence(), status.code());
        (status, dependency)
    }

    /// Has a shard of ours forget, unless that was done before under this id. Whether it was not.
    pub(super) fn forget(
        &mut self,
        io: &mut Transport,
        number: usize,
        scope: Scope,
        forward: Option<ForwardId>,
    ) -> bool {
        let shard = self.shard(number);
        if forward.is_some_and(|id| shard.has_forgotten(&id)) {
            io.stats().duplicates.add(1);
            return false;
        }
        let time_us = shard.tell_time(io.now);
        match scope {
            Scope::Everything => shard.reset(forward, time_us),
            Scope::Payments => shard.purge(forward, time_us),
        }
        if io.replies_wait() {
            io.commit.changes_all(number);
        }
        io.events.push_back(NodeEvent::Forgotten(number));
        true
    }
}

/// What the reply to a command rests on, once a shard has carried it out.
fn dependency_of(shard: usize, command: &Command) -> Dependency {
    match command {
        Command::Statement { client } => Dependency::Read {
            shard,
            of: Read::Statement(*client),
        },
        Command::Show { id } => Dependency::Read {
            shard,
            of: Read::Payment(*id),
        },
        Command::Transact { .. } | Command::Pay { .. } => Dependency::Write { shard },
    }
}
