//! Either half of a TLS session: octets in, octets out.
//!
//! The generator's half has one suite, TLS 1.3 with AES-128-GCM, so that every server does the same work; no resumption;
//! whatever certificate the server has is accepted, for what is measured is the server. The other half is the floor's.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    client::{
        ClientConnectionData, Resumption, UnbufferedClientConnection,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, UnbufferedStatus},
    version::TLS13,
};

use crate::fault::Fault;

/// The first octet of a record of a handshake.
pub(crate) const HANDSHAKE_RECORD: u8 = 22;

/// Plaintext of one record, and an upper bound of what one adds to it.
const RECORD_BYTES: usize = 16 * 1024;
const RECORD_OVERHEAD_BYTES_MAX: usize = 32;

/// A connection as the library has it.
pub(crate) trait Side {
    /// What the library tells the sides apart by.
    type Data;
    /// Takes the first step that received octets allow for.
    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    /// Whether the handshake goes on.
    fn is_handshaking(&self) -> bool;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }

    fn is_handshaking(&self) -> bool {
        (**self).is_handshaking()
    }
}

/// One half of a session.
pub(crate) struct Session<S = UnbufferedClientConnection> {
    tls: S,
    /// The beginning of a record.
    carry: Vec<u8>,
    /// Handshake and alerts to be sent.
    pending: Vec<u8>,
    has_ended: bool,
}

/// The server's half of a session.
pub(crate) type ServerSession = Session<UnbufferedServerConnection>;

impl Session {
    /// A session whose greeting waits to be sent.
    pub(crate) fn new() -> Result<Session, Fault> {
        let name = ServerName::try_from("localhost").map_err(|error| Fault::Setup(error.to_string()))?;
        let tls = UnbufferedClientConnection::new(config()?, name).map_err(broken)?;
        let mut session = Session { tls, carry: Vec::new(), pending: Vec::new(), has_ended: false };
        session.receive(&mut [], &mut Vec::new())?;
        Ok(session)
    }
}

impl ServerSession {
    /// A session that waits for a greeting.
    pub(crate) fn accept(config: Arc<ServerConfig>) -> Result<ServerSession, Fault> {
        let tls = UnbufferedServerConnection::new(config).map_err(broken)?;
        Ok(Session { tls, carry: Vec::new(), pending: Vec::new(), has_ended: false })
    }
}

impl<S: Side> Session<S> {
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether the server has said that it sends nothing more.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Takes what has to be sent beside data.
    pub(crate) fn take_pending(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// Takes received octets and appends the data in them to `plain`. `raw` is overwritten.
    pub(crate) fn receive(&mut self, raw: &mut [u8], plain: &mut Vec<u8>) -> Result<(), Fault> {
        if self.carry.is_empty() {
            let consumed = self.drive(raw, plain).map_err(broken)?;
            self.carry.extend_from_slice(&raw[consumed..]);
            return Ok(());
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(raw);
        let consumed = self.drive(&mut carry, plain).map_err(broken)?;
        carry.drain(..consumed);
        self.carry = carry;
        Ok(())
    }

    /// Drives the library until it wants more; returns how much of `input` it needs no more.
    fn drive(&mut self, input: &mut [u8], plain: &mut Vec<u8>) -> Result<usize, Error> {
        let mut consumed = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.tls.process(&mut input[consumed..]);
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
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    is_done = std::mem::replace(&mut self.has_ended, true);
                }
                _ => is_done = true,
            }
            consumed += discard;
            if is_done {
                return Ok(consumed);
            }
        }
    }

    /// Appends the records of `data` to `out`.
    pub(crate) fn seal(&mut self, data: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
        out.append(&mut self.pending);
        // The library keeps places in the octets that are not whole yet: it must see them at every call.
        match self.tls.process(&mut self.carry).state.map_err(std::io::Error::other)? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let start = out.len();
                out.resize(start + sealed_bytes_max(data.len()), 0);
                let sealed = traffic.encrypt(data, &mut out[start..]).map_err(std::io::Error::other)?;
                out.truncate(start + sealed);
                Ok(())
            }
            other => Err(std::io::Error::other(format!("nothing can be sent: {other:?}"))),
        }
    }

    /// The words that nothing more will be sent.
    pub(crate) fn close(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = self.tls.process(&mut self.carry).state {
            append(&mut out, |room| {
                traffic.queue_close_notify(room).map_err(|error| match error {
                    rustls::unbuffered::EncryptError::InsufficientSize(size) => size.into(),
                    rustls::unbuffered::EncryptError::EncryptExhausted => EncodeError::AlreadyEncoded,
                })
            });
        }
        out
    }
}

/// The greeting of a session, the same octets at every call.
pub(crate) fn greeting() -> Result<Vec<u8>, Fault> {
    static GREETING: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(known) = GREETING.get() {
        return Ok(known.clone());
    }
    let greeting = Session::new()?.take_pending();
    Ok(GREETING.get_or_init(|| greeting).clone())
}

/// What a server with a certificate of its own needs.
pub(crate) fn server_config() -> Result<Arc<ServerConfig>, Fault> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let made = made.map_err(|error| Fault::Setup(format!("make a certificate: {error}")))?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let key = key.map_err(|error| Fault::Setup(format!("make a key: {error}")))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(broken)?.with_no_client_auth();
    let config = builder.with_single_cert(vec![made.cert.der().clone()], key).map_err(broken)?;
    Ok(Arc::new(config))
}

fn config() -> Result<Arc<ClientConfig>, Fault> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(known) = CONFIG.get() {
        return Ok(known.clone());
    }
    let suites = vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    let provider = Arc::new(CryptoProvider { cipher_suites: suites, ..ring::default_provider() });
    let verifier = Arc::new(Anybody { provider: provider.clone() });
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(broken)?.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = builder.with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}

fn broken(error: Error) -> Fault {
    Fault::Setup(format!("TLS: {error}"))
}

/// Upper bound of the octets that records of `bytes` of data take.
fn sealed_bytes_max(bytes: usize) -> usize {
    bytes + (bytes / RECORD_BYTES + 1) * RECORD_OVERHEAD_BYTES_MAX
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

/// Believes everybody.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rustls::ServerConnection;

    use super::*;

    fn server() -> ServerConnection {
        ServerConnection::new(server_config().expect("a configuration")).expect("a server")
    }

    fn give(server: &mut ServerConnection, mut octets: &[u8]) {
        while !octets.is_empty() {
            server.read_tls(&mut octets).expect("room");
            server.process_new_packets().expect("records");
        }
    }

    fn taken(server: &mut ServerConnection) -> Vec<u8> {
        let mut out = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut out).expect("written");
        }
        out
    }

    #[test]
    fn data_survives_every_cut() {
        use std::io::{Read, Write};
        for chunk in [1, 7, 100, 20_000] {
            let (mut client, mut server) = (Session::new().expect("a client"), server());
            let mut plain = Vec::new();
            while client.is_handshaking() {
                give(&mut server, &client.take_pending());
                for part in taken(&mut server).chunks(chunk) {
                    client.receive(&mut part.to_vec(), &mut plain).expect("handshake");
                }
            }
            give(&mut server, &client.take_pending());
            let mut sealed = Vec::new();
            client.seal(&[5; 40_000], &mut sealed).expect("sealed");
            let mut heard = Vec::new();
            for part in sealed.chunks(4096) {
                give(&mut server, part);
                let _ = server.reader().read_to_end(&mut heard);
            }
            assert_eq!(heard, [5; 40_000]);
            server.writer().write_all(&[9; 33_000]).expect("written");
            server.send_close_notify();
            for part in taken(&mut server).chunks(chunk) {
                client.receive(&mut part.to_vec(), &mut plain).expect("data");
            }
            assert!(plain == [9; 33_000] && client.has_ended(), "chunks of {chunk}");
        }
    }

    #[test]
    fn a_greeting_serves_often() {
        let greeting = greeting().expect("octets");
        assert_eq!(greeting[0], HANDSHAKE_RECORD);
        for _ in 0..2 {
            let mut server = server();
            give(&mut server, &greeting);
            assert_eq!(taken(&mut server)[0], HANDSHAKE_RECORD);
        }
    }
}
