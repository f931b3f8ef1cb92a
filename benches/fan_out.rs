//! One PUBLISH to its subscribers on the same shard, over a host that sends nothing.

use std::hint::black_box;

use criterion::{Throughput, criterion_group, criterion_main};
use crossring_benches::payload::{Content, payload};
use crossring_benches::router::Router;
use crossring_benches::{Criterion, criterion, inputs};
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::Match;

const SUBSCRIBERS: [u32; 4] = [1, 10, 100, 1000];
const TOPIC: &str = "com.example.topic";

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan_out");
    let payload = payload(SerializerId::MessagePack, Content::Text, 128);
    for policy in [Match::Exact, Match::Prefix] {
        for &count in inputs(&SUBSCRIBERS) {
            let mut router = Router::new();
            let publisher = router.join();
            for _ in 0..count {
                let subscriber = router.join();
                router.subscribe(subscriber, TOPIC, policy);
            }
            assert_eq!(router.publish(publisher, TOPIC, &payload), u64::from(count));
            group.throughput(Throughput::Elements(count.into()));
            group.bench_function(format!("{}/{count}", policy.as_str()), |bencher| {
                bencher.iter(|| router.publish(publisher, black_box(TOPIC), &payload));
            });
        }
    }
}

criterion_group! {
    name = fan_outs;
    config = criterion();
    targets = fan_out
}
criterion_main!(fan_outs);
