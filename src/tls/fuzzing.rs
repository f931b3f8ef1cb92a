//! The fuzz body of TLS: a plain function over any octets, for cargo-fuzz and for seeded tests alike.
//!
//! The octets say what happens between a real client and the router's half of a session, in memory. Keys are random, so what
//! depends on them differs from run to run; what is claimed must hold for all.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, SignatureAlgorithm,
    SignatureScheme, SupportedProtocolVersion,
};

use super::Session;
use super::binding::{ExporterSecret, provider};

/// Whatever is received, in whatever pieces: the session never panics, hands out nothing but what the client has written, in
/// its order, and is over once it has failed. Octets that nobody has touched all arrive.
pub fn fuzz_server_session(octets: &[u8]) {
    let Some((&choice, mut steps)) = octets.split_first() else { return };
    let mut talk = Talk::new(choice);
    while let [step, amount, rest @ ..] = steps {
        let amount = usize::from(*amount);
        let (own, later) = rest.split_at(if step % 8 == 3 { amount.min(rest.len()) } else { 0 });
        talk.step(step % 8, amount, own);
        steps = later;
    }
    talk.finish();
}

/// How often a client may ask for new keys and send nothing in between: rustls takes no more.
const KEY_UPDATES_MAX: usize = 32;

struct Talk {
    client: ClientConnection,
    client_failed: bool,
    server: Session,
    /// On its way to the server.
    wire: Vec<u8>,
    /// How often the client has asked for new keys.
    key_updates: usize,
    /// Octets on the way have been changed, the client has gone too far, or the server has closed.
    is_disturbed: bool,
    written: Vec<u8>,
    received: Vec<u8>,
}

impl Talk {
    fn new(choice: u8) -> Self {
        let settings = if choice & 1 == 0 { &SETTINGS[0] } else { &SETTINGS[1] };
        let mut config = ClientConfig::clone(&settings.client);
        config.max_fragment_size = (choice & 2 != 0).then_some(64);
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::new(config), name).expect("valid settings");
        let server = Session::accept(Arc::clone(&settings.server)).expect("valid settings");
        let mut talk = Talk {
            client,
            client_failed: false,
            server,
            wire: Vec::new(),
            key_updates: 0,
            is_disturbed: false,
            written: Vec::new(),
            received: Vec::new(),
        };
        talk.carry();
        if choice & 4 != 0 {
            talk.deliver_all();
        }
        talk
    }

    fn step(&mut self, step: u8, amount: usize, own: &[u8]) {
        match step {
            0 | 1 => self.deliver(8 * amount + 1),
            2 if !self.wire.is_empty() => {
                let at = amount % self.wire.len();
                self.wire[at] ^= 1 << (amount % 8);
                self.is_disturbed = true;
            }
            3 => {
                self.wire.splice(0..0, own.iter().copied());
                self.is_disturbed |= !own.is_empty();
            }
            4 if !self.client.is_handshaking() => {
                let data: Vec<u8> = (0..8 * amount).map(|index| index as u8).collect();
                let count = std::io::Write::write(&mut self.client.writer(), &data).unwrap_or_default();
                self.written.extend_from_slice(&data[..count]);
            }
            5 if amount == 255 => {
                let mut records = Vec::new();
                self.server.close(&mut records);
                self.is_disturbed = true;
            }
            5 => {
                let mut records = Vec::new();
                let sent = self.server.send(&vec![7; 100 * amount], &mut records);
                assert!(sent.is_ok() || !self.server.is_open() || self.is_disturbed);
                self.answer(&records);
            }
            6 => {
                self.key_updates += usize::from(self.client.refresh_traffic_keys().is_ok());
                self.is_disturbed |= self.key_updates > KEY_UPDATES_MAX;
            }
            7 if self.server.is_handshaking() => {
                let held: Vec<u8> = self.wire.drain(..amount.min(self.wire.len())).collect();
                assert!(self.server.hold(&held).is_ok() || self.server.is_over());
            }
            _ => {}
        }
        self.carry();
    }

    /// Carries what both have to say, but for what the server has not received yet.
    fn carry(&mut self) {
        let mut records = Vec::new();
        self.server.take_pending(&mut records);
        self.answer(&records);
        while !self.client_failed && self.client.wants_write() {
            self.client.write_tls(&mut self.wire).expect("a vector takes it");
        }
    }

    /// The client hears these records, and may say nothing more.
    fn answer(&mut self, mut records: &[u8]) {
        while !records.is_empty() && !self.client_failed {
            let read = self.client.read_tls(&mut records);
            self.client_failed = read.is_err() || self.client.process_new_packets().is_err();
            let _ = self.client.reader().read_to_end(&mut Vec::new());
        }
    }

    fn deliver(&mut self, count: usize) {
        let octets: Vec<u8> = self.wire.drain(..count.min(self.wire.len())).collect();
        let was_over = self.server.is_over();
        let before = self.received.len();
        let result = self.server.receive(&octets, &mut Vec::new(), &mut self.received);
        assert!(result.is_ok() || (self.server.is_over() && !was_over));
        assert!(result.is_ok() || self.is_disturbed, "good octets are refused: {result:?}");
        assert!(!was_over || self.received.len() == before, "data after the end");
        assert!(self.written.starts_with(&self.received), "data that nobody has written");
    }

    fn deliver_all(&mut self) {
        loop {
            self.deliver(usize::MAX);
            self.carry();
            if self.wire.is_empty() {
                return;
            }
        }
    }

    fn finish(mut self) {
        self.deliver_all();
        if !self.is_disturbed {
            assert!(!self.client_failed && self.server.is_open());
            assert_eq!(self.received, self.written);
        }
    }
}

struct Settings {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// TLS 1.3 and TLS 1.2.
static SETTINGS: LazyLock<[Settings; 2]> = LazyLock::new(|| [&TLS13, &TLS12].map(settings));

fn settings(version: &'static SupportedProtocolVersion) -> Settings {
    let server = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]);
    let server = server.expect("a known version").with_no_client_auth();
    let mut server = server.with_cert_resolver(Arc::new(Pretender));
    server.key_log = Arc::new(ExporterSecret);
    let client = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]);
    let client = client.expect("a known version").dangerous();
    let client = client.with_custom_certificate_verifier(Arc::new(Credulous)).with_no_client_auth();
    Settings { server: Arc::new(server), client: Arc::new(client) }
}

/// A server whose certificate and signatures are worth nothing: no key need lie about.
#[derive(Debug)]
struct Pretender;

impl ResolvesServerCert for Pretender {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificate = CertificateDer::from(vec![0x30, 0]);
        Some(Arc::new(CertifiedKey::new(vec![certificate], Arc::new(Pretender))))
    }
}

impl SigningKey for Pretender {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Pretender))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Pretender {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(vec![7; 70])
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

/// A client that believes it.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_talk_that_nobody_disturbs_goes_well() {
        for choice in 0..8 {
            let calm = [choice, 0, 3, 1, 200, 0, 255, 1, 255, 0, 255, 4, 20, 6, 0, 5, 9, 4, 255, 0, 1, 4, 7];
            fuzz_server_session(&calm);
        }
    }

    #[test]
    fn a_client_that_always_wants_new_keys_is_refused_without_a_panic() {
        let octets = [&[0x0c, 0x8e][..], &[0x46; 65], &[0, 0, 0x8c, 0]].concat();
        fuzz_server_session(&octets);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_happens_to_a_session_is_no_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            fuzz_server_session(&octets);
        }
    }
}
