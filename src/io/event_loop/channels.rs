//! Links whose bytes go through memory: they are looked at in each tick, and before the core waits.

use super::super::backend::{Backend, Next};
use super::super::channel::{self, Channel, NoChannel, Senseless};
use super::super::error::Error;
use super::super::links::Links;
use super::super::sockets::{Carrier, SocketConnection};
use super::Core;
use crate::limits::{CHANNEL_RING_BYTES, LINK_FRAME_BYTES_MAX};
use crate::machine::{ConnectionId, Machine};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Connections that a channel carries.
#[derive(Default)]
pub(super) struct Channels {
    open: Vec<ConnectionId>,
    /// What was written, or cannot be; the next tick tells.
    sent: Vec<(ConnectionId, Result<usize, ()>)>,
    /// Not all could be written: the next tick is not waited for.
    is_urgent: bool,
    /// The doorbells that are rung before the core waits or looks for events. Open until that is over: they may be rung
    /// by what is submitted then.
    bells: Vec<Arc<OwnedFd>>,
    /// What is read from a channel goes through here.
    buffer: Box<[u8]>,
}

impl Channels {
    /// Whether there is anything to do about them in a tick.
    pub(super) fn are_open(&self) -> bool {
        !self.open.is_empty() || !self.bells.is_empty() || !self.sent.is_empty()
    }

    /// Whether what was written has to be told at once. It need not be if all was: a machine that has more to send by
    /// then has had a tick. (One that stops waits for it.)
    pub(super) fn is_urgent(&self, stopping: bool) -> bool {
        self.is_urgent || stopping && !self.sent.is_empty()
    }

    /// Sends the machine's output of a link, or keeps it back. `false`: it is to be sent over the socket.
    pub(super) fn send<S>(
        &mut self,
        connection: &mut SocketConnection<S>,
        bytes: &[u8],
        links: &mut Links,
    ) -> bool {
        let sent = match &mut connection.carrier {
            Carrier::Socket => return false,
            Carrier::Expected { held } => {
                *held = true;
                return true;
            }
            Carrier::Offered(offer) => match offer.parts.take() {
                None => return false,
                Some(parts) => match channel::send(&connection.socket, bytes, &parts) {
                    Ok(count) => Ok(count),
                    Err(errno) => {
                        connection.carrier = Carrier::Socket;
                        links.log_no_channel(&NoChannel::System("sendmsg", errno));
                        return false;
                    }
                },
            },
            Carrier::Channel(channel) => match channel.write(bytes) {
                // Again when there is room.
                Ok(0) => return true,
                Ok(count) => Ok(count),
                Err(Senseless) => {
                    log::error!("{SENSELESS}");
                    Err(())
                }
            },
        };
        self.is_urgent |= sent != Ok(bytes.len());
        self.sent.push((connection.id, sent));
        true
    }
}

impl<M: Machine, B: Backend<M::Job>> Core<M, B> {
    /// A channel carries this connection from now on.
    pub(super) fn watch_channel(
        &mut self,
        id: ConnectionId,
        doorbell: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        if self.channels.buffer.is_empty() {
            self.channels.buffer = vec![0; CHANNEL_RING_BYTES].into();
        }
        self.channels.open.push(id);
        self.back.watch_doorbell(id, doorbell)
    }

    /// A link closes.
    pub(super) fn close_channel(&mut self, id: ConnectionId) -> Result<(), Error> {
        self.channels.sent.retain(|(other, _)| *other != id);
        self.channels.open.retain(|other| *other != id);
        let connection = self.sockets.get_closing(id);
        let Some(channel) = connection.and_then(|it| it.channel()) else {
            return Ok(());
        };
        self.channels.bells.extend(channel.bell());
        self.back.unwatch_doorbell(id, channel.doorbell())
    }

    // ---- The choice of the carrier -------------------------------------------

    /// The first bytes of who has connected to us are there, with a channel or without one. They go to the machine, and
    /// what it had to send goes the same way that they came.
    pub(super) fn greeted(&mut self, id: ConnectionId) -> Result<(), Error> {
        let Some(connection) = self.sockets.get(id) else {
            return Ok(());
        };
        let mut bytes = [0; LINK_FRAME_BYTES_MAX];
        let received = channel::receive(&connection.socket, &mut bytes);
        let (count, channel) = match received {
            Ok(arrived) => (Ok(arrived.bytes), arrived.channel),
            Err(errno) => (Err(errno), None),
        };
        // Who offers none says itself why.
        let channel = channel.and_then(|attached| {
            attached
                .map_err(|reason| self.links.log_no_channel(&reason))
                .ok()
        });
        connection.ended = matches!(count, Ok(0));
        self.back.update_reading(connection)?;
        let before = std::mem::replace(&mut connection.carrier, Carrier::Socket);
        if let Carrier::Expected { held: true } = before {
            self.send(id)?;
        }
        if let Some(channel) = channel {
            self.open_channel(id, Box::new(channel))?;
        }
        match count {
            Ok(0) => self.machine.input_ended(id, false),
            Ok(count) => self.machine.received(id, &bytes[..count]),
            // Nothing yet, or what the back end meets, too, now that it reads.
            Err(_) => {}
        }
        Ok(())
    }

    /// Bytes have come over the socket of a link that we made: by now the other node has taken the channel, or not.
    pub(super) fn link_received(&mut self, id: ConnectionId) -> Result<(), Error> {
        let Some(connection) = self.sockets.get(id) else {
            return Ok(());
        };
        match std::mem::replace(&mut connection.carrier, Carrier::Socket) {
            Carrier::Offered(offer) if offer.channel.is_attached() => {
                self.open_channel(id, Box::new(offer.channel))
            }
            Carrier::Offered(_) => {
                self.links.log_no_channel(&NoChannel::Declined);
                Ok(())
            }
            carrier => {
                connection.carrier = carrier;
                Ok(())
            }
        }
    }

    fn open_channel(&mut self, id: ConnectionId, mut channel: Box<Channel>) -> Result<(), Error> {
        self.watch_channel(id, channel.doorbell())?;
        let Some(connection) = self.sockets.get(id) else {
            return Ok(());
        };
        // What was wanted of the socket is wanted of the channel; the socket is read for its end.
        channel.reading = std::mem::replace(&mut connection.reading, true);
        let was_read = channel.reading;
        connection.carrier = Carrier::Channel(channel);
        match was_read {
            true => Ok(()),
            false => self.back.update_reading(connection),
        }
    }

    // ---- Bytes ----------------------------------------------------------------

    /// Tells the machine what was written between the ticks.
    pub(super) fn tell_channels_sent(&mut self) {
        self.channels.is_urgent = false;
        for (id, sent) in self.channels.sent.drain(..) {
            self.machine.sent(id, sent);
        }
    }

    /// Tells the machine what has arrived, and goes on with what had no room.
    pub(super) fn feed_channels(&mut self) -> Result<(), Error> {
        let bytes_max = self.machine.receive_bytes_max();
        for at in 0..self.channels.open.len() {
            let id = self.channels.open[at];
            let connection = self.sockets.get(id).filter(|it| !it.ended);
            let channel = connection.and_then(|it| it.channel());
            let Some((has_room, reading)) = channel.map(|it| (it.has_room_again(), it.reading))
            else {
                continue;
            };
            if has_room {
                self.send(id)?;
            }
            if reading {
                self.read_channel(id, bytes_max);
            }
        }
        Ok(())
    }

    /// The socket of a link has ended: what the other end had written before is read yet.
    pub(super) fn drain_channel(&mut self, id: ConnectionId) {
        while self.read_channel(id, CHANNEL_RING_BYTES) {}
    }

    /// Whether there were any bytes.
    fn read_channel(&mut self, id: ConnectionId, bytes_max: usize) -> bool {
        let Some(connection) = self.sockets.get(id) else {
            return false;
        };
        let Some(channel) = connection.channel() else {
            return false;
        };
        let buffer = &mut self.channels.buffer;
        let most = bytes_max.min(buffer.len());
        match channel.read(&mut buffer[..most]) {
            Ok(0) => false,
            Ok(count) => {
                self.machine.received(id, &buffer[..count]);
                true
            }
            Err(Senseless) => {
                self.senseless(id);
                false
            }
        }
    }

    /// The other end of a channel does what no galo does: its link is over.
    pub(super) fn senseless(&mut self, id: ConnectionId) {
        let Some(connection) = self.sockets.get(id) else {
            return;
        };
        if !std::mem::replace(&mut connection.ended, true) {
            log::error!("{SENSELESS}");
            self.machine.input_ended(id, true);
        }
    }

    // ---- Waiting ----------------------------------------------------------------

    /// The core is about to wait, or to look for events: rings for those that wait for what it has done, and says to the
    /// others if it waits, unless there is something to do.
    pub(super) fn channels_wait(&mut self, next: Next) -> Result<Next, Error> {
        let mut bells = std::mem::take(&mut self.channels.bells);
        self.each_channel(|channel| bells.extend(channel.bell()));
        for bell in &bells {
            self.back.ring(bell)?;
        }
        self.channels.bells = bells;
        if !matches!(next, Next::Wait(_)) {
            return Ok(next);
        }
        self.each_channel(|channel| channel.waits(true));
        // Before the look: see `ring.rs`.
        Channel::fence();
        let mut is_ready = false;
        self.each_channel(|channel| is_ready |= channel.is_ready());
        Ok(match is_ready {
            true => Next::Work,
            false => next,
        })
    }

    /// It does no longer: nobody needs to ring.
    pub(super) fn channels_awake(&mut self) {
        self.channels.bells.clear();
        self.each_channel(|channel| channel.waits(false));
    }

    fn each_channel(&mut self, mut act: impl FnMut(&mut Channel)) {
        for id in &self.channels.open {
            let connection = self.sockets.get(*id).filter(|it| !it.ended);
            if let Some(channel) = connection.and_then(|it| it.channel()) {
                act(channel);
            }
        }
    }
}

/// Of the other end of a channel.
const SENSELESS: &str =
    "another node has put into the memory of a link what no galo puts there; the link is closed";
