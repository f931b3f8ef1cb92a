//! What authenticators may know of the node: a narrow view of its realms, and what only the node itself can compute.

use crossring_codec::value::Dict;

use super::entry;
use crate::address::{RealmId, RoleId};
use crate::config::{RouterConfig, TRUSTED};
use crate::credentials::cryptosign::{self, Octets32};
use crate::credentials::{cra, from_base64, to_hex};

/// The realms of a node, as authenticators see them. They have no other way to the configuration.
pub(crate) trait RealmContainer {
    /// The realm of that name, if it is there.
    fn find_realm(&self, name: &str) -> Option<RealmId>;

    /// The name of a realm.
    fn realm_name(&self, realm: RealmId) -> &str;

    /// The role of that name, if the realm has it and clients may be given it: the role of the router's own sessions is not
    /// for them, whoever assigns it.
    fn find_role(&self, realm: RealmId, name: &str) -> Option<RoleId>;

    /// The role in which the service session of a realm asks procedures.
    fn service_role(&self, realm: RealmId) -> Option<RoleId>;

    /// Signature of a peer's challenge with the node's key, and its public key, as CHALLENGE carries them; `None`: the node
    /// has no key.
    fn node_proof(&self, challenge: &Octets32) -> Option<Dict>;

    /// Octets that follow from a text: the same as long as the node runs, or has the same key, and nobody outside can compute
    /// them. What unknown identities are told is made of them.
    fn stand_in(&self, text: &str) -> Octets32;
}

impl RealmContainer for RouterConfig {
    fn find_realm(&self, name: &str) -> Option<RealmId> {
        let index = self.realms.iter().position(|realm| &*realm.name == name)?;
        Some(RealmId(index as u16))
    }

    fn realm_name(&self, realm: RealmId) -> &str {
        &self.realms[usize::from(realm.0)].name
    }

    fn find_role(&self, realm: RealmId, name: &str) -> Option<RoleId> {
        find_role(self, realm, name).filter(|_| name != TRUSTED)
    }

    fn service_role(&self, realm: RealmId) -> Option<RoleId> {
        find_role(self, realm, TRUSTED)
    }

    fn node_proof(&self, challenge: &Octets32) -> Option<Dict> {
        let seed = self.node_key.as_ref()?.octets();
        Some(vec![
            entry("signature", cryptosign::sign(seed, challenge).as_str()),
            entry("pubkey", cryptosign::public_key(seed).as_str()),
        ])
    }

    fn stand_in(&self, text: &str) -> Octets32 {
        let signed = match &self.node_key {
            Some(key) => cra::sign(&to_hex(key.octets()), text),
            None => cra::sign(self.entropy.expose(), text),
        };
        let digest = from_base64(&signed).unwrap_or_default();
        digest.try_into().unwrap_or_default()
    }
}

fn find_role(config: &RouterConfig, realm: RealmId, name: &str) -> Option<RoleId> {
    let roles = &config.realms[usize::from(realm.0)].roles;
    Some(RoleId(roles.iter().position(|role| &*role.name == name)? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RealmConfig, RoleConfig, Secret};

    fn node() -> RouterConfig {
        let roles = vec![RoleConfig { name: "member".into(), ..RoleConfig::default() }];
        let realms = vec![RealmConfig { roles, ..RealmConfig::default() }];
        let entropy = Secret::new("entropy");
        RouterConfig { realms, entropy, ..RouterConfig::default() }.with_trusted_role()
    }

    #[test]
    fn nobody_finds_the_role_of_the_routers_own_sessions() {
        let node = node();
        let realm = node.find_realm("realm1").expect("there");
        assert_eq!(node.realm_name(realm), "realm1");
        assert_eq!(node.find_role(realm, "member"), Some(RoleId(0)));
        assert_eq!((node.find_role(realm, TRUSTED), node.service_role(realm)), (None, Some(RoleId(1))));
        assert_eq!((node.find_role(realm, "king"), node.find_realm("limbo")), (None, None));
    }

    #[test]
    fn stand_ins_differ_by_text_and_node() {
        let (one, mut other) = (node(), node());
        other.entropy = Secret::new("other");
        assert_eq!(one.stand_in("joe"), one.stand_in("joe"));
        assert_ne!(one.stand_in("joe"), one.stand_in("jim"));
        assert_ne!(one.stand_in("joe"), other.stand_in("joe"));
    }
}
