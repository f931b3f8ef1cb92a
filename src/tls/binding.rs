//! Channel bindings: numbers that both ends of a TLS session know and nobody between them does.
//!
//! * `tls-exporter` (RFC 9266): 32 octets exported from the session.
//! * `tls-unique` (RFC 5929): a Finished message, of which WAMP uses the SHA-256 digest. That is the client's in a full
//!   handshake and the server's in a resumed one. For TLS 1.3 it is not standardised, but OpenSSL answers the same way
//!   there, and so Autobahn sends it.
//!
//! The library exports neither from a session without buffers and never shows Finished messages. But both are computed by the
//! key derivation of the cipher suite, which is ours to provide: the suites of *ring*, each with a derivation that notes what
//! passes through it. The notes are this thread's; [`observe`] gives them to the session that is being driven.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use rustls::crypto::tls12::Prf;
use rustls::crypto::tls13::{Hkdf, HkdfExpander, OkmBlock};
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, hmac, ring};
use rustls::{CommonState, HandshakeKind, KeyLog, ProtocolVersion, SupportedCipherSuite};
use rustls::{Tls12CipherSuite, Tls13CipherSuite};
use sha2::{Digest, Sha256};

/// Name of the exported binding.
pub const TLS_EXPORTER: &str = "tls-exporter";
/// Name of the binding made of a Finished message.
pub const TLS_UNIQUE: &str = "tls-unique";

/// RFC 9266, section 2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// The channel ids of a session by the name of their binding type.
pub type ChannelIds = Vec<(&'static str, [u8; 32])>;

/// What a handshake lets us see.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Verification data in the order computed; of TLS 1.3 also those of resumption.
    finished: Vec<Vec<u8>>,
    exporter: Option<[u8; 32]>,
    /// TLS 1.3: what the exporter is derived from.
    exporter_secret: Vec<u8>,
}

/// More than any handshake computes.
const FINISHED_MAX: usize = 8;

thread_local! {
    static OBSERVED: RefCell<Observed> = RefCell::default();
}

fn note(change: impl FnOnce(&mut Observed)) {
    OBSERVED.with_borrow_mut(change);
}

fn note_finished(octets: &[u8]) {
    note(|observed| {
        if observed.finished.len() < FINISHED_MAX {
            observed.finished.push(octets.to_vec());
        }
    });
}

/// Notes what passes while `drive` moves a handshake on.
pub(super) fn observe<T>(observed: &mut Observed, drive: impl FnOnce() -> T) -> T {
    OBSERVED.set(std::mem::take(observed));
    let result = drive();
    *observed = OBSERVED.take();
    result
}

impl Observed {
    /// The channel ids, once the handshake is over.
    pub(super) fn channel_ids(&self, session: &CommonState) -> ChannelIds {
        let unique = self.unique(session).map(|id| (TLS_UNIQUE, id));
        let exporter = self.exporter.or_else(|| self.export(session)).map(|id| (TLS_EXPORTER, id));
        exporter.into_iter().chain(unique).collect()
    }

    fn unique(&self, session: &CommonState) -> Option<[u8; 32]> {
        let is_resumed = session.handshake_kind()? == HandshakeKind::Resumed;
        let finished = match session.protocol_version()? {
            // The server computes its own first; in TLS 1.2 whoever sends first is computed first.
            ProtocolVersion::TLSv1_3 if is_resumed => self.finished.iter().rev().nth(1),
            ProtocolVersion::TLSv1_3 => self.finished.last(),
            _ => self.finished.first(),
        };
        finished.map(|octets| Sha256::digest(octets).into())
    }

    /// RFC 8446, section 7.5, with an empty context.
    fn export(&self, session: &CommonState) -> Option<[u8; 32]> {
        let SupportedCipherSuite::Tls13(suite) = session.negotiated_cipher_suite()? else { return None };
        if self.exporter_secret.is_empty() {
            return None;
        }
        let of_nothing = suite.common.hash_provider.hash(&[]);
        let secret = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(&self.exporter_secret));
        let mut derived = vec![0; secret.hash_len()];
        expand_label(&*secret, EXPORTER_LABEL, of_nothing.as_ref(), &mut derived)?;
        let derived = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(&derived));
        let mut exported = [0; 32];
        expand_label(&*derived, b"exporter", of_nothing.as_ref(), &mut exported)?;
        Some(exported)
    }
}

/// HKDF-Expand-Label of RFC 8446, section 7.1.
fn expand_label(secret: &dyn HkdfExpander, label: &[u8], context: &[u8], out: &mut [u8]) -> Option<()> {
    const PREFIX: &[u8] = b"tls13 ";
    let size = u16::try_from(out.len()).ok()?.to_be_bytes();
    let label_size = [u8::try_from(PREFIX.len() + label.len()).ok()?];
    let context_size = [u8::try_from(context.len()).ok()?];
    secret.expand_slice(&[&size, &label_size, PREFIX, label, &context_size, context], out).ok()
}

/// Takes the one secret that an exporter needs and no other.
#[derive(Debug)]
pub(super) struct ExporterSecret;

const EXPORTER_SECRET: &str = "EXPORTER_SECRET";

impl KeyLog for ExporterSecret {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == EXPORTER_SECRET {
            note(|observed| observed.exporter_secret = secret.to_vec());
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == EXPORTER_SECRET
    }
}

struct NotingHkdf(&'static dyn Hkdf);

impl Hkdf for NotingHkdf {
    fn extract_from_zero_ikm(&self, salt: Option<&[u8]>) -> Box<dyn HkdfExpander> {
        self.0.extract_from_zero_ikm(salt)
    }

    fn extract_from_secret(&self, salt: Option<&[u8]>, secret: &[u8]) -> Box<dyn HkdfExpander> {
        self.0.extract_from_secret(salt, secret)
    }

    fn extract_from_kx_shared_secret(
        &self,
        salt: Option<&[u8]>,
        exchange: Box<dyn ActiveKeyExchange>,
        peer_key: &[u8],
    ) -> Result<Box<dyn HkdfExpander>, rustls::Error> {
        self.0.extract_from_kx_shared_secret(salt, exchange, peer_key)
    }

    fn expander_for_okm(&self, okm: &OkmBlock) -> Box<dyn HkdfExpander> {
        self.0.expander_for_okm(okm)
    }

    /// Only Finished messages and the binders of resumption are signed.
    fn hmac_sign(&self, key: &OkmBlock, message: &[u8]) -> hmac::Tag {
        let tag = self.0.hmac_sign(key, message);
        note_finished(tag.as_ref());
        tag
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

struct NotingPrf(&'static dyn Prf);

impl NotingPrf {
    /// The exporter of RFC 5705 with an empty context. `seed`: the random octets of the server, then of the client.
    fn note_exporter(&self, secret: &[u8], seed: &[u8]) {
        let Some((server, client)) = seed.split_at_checked(32) else { return };
        let seed = [client, server, &[0, 0]].concat();
        let mut exported = [0; 32];
        self.0.for_secret(&mut exported, secret, EXPORTER_LABEL, &seed);
        note(|observed| observed.exporter = Some(exported));
    }
}

impl Prf for NotingPrf {
    fn for_key_exchange(
        &self,
        output: &mut [u8; 48],
        exchange: Box<dyn ActiveKeyExchange>,
        peer_key: &[u8],
        label: &[u8],
        seed: &[u8],
    ) -> Result<(), rustls::Error> {
        self.0.for_key_exchange(output, exchange, peer_key, label, seed)
    }

    fn for_secret(&self, output: &mut [u8], secret: &[u8], label: &[u8], seed: &[u8]) {
        self.0.for_secret(output, secret, label, seed);
        match label {
            b"client finished" | b"server finished" => note_finished(output),
            b"key expansion" => self.note_exporter(secret, seed),
            _ => {}
        }
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

/// The cryptography of all TLS of this process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = ring::default_provider();
        provider.cipher_suites = provider.cipher_suites.into_iter().map(noting).collect();
        Arc::new(provider)
    });
    PROVIDER.clone()
}

/// The same suite with a derivation that notes. Leaks a few suites, once in the process.
fn noting(suite: SupportedCipherSuite) -> SupportedCipherSuite {
    match suite {
        SupportedCipherSuite::Tls13(suite) => SupportedCipherSuite::Tls13(leak(Tls13CipherSuite {
            common: same(&suite.common),
            hkdf_provider: leak(NotingHkdf(suite.hkdf_provider)),
            aead_alg: suite.aead_alg,
            quic: None,
        })),
        SupportedCipherSuite::Tls12(suite) => SupportedCipherSuite::Tls12(leak(Tls12CipherSuite {
            common: same(&suite.common),
            prf_provider: leak(NotingPrf(suite.prf_provider)),
            kx: suite.kx,
            sign: suite.sign,
            aead_alg: suite.aead_alg,
        })),
    }
}

fn same(common: &rustls::CipherSuiteCommon) -> rustls::CipherSuiteCommon {
    rustls::CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: common.confidentiality_limit,
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}
