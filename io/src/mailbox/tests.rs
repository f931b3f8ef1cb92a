use std::thread;

use rustix::event::{PollFd, PollFlags, poll};

use super::*;

const SMALL: MailboxLimits = MailboxLimits { batch_count_max: 2, letter_count_max: 8 };

fn pair(limits: MailboxLimits) -> (Mailbox<u64>, Mailbox<u64>) {
    let mut members = mesh(bells(2), limits).into_iter();
    (members.next().unwrap(), members.next().unwrap())
}

fn bells(count: usize) -> Vec<Doorbell> {
    (0..count).map(|_| Doorbell::eventfd().unwrap()).collect()
}

fn take_all(mailbox: &mut Mailbox<u64>) -> Vec<(usize, Lane, Vec<u64>)> {
    std::iter::from_fn(|| mailbox.take(Doorbell::ring))
        .map(|delivery| (delivery.from, delivery.lane, delivery.letters))
        .collect()
}

#[test]
fn lanes_are_drained_by_priority() {
    let (mut sender, mut receiver) = pair(SMALL);
    sender.post(1, Lane::Data, 1);
    sender.post(1, Lane::Control, 2);
    sender.post(1, Lane::Reply, 3);
    sender.post(1, Lane::Data, 4);
    sender.flush(|_| panic!("nobody sleeps"));
    receiver.post(1, Lane::Control, 5);
    receiver.flush(|_| panic!("a member needs no bell for itself"));
    assert_eq!(
        take_all(&mut receiver),
        [
            (0, Lane::Control, vec![2]),
            (1, Lane::Control, vec![5]),
            (0, Lane::Reply, vec![3]),
            (0, Lane::Data, vec![1, 4])
        ]
    );
}

#[test]
fn a_full_lane_keeps_order_and_rings_its_sender_when_there_is_room() {
    let (mut sender, mut receiver) = pair(SMALL);
    for letter in 0..5 {
        sender.post(1, Lane::Data, letter);
        sender.flush(Doorbell::ring);
    }
    assert_eq!(sender.pending_count(1, Lane::Data), 3);
    assert_eq!(sender.data_credit(1), 3);
    assert!(sender.prepare_sleep());
    let mut rung = 0;
    assert_eq!(receiver.take(|_| rung += 1).unwrap().letters, [0]);
    assert_eq!(receiver.take(|_| rung += 1).unwrap().letters, [1]);
    assert_eq!(rung, 1);
    sender.woke();
    sender.flush(Doorbell::ring);
    assert_eq!(take_all(&mut receiver), [(0, Lane::Data, vec![2, 3, 4])]);
    assert_eq!(sender.data_credit(1), SMALL.letter_count_max);
}

#[test]
fn the_bell_rings_once_per_sleep() {
    let (mut sender, mut receiver) = pair(SMALL);
    let mut rung = 0;
    assert!(receiver.prepare_sleep());
    for letter in 0..2 {
        sender.post(1, Lane::Reply, letter);
        sender.flush(|_| rung += 1);
    }
    assert_eq!(rung, 1);
    assert!(!receiver.prepare_sleep());
    receiver.woke();
    assert_eq!(take_all(&mut receiver).len(), 2);
}

#[test]
fn vectors_return_to_their_sender() {
    let (mut sender, mut receiver) = pair(SMALL);
    sender.post(1, Lane::Data, 1);
    sender.flush(Doorbell::ring);
    let delivery = receiver.take(Doorbell::ring).unwrap();
    let address = delivery.letters.as_ptr();
    receiver.recycle(delivery);
    sender.post(1, Lane::Data, 2);
    sender.flush(Doorbell::ring);
    sender.post(1, Lane::Data, 3);
    sender.flush(Doorbell::ring);
    receiver.take(Doorbell::ring).unwrap();
    assert_eq!(receiver.take(Doorbell::ring).unwrap().letters.as_ptr(), address);
}

#[test]
fn no_sender_is_preferred() {
    let mut members: Vec<Mailbox<u64>> = mesh(bells(3), SMALL);
    for sender in &mut members[..2] {
        for letter in 0..2 {
            sender.post(2, Lane::Data, letter);
            sender.flush(Doorbell::ring);
        }
    }
    let order: Vec<_> = take_all(&mut members[2]).into_iter().map(|(from, _, _)| from).collect();
    assert_eq!(order, [0, 1, 0, 1]);
}

/// Threads that sleep on their bells exchange letters over tiny lanes: a lost wake-up would hang, a
/// lost or reordered letter is seen.
#[test]
fn sleeping_threads_miss_nothing() {
    const MEMBERS: usize = 3;
    const LETTERS: u64 = 4000;
    let doorbells = bells(MEMBERS);
    let members: Vec<Mailbox<u64>> = mesh(doorbells.clone(), SMALL);
    let threads: Vec<_> = members
        .into_iter()
        .zip(doorbells)
        .map(|(mailbox, doorbell)| thread::spawn(move || exchange(mailbox, doorbell, LETTERS)))
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Sends `letters` to every other member on every lane and returns when all of theirs arrived and all
/// of its own left.
fn exchange(mut mailbox: Mailbox<u64>, doorbell: Doorbell, letters: u64) {
    let count = mailbox.member_count();
    let own = mailbox.own_index();
    let mut posted = 0;
    let mut next = vec![[0_u64; LANE_COUNT]; count];
    loop {
        if posted < letters && (0..count).all(|to| mailbox.data_credit(to) > 0) {
            for to in (0..count).filter(|to| *to != own) {
                Lane::ALL.into_iter().for_each(|lane| mailbox.post(to, lane, posted));
            }
            posted += 1;
        }
        mailbox.flush(Doorbell::ring);
        while let Some(mut delivery) = mailbox.take(Doorbell::ring) {
            let next = &mut next[delivery.from][delivery.lane as usize];
            for letter in delivery.letters.drain(..) {
                assert_eq!(letter, *next);
                *next += 1;
            }
            mailbox.recycle(delivery);
        }
        let pending = (0..count).any(|to| Lane::ALL.iter().any(|lane| mailbox.pending_count(to, *lane) > 0));
        let received = (0..count).filter(|from| *from != own).all(|from| next[from] == [letters; LANE_COUNT]);
        if posted == letters && received && !pending {
            return;
        }
        let blocked = (0..count).find(|to| mailbox.data_credit(*to) == 0);
        if let Some(to) = blocked.filter(|_| posted < letters) {
            mailbox.wait_for_credit(to, Lane::Data);
        }
        if (posted == letters || blocked.is_some()) && mailbox.prepare_sleep() {
            poll(&mut [PollFd::new(&doorbell.as_fd().unwrap(), PollFlags::IN)], None).unwrap();
            doorbell.answer();
        }
        mailbox.woke();
    }
}
