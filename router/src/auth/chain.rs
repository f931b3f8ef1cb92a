//! `cryptosign` by certificate chain: an authority says whose the key is, and the configuration says which authority.
//!
//! Signatures of certificates are dear to check, so it is done for those only who have answered the challenge. What is wrong with a chain by
//! itself is told. Whether its root is trusted, and whether anybody certifies for such a realm, is not: either ends like a wrong signature.

use super::{Denial, Grant, Hello, Provider};
use crate::config::Trustroot;
use crate::credentials::certificates::{Address, Chain, Fault, Verified};
use crate::credentials::cryptosign::Octets32;

/// Longest trustroot that is told back, in octets.
const TRUSTROOT_LENGTH_MAX: usize = 64;

/// A chain that nobody has verified yet.
#[derive(Debug)]
pub(super) struct Certified {
    chain: Chain,
    /// The root that it leads to, as the client says.
    named: Address,
    /// The one that is trusted for the realm asked for.
    trusted: Option<Trustroot>,
}

impl Certified {
    pub(super) fn read(trustroots: &[Trustroot], hello: &Hello<'_>) -> Result<Self, Denial> {
        let named = named_trustroot(hello)?;
        let Some(certificates) = hello.extra("certificates") else {
            return Err(Denial::not_authorized("cannot identify client: no extra.certificates provided"));
        };
        let chain = Chain::parse(certificates).map_err(invalid)?;
        let trusted = trustroots.iter().find(|known| hello.realm == Some(&known.requested_realm));
        Ok(Self { chain, named, trusted: trusted.cloned() })
    }

    /// What the holder of the key gets; `None`: nobody here trusts the chain.
    pub(super) fn grant(&self, public_key: &Octets32) -> Result<Option<Grant>, Denial> {
        let verified = self.chain.verify(public_key, self.named).map_err(invalid)?;
        let trusted = self.trusted.as_ref().filter(|it| it.root.trusts(&verified, it.block));
        Ok(trusted.map(|trustroot| Grant::by(trustroot, &verified)))
    }
}

impl Grant {
    /// The delegate's address is its name, whatever it calls itself.
    fn by(trustroot: &Trustroot, chain: &Verified<'_>) -> Self {
        Self {
            realm: Some(trustroot.realm.as_ref().unwrap_or(&trustroot.requested_realm).clone()),
            authid: Some(chain.delegate.to_string().into()),
            role: Some(trustroot.role.clone()),
            provider: Provider::Static,
        }
    }
}

fn named_trustroot(hello: &Hello<'_>) -> Result<Address, Denial> {
    let Some(named) = hello.extra("trustroot") else {
        return Err(Denial::not_authorized("cannot identify client: no extra.trustroot provided"));
    };
    let name = named.as_str().filter(|name| name.len() <= TRUSTROOT_LENGTH_MAX).unwrap_or_default();
    Address::parse(name)
        .ok_or_else(|| Denial::not_authorized(format!("invalid client trustroot \"{name}\" provided")))
}

fn invalid(fault: Fault) -> Denial {
    Denial::not_authorized(format!("invalid client certificates: {fault}"))
}
