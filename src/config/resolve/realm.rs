//! Realms, roles, permissions.

use std::time::Duration;

use crossring_codec::uri;

use super::super::cursor::Cursor;
use super::super::node::{
    Allow, Disclose, Match, Permission, RealmConfig, RealmOptions, Resumption, RoleConfig, Stats, Store,
    StoreRule, UriCheck,
};
use super::{Names, Resolver};

pub(super) fn realm(
    written: &Cursor<'_>,
    worker: &str,
    names: &mut Names,
    resolver: &mut Resolver<'_>,
) -> RealmConfig {
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
    let store = store(&written.key("store"), resolver);
    RealmConfig {
        worker: worker.to_owned(),
        id: names.id("realm", written.key("id").text()),
        name: written.key("name").string().unwrap_or_default(),
        roles,
        options: options(&written.key("options")),
        store,
        stats: stats(&written.key("stats")),
    }
}

fn options(written: &Cursor<'_>) -> RealmOptions {
    let resumption = written.key("resumption");
    RealmOptions {
        uri_check: match written.key("uri_check").text() {
            Some("strict") => UriCheck::Strict,
            _ => UriCheck::Loose,
        },
        enable_meta_api: written.key("enable_meta_api").flag(true),
        bridge_meta_api: written.key("bridge_meta_api").flag(false),
        sharding: written.key("sharding").flag(false),
        resumption: resumption.is_present().then(|| {
            let default = Resumption::default();
            Resumption {
                timeout: resumption.key("timeout").milliseconds().unwrap_or(default.timeout),
                events_max: resumption.key("max_events").integer().unwrap_or(default.events_max),
                bytes_max: resumption.key("max_bytes").integer().unwrap_or(default.bytes_max),
                sessions_max: resumption.key("max_sessions").integer().unwrap_or(default.sessions_max),
            }
        }),
    }
}

/// Bytes of a rated message where the configuration does not say.
const RATED_MESSAGE_SIZE_DEFAULT: u32 = 512;

fn stats(written: &Cursor<'_>) -> Option<Stats> {
    written.is_present().then(|| Stats {
        rated_message_size: written.key("rated_message_size").integer().unwrap_or(RATED_MESSAGE_SIZE_DEFAULT),
        after_rated_messages: written.key("trigger_after_rated_messages").nonzero(),
        after_duration: written.key("trigger_after_duration").nonzero().map(Duration::from_secs),
        on_join: written.key("trigger_on_join").flag(false),
        on_leave: written.key("trigger_on_leave").flag(true),
    })
}

/// Entries kept by a rule where neither it nor the store says how many.
const STORE_LIMIT_DEFAULT: u32 = 100;

fn store(written: &Cursor<'_>, resolver: &mut Resolver<'_>) -> Store {
    let default = Store::default();
    let limit = written.key("limit").integer().unwrap_or(STORE_LIMIT_DEFAULT);
    let retained = written.key("retained");
    Store {
        event_history: store_rules(&written.key("event-history"), limit, resolver),
        event_history_bytes_max: written
            .key("event-history-max-bytes")
            .integer()
            .unwrap_or(default.event_history_bytes_max),
        sessions_max: written.key("max-sessions").integer().unwrap_or(default.sessions_max),
        call_queue: store_rules(&written.key("call-queue"), limit, resolver),
        retained_topics_max: retained.key("max-topics").integer().unwrap_or(default.retained_topics_max),
        retained_bytes_max: retained.key("max-bytes").integer().unwrap_or(default.retained_bytes_max),
        retained_lifetime: retained.key("lifetime").milliseconds(),
    }
}

/// The rules of one list. Stars have no meaning here: the policy is exact unless `match` says otherwise.
fn store_rules(written: &Cursor<'_>, limit: u32, resolver: &mut Resolver<'_>) -> Vec<StoreRule> {
    let mut rules: Vec<StoreRule> = Vec::new();
    for item in written.items() {
        let (name, uri) = (item.key("match").text().unwrap_or("exact"), item.key("uri"));
        let (text, matching) = pattern(uri.text().unwrap_or_default(), Some(name));
        if uri.is_present() && !is_usable(&text, matching) {
            resolver.faults.add(uri.path, format!("{text:?} is no URI that can be matched {name}"));
        }
        if rules.iter().any(|rule| rule.uri == text && rule.matching == matching) {
            resolver.faults.add(item.path, format!("{text:?} (match {name}) is in this list already"));
        }
        let limit = item.key("limit").integer().unwrap_or(limit);
        rules.push(StoreRule { uri: text, matching, limit });
    }
    rules
}

fn is_usable(uri: &str, matching: Match) -> bool {
    let policy = match matching {
        Match::Exact => uri::Match::Exact,
        Match::Prefix => uri::Match::Prefix,
        Match::Wildcard => uri::Match::Wildcard,
    };
    uri::is_valid(uri, policy, uri::Strictness::Loose)
}

fn role(written: &Cursor<'_>, names: &mut Names) -> RoleConfig {
    RoleConfig {
        id: names.id("role", written.key("id").text()),
        name: written.key("name").string().unwrap_or_default(),
        permissions: written.key("permissions").items().map(|item| permission(&item)).collect(),
        authorizer: written.key("authorizer").string(),
        allow_by_default: !written.key("permissions").is_present()
            && !written.key("authorizer").is_present()
            && written.key("allow-by-default").flag(false),
        trustlevel: written.key("trustlevel").integer(),
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
            refuse: disclose.key("refuse").flag(false),
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
