//! EIP-712: what is signed of a certificate, and by whom.

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use sha3::{Digest, Keccak256};

use super::{Address, Authority, Delegate};
use crate::credentials::cryptosign::Octets32;

const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version)";
const DOMAIN_NAME: &str = "WMP";
const DOMAIN_VERSION: &str = "1";

const DELEGATE_TYPE: &str = "EIP712DelegateCertificate(uint256 chainId,address verifyingContract,uint256 validFrom,\
     address delegate,bytes32 csPubKey,uint64 bootedAt,string meta)";

const AUTHORITY_TYPE: &str = "EIP712AuthorityCertificate(uint256 chainId,address verifyingContract,uint256 validFrom,\
     address issuer,address subject,address realm,uint64 capabilities,string meta)";

impl Delegate {
    /// What its signature signs.
    pub(super) fn digest(&self) -> Octets32 {
        signed_digest(&structure(
            DELEGATE_TYPE,
            &[
                number(self.network.chain_id),
                address(&self.network.contract),
                number(self.valid_from),
                address(&self.account),
                self.key,
                number(self.booted_at_ns),
                text(&self.meta),
            ],
        ))
    }
}

impl Authority {
    /// What its signature signs.
    pub(super) fn digest(&self) -> Octets32 {
        signed_digest(&structure(
            AUTHORITY_TYPE,
            &[
                number(self.network.chain_id),
                address(&self.network.contract),
                number(self.valid_from),
                address(&self.issuer),
                address(&self.subject),
                address(&self.realm),
                number(self.capabilities),
                text(&self.meta),
            ],
        ))
    }
}

/// Domain and typed data.
fn signed_digest(structure: &Octets32) -> Octets32 {
    let domain = self::structure(DOMAIN_TYPE, &[text(DOMAIN_NAME), text(DOMAIN_VERSION)]);
    keccak256([&[0x19, 0x01][..], &domain, structure])
}

/// The hash of a structure of this type, each field encoded in 32 octets.
fn structure(encoded_type: &str, fields: &[Octets32]) -> Octets32 {
    let encoded_type = text(encoded_type);
    keccak256([&encoded_type].into_iter().chain(fields))
}

fn number(number: u64) -> Octets32 {
    last_of(&number.to_be_bytes())
}

fn address(address: &Address) -> Octets32 {
    last_of(address.octets())
}

fn last_of<const N: usize>(octets: &[u8; N]) -> Octets32 {
    let mut field = [0; 32];
    field[32 - N..].copy_from_slice(octets);
    field
}

fn text(text: &str) -> Octets32 {
    keccak256([text])
}

pub(super) fn keccak256(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Octets32 {
    let hash = parts.into_iter().fold(Keccak256::new(), |hash, part| hash.chain_update(part));
    hash.finalize().into()
}

/// A signature from which follows whose it is.
#[derive(Clone, Debug)]
pub(super) struct Recoverable {
    signature: Signature,
    recovery: RecoveryId,
}

impl Recoverable {
    /// Reads r, s and v, with v as Ethereum counts it: 27 or 28.
    pub(super) fn parse(octets: &[u8]) -> Option<Self> {
        let (&v, scalars) = octets.split_last()?;
        let recovery = RecoveryId::new(v.checked_sub(27).filter(|parity| *parity < 2)? == 1, false);
        Some(Self { signature: Signature::from_slice(scalars).ok()?, recovery })
    }

    /// The account that has signed this; `None`: there is no such key.
    pub(super) fn signer(&self, digest: &Octets32) -> Option<Address> {
        let key = VerifyingKey::recover_from_prehash(digest, &self.signature, self.recovery).ok()?;
        let point = key.to_sec1_point(false);
        let digest = keccak256([point.as_bytes().get(1..)?]);
        Address::from_octets(digest.get(12..)?)
    }
}
