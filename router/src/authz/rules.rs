//! Static rules of a role, compiled once per configuration.
//!
//! The order is Crossbar.io's: an exact rule decides alone and hides shorter prefix rules for all longer URIs; else a
//! matching wildcard rule decides; else the longest prefix rule; else the answer is no. A pattern of SUBSCRIBE or REGISTER
//! is judged as the pattern it is: only rules that cover every URI it can match say yes.

use crossring_codec::uri::Match;

use super::Decision;
use crate::config::RoleConfig;
use crate::pattern::{PrefixTrie, WildcardTrie};

#[derive(Debug)]
pub(super) struct Rules {
    /// Exact and prefix rules; the last of equal URIs counts.
    texts: PrefixTrie<Rule>,
    wildcards: WildcardTrie<Rule>,
}

#[derive(Copy, Clone, Debug)]
struct Rule {
    is_exact: bool,
    decision: Decision,
}

impl Rules {
    pub(super) fn new(role: &RoleConfig, seed: u64) -> Self {
        let mut rules = Self { texts: PrefixTrie::default(), wildcards: WildcardTrie::new(seed) };
        for permission in &role.permissions {
            let decision = Decision {
                allow: permission.allow,
                disclose_caller: permission.disclose_caller,
                disclose_publisher: permission.disclose_publisher,
                refuse_disclose_me: permission.refuse_disclose_me,
            };
            let rule = Rule { is_exact: permission.match_policy == Match::Exact, decision };
            match permission.match_policy {
                Match::Wildcard => rules.wildcards.insert(&permission.uri, rule),
                Match::Exact | Match::Prefix => rules.texts.insert(&permission.uri, rule),
            }
        }
        rules
    }

    pub(super) fn decide(&self, uri: &str, policy: Match) -> Decision {
        let rule = match policy {
            Match::Exact => match self.texts.longest(uri) {
                Some((rule, length)) if rule.is_exact => (length == uri.len()).then_some(rule),
                prefix => self.wildcards.best(uri, false).or(prefix.map(|(rule, _)| rule)),
            },
            Match::Prefix => self.longest_prefix_rule(uri),
            Match::Wildcard => self.wildcards.best(uri, true).or_else(|| self.longest_prefix_rule(uri)),
        };
        rule.map(|rule| rule.decision).unwrap_or_default()
    }

    fn longest_prefix_rule(&self, pattern: &str) -> Option<Rule> {
        let mut longest = None;
        self.texts.visit(pattern, &mut |rule: Rule, _| {
            if !rule.is_exact {
                longest = Some(rule);
            }
        });
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Allow, Permission};

    const PUBLISH: Allow = Allow { call: false, register: false, publish: true, subscribe: false };

    fn rules(rules: &[(&str, Match, Allow)]) -> Rules {
        let permission = |&(uri, match_policy, allow): &(&str, Match, Allow)| Permission {
            uri: uri.into(),
            match_policy,
            allow,
            disclose_caller: false,
            disclose_publisher: false,
            refuse_disclose_me: false,
        };
        Rules::new(
            &RoleConfig {
                name: "role".into(),
                permissions: rules.iter().map(permission).collect(),
                ..RoleConfig::default()
            },
            0,
        )
    }

    #[track_caller]
    fn check(rules: &Rules, uri: &str, policy: Match, expected: Allow) {
        assert_eq!(rules.decide(uri, policy).allow, expected, "{uri} {policy:?}");
    }

    const NOTHING: Allow = Allow { call: false, register: false, publish: false, subscribe: false };

    #[test]
    fn no_rule_means_no() {
        check(&rules(&[]), "com.a", Match::Exact, NOTHING);
        check(&rules(&[("com.b", Match::Prefix, Allow::ALL)]), "com.a", Match::Exact, NOTHING);
    }

    #[test]
    fn exact_then_wildcard_then_the_longest_prefix() {
        let rules = rules(&[
            ("", Match::Prefix, Allow::ALL),
            ("com.a.", Match::Prefix, PUBLISH),
            ("com..secret", Match::Wildcard, NOTHING),
            ("com.b.secret", Match::Exact, PUBLISH),
        ]);
        check(&rules, "org", Match::Exact, Allow::ALL);
        check(&rules, "com.a.b", Match::Exact, PUBLISH);
        check(&rules, "com.a.secret", Match::Exact, NOTHING);
        check(&rules, "com.b.secret", Match::Exact, PUBLISH);
    }

    #[test]
    fn an_exact_rule_hides_shorter_prefixes() {
        let rules = rules(&[("com.", Match::Prefix, Allow::ALL), ("com.foo", Match::Exact, Allow::ALL)]);
        check(&rules, "com.foo", Match::Exact, Allow::ALL);
        check(&rules, "com.foobar", Match::Exact, NOTHING);
        check(&rules, "com.fo", Match::Exact, Allow::ALL);
    }

    #[test]
    fn a_pattern_needs_a_rule_that_covers_it() {
        let rules = rules(&[
            ("com.a.", Match::Prefix, Allow::ALL),
            ("com.x", Match::Exact, Allow::ALL),
            ("org..b", Match::Wildcard, PUBLISH),
        ]);
        check(&rules, "com.a.", Match::Prefix, Allow::ALL);
        check(&rules, "com.a.b..c", Match::Wildcard, Allow::ALL);
        check(&rules, "com..b", Match::Wildcard, NOTHING);
        check(&rules, "com.x", Match::Prefix, NOTHING);
        check(&rules, "org..b", Match::Wildcard, PUBLISH);
        check(&rules, "org.q.b", Match::Wildcard, PUBLISH);
        check(&rules, "org.q.b", Match::Prefix, NOTHING);
        check(&rules, "org..", Match::Wildcard, NOTHING);
    }
}
