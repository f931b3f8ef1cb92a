//! Certificates as they come: typed data in the JSON form of EIP-712, with signatures.
//!
//! Of the typed data only `primaryType` and `message` are read. Types and domain are what they are: a certificate signed with others
//! has a signature of somebody else.

use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

use super::typed_data::Recoverable;
use super::{
    Address, Authority, CERTIFICATES_MAX, Chain, Delegate, Fault, Flaw, META_LENGTH_MAX, Network, Signed,
};
use crate::credentials::cryptosign::{self, Octets32};
use crate::credentials::from_hex;

const DELEGATE: &str = "EIP712DelegateCertificate";
const AUTHORITY: &str = "EIP712AuthorityCertificate";

impl Chain {
    /// Reads `HELLO.Details.authextra.certificates`: a list of typed data with its signature, as the specification has it, or with a hash
    /// before it, which Crossbar.io expects and is not looked at.
    ///
    /// # Errors
    /// Which certificate cannot be read.
    pub fn parse(certificates: &Value) -> Result<Self, Fault> {
        let Value::List(certificates) = certificates else { return Err(Fault::Length) };
        let [delegate, between @ .., root] = &certificates[..] else { return Err(Fault::Length) };
        if certificates.len() > CERTIFICATES_MAX {
            return Err(Fault::Length);
        }
        let delegate = signed(delegate, delegate_of).map_err(Fault::at(0))?;
        let between = between.iter().enumerate();
        let between = between
            .map(|(index, authority)| signed(authority, authority_of).map_err(Fault::at(index + 1)))
            .collect::<Result<Vec<_>, _>>()?;
        let root = signed(root, authority_of).map_err(Fault::at(between.len() + 1))?;
        Ok(Self { delegate, between, root })
    }
}

/// A saved certificate: the hash of its typed data, the typed data, any number of signatures.
pub(super) fn file(octets: &[u8]) -> Result<(Authority, Vec<Recoverable>), Flaw> {
    let serializer = if octets.starts_with(b"[") { SerializerId::Json } else { SerializerId::Cbor };
    let Ok(Value::List(parts)) = Value::decode(serializer, octets) else { return Err(Flaw::Form("file")) };
    let [hash, data, Value::List(signatures)] = &parts[..] else { return Err(Flaw::Form("file")) };
    let authority = authority_of(data)?;
    if *hash != Value::Null && octets_of(hash).is_none_or(|hash| hash != authority.digest()) {
        return Err(Flaw::Hash);
    }
    let signatures = signatures.iter().map(signature).collect::<Result<Vec<_>, _>>()?;
    Ok((authority, signatures))
}

fn signed<C>(written: &Value, read: impl FnOnce(&Value) -> Result<C, Flaw>) -> Result<Signed<C>, Flaw> {
    match written {
        Value::List(parts) => match &parts[..] {
            [data, signature] | [_, data, signature] => {
                Ok(Signed { certificate: read(data)?, signature: self::signature(signature)? })
            }
            _ => Err(Flaw::Form("certificate")),
        },
        _ => Err(Flaw::Form("certificate")),
    }
}

fn signature(written: &Value) -> Result<Recoverable, Flaw> {
    octets_of(written).and_then(|octets| Recoverable::parse(&octets)).ok_or(Flaw::Form("signature"))
}

fn delegate_of(data: &Value) -> Result<Delegate, Flaw> {
    const FIELDS: [&str; 7] =
        ["chainId", "verifyingContract", "validFrom", "delegate", "csPubKey", "bootedAt", "meta"];
    let message = Message::of(data, DELEGATE, &FIELDS)?;
    Ok(Delegate {
        network: message.network()?,
        valid_from: message.number("validFrom")?,
        account: message.address("delegate")?,
        key: message.key("csPubKey")?,
        booted_at_ns: message.number("bootedAt")?,
        meta: message.meta()?,
    })
}

fn authority_of(data: &Value) -> Result<Authority, Flaw> {
    const FIELDS: [&str; 8] =
        ["chainId", "verifyingContract", "validFrom", "issuer", "subject", "realm", "capabilities", "meta"];
    let message = Message::of(data, AUTHORITY, &FIELDS)?;
    Ok(Authority {
        network: message.network()?,
        valid_from: message.number("validFrom")?,
        issuer: message.address("issuer")?,
        subject: message.address("subject")?,
        realm: message.address("realm")?,
        capabilities: message.number("capabilities")?,
        meta: message.meta()?,
    })
}

/// The `message` of typed data.
struct Message<'a>(&'a Dict);

impl<'a> Message<'a> {
    fn of(data: &'a Value, primary_type: &str, fields: &[&str]) -> Result<Self, Flaw> {
        if data.get("primaryType").and_then(Value::as_str) != Some(primary_type) {
            return Err(Flaw::Form("primaryType"));
        }
        let Some(Value::Dict(message)) = data.get("message") else { return Err(Flaw::Form("message")) };
        // With as many entries as fields, and each field there, no field is there twice.
        let is_known = |(name, _): &(String, Value)| fields.contains(&name.as_str());
        if message.len() > fields.len() || !message.iter().all(is_known) {
            return Err(Flaw::Unknown);
        }
        Ok(Self(message))
    }

    fn read<T>(&self, name: &'static str, read: impl FnOnce(&Value) -> Option<T>) -> Result<T, Flaw> {
        let entry = self.0.iter().find(|(known, _)| known == name);
        entry.and_then(|(_, value)| read(value)).ok_or(Flaw::Form(name))
    }

    fn network(&self) -> Result<Network, Flaw> {
        let chain_id = self.read("chainId", |value| number_of(value).filter(|number| *number > 0))?;
        Ok(Network { chain_id, contract: self.address("verifyingContract")? })
    }

    /// The widest numbers of the certificates have 256 bits; none in use has more than 64.
    fn number(&self, name: &'static str) -> Result<u64, Flaw> {
        self.read(name, number_of)
    }

    /// Text, or octets in a saved certificate.
    fn address(&self, name: &'static str) -> Result<Address, Flaw> {
        self.read(name, |value| match value {
            Value::String(text) => Address::parse(text),
            Value::Binary(octets) => Address::from_octets(octets),
            _ => None,
        })
    }

    fn key(&self, name: &'static str) -> Result<Octets32, Flaw> {
        self.read(name, |value| value.as_str().and_then(cryptosign::octets))
    }

    fn meta(&self) -> Result<Box<str>, Flaw> {
        let in_bounds = |text: &&str| text.len() <= META_LENGTH_MAX;
        self.read("meta", |value| value.as_str().filter(in_bounds).map(Box::from))
    }
}

fn number_of(value: &Value) -> Option<u64> {
    value.as_integer().and_then(|number| number.try_into().ok())
}

/// Octets, or hexadecimal digits, with or without `0x`, for a hash or a signature.
fn octets_of(value: &Value) -> Option<Vec<u8>> {
    const OCTETS_MAX: usize = 65;
    match value {
        Value::Binary(octets) if octets.len() <= OCTETS_MAX => Some(octets.clone()),
        Value::String(text) if text.len() <= 2 + 2 * OCTETS_MAX => {
            from_hex(text.strip_prefix("0x").unwrap_or(text))
        }
        _ => None,
    }
}
