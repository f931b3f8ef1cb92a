//! Calls of the meta API, from CALL to RESULT over two shards, beside few and many sessions.

use std::hint::black_box;

use criterion::{criterion_group, criterion_main};
use crossring_benches::node::Node;
use crossring_benches::{Criterion, criterion, inputs};
use crossring_codec::value::Value;

fn meta(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("meta");
    for &sessions in inputs(&[100, 100_000]) {
        let mut node = Node::new();
        let (caller, _) = node.join();
        let last = (1..sessions).map(|_| node.join().1).last();
        let get = [last.map_or(Value::Null, |session| session.get().into())];
        let list_nobody = [Value::List(vec!["nobody".into()])];
        let calls: [(&str, &str, &[Value]); 4] = [
            ("count", "wamp.session.count", &[]),
            ("get", "wamp.session.get", &get),
            ("list", "wamp.session.list", &[]),
            ("list_nobody", "wamp.session.list", &list_nobody),
        ];
        for (name, procedure, arguments) in calls {
            group.bench_function(format!("{name}_of_{sessions}"), |bencher| {
                bencher.iter(|| node.call(caller, black_box(procedure), arguments));
            });
        }
    }
}

criterion_group! {
    name = metas;
    config = criterion();
    targets = meta
}
criterion_main!(metas);
