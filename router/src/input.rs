//! What enters a shard.

use std::sync::Arc;

use crossring_codec::message::Message;

use crate::address::{SessionKey, ShardId, TransportId};
use crate::details::TransportDetails;
use crate::letter::Letter;
use crate::statistics::Traffic;

/// One input of `Shard::handle`.
#[derive(Debug)]
pub enum Input<'a> {
    /// A transport has been opened and framing is settled; HELLO may come.
    Opened {
        /// Its slot.
        key: SessionKey,
        /// The listening transport it came through.
        transport: TransportId,
        /// What is known of it.
        details: Arc<TransportDetails>,
    },
    /// A message of the peer.
    Message {
        /// From whom.
        key: SessionKey,
        /// What; borrowed from the received octets.
        message: Message<'a>,
    },
    /// The peer sent what is no WAMP message (the decoder's or transport's words): ABORT `wamp.error.protocol_violation`.
    Violation {
        /// From whom.
        key: SessionKey,
        /// For the ABORT and the log.
        text: &'a str,
    },
    /// The transport is gone, for whatever reason. The key is never used again.
    Closed {
        /// Whose.
        key: SessionKey,
    },
    /// Messages of a session have been counted in this turn, as [`crate::outbox::Outbox::count`] asked for.
    Counted {
        /// Whose.
        key: SessionKey,
        /// All since then.
        total: Traffic,
    },
    /// A letter of another shard.
    Letter {
        /// Its sender.
        from: ShardId,
        /// The letter.
        letter: Letter,
    },
}
