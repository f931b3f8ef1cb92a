//! CALL and the YIELD that answers it, caller and callee on one shard, over a host that sends nothing.

use std::hint::black_box;

use criterion::{criterion_group, criterion_main};
use crossring_benches::payload::{Content, payload};
use crossring_benches::router::Router;
use crossring_benches::{Criterion, criterion, inputs};
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::Match;

const PROCEDURE: &str = "com.example.procedure";

/// A call and its answer, beside few and many other registrations.
fn call(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call");
    let payload = payload(SerializerId::MessagePack, Content::Text, 128);
    for &others in inputs(&[0, 10_000]) {
        let mut router = Router::new();
        let (caller, callee) = (router.join(), router.join());
        router.register(callee, PROCEDURE);
        for number in 0..others {
            let procedure = format!("com.example.procedure{number}");
            router.add_callee_elsewhere(number, &procedure, Match::Exact);
        }
        assert_eq!(router.call(caller, callee, PROCEDURE, &payload), 2, "INVOCATION and RESULT");
        group.bench_function(format!("beside_{others}"), |bencher| {
            bencher.iter(|| router.call(caller, callee, black_box(PROCEDURE), &payload));
        });
    }
}

criterion_group! {
    name = calls;
    config = criterion();
    targets = call
}
criterion_main!(calls);
