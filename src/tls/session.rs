//! The server's half of one TLS session: octets in, octets out.

use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{Error, ServerConfig};

use super::binding::{ChannelIds, Observed, observe};

/// Octets of records that may wait until one is whole. A handshake message has at most 64 KiB.
const CARRY_SIZE_MAX: usize = 128 * 1024;

/// Plaintext of one record, and an upper bound of what one adds to it: header, explicit nonce, content type, tag.
const RECORD_SIZE: usize = 16 * 1024;
const RECORD_OVERHEAD_MAX: usize = 5 + 8 + 1 + 16;

/// Changes of keys, ours and the one the peer has asked for, that may leave before data: records of five octets.
const KEY_UPDATES_SIZE_MAX: usize = 2 * (5 + RECORD_OVERHEAD_MAX);

/// Why a session has ended. The peer has been told in `pending`.
#[derive(Debug)]
pub enum Failure {
    /// The peer's records are not what they must be, or nothing agreed on is possible.
    Protocol(Error),
    /// A record that never becomes whole.
    TooLong,
    /// The keys have been used as often as they may.
    Exhausted,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Protocol(error) => error.fmt(f),
            Failure::TooLong => f.write_str("a record does not end"),
            Failure::Exhausted => f.write_str("the keys are exhausted"),
        }
    }
}

/// What a handshake has settled.
#[derive(Debug, Default)]
pub struct Established {
    /// The channel ids.
    pub channel_ids: ChannelIds,
    /// The client's certificate in DER, if it has shown one.
    pub peer_certificate: Option<Box<[u8]>>,
}

#[derive(Debug)]
enum Stage {
    Handshaking(Box<Observed>),
    Open(Option<Box<Established>>),
    Failed,
}

/// The server's half of one TLS session.
///
/// Between two calls it holds the octets of a record that is not whole yet and nothing else beside its keys.
pub struct Session {
    tls: UnbufferedServerConnection,
    stage: Stage,
    peer_has_closed: bool,
    carry: Vec<u8>,
    pending: Vec<u8>,
}

impl Session {
    /// A session in which the client speaks first.
    ///
    /// # Errors
    /// When the library refuses the settings.
    pub fn accept(config: Arc<ServerConfig>) -> Result<Session, Error> {
        Ok(Session {
            tls: UnbufferedServerConnection::new(config)?,
            stage: Stage::Handshaking(Box::default()),
            peer_has_closed: false,
            carry: Vec::new(),
            pending: Vec::new(),
        })
    }

    /// Whether the handshake goes on.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.stage, Stage::Handshaking(_))
    }

    /// Whether data can be sent.
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Whether nothing that is received matters any more.
    pub fn is_over(&self) -> bool {
        self.peer_has_closed || matches!(self.stage, Stage::Failed)
    }

    /// Whether the peer has said that it sends nothing more.
    pub fn peer_has_closed(&self) -> bool {
        self.peer_has_closed
    }

    /// Keeps octets to be taken later, with [`Session::receive`].
    ///
    /// # Errors
    /// When they are too many.
    pub fn hold(&mut self, octets: &[u8]) -> Result<(), Failure> {
        if self.carry.len() + octets.len() > CARRY_SIZE_MAX {
            self.stage = Stage::Failed;
            return Err(Failure::TooLong);
        }
        self.carry.extend_from_slice(octets);
        Ok(())
    }

    /// Takes what a handshake has settled, once.
    pub fn take_established(&mut self) -> Option<Box<Established>> {
        match &mut self.stage {
            Stage::Open(established) => established.take(),
            _ => None,
        }
    }

    /// Octets to be sent beside data: the handshake, alerts, answers to a change of keys.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes those octets.
    pub fn take_pending(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            std::mem::swap(out, &mut self.pending);
        }
        out.append(&mut self.pending);
        self.pending = Vec::new();
    }

    /// Takes received octets and appends the data in them to `plain`. `scratch` is overwritten.
    ///
    /// # Errors
    /// When the session is over; data before the fault has been appended.
    pub fn receive(
        &mut self,
        octets: &[u8],
        scratch: &mut Vec<u8>,
        plain: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        if self.is_over() {
            return Ok(());
        }
        let driven = if self.carry.is_empty() {
            scratch.clear();
            scratch.extend_from_slice(octets);
            let driven = self.drive(scratch, plain);
            if let Ok(consumed) = driven {
                self.carry.extend_from_slice(&scratch[consumed..]);
            }
            driven
        } else {
            let mut carry = std::mem::take(&mut self.carry);
            carry.extend_from_slice(octets);
            let driven = self.drive(&mut carry, plain);
            if let Ok(consumed) = driven
                && consumed < carry.len()
            {
                carry.drain(..consumed);
                self.carry = carry;
            }
            driven
        };
        match driven {
            Ok(_) if self.carry.len() > CARRY_SIZE_MAX => Err(self.fail(Failure::TooLong)),
            Ok(_) => Ok(()),
            Err(error) => Err(self.fail(Failure::Protocol(error))),
        }
    }

    /// Appends the records of `data` to `out`.
    ///
    /// # Errors
    /// When the session cannot send data, or no longer.
    pub fn send(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        self.write(out, |traffic, room| traffic.encrypt(data, room), sealed_size_max(data.len()))
    }

    /// Appends the words that nothing more will be sent.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.is_open() {
            let _ = self.write(out, |traffic, room| traffic.queue_close_notify(room), sealed_size_max(2));
            self.stage = Stage::Failed;
        }
    }

    fn write(
        &mut self,
        out: &mut Vec<u8>,
        seal: impl FnOnce(
            &mut rustls::unbuffered::WriteTraffic<'_, rustls::server::ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
        size_max: usize,
    ) -> Result<(), Failure> {
        if !self.is_open() {
            return Err(Failure::Exhausted);
        }
        loop {
            // The library keeps places in the octets that are not whole yet: it must see them at every call.
            let status = self.tls.process_tls_records(&mut self.carry);
            match status.state.map_err(Failure::Protocol)? {
                ConnectionState::EncodeTlsData(mut encode) => append(out, |room| encode.encode(room)),
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    let start = out.len();
                    out.resize(start + size_max, 0);
                    let written = seal(&mut traffic, &mut out[start..]);
                    out.truncate(start + written.as_ref().copied().unwrap_or_default());
                    return written.map(drop).map_err(|_| Failure::Exhausted);
                }
                _ => return Err(Failure::Exhausted),
            }
        }
    }

    fn drive(&mut self, input: &mut [u8], plain: &mut Vec<u8>) -> Result<usize, Error> {
        let Stage::Handshaking(observed) = &mut self.stage else {
            return self.process(input, plain);
        };
        let mut observed = std::mem::take(observed);
        let driven = observe(&mut observed, || self.process(input, plain));
        if self.tls.is_handshaking() {
            self.stage = Stage::Handshaking(observed);
        } else {
            let certificate = self.tls.peer_certificates().and_then(<[_]>::first);
            self.stage = Stage::Open(Some(Box::new(Established {
                channel_ids: observed.channel_ids(&self.tls),
                peer_certificate: certificate.map(|der| der.as_ref().into()),
            })));
        }
        driven
    }

    /// Drives the library until it wants more; returns how much of `input` it needs no more.
    fn process(&mut self, input: &mut [u8], plain: &mut Vec<u8>) -> Result<usize, Error> {
        let mut consumed = 0;
        loop {
            let rest = input.get_mut(consumed..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(rest);
            let mut is_done = false;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut encode) => {
                    append(&mut self.pending, |room| encode.encode(room));
                }
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                ConnectionState::PeerClosed => self.peer_has_closed = true,
                _ => is_done = true,
            }
            consumed += discard;
            if is_done {
                return Ok(consumed);
            }
        }
    }

    /// Ends the session; what the peer is to be told is left in `pending`.
    fn fail(&mut self, failure: Failure) -> Failure {
        // What is left to be said comes before the input is looked at: it may be absent.
        while self.tls.wants_write() {
            match self.tls.process_tls_records(&mut []).state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => while traffic.next_record().is_some() {},
                Ok(ConnectionState::EncodeTlsData(mut encode)) => {
                    append(&mut self.pending, |room| encode.encode(room));
                }
                _ => break,
            }
        }
        self.stage = Stage::Failed;
        self.carry = Vec::new();
        failure
    }
}

/// Upper bound of the octets that records of `size` octets of data take, and what may have to leave before.
fn sealed_size_max(size: usize) -> usize {
    size + (size / RECORD_SIZE + 1) * RECORD_OVERHEAD_MAX + KEY_UPDATES_SIZE_MAX
}

/// Appends what the library encodes: it first says how much room it needs.
fn append(out: &mut Vec<u8>, mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>) {
    let start = out.len();
    if let Err(EncodeError::InsufficientSize(needed)) = encode(&mut []) {
        out.resize(start + needed.required_size, 0);
        let written = encode(&mut out[start..]).unwrap_or_default();
        out.truncate(start + written);
    }
}

#[cfg(test)]
mod tests;
