//! Realms, roles, permissions.

use super::super::cursor::Cursor;
use super::super::node::{
    Allow, Disclose, Match, Permission, RealmConfig, RealmOptions, RoleConfig, UriCheck,
};
use super::{Names, Resolver};

pub(super) fn realm(written: &Cursor<'_>, names: &mut Names, resolver: &mut Resolver<'_>) -> RealmConfig {
    let mut roles: Vec<RoleConfig> = Vec::new();
    for item in written.key("roles").items() {
        let role = role(&item, names);
        if !role.name.is_empty() && roles.iter().any(|known| known.name == role.name) {
            resolver
                .faults
                .add(item.key("name").path, format!("role {:?} is already defined in this realm", role.name));
        }
        roles.push(role);
    }
    let options = written.key("options");
    RealmConfig {
        id: names.id("realm", written.key("id").text()),
        name: written.key("name").string().unwrap_or_default(),
        roles,
        options: RealmOptions {
            uri_check: match options.key("uri_check").text() {
                Some("strict") => UriCheck::Strict,
                _ => UriCheck::Loose,
            },
            enable_meta_api: options.key("enable_meta_api").flag(true),
            bridge_meta_api: options.key("bridge_meta_api").flag(false),
        },
    }
}

fn role(written: &Cursor<'_>, names: &mut Names) -> RoleConfig {
    RoleConfig {
        id: names.id("role", written.key("id").text()),
        name: written.key("name").string().unwrap_or_default(),
        permissions: written.key("permissions").items().map(|item| permission(&item)).collect(),
        allow_by_default: !written.key("permissions").is_present()
            && written.key("allow-by-default").flag(false),
    }
}

fn permission(written: &Cursor<'_>) -> Permission {
    let (uri, matching) = pattern(written.key("uri").text().unwrap_or_default(), written.key("match").text());
    let (allow, disclose) = (written.key("allow"), written.key("disclose"));
    Permission {
        uri,
        matching,
        allow: Allow {
            call: allow.key("call").flag(false),
            register: allow.key("register").flag(false),
            publish: allow.key("publish").flag(false),
            subscribe: allow.key("subscribe").flag(false),
        },
        disclose: Disclose {
            caller: disclose.key("caller").flag(false),
            publisher: disclose.key("publisher").flag(false),
        },
        cache: written.key("cache").flag(false),
    }
}

/// With `match` the URI is literal. Without, stars decide: none is exact, a single one at the end is a prefix, all
/// else is a wildcard whose stars stand for empty components.
fn pattern(uri: &str, matching: Option<&str>) -> (String, Match) {
    match matching {
        Some("exact") => (uri.into(), Match::Exact),
        Some("prefix") => (uri.into(), Match::Prefix),
        Some("wildcard") => (uri.into(), Match::Wildcard),
        _ => match uri.strip_suffix('*') {
            None if !uri.contains('*') => (uri.into(), Match::Exact),
            Some(prefix) if !prefix.contains('*') => (prefix.into(), Match::Prefix),
            _ => (uri.replace('*', ""), Match::Wildcard),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_decide_only_without_match() {
        let cases = [
            ("com.a", None, "com.a", Match::Exact),
            ("com.a.*", None, "com.a.", Match::Prefix),
            ("*", None, "", Match::Prefix),
            ("com.*.b", None, "com..b", Match::Wildcard),
            ("com.*.*", None, "com..", Match::Wildcard),
            ("com.*", Some("exact"), "com.*", Match::Exact),
            ("com..b", Some("wildcard"), "com..b", Match::Wildcard),
            ("", Some("prefix"), "", Match::Prefix),
        ];
        for (uri, matching, expected, policy) in cases {
            assert_eq!(pattern(uri, matching), (expected.to_string(), policy), "{uri} {matching:?}");
        }
    }
}
