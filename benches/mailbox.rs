//! Letters through a lane, in batches of several sizes; time is per letter.
//!
//! `one_thread` is what both sides spend; `two_threads`, by the clock on the wall, is what a letter takes of the slower
//! side when both keep busy. The latter means something only where two processors are free.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Throughput, criterion_group, criterion_main};
use crossring_benches::{Criterion, criterion, inputs};
use crossring_io::Doorbell;
use crossring_io::mailbox::{Lane, Mailbox, MailboxLimits, mesh};

const BATCHES: [u64; 4] = [1, 8, 64, 512];

/// As large as a letter of the router may be.
type Letter = [u64; 16];

fn pair() -> [Mailbox<Letter>; 2] {
    let doorbells = [Doorbell::eventfd(), Doorbell::eventfd()].map(|made| made.expect("an eventfd"));
    let Ok(pair) = mesh(doorbells.to_vec(), MailboxLimits::default()).try_into() else {
        unreachable!("a mesh has a mailbox for each doorbell");
    };
    pair
}

/// Takes what is there; returns how many letters.
fn take_all(mailbox: &mut Mailbox<Letter>) -> u64 {
    let mut count = 0;
    while let Some(delivery) = mailbox.take(Doorbell::ring) {
        count += delivery.letters.len() as u64;
        black_box(&delivery.letters);
        mailbox.recycle(delivery);
    }
    count
}

fn one_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox/one_thread");
    for &batch in inputs(&BATCHES) {
        let [mut sender, mut receiver] = pair();
        group.throughput(Throughput::Elements(batch));
        group.bench_function(batch.to_string(), |bencher| {
            bencher.iter(|| {
                for number in 0..batch {
                    sender.post(1, Lane::Data, [number; 16]);
                }
                sender.flush(Doorbell::ring);
                assert_eq!(take_all(&mut receiver), batch);
            });
        });
    }
}

fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox/two_threads");
    for &batch in inputs(&BATCHES) {
        group.throughput(Throughput::Elements(batch));
        group.bench_function(batch.to_string(), |bencher| {
            bencher.iter_custom(|rounds| transfer(rounds, batch));
        });
    }
}

/// The time from the first letter's posting to the last one's arrival.
fn transfer(rounds: u64, batch: u64) -> Duration {
    let [mut sender, mut receiver] = pair();
    let (is_ready, received) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            is_ready.store(true, Ordering::Release);
            let mut count = 0;
            while count < rounds * batch {
                match take_all(&mut receiver) {
                    0 => spin_loop(),
                    taken => count += taken,
                }
            }
            received.store(count, Ordering::Release);
        });
        while !is_ready.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let start = Instant::now();
        for _ in 0..rounds {
            send(&mut sender, batch);
        }
        while received.load(Ordering::Acquire) == 0 {
            sender.flush(Doorbell::ring);
            std::thread::yield_now();
        }
        start.elapsed()
    })
}

fn send(sender: &mut Mailbox<Letter>, batch: u64) {
    while sender.data_credit(1) == 0 {
        sender.flush(Doorbell::ring);
        spin_loop();
    }
    for number in 0..batch {
        sender.post(1, Lane::Data, [number; 16]);
    }
    sender.flush(Doorbell::ring);
}

criterion_group! {
    name = mailboxes;
    config = criterion();
    targets = one_thread, two_threads
}
criterion_main!(mailboxes);
