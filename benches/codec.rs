//! Messages to octets and back, per serializer, size and shape of the payload.
//!
//! `decode` reads the header and checks the payload by skipping through it; `tree` builds values of the payload instead,
//! which the router does for no message it forwards.

use std::hint::black_box;

use criterion::{BenchmarkId, Throughput, criterion_group, criterion_main};
use crossring_benches::payload::{Content, SIZES, encoded, event, payload, publish};
use crossring_benches::thread_time::ThreadTime;
use crossring_benches::{Criterion, criterion, inputs};
use crossring_codec::message::decode::decode;
use crossring_codec::message::encode::encode;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::serializer::SerializerId;
use crossring_codec::transcode::transcode;

/// Serializer, content and size of one input.
struct Case {
    serializer: SerializerId,
    content: Content,
    size: usize,
}

fn cases(sizes: &[usize]) -> impl Iterator<Item = Case> {
    let contents = SerializerId::ALL
        .into_iter()
        .flat_map(|serializer| Content::ALL.into_iter().map(move |content| (serializer, content)));
    contents.flat_map(move |(serializer, content)| {
        sizes.iter().map(move |&size| Case { serializer, content, size })
    })
}

impl Case {
    fn id(&self) -> BenchmarkId {
        BenchmarkId::new(format!("{:?}/{}", self.serializer, self.content.name()), self.size)
    }
}

fn decode_publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for case in cases(inputs(&SIZES)) {
        let message = publish(1, "com.example.topic", payload(case.serializer, case.content, case.size));
        let octets = encoded(case.serializer, &message);
        group.throughput(Throughput::Bytes(octets.len() as u64));
        group.bench_function(case.id(), |bencher| {
            bencher.iter(|| {
                let message = decode(case.serializer, black_box(&octets)).expect("our own message");
                assert_eq!(message.message_type(), MessageType::Publish);
                message
            });
        });
    }
}

fn encode_event(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for case in cases(inputs(&SIZES)) {
        let message = event(payload(case.serializer, case.content, case.size));
        bench_encode(&mut group, case.id(), case.serializer, &message);
    }
}

/// An EVENT whose payload came in another serializer.
fn transcode_event(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transcode");
    for case in cases(inputs(&SIZES[1..3])) {
        let payload = payload(case.serializer, case.content, case.size);
        for target in SerializerId::ALL.into_iter().filter(|target| *target != case.serializer) {
            let name = format!("{:?}_to_{target:?}/{}", case.serializer, case.content.name());
            transcode(&payload, target).expect("the benchmarks' values suit every serializer");
            let message = event(payload.borrowed());
            bench_encode(&mut group, BenchmarkId::new(name, case.size), target, &message);
        }
    }
}

type Group<'a> = criterion::BenchmarkGroup<'a, ThreadTime>;

fn bench_encode(group: &mut Group<'_>, id: BenchmarkId, serializer: SerializerId, message: &Message<'_>) {
    let mut out = encoded(serializer, message);
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            out.clear();
            encode(serializer, black_box(message), &mut out).expect("encoded before");
            black_box(out.len())
        });
    });
}

fn tree(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree");
    for case in cases(inputs(&SIZES[1..3])) {
        let payload = payload(case.serializer, case.content, case.size);
        group.throughput(Throughput::Bytes(payload.octets.len() as u64));
        group.bench_function(case.id(), |bencher| {
            bencher.iter(|| black_box(&payload).arguments().expect("our own payload"));
        });
    }
}

criterion_group! {
    name = codec;
    config = criterion();
    targets = decode_publish, encode_event, transcode_event, tree
}
criterion_main!(codec);
