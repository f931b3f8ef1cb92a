//! Payloads that the router does not look into: payload passthru mode (`ppt_*`) and Autobahn's payload transparency (`enc_*`, one
//! binary in the place of Arguments). Who may send them, and who takes them (wamp.md 1.6, 2.4).

use crossring_codec::message::{Feature, Passthru};
use crossring_codec::payload::Shape;

use crate::session::Session;
use crate::shard::Violation;

/// The features that a message asks of its sender and of its receiver.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Demands {
    passthru: bool,
    transparency: bool,
}

impl Demands {
    /// The demands of a message with these keys and a payload of this shape.
    #[inline]
    pub(crate) fn of(keys: Option<&Passthru<'_>>, shape: Shape) -> Self {
        Self {
            passthru: keys.is_some_and(|keys| keys.ppt_scheme.is_some()),
            transparency: shape == Shape::Transparent || keys.is_some_and(|keys| keys.enc_algo.is_some()),
        }
    }

    /// Whether a peer with certain features meets them.
    #[inline]
    pub(crate) fn are_met(self, has: impl Fn(Feature) -> bool) -> bool {
        (!self.passthru || has(Feature::PayloadPassthruMode))
            && (!self.transparency || has(Feature::PayloadTransparency))
    }

    /// Who uses a feature has announced it.
    #[inline]
    pub(crate) fn check_sender(self, session: &Session) -> Result<(), Violation> {
        if self.are_met(|feature| session.has(feature)) {
            return Ok(());
        }
        Err(Violation("payload_passthru_mode or payload_transparency used without announcing it"))
    }
}
