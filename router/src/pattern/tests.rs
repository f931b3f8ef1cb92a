use std::sync::Arc;

use crossring_codec::uri::{Match, Strictness, is_valid};
use proptest::prelude::*;

use super::PatternTable;
use super::naive::NaiveTable;

/// wamp.md 2.2.8, the example of the specification word for word.
#[test]
fn the_best_registration_is_the_specifications() {
    let mut table = PatternTable::new(0);
    for (uri, policy, number) in [
        ("a1.b2.c3.d4.e55", Match::Exact, 1),
        ("a1.b2.c3", Match::Prefix, 2),
        ("a1.b2.c3.d4", Match::Prefix, 3),
        ("a1.b2..d4.e5", Match::Wildcard, 4),
        ("a1.b2.c33..e5", Match::Wildcard, 5),
        ("a1.b2..d4.e5..g7", Match::Wildcard, 6),
        ("a1.b2..d4..f6.g7", Match::Wildcard, 7),
    ] {
        table.insert(&Arc::from(uri), policy, number);
    }
    for (uri, winner) in [
        ("a1.b2.c3.d4.e55", Some(1)),
        ("a1.b2.c3.d98.e74", Some(2)),
        ("a1.b2.c3.d4.e325", Some(3)),
        ("a1.b2.c55.d4.e5", Some(4)),
        ("a1.b2.c33.d4.e5", Some(5)),
        ("a1.b2.c88.d4.e5.f6.g7", Some(6)),
        ("a2.b2.c2.d2.e2", None),
    ] {
        assert_eq!(table.best(uri), winner, "{uri}");
    }
}

#[test]
fn a_table_of_a_hundred_thousand_patterns_empties_again() {
    let mut table = PatternTable::new(1);
    let policies = [Match::Exact, Match::Prefix, Match::Wildcard];
    let patterns: Vec<(Arc<str>, Match)> = (0..100_000)
        .map(|number| {
            (Arc::from(format!("com.device{}..sensor{}", number / 7, number % 7)), policies[number % 3])
        })
        .collect();
    for (number, (uri, policy)) in patterns.iter().enumerate() {
        table.insert(uri, *policy, number);
    }
    let mut found = Vec::new();
    table.visit("com.device9.x.sensor2", |number| found.push(number));
    assert_eq!(found, [65], "device 9, sensor 2 is a wildcard pattern");
    for (uri, policy) in &patterns {
        table.remove(uri, *policy);
    }
    assert_eq!((table.exact.len(), table.prefix.nodes_used(), table.wildcard.nodes_used()), (0, 0, 0));
}

fn any_policy() -> impl Strategy<Value = Match> {
    prop_oneof![Just(Match::Exact), Just(Match::Prefix), Just(Match::Wildcard)]
}

fn any_pattern() -> impl Strategy<Value = (String, Match)> {
    ("([abü]{0,2}\\.){0,3}[ab]{0,2}", any_policy())
        .prop_filter("valid", |(uri, policy)| is_valid(uri, *policy, Strictness::Loose))
}

proptest! {
    #[test]
    fn pattern_vs_naive(
        patterns in prop::collection::vec((any_pattern(), any::<bool>()), 0..40),
        uris in prop::collection::vec("([abü]{1,2}\\.){0,3}[ab]{1,2}", 1..20),
    ) {
        let (mut table, mut naive) = (PatternTable::new(2), NaiveTable::default());
        for (number, ((uri, policy), insert)) in patterns.iter().enumerate() {
            if *insert {
                table.insert(&Arc::from(uri.as_str()), *policy, number as u32);
                naive.insert(uri, *policy, number as u32);
            } else {
                let victim = &patterns[number / 2].0;
                table.remove(&victim.0, victim.1);
                naive.remove(&victim.0, victim.1);
            }
        }
        for ((uri, policy), _) in &patterns {
            prop_assert_eq!(table.get(uri, *policy), naive.get(uri, *policy));
        }
        for uri in &uris {
            let mut all = Vec::new();
            table.visit(uri, |number| all.push(number));
            all.sort_unstable();
            prop_assert_eq!(all, naive.all(uri), "{}", uri);
            prop_assert_eq!(table.best(uri), naive.best(uri), "{}", uri);
        }
        for ((uri, policy), _) in &patterns {
            table.remove(uri, *policy);
        }
        prop_assert_eq!((table.prefix.nodes_used(), table.wildcard.nodes_used()), (0, 0));
    }
}
