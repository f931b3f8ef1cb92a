//! What the checkers see of a run: everything that crosses the edge of the router, in the order in which it happens.

use crossring_codec::message::Message;
use crossring_router::address::{ShardId, TransportId};
use crossring_router::letter::Letter;
use crossring_router::outbox::EndCause;

/// A transport, counted over the whole run.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub struct Peer(pub u32);

impl Peer {
    /// As an index of tables.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One thing that happened.
#[derive(Debug)]
pub enum Observation<'a> {
    /// A shard has been told of a new transport.
    Opened {
        /// The transport.
        peer: Peer,
        /// Its shard.
        shard: ShardId,
        /// The listener it came through.
        transport: TransportId,
        /// Its client keeps to the protocol.
        honest: bool,
    },
    /// A shard is about to be given a message of the peer.
    Arrived {
        /// From whom.
        peer: Peer,
        /// What.
        message: &'a Message<'static>,
    },
    /// A shard takes up a message that has waited for an authorizer.
    TakenUp {
        /// From whom.
        peer: Peer,
        /// What.
        message: &'a Message<'static>,
    },
    /// A shard acts upon a message of the peer: as it arrives, or when it has been authorized. Made of the two above and of what
    /// the shard does then.
    Handled {
        /// From whom.
        peer: Peer,
        /// What.
        message: &'a Message<'static>,
    },
    /// A shard wants no more messages of the peer.
    Paused {
        /// Of whom.
        peer: Peer,
    },
    /// A shard wants messages of the peer again.
    Unpaused {
        /// Of whom.
        peer: Peer,
    },
    /// A shard has sent a message, and it waits for its reader.
    Emitted {
        /// To whom.
        peer: Peer,
        /// What.
        message: &'a Message<'static>,
    },
    /// A shard has sent a message, and the host has dropped and counted it: queue full, or too large for the reader.
    Dropped {
        /// To whom.
        peer: Peer,
        /// What.
        message: &'a Message<'static>,
    },
    /// A client has read a message.
    Received {
        /// Which.
        peer: Peer,
        /// What.
        message: &'a Message<'static>,
    },
    /// The shard wants the transport ended.
    Ended {
        /// Which.
        peer: Peer,
        /// Why.
        cause: EndCause,
    },
    /// The transport is broken: nothing more reaches its client.
    Broken {
        /// Which.
        peer: Peer,
    },
    /// The shard is about to be told that the transport is gone.
    Closed {
        /// Which.
        peer: Peer,
        /// Messages that its client has not read.
        unread: u64,
    },
    /// A shard or the registry has posted a letter.
    Posted {
        /// Its sender.
        from: ShardId,
        /// Its receiver.
        to: ShardId,
        /// The letter.
        letter: &'a Letter,
    },
    /// The node has been told to shut down.
    ShutDown,
}
