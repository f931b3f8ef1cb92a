//! The types of a WAMP application, with the field names and meanings of Autobahn (`autobahn.wamp.types`,
//! `autobahn.wamp.request`).
//!
//! Options are the codec's: what an application asks for is what stands on the wire. Their rare keys are behind `extra`
//! (`options.extra_mut().rkey = …`), so that the usual ones cost nothing; [`super::ClientSession`] refuses values that no router
//! takes ([`super::OptionFault`]). Durations are milliseconds, as on the wire and unlike in Autobahn, whose documentation says
//! seconds. Details are views of what has arrived, made by whoever wants them: the session hands out the messages' own.
//!
//! | Autobahn | here |
//! |---|---|
//! | `on_progress` of `CallOptions` | `receive_progress`; every [`super::ClientEvent::Result`] tells whether more follow |
//! | `progress` of `CallDetails`, a callable | [`ProgressHandle`], passed to [`super::ClientSession::progress`] |
//! | `details`, `details_arg` of options | none: details are always at hand |
//! | `correlation_*` of options | none: Autobahn never sends them; a [`super::Request`] is correlated by its id |
//! | `unsubscribe()`, `unregister()` of objects | [`super::ClientSession::unsubscribe`], [`super::ClientSession::unregister`] |

mod close;
mod details;
mod hello;
mod ident;
mod objects;
mod payload;
mod result;
mod session;
mod testament;

#[cfg(test)]
mod tests;

pub use crossring_codec::message::{
    CallExtra, CallOptions, CancelMode, Forwarder, InvocationPolicy, Passthru, PublishExtra, PublishOptions,
    RegisterOptions, SubscribeOptions,
};
pub use crossring_codec::uri::Match;

pub use crate::details::TransportDetails;

pub use close::CloseDetails;
pub use details::{CallDetails, EventDetails, ProgressHandle};
pub use hello::{Accept, Challenge, Deny, HelloDetails, HelloReturn};
pub use ident::SessionIdent;
pub use objects::{Publication, Registration, Subscription};
pub use payload::{EncodedPayload, PassthruPayload, PayloadFault};
pub use result::CallResult;
pub use session::{SessionDetails, SessionDetailsFault};
pub use testament::{Testament, TestamentScope, flush_testaments};
