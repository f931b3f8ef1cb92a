//! The session against the library's own client, in memory, with octets cut at any place.

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use rustls::crypto::cipher::{
    AeadKey, Iv, MessageDecrypter, MessageEncrypter, OutboundOpaqueMessage, OutboundPlainMessage,
    Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{CipherSuiteCommon, ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType};
use rustls::{RootCertStore, SupportedCipherSuite, Tls13CipherSuite};

use super::*;
use crate::tls::binding::{ExporterSecret, provider};

struct Settings {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    roots: Arc<RootCertStore>,
}

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    let roots = Arc::new(roots);
    let server =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().and_then(
            |builder| builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key),
        );
    let mut server = server.expect("valid settings");
    server.key_log = Arc::new(ExporterSecret);
    let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let client = client.expect("valid settings").with_root_certificates(roots.clone()).with_no_client_auth();
    Settings { server: Arc::new(server), client: Arc::new(client), roots }
});

/// A client and the router's half, with what is on its way between them.
struct Pair {
    client: ClientConnection,
    server: Session,
    data: Vec<u8>,
    received: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        Self::of(SETTINGS.client.clone())
    }

    fn of(config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(config, name).expect("valid settings");
        let server = Session::accept(SETTINGS.server.clone()).expect("valid settings");
        Pair { client, server, data: Vec::new(), received: Vec::new() }
    }

    /// Carries octets to and fro, in pieces of at most `piece` octets, until nothing is left to be said.
    fn talk(&mut self, piece: usize) -> Result<(), Failure> {
        loop {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while self.client.wants_write() {
                self.client.write_tls(&mut up).expect("a vector takes it");
            }
            for octets in up.chunks(piece) {
                self.server.receive(octets, &mut Vec::new(), &mut self.data)?;
            }
            self.server.take_pending(&mut down);
            self.deliver(&down);
            if up.is_empty() && down.is_empty() {
                return Ok(());
            }
        }
    }

    fn deliver(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            self.client.read_tls(&mut octets).expect("a slice gives it");
            self.client.process_new_packets().expect("our records are good");
            // Ends with an error where there is no more for now.
            let _ = self.client.reader().read_to_end(&mut self.received);
        }
    }

    fn received_by_client(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.received)
    }
}

#[test]
fn octets_may_be_cut_anywhere() {
    for piece in [1, 2, 3, 5, 7, 64, 1_000, usize::MAX] {
        let mut pair = Pair::new();
        assert!(pair.server.is_handshaking());
        pair.talk(piece).expect("a good client");
        assert!(pair.server.is_open() && !pair.client.is_handshaking());
        let established = pair.server.take_established().expect("just established");
        let mut exported = [0; 32];
        let label = b"EXPORTER-Channel-Binding";
        pair.client.export_keying_material(&mut exported, label, Some(b"")).expect("established");
        assert!(established.channel_ids.contains(&(crate::tls::TLS_EXPORTER, exported)));
        let text: Vec<u8> = (0..40_000).map(|index| index as u8).collect();
        for part in text.chunks(9_999) {
            pair.client.writer().write_all(part).expect("there is room");
            pair.talk(piece).expect("a good client");
        }
        assert_eq!(pair.data, text, "pieces of {piece}");
        let mut records = Vec::new();
        pair.server.send(&text, &mut records).expect("open");
        pair.deliver(&records);
        assert_eq!(pair.received_by_client(), text);
    }
}

#[test]
fn messages_may_come_in_many_records() {
    let mut config = ClientConfig::clone(&SETTINGS.client);
    config.max_fragment_size = Some(32);
    for piece in [1, 33, usize::MAX] {
        let mut pair = Pair::of(Arc::new(config.clone()));
        pair.talk(piece).expect("a good client");
        assert!(pair.server.is_open());
    }
}

#[test]
fn both_say_when_they_are_done() {
    let mut pair = Pair::new();
    pair.talk(usize::MAX).expect("a good client");
    pair.client.send_close_notify();
    pair.talk(usize::MAX).expect("a good client");
    assert!(pair.server.peer_has_closed() && pair.server.is_over());
    let mut records = Vec::new();
    pair.server.send(b"the rest", &mut records).expect("only the other side has closed");
    pair.server.close(&mut records);
    pair.deliver(&records);
    assert_eq!(pair.received_by_client(), b"the rest");
    assert!(pair.server.send(b"too late", &mut records).is_err());
}

#[test]
fn a_change_of_keys_is_answered() {
    let mut pair = Pair::new();
    pair.talk(usize::MAX).expect("a good client");
    pair.client.refresh_traffic_keys().expect("TLS 1.3");
    pair.client.writer().write_all(b"after").expect("there is room");
    pair.talk(usize::MAX).expect("a good client");
    assert_eq!(pair.data, b"after");
}

#[test]
fn what_waits_is_bounded() {
    let mut session = Session::accept(SETTINGS.server.clone()).expect("valid settings");
    session.hold(&[0; CARRY_SIZE_MAX]).expect("just enough");
    assert!(matches!(session.hold(&[0]), Err(Failure::TooLong)));
    assert!(session.is_over());
}

#[test]
fn what_was_held_is_taken_later() {
    let mut pair = Pair::new();
    let mut hello = Vec::new();
    pair.client.write_tls(&mut hello).expect("a vector takes it");
    pair.server.hold(&hello).expect("little");
    assert!(!pair.server.has_pending());
    pair.server.receive(&[], &mut Vec::new(), &mut pair.data).expect("a good client");
    assert!(pair.server.has_pending());
    pair.talk(usize::MAX).expect("a good client");
    assert!(pair.server.is_open());
}

/// Encryption that passes data off as messages of the handshake.
struct Disguise(&'static dyn Tls13AeadAlgorithm);

struct DisguisingEncrypter(Box<dyn MessageEncrypter>);

impl Tls13AeadAlgorithm for Disguise {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(DisguisingEncrypter(self.0.encrypter(key, iv)))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

impl MessageEncrypter for DisguisingEncrypter {
    fn encrypt(
        &mut self,
        mut message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        if message.typ == ContentType::ApplicationData {
            message.typ = ContentType::Handshake;
        }
        self.0.encrypt(message, sequence)
    }

    fn encrypted_payload_len(&self, size: usize) -> usize {
        self.0.encrypted_payload_len(size)
    }
}

/// A client all of whose data are messages of the handshake.
fn disguising() -> Pair {
    let mut provider = rustls::crypto::CryptoProvider::clone(&provider());
    for suite in &mut provider.cipher_suites {
        if let SupportedCipherSuite::Tls13(it) = suite {
            *suite = SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: CipherSuiteCommon {
                    suite: it.common.suite,
                    hash_provider: it.common.hash_provider,
                    confidentiality_limit: it.common.confidentiality_limit,
                },
                hkdf_provider: it.hkdf_provider,
                aead_alg: Box::leak(Box::new(Disguise(it.aead_alg))),
                quic: None,
            })));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider));
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).expect("a version");
    let config = config.with_root_certificates(RootCertStore::clone(&SETTINGS.roots)).with_no_client_auth();
    let mut pair = Pair::of(Arc::new(config));
    pair.talk(usize::MAX).expect("a good client so far");
    pair
}

#[test]
fn a_message_that_is_not_whole_does_not_hinder_sending() {
    let mut pair = disguising();
    // A change of keys, but for its last octet.
    pair.client.writer().write_all(&[24, 0, 0, 1]).expect("there is room");
    pair.talk(usize::MAX).expect("it may go on");
    for text in [&b"one"[..], &[7; 50_000]] {
        let mut records = Vec::new();
        pair.server.send(text, &mut records).expect("open");
        pair.deliver(&records);
        assert_eq!(pair.received_by_client(), text);
    }
    pair.client.writer().write_all(&[0]).expect("there is room");
    pair.talk(usize::MAX).expect("a change of keys");
    assert!(pair.data.is_empty() && pair.server.is_open());
    let mut records = Vec::new();
    pair.server.send(b"three", &mut records).expect("behind the answer to it");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_panics(
        garbage in proptest::collection::vec(any::<u8>(), 0..2_000),
        after in 0_usize..600,
        is_fragmented in any::<bool>(),
    ) {
        let mut config = ClientConfig::clone(&SETTINGS.client);
        config.max_fragment_size = is_fragmented.then_some(32);
        let mut pair = Pair::of(Arc::new(config));
        let mut hello = Vec::new();
        pair.client.write_tls(&mut hello).expect("a vector takes it");
        hello.truncate(after);
        let mut plain = Vec::new();
        let first = pair.server.receive(&hello, &mut Vec::new(), &mut plain);
        let second = first.and_then(|()| pair.server.receive(&garbage, &mut Vec::new(), &mut plain));
        prop_assert!(plain.is_empty());
        prop_assert!(second.is_ok() || pair.server.is_over());
    }

    #[test]
    fn messages_after_the_handshake_never_panic(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 1..6),
        is_change_of_keys in any::<bool>(),
    ) {
        let mut pair = disguising();
        for mut message in messages {
            message[0] = if is_change_of_keys { 24 } else { message[0] };
            pair.client.writer().write_all(&message).expect("there is room");
            let mut records = Vec::new();
            pair.client.write_tls(&mut records).expect("a vector takes it");
            let _ = pair.server.receive(&records, &mut Vec::new(), &mut pair.data);
            let mut records = Vec::new();
            pair.server.take_pending(&mut records);
            let sent = pair.server.send(b"text", &mut records);
            prop_assert!(sent.is_ok() || !pair.server.is_open());
        }
        prop_assert!(pair.data.is_empty());
    }

    #[test]
    fn changed_octets_of_a_session_end_it(at in 0_usize..4_000, with in 1_u8..) {
        let mut pair = Pair::new();
        pair.talk(usize::MAX).expect("a good client");
        pair.client.writer().write_all(&[7; 4_000]).expect("there is room");
        let mut records = Vec::new();
        pair.client.write_tls(&mut records).expect("a vector takes it");
        // Behind the first two octets of the header, which nothing protects and nobody reads.
        let place = (at + 3) % records.len();
        records[place] ^= with;
        let result = pair.server.receive(&records, &mut Vec::new(), &mut pair.data);
        prop_assert!(pair.data.is_empty());
        prop_assert!(result.is_err() || !pair.server.is_over());
    }
}
