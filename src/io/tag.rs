//! The 64 bits of user data by which a completion or a ready socket is matched to its operation and connection.

use crate::machine::ConnectionId;

/// Operation (8 bits), generation (24), index (32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub operation: Operation,
    pub generation: u32,
    pub index: u32,
}

/// Kinds of operations. `repr(u8)`: stored in a [`Tag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Operation {
    /// An operation whose completion is ignored (cancelling, closing).
    Forgotten = 0,
    /// A listener accepts; index: its number.
    Accept = 1,
    /// Index and generation: the connection's. With epoll it stands for sending, too.
    Receive = 2,
    /// A connection sends; index and generation: the connection's.
    Send = 3,
    /// The control's eventfd is readable.
    Wake = 4,
    /// The timer; generation: how often it was armed.
    Timeout = 5,
    /// Index: the dial's slot.
    Connect = 6,
    /// The first bytes of a link are there; index and generation: the connection's.
    Greeting = 7,
    /// A channel's doorbell was rung; index and generation: the connection's.
    Doorbell = 8,
}

impl Operation {
    /// All operations, by their numbers.
    const ALL: [Operation; 9] = {
        use Operation::*;
        [
            Forgotten, Accept, Receive, Send, Wake, Timeout, Connect, Greeting, Doorbell,
        ]
    };
}

impl Tag {
    const GENERATION_MASK: u32 = 0xff_ffff;

    pub(super) fn new(operation: Operation, generation: u32, index: u32) -> Tag {
        debug_assert!(generation <= Tag::GENERATION_MASK);
        Tag {
            operation,
            generation,
            index,
        }
    }

    /// The tag of an operation on a connection.
    pub(super) fn of(operation: Operation, id: ConnectionId) -> Tag {
        Tag::new(operation, id.generation, id.index)
    }

    /// The connection that it is about.
    pub(super) fn id(self) -> ConnectionId {
        ConnectionId {
            index: self.index,
            generation: self.generation,
        }
    }

    pub(super) fn pack(self) -> u64 {
        (self.operation as u64) << 56 | u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn unpack(bits: u64) -> Tag {
        Tag {
            operation: *Operation::ALL
                .get((bits >> 56) as usize)
                .unwrap_or(&Operation::Forgotten),
            generation: (bits >> 32) as u32 & Tag::GENERATION_MASK,
            index: bits as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_survive_packing() {
        for operation in Operation::ALL {
            for (generation, index) in [(0, 0), (1, u32::MAX), (0xff_ffff, 7)] {
                let tag = Tag::new(operation, generation, index);
                assert_eq!(Tag::unpack(tag.pack()), tag);
            }
        }
    }
}
