//! The client half of WAMP, sans-IO: [`ClientSession`] turns wishes into messages to send and received messages into
//! [`ClientEvent`]s. It owns no transport and no clock, knows nothing of the router half and imports only
//! the codec and the words for a transport.
//!
//! Methods that ask for something return the message to send; the driver encodes it and must send in that order (request
//! ids are a sequence). [`ClientSession::receive`] takes each message of the router once. Nothing is allocated for an EVENT.

mod check;
mod event;
mod pending;
mod proof;
mod receive;
mod resumption;
mod roles;
mod session;
pub mod types;

#[cfg(test)]
mod tests;

pub use check::OptionFault;
pub use event::{ClientEvent, ClientRefusal, ClientViolation};
pub use pending::{PENDING_MAX, RECENT_MAX, RequestKind};
pub use proof::{Channel, Credentials, Proof, ProofFault};
pub use roles::ROLES;
pub use session::{ClientSession, ClientState, Request};
