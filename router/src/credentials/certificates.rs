//! Certificate chains of WAMP-Cryptosign: who may use an Ed25519 key, signed with the keys of Ethereum accounts (WAMP
//! specification, "Trustroots and Certificates").
//!
//! A chain begins with the certificate of a *delegate*, which names its own Ed25519 key, and ends with the one of a *root
//! authority*, which is signed with its own key. Each certificate is typed data of EIP-712 with a signature over secp256k1.
//! [`Chain::parse`] reads a chain, [`Chain::verify`] says whether it holds together, which depends on nothing but the chain and what the
//! client says of itself, and [`Root::trusts`] whether it leads to a root that the configuration knows.
//!
//! No chain expires: `validFrom` is the number of a block of an Ethereum network, `bootedAt` is nanoseconds of the delegate's clock, which
//! are signed and say nothing here. No Ethereum node is asked for anything.

use core::fmt;

mod address;
mod parse;
mod typed_data;

pub use address::Address;

use super::cryptosign::Octets32;
use typed_data::Recoverable;

/// Certificates of a chain: a delegate, the authorities between, a root. Each costs the check of a signature, about 70 µs.
pub const CERTIFICATES_MAX: usize = 4;

/// Octets of `meta`, which nobody here looks at.
pub const META_LENGTH_MAX: usize = 1024;

/// `capabilities`: a root authority.
const ROOT_AUTHORITY: u64 = 1 << 0;

/// `capabilities`: an authority that certifies others.
const INTERMEDIATE_AUTHORITY: u64 = 1 << 1;

/// The Ethereum network and contract that certificates are made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Network {
    chain_id: u64,
    contract: Address,
}

/// `EIP712DelegateCertificate`: the key of a client, signed by the account it acts for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Delegate {
    network: Network,
    valid_from: u64,
    account: Address,
    key: Octets32,
    booted_at_ns: u64,
    meta: Box<str>,
}

/// `EIP712AuthorityCertificate`: what the issuer lets the subject do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authority {
    network: Network,
    valid_from: u64,
    issuer: Address,
    subject: Address,
    realm: Address,
    capabilities: u64,
    meta: Box<str>,
}

impl Authority {
    /// Reads a root certificate from a file as Autobahn's tools save it, in CBOR, or the same in JSON: hash, typed data, signatures.
    ///
    /// # Errors
    /// The first thing that is wrong with it as a root.
    pub fn root_from_file(octets: &[u8]) -> Result<Self, Flaw> {
        let (root, signatures) = parse::file(octets)?;
        root.check_as_root()?;
        let digest = root.digest();
        let is_own = |signature: &Recoverable| signature.signer(&digest) == Some(root.issuer);
        if signatures.iter().all(is_own) { Ok(root) } else { Err(Flaw::Signature) }
    }

    /// The account of the authority.
    pub fn subject(&self) -> Address {
        self.subject
    }

    fn check_as_root(&self) -> Result<(), Flaw> {
        match self {
            _ if self.issuer != self.subject => Err(Flaw::Root),
            _ if !self.may(ROOT_AUTHORITY) => Err(Flaw::Authority),
            _ => Ok(()),
        }
    }

    fn may(&self, capability: u64) -> bool {
        self.capabilities & capability == capability
    }
}

/// A certificate with the signature of whoever issued it.
#[derive(Clone, Debug)]
struct Signed<C> {
    certificate: C,
    signature: Recoverable,
}

/// `HELLO.Details.authextra.certificates`: not verified yet.
#[derive(Clone, Debug)]
pub struct Chain {
    delegate: Signed<Delegate>,
    /// Between delegate and root, in this order.
    between: Vec<Signed<Authority>>,
    root: Signed<Authority>,
}

/// A chain that holds together. Whether anybody trusts its root is another question.
#[derive(Debug)]
pub struct Verified<'a> {
    /// The account that the client acts for.
    pub delegate: Address,
    root: &'a Authority,
    /// The block from which the whole chain is valid.
    valid_from: u64,
}

impl Chain {
    /// Checks everything that does not depend on a configuration: the rules of the specification, each signature, that the delegate has
    /// this `key`, and that the root is the `trustroot` that the client names.
    ///
    /// # Errors
    /// Which certificate breaks which rule. Signatures are looked at last.
    pub fn verify(&self, key: &Octets32, trustroot: Address) -> Result<Verified<'_>, Fault> {
        let root = &self.root.certificate;
        self.check_root(trustroot)?;
        self.check_authorities()?;
        self.check_delegate(key)?;
        self.check_signatures()?;
        let delegate = &self.delegate.certificate;
        Ok(Verified { delegate: delegate.account, root, valid_from: delegate.valid_from })
    }

    fn check_root(&self, trustroot: Address) -> Result<(), Fault> {
        let root = &self.root.certificate;
        let at = Fault::at(self.between.len() + 1);
        root.check_as_root().map_err(&at)?;
        if root.issuer == trustroot { Ok(()) } else { Err(at(Flaw::Trustroot)) }
    }

    /// Each authority beside the one that has issued its certificate.
    fn check_authorities(&self) -> Result<(), Fault> {
        let authorities = || self.authorities().map(|signed| &signed.certificate).enumerate();
        for ((index, authority), (next, issuer)) in authorities().zip(authorities().skip(1)) {
            authority.check(issuer).map_err(Fault::at(index + 1))?;
            let is_root = next == self.between.len();
            if !is_root && !issuer.may(INTERMEDIATE_AUTHORITY) {
                return Err(Fault::Certificate(next + 1, Flaw::Authority));
            }
        }
        Ok(())
    }

    fn check_delegate(&self, key: &Octets32) -> Result<(), Fault> {
        let issuer = self.between.first().unwrap_or(&self.root);
        self.delegate.certificate.check(&issuer.certificate, key).map_err(Fault::at(0))
    }

    fn check_signatures(&self) -> Result<(), Fault> {
        let Signed { certificate, signature } = &self.delegate;
        if signature.signer(&certificate.digest()) != Some(certificate.account) {
            return Err(Fault::Certificate(0, Flaw::Signature));
        }
        let is_signed = |signed: &Signed<Authority>| {
            signed.signature.signer(&signed.certificate.digest()) == Some(signed.certificate.issuer)
        };
        match self.authorities().position(|signed| !is_signed(signed)) {
            Some(index) => Err(Fault::Certificate(index + 1, Flaw::Signature)),
            None => Ok(()),
        }
    }

    /// From the one that has certified the delegate to the root.
    fn authorities(&self) -> impl Iterator<Item = &Signed<Authority>> {
        self.between.iter().chain([&self.root])
    }
}

impl Authority {
    /// Whether this certificate can follow from the one of its issuer.
    fn check(&self, issuer: &Authority) -> Result<(), Flaw> {
        match self {
            _ if self.network != issuer.network => Err(Flaw::Network),
            _ if self.realm != issuer.realm => Err(Flaw::Realm),
            _ if self.issuer != issuer.subject => Err(Flaw::Issuer),
            _ if self.valid_from < issuer.valid_from => Err(Flaw::ValidFrom),
            _ if !issuer.may(self.capabilities) => Err(Flaw::Capabilities),
            _ => Ok(()),
        }
    }
}

impl Delegate {
    /// Whether this certificate can follow from the one for its account.
    fn check(&self, issuer: &Authority, key: &Octets32) -> Result<(), Flaw> {
        match self {
            _ if self.network != issuer.network => Err(Flaw::Network),
            _ if self.account != issuer.subject => Err(Flaw::Subject),
            _ if self.valid_from < issuer.valid_from => Err(Flaw::ValidFrom),
            _ if self.key != *key => Err(Flaw::Key),
            _ => Ok(()),
        }
    }
}

/// Who is trusted to certify delegates.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Root {
    /// The authority with exactly this certificate.
    Certificate(Box<Authority>),
    /// Whatever root certificate this account has signed.
    Account(Address),
}

impl Root {
    /// Whether a chain leads here, and is valid as of `block`: the newest block of the network, as far as anybody knows.
    pub fn trusts(&self, chain: &Verified<'_>, block: Option<u64>) -> bool {
        let is_root = match self {
            Root::Certificate(certificate) => **certificate == *chain.root,
            Root::Account(account) => *account == chain.root.issuer,
        };
        is_root && block.is_none_or(|block| chain.valid_from <= block)
    }
}

/// Why a chain proves nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// No list of 2 to [`CERTIFICATES_MAX`] certificates.
    Length,
    /// What is wrong with which certificate; 0 is the delegate's.
    Certificate(usize, Flaw),
}

impl Fault {
    fn at(index: usize) -> impl Fn(Flaw) -> Self {
        move |flaw| Fault::Certificate(index, flaw)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Length => write!(f, "a list of 2 to {CERTIFICATES_MAX} certificates expected"),
            Fault::Certificate(index, flaw) => write!(f, "certificate {index}: {flaw}"),
        }
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// This part is missing, or not what it should be.
    Form(&'static str),
    /// The typed data has an entry that the signature does not cover.
    Unknown,
    /// A saved certificate with the hash of another one.
    Hash,
    /// `chainId` or `verifyingContract` are not those of the next certificate.
    Network,
    /// `realm` is not that of the next certificate.
    Realm,
    /// The last certificate is not self-signed.
    Root,
    /// The last certificate is not that of the trustroot named.
    Trustroot,
    /// `capabilities` do not have what it takes to issue certificates.
    Authority,
    /// `issuer` is not the subject of the next certificate.
    Issuer,
    /// `delegate` is not the subject of the next certificate.
    Subject,
    /// `validFrom` is before that of the next certificate.
    ValidFrom,
    /// `capabilities` beyond those of the next certificate.
    Capabilities,
    /// `csPubKey` is not the key of the client.
    Key,
    /// Not signed by who should have.
    Signature,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flaw::Form(part) => return write!(f, "invalid {part}"),
            Flaw::Unknown => "has an attribute that is not signed",
            Flaw::Hash => "the hash is not its own",
            Flaw::Network => "chainId and verifyingContract are not those of its issuer",
            Flaw::Realm => "realm is not that of its issuer",
            Flaw::Root => "not self-signed",
            Flaw::Trustroot => "not issued by the trustroot named",
            Flaw::Authority => "its subject may not issue certificates",
            Flaw::Issuer => "issuer is not the subject of the next certificate",
            Flaw::Subject => "delegate is not the subject of the next certificate",
            Flaw::ValidFrom => "valid before the certificate of its issuer",
            Flaw::Capabilities => "has capabilities that its issuer does not have",
            Flaw::Key => "csPubKey is not the public key of the client",
            Flaw::Signature => "invalid signature",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
