//! Letters between threads that sleep in their engines.
//!
//! The hazard: a doorbell that is lost between a shard's last look and its sleep stalls the router for
//! ever, and only on real engines.

use std::sync::mpsc;
use std::thread;

use crossring_io::mailbox::{Lane, Mailbox, MailboxLimits, mesh};
use crossring_io::*;

const ROUND_COUNT: u64 = 3000;

#[test]
fn no_wake_up_is_lost_between_any_engines() {
    let kinds = [EngineKind::IoUring, EngineKind::Epoll];
    for first in kinds {
        for second in kinds {
            match (probe(first), probe(second)) {
                (Ok(_), Ok(_)) => ping_pong(first, second),
                (Err(error), _) | (_, Err(error)) => println!("not covered: {error}"),
            }
        }
    }
}

/// Two shards and a control thread hand one letter round and round; each sleeps until it comes.
fn ping_pong(first: EngineKind, second: EngineKind) {
    let (doorbells, meet) = mpsc::channel();
    let shards: Vec<_> = [first, second]
        .into_iter()
        .enumerate()
        .map(|(index, kind)| {
            let doorbells = doorbells.clone();
            let (give, mailbox) = mpsc::channel();
            let shard = thread::spawn(move || {
                let (mut engine, _) = open(kind, EngineOptions::default()).unwrap();
                doorbells.send((index, engine.doorbell())).unwrap();
                run_shard(&mut engine, mailbox.recv().unwrap());
            });
            (shard, give)
        })
        .collect();
    let control = Doorbell::eventfd().unwrap();
    doorbells.send((shards.len(), control.clone())).unwrap();
    let mut bells: Vec<_> = meet.iter().take(shards.len() + 1).collect();
    bells.sort_by_key(|(index, _)| *index);
    let mut mailboxes = mesh(bells.into_iter().map(|(_, bell)| bell).collect(), MailboxLimits::default());
    let own = mailboxes.pop().unwrap();
    let threads: Vec<_> = shards
        .into_iter()
        .zip(mailboxes)
        .map(|((shard, give), mailbox)| {
            give.send(mailbox).unwrap();
            shard
        })
        .collect();
    run_control(own, &control);
    threads.into_iter().for_each(|shard| shard.join().unwrap());
}

/// Passes each letter on to the next member, until the last.
fn run_shard(engine: &mut AnyEngine, mut mailbox: Mailbox<u64>) {
    let next = mailbox.own_index() + 1;
    let mut events = Vec::new();
    loop {
        let mut last = false;
        while let Some(mut delivery) = mailbox.take(|bell| engine.ring(bell)) {
            for letter in delivery.letters.drain(..) {
                last = letter == ROUND_COUNT;
                mailbox.post(next, Lane::Data, letter);
            }
            mailbox.recycle(delivery);
        }
        mailbox.flush(|bell| engine.ring(bell));
        let wait = if !last && mailbox.prepare_sleep() { Wait::FOREVER } else { Wait::NOW };
        engine.poll(&mut events, wait).unwrap();
        mailbox.woke();
        if last {
            return;
        }
    }
}

fn run_control(mut mailbox: Mailbox<u64>, doorbell: &Doorbell) {
    use rustix::event::{PollFd, PollFlags, poll};
    for round in 1..=ROUND_COUNT {
        mailbox.post(0, Lane::Data, round);
        mailbox.flush(Doorbell::ring);
        let delivery = loop {
            if let Some(delivery) = mailbox.take(Doorbell::ring) {
                break delivery;
            }
            if mailbox.prepare_sleep() {
                let eventfd = doorbell.as_fd().unwrap();
                poll(&mut [PollFd::new(&eventfd, PollFlags::IN)], None).unwrap();
                doorbell.answer();
            }
            mailbox.woke();
        };
        assert_eq!(delivery.letters, [round]);
        mailbox.recycle(delivery);
    }
}
