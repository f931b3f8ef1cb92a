//! The roles that the configuration gives to sessions, and whether there is a realm that has them.

use std::collections::BTreeMap;
use std::fmt;

use super::super::node::RealmConfig;

/// Realms named in one remark, and roles of each; a remark is a line.
const NAMES_MAX: usize = 8;

/// The role of the router itself, which every realm has.
const TRUSTED: &str = "trusted";

/// Roles given, each with the realm that the session is put on, if it is put on one.
#[derive(Default)]
pub(super) struct GivenRoles(BTreeMap<(Option<String>, String), Places>);

/// Where a role is given: the first place, and how many more there are.
struct Places {
    first: String,
    more: usize,
}

impl GivenRoles {
    /// Takes note of a role. `realm`: where sessions with it are put, whatever they ask for.
    pub(super) fn give(&mut self, place: impl fmt::Display, role: &str, realm: Option<&str>) {
        self.0
            .entry((realm.map(str::to_owned), role.to_owned()))
            .and_modify(|places| places.more += 1)
            .or_insert_with(|| Places { first: place.to_string(), more: 0 });
    }

    /// A remark for each role with which nobody can join.
    /// None where there are no realms at all: such a node serves something else.
    pub(super) fn remarks(&self, realms: &[RealmConfig]) -> Vec<String> {
        if realms.is_empty() {
            return Vec::new();
        }
        let useless = self.0.iter().filter_map(|((realm, role), places)| {
            Some(format!("{places}: {}", flaw(realm.as_deref(), role, realms)?))
        });
        useless.collect()
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first)?;
        if self.more > 0 {
            write!(f, " (and {} more)", self.more)?;
        }
        Ok(())
    }
}

/// Why nobody can join with a role.
fn flaw(realm: Option<&str>, role: &str, realms: &[RealmConfig]) -> Option<String> {
    if role.is_empty() {
        return Some("neither 'role' nor 'default-role' is given: nobody can join by it".into());
    }
    let has_role = |realm: &&RealmConfig| role == TRUSTED || realm.roles.iter().any(|it| it.name == role);
    let Some(name) = realm else {
        let is_known = realms.iter().any(|realm| has_role(&realm));
        let there = listed(realms.iter().map(describe));
        return (!is_known).then(|| format!("no realm has a role {role:?}: nobody can join by it ({there})"));
    };
    match realms.iter().find(|realm| realm.name == name) {
        Some(realm) if has_role(&realm) => None,
        Some(realm) => {
            let there = describe(realm);
            Some(format!("realm {name:?} has no role {role:?}: nobody can join by it ({there})"))
        }
        None => {
            let names = realms.iter().map(|realm| format!("{:?}", realm.name));
            Some(format!("there is no realm {name:?}: nobody can join by it (there is {})", listed(names)))
        }
    }
}

fn describe(realm: &RealmConfig) -> String {
    format!("{:?} has {}", realm.name, listed(realm.roles.iter().map(|role| format!("{:?}", role.name))))
}

fn listed(mut names: impl Iterator<Item = String>) -> String {
    let mut text = names.by_ref().take(NAMES_MAX).collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        return "none".into();
    }
    if names.next().is_some() {
        text.push_str(", ...");
    }
    text
}
