//! The loop over a back end that does what a test says.

use super::*;
use crate::io::dials::Dial;
use crate::io::sockets::SocketConnection;
use crate::io::threads::Task;
use crate::machine;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

enum NoJob {}

impl machine::Job for NoJob {
    type Done = ();

    fn run(self) {
        match self {}
    }
}

/// Counts its connections.
#[derive(Default)]
struct Counting {
    opened: u32,
}

impl Machine for Counting {
    type Job = NoJob;

    fn tick_begin(&mut self, _: Now) {}

    fn opened(&mut self, _: Peer) -> Result<ConnectionId, &'static [u8]> {
        self.opened += 1;
        Ok(ConnectionId {
            index: self.opened - 1,
            generation: 0,
        })
    }

    fn connect_failed(&mut self, _: Target) {}

    fn received(&mut self, _: ConnectionId, _: &[u8]) {}

    fn input_ended(&mut self, _: ConnectionId, _: bool) {}

    fn sent(&mut self, _: ConnectionId, _: Result<usize, ()>) {}

    fn closed(&mut self, _: ConnectionId) {}

    fn job_done(&mut self, (): ()) {}

    fn stop(&mut self) {}

    fn tick_end(&mut self) {}

    fn next_effect(&mut self) -> Option<Effect<NoJob>> {
        None
    }

    fn output(&self, _: ConnectionId) -> &[u8] {
        &[]
    }

    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    fn ready(&self) -> bool {
        false
    }
}

/// The core was woken; before it is told so, another core hands it a connection.
struct Woken {
    control: Arc<Control>,
    handed: Option<OwnedFd>,
}

impl Backend<NoJob> for Woken {
    type State = ();

    const NONBLOCKING: bool = true;

    fn listen(&mut self, _: u32, _: &OwnedFd) -> Result<(), Error> {
        Ok(())
    }

    fn stop_listening(&mut self, _: u32, _: &OwnedFd) -> Result<bool, Error> {
        Ok(false)
    }

    fn open(&mut self, _: ConnectionId, _: &OwnedFd, _: bool) -> Result<(), Error> {
        Ok(())
    }

    fn watch_doorbell(&mut self, _: ConnectionId, _: impl AsFd) -> Result<(), Error> {
        Ok(())
    }

    fn ring(&mut self, _: impl AsFd) -> Result<(), Error> {
        Ok(())
    }

    fn unwatch_doorbell(&mut self, _: ConnectionId, _: impl AsFd) -> Result<(), Error> {
        Ok(())
    }

    fn update_reading(&mut self, _: &mut SocketConnection<()>) -> Result<(), Error> {
        Ok(())
    }

    unsafe fn send(&mut self, _: &mut SocketConnection<()>, _: &[u8]) -> Result<(), Error> {
        unreachable!("nothing is sent")
    }

    fn close(&mut self, _: &mut Sockets<()>, _: ConnectionId) -> Result<(), Error> {
        Ok(())
    }

    unsafe fn connect(&mut self, _: u32, _: &Dial) -> Result<(), Error> {
        unreachable!("nobody is connected to")
    }

    fn start(&mut self, task: Task<NoJob>) {
        drop(task);
    }

    fn gather(&mut self, _: &mut Sockets<()>, _: Next, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn next_event(
        &mut self,
        _: &mut Sockets<()>,
        _: usize,
    ) -> Result<Option<SocketEvent<'_>>, Error> {
        let Some(socket) = self.handed.take() else {
            return Ok(None);
        };
        // The first turn is core 0's.
        assert!(self.control.share(1, socket).is_none());
        Ok(Some(SocketEvent::Woken))
    }
}

#[test]
fn a_connection_that_is_handed_over_while_a_wake_is_taken_is_not_forgotten() {
    let control = Control::new(2).unwrap();
    let (listener, _peer) = UnixStream::pair().unwrap();
    let (client, _peer) = UnixStream::pair().unwrap();
    let setup = Setup {
        machine: Counting::default(),
        listeners: vec![ListenSocket {
            socket: listener.into(),
            unix: true,
            shared: true,
        }],
        peers: Vec::new(),
        link_listener: None,
        link_paths: Vec::new(),
        upstreams: None,
        engine: None,
        control: control.clone(),
        core: 0,
    };
    let back = Woken {
        control: control.clone(),
        handed: Some(client.into()),
    };
    control.wake(0);
    let mut core = Core::new(back, setup);
    assert!(core.tick().is_ok_and(|exit| exit.is_none()));
    let mut wake = [PollFd::new(control.wake_fd(0), PollFlags::POLLIN)];
    let is_awake = poll(&mut wake, PollTimeout::ZERO).unwrap() > 0;
    assert!(core.machine.opened == 1 || is_awake, "it waits for ever");
}
