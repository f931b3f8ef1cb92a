//! Looking up a URI among many patterns, as PUBLISH and CALL do it: authorization and everything else included.
//!
//! Per kind of pattern: `hit` finds one pattern among many of its kind, `miss` none. A hit delivers one EVENT to a host that
//! does nothing; the patterns that are not looked up belong to another shard.

use std::hint::black_box;

use criterion::{BatchSize, Throughput, criterion_group, criterion_main};
use crossring_benches::payload::{Content, payload};
use crossring_benches::router::Router;
use crossring_benches::{Criterion, criterion, inputs};
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::Match;

const COUNTS: [u64; 3] = [10, 10_000, 1_000_000];
/// Most URIs that are looked up in turn, spread over all patterns: one alone would stay in the processor's cache.
const LOOKED_UP: u64 = 4096;
/// Patterns that one round of `insert` enters.
const INSERTED: u64 = 1000;
const POLICIES: [Match; 3] = [Match::Exact, Match::Prefix, Match::Wildcard];

/// Pattern number `number`: four components, of which the third is unlike in each.
fn pattern(number: u64, policy: Match) -> String {
    let (site, device) = (number % 97, number);
    match policy {
        Match::Exact => format!("com.site{site}.device{device}.state"),
        Match::Prefix => format!("com.site{site}.device{device}."),
        Match::Wildcard => format!("com.site{site}.device{device}."),
    }
}

/// What pattern `number` matches, whatever its policy.
fn uri(number: u64) -> String {
    pattern(number, Match::Exact)
}

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pattern/publish");
    let payload = payload(SerializerId::MessagePack, Content::Text, 16);
    for &count in inputs(&COUNTS) {
        for policy in POLICIES {
            let mut router = Router::new();
            let (publisher, subscriber) = (router.join(), router.join());
            let stride = count.div_ceil(LOOKED_UP);
            for number in (0..count).filter(|number| number % stride == 0) {
                router.subscribe(subscriber, &pattern(number, policy), policy);
            }
            for number in (0..count).filter(|number| number % stride != 0) {
                router.add_interest_elsewhere(number, &pattern(number, policy), policy);
            }
            for (name, first, events) in [("hit", 0, 1), ("miss", count, 0)] {
                let topics: Vec<_> = (0..count.div_ceil(stride)).map(|n| uri(first + n * stride)).collect();
                assert!(topics.iter().all(|topic| router.publish(publisher, topic, &payload) == events));
                let mut topics = topics.iter().cycle();
                group.bench_function(format!("{}/{name}/{count}", policy.as_str()), |bencher| {
                    bencher.iter(|| {
                        let topic = topics.next().expect("a cycle has no end");
                        router.publish(publisher, black_box(topic), &payload)
                    });
                });
            }
        }
    }
}

/// Entering patterns, from the first on.
fn insert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pattern/insert");
    for policy in POLICIES {
        let patterns: Vec<String> = (0..INSERTED).map(|number| pattern(number, policy)).collect();
        group.throughput(Throughput::Elements(INSERTED));
        group.bench_function(policy.as_str(), |bencher| {
            let fill = |mut router: Router| {
                for (number, pattern) in (0..).zip(&patterns) {
                    router.add_interest_elsewhere(number, pattern, policy);
                }
                router
            };
            bencher.iter_batched(Router::new, fill, BatchSize::PerIteration);
        });
    }
}

criterion_group! {
    name = patterns;
    config = criterion();
    targets = publish, insert
}
criterion_main!(patterns);
