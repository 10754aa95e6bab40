//! A core's end of the engine's client, and what both ends tell each other.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::Arc;

use tokio::sync::{mpsc, Semaphore};

use super::{Charter, ClientError};
use crate::limits::ENGINE_BACKLOG_BYTES_MAX;
use crate::machine::engine::{EngineEvent, EnginePort, Request, ShardFile};

/// What the thread is told.
pub(super) enum Command {
    /// There is one more core.
    Port(Core),
    /// A core asks. `follow`: of a request to follow the log, which one it is.
    Ask {
        member: u32,
        request: Request,
        follow: u64,
    },
    /// Somebody waits to know what the cluster was founded with.
    Charter {
        proposed: Option<Charter>,
        reply: Sender<Result<Option<Charter>, ClientError>>,
    },
    /// Somebody waits until this is what the cluster goes by.
    Amend {
        charter: Charter,
        reply: Sender<Result<(), ClientError>>,
    },
    /// Somebody waits for a shard's file from the store, or for one to be put there.
    Store {
        asked: Stored,
        reply: Sender<Result<bool, ClientError>>,
    },
    /// Nobody is left.
    End,
}

/// What the process wants of the store.
pub(super) enum Stored {
    /// The newest file of a shard, at this path.
    Fetch(u32, PathBuf),
    /// A cluster that is not there yet is to begin with this one.
    Seed(ShardFile),
}

/// What both ends have.
pub(super) struct Shared {
    pub(super) member: u32,
    wake: Box<dyn Fn() + Send + Sync>,
    /// The core has been woken, and has not found the channel empty since.
    is_awake: AtomicBool,
    /// Counts the requests to follow the log: what was delivered for an earlier one is dropped.
    follows: AtomicU64,
    /// Bytes of records that may wait for the core.
    room: Semaphore,
}

/// Something for a core.
struct Said {
    event: EngineEvent,
    /// Of a record of the log: for which request to follow.
    follow: Option<u64>,
    /// What it takes of the room.
    bytes: u32,
}

/// A core's way to the engine.
pub struct Port {
    shared: Arc<Shared>,
    said: mpsc::UnboundedReceiver<Said>,
    commands: mpsc::UnboundedSender<Command>,
}

/// The thread's way to a core.
#[derive(Clone)]
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    /// What is not a record of the log is as much as the core has asked for, or other members have told it.
    said: mpsc::UnboundedSender<Said>,
}

pub(super) fn pair(
    member: u32,
    wake: Box<dyn Fn() + Send + Sync>,
    commands: mpsc::UnboundedSender<Command>,
) -> (Port, Core) {
    let shared = Arc::new(Shared {
        member,
        wake,
        is_awake: AtomicBool::new(false),
        follows: AtomicU64::new(0),
        room: Semaphore::new(ENGINE_BACKLOG_BYTES_MAX),
    });
    let (sender, said) = mpsc::unbounded_channel();
    let port = Port {
        shared: shared.clone(),
        said,
        commands,
    };
    let core = Core {
        shared,
        said: sender,
    };
    (port, core)
}

impl EnginePort for Port {
    fn ask(&mut self, request: Request) {
        let follow = match request {
            Request::Follow { .. } => 1 + self.shared.follows.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        // A core has few requests open: one for each of its shards, and a few more.
        let member = self.shared.member;
        let _ = self.commands.send(Command::Ask {
            member,
            request,
            follow,
        });
    }

    fn next_event(&mut self) -> Option<EngineEvent> {
        loop {
            let said = match self.said.try_recv() {
                Ok(said) => said,
                Err(_) => {
                    self.shared.is_awake.store(false, Ordering::SeqCst);
                    self.said.try_recv().ok()?
                }
            };
            self.shared.room.add_permits(said.bytes as usize);
            let is_old = said
                .follow
                .is_some_and(|it| it != self.shared.follows.load(Ordering::Relaxed));
            if !is_old {
                return Some(said.event);
            }
        }
    }
}

impl Core {
    /// Says something at once.
    pub(super) fn say(&self, event: EngineEvent) {
        self.put(Said {
            event,
            follow: None,
            bytes: 0,
        });
    }

    /// Says a record of the log, when there is room.
    pub(super) async fn deliver(&self, event: EngineEvent, follow: u64, bytes: usize) {
        let bytes = bytes.clamp(1, ENGINE_BACKLOG_BYTES_MAX) as u32;
        if let Ok(permit) = self.shared.room.acquire_many(bytes).await {
            permit.forget();
        }
        self.put(Said {
            event,
            follow: Some(follow),
            bytes,
        });
    }

    fn put(&self, said: Said) {
        let _ = self.said.send(said); // A core that is gone needs nothing.
        if !self.shared.is_awake.swap(true, Ordering::SeqCst) {
            (self.shared.wake)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn record(sequence: u64) -> EngineEvent {
        EngineEvent::LogDelivered {
            shard: 0,
            sequence,
            record: Vec::new(),
        }
    }

    fn pair_counting_wakes() -> (Port, Core, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let (counted, (commands, received)) = (wakes.clone(), mpsc::unbounded_channel());
        std::mem::forget(received);
        let wake = move || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let (port, core) = pair(3, Box::new(wake), commands);
        (port, core, wakes)
    }

    #[test]
    fn a_core_is_woken_once_until_it_has_seen_everything() {
        let (mut port, core, wakes) = pair_counting_wakes();
        core.say(EngineEvent::Connected(true));
        core.say(EngineEvent::Connected(false));
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        assert_eq!(port.next_event(), Some(EngineEvent::Connected(true)));
        core.say(EngineEvent::Connected(true));
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        for connected in [false, true] {
            assert_eq!(port.next_event(), Some(EngineEvent::Connected(connected)));
        }
        assert_eq!(port.next_event(), None);
        core.say(EngineEvent::Connected(true));
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn what_was_delivered_for_an_earlier_request_to_follow_is_dropped() {
        let (mut port, core, _) = pair_counting_wakes();
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        port.ask(Request::Follow { after: 0 });
        runtime.block_on(core.deliver(record(1), 1, 10));
        runtime.block_on(core.deliver(record(2), 1, 10));
        assert_eq!(port.next_event(), Some(record(1)));
        port.ask(Request::Follow { after: 0 });
        core.say(EngineEvent::Connected(true));
        runtime.block_on(core.deliver(record(1), 2, 10));
        assert_eq!(port.next_event(), Some(EngineEvent::Connected(true)));
        assert_eq!(port.next_event(), Some(record(1)));
        assert_eq!(port.next_event(), None);
        assert_eq!(
            core.shared.room.available_permits(),
            ENGINE_BACKLOG_BYTES_MAX
        );
    }
}
