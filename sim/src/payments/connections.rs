//! How cores reach the processors.

use galo::machine::{Machine, Peer, Target};
use galo::payments::Processor;
use galo::runtime::Runtime;

use crate::cluster::{Core, Dial};
use crate::disk::SimDisk;
use crate::socket::{Far, Socket, Upstream};
use crate::trace::Who;
use crate::world::World;
use crate::{event, step};

impl World {
    /// A core wants to be connected with a processor.
    pub fn dial(&mut self, core: &mut Core, to: Processor) {
        let due_ns = self.now_ns + self.processors.connect_ns(to);
        core.dialing.push(Dial { to, due_ns });
    }

    /// What a core hears of the connections with processors that it wants.
    pub fn dialed(&mut self, runtime: &mut Runtime<SimDisk>, member: usize, dials: &[Dial]) {
        for dial in dials {
            let name = dial.to.name();
            if self.processors.refuses(dial.to) {
                event!(self.trace, Who::Core(member), "cannot connect with {name}");
                self.model.payments.unheard(dial.to, self.now_ns);
                runtime.connect_failed(Target::Upstream(dial.to as usize));
                continue;
            }
            let mut socket = Socket::new(member, Far::Upstream(Upstream::new(dial.to)));
            socket.id = runtime.opened(Peer::Upstream(dial.to as usize)).ok();
            if socket.id.is_some() {
                let at = self.add_socket(socket);
                step!(
                    self.trace,
                    Who::Core(member),
                    "is connected with {name}: {at}"
                );
            }
        }
    }
}
