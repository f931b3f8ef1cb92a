//! What a completion names: an operation, a slot and a generation in 64 bits.

use crate::event::ConnectionId;
use crate::slots::SLOT_COUNT_MAX;

/// The operations of the ring.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[repr(u64)]
pub(super) enum Kind {
    Receive = 1,
    Send = 2,
    Accept = 3,
    Cancel = 4,
    /// The eventfd became readable.
    Eventfd = 5,
    /// Another ring posted here.
    Doorbell = 6,
    /// Posting to another ring; completes only if that failed.
    Ring = 7,
}

/// User data of one operation.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(super) struct Token(pub(super) u64);

impl Token {
    pub(super) fn connection(kind: Kind, id: ConnectionId) -> Token {
        debug_assert!(id.slot < SLOT_COUNT_MAX);
        Token((kind as u64) << KIND_SHIFT | u64::from(id.slot) << SLOT_SHIFT | u64::from(id.generation))
    }

    pub(super) fn index(kind: Kind, index: u32) -> Token {
        Token::connection(kind, ConnectionId { slot: index, generation: 0 })
    }

    /// `None` for a value the ring never made.
    pub(super) fn kind(self) -> Option<Kind> {
        Some(match self.0 >> KIND_SHIFT {
            1 => Kind::Receive,
            2 => Kind::Send,
            3 => Kind::Accept,
            4 => Kind::Cancel,
            5 => Kind::Eventfd,
            6 => Kind::Doorbell,
            7 => Kind::Ring,
            _ => return None,
        })
    }

    pub(super) fn id(self) -> ConnectionId {
        let slot = (self.0 >> SLOT_SHIFT) as u32 & (SLOT_COUNT_MAX - 1);
        ConnectionId { slot, generation: self.0 as u32 }
    }
}

const KIND_SHIFT: u32 = 60;
const SLOT_SHIFT: u32 = 32;
const _: () = assert!(SLOT_COUNT_MAX as u64 == 1 << (KIND_SHIFT - SLOT_SHIFT));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_keeps_its_parts() {
        let id = ConnectionId { slot: SLOT_COUNT_MAX - 1, generation: u32::MAX };
        for kind in [Kind::Receive, Kind::Send, Kind::Accept, Kind::Cancel, Kind::Eventfd, Kind::Ring] {
            let token = Token::connection(kind, id);
            assert_eq!((token.kind(), token.id()), (Some(kind), id));
        }
        assert_eq!(Token(0).kind(), None);
        assert_eq!(Token(u64::MAX).kind(), None);
    }
}
