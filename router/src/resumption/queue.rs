//! What is kept for a session without transport: bounded, the oldest events give way.

use std::collections::VecDeque;

use crossring_codec::id::SubscriptionId;

use crate::config::ResumptionConfig;
use crate::letter::Kept;

/// A queue of events and revocations. Only events count against its bounds: revocations are no more than what the session
/// holds.
#[derive(Debug)]
pub(crate) struct Queue {
    events_max: usize,
    octets_max: usize,
    kept: VecDeque<Kept>,
    events: usize,
    octets: usize,
    lost: u64,
}

impl Queue {
    /// An empty queue.
    pub(crate) fn new(bounds: &ResumptionConfig) -> Self {
        Self {
            events_max: bounds.events_max as usize,
            octets_max: bounds.octets_max as usize,
            kept: VecDeque::new(),
            events: 0,
            octets: 0,
            lost: 0,
        }
    }

    /// Appends; an event that is too large for the queue is lost itself.
    pub(crate) fn push(&mut self, kept: Kept) {
        if let Kept::Event(event) = &kept {
            let size = event.parcel.size();
            if size > self.octets_max || self.events_max == 0 {
                self.lost += 1;
                return;
            }
            while self.events >= self.events_max || self.octets + size > self.octets_max {
                self.lose_oldest();
            }
            self.events += 1;
            self.octets += size;
        }
        self.kept.push_back(kept);
    }

    /// Puts what was kept elsewhere before the rest.
    pub(crate) fn prepend(&mut self, earlier: Vec<Kept>, lost: u64) {
        let (later, lost_later) = self.take();
        self.lost = lost + lost_later;
        for kept in earlier.into_iter().chain(later) {
            self.push(kept);
        }
    }

    /// Forgets the events of subscriptions that are revoked.
    pub(crate) fn forget(&mut self, revoked: &[SubscriptionId]) {
        if revoked.is_empty() {
            return;
        }
        let (kept, lost) = self.take();
        self.lost = lost;
        for kept in kept {
            if !matches!(&kept, Kept::Event(event) if revoked.contains(&event.subscription)) {
                self.push(kept);
            }
        }
    }

    /// Takes everything out: what was kept, in order, and the number of events that were lost.
    pub(crate) fn take(&mut self) -> (Vec<Kept>, u64) {
        (self.events, self.octets) = (0, 0);
        (std::mem::take(&mut self.kept).into(), std::mem::take(&mut self.lost))
    }

    fn lose_oldest(&mut self) {
        let is_event = |kept: &Kept| matches!(kept, Kept::Event(_));
        let oldest = self.kept.iter().position(is_event).and_then(|index| self.kept.remove(index));
        if let Some(Kept::Event(event)) = oldest {
            self.events -= 1;
            self.octets -= event.parcel.size();
            self.lost += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crossring_codec::id::PublicationId;
    use crossring_codec::message::{EventDetails, Message};
    use crossring_codec::payload::Payload;
    use crossring_codec::serializer::SerializerId;
    use crossring_codec::value::{Dict, Value};

    use super::*;
    use crate::letter::{KeptEvent, Parcel};

    fn event(number: u64, text: &str) -> Kept {
        let arguments = [Value::String(text.to_owned())];
        let payload = Payload::from_values(SerializerId::Json, &arguments, &Dict::new());
        Kept::Event(Arc::new(KeptEvent {
            subscription: SubscriptionId::from_random(1),
            publication: PublicationId::from_random(number),
            details: EventDetails::default(),
            parcel: Parcel::pack(&payload),
        }))
    }

    fn bounds(events_max: u32, octets_max: u32) -> ResumptionConfig {
        ResumptionConfig { events_max, octets_max, ..ResumptionConfig::default() }
    }

    #[test]
    fn the_oldest_events_give_way() {
        let mut queue = Queue::new(&bounds(2, 1_000));
        (1..=5).for_each(|number| queue.push(event(number, "x")));
        assert_eq!(queue.take(), (vec![event(4, "x"), event(5, "x")], 3));
        assert_eq!(queue.take(), (Vec::new(), 0));
    }

    #[test]
    fn octets_are_bounded_too() {
        let mut queue = Queue::new(&bounds(100, 20));
        queue.push(event(1, "1234567"));
        queue.push(event(2, "1234567"));
        queue.push(event(3, "much too long for any queue of twenty octets"));
        queue.push(event(4, "12345678901234"));
        assert_eq!(queue.take(), (vec![event(4, "12345678901234")], 3));
    }

    #[test]
    fn revocations_do_not_give_way() {
        let mut queue = Queue::new(&bounds(1, 1_000));
        let revocation =
            Kept::Revocation(Box::new(Message::Unregistered { request: None, revocation: None }));
        queue.push(revocation.clone());
        queue.push(event(1, "x"));
        queue.push(event(2, "x"));
        assert_eq!(queue.take(), (vec![revocation, event(2, "x")], 1));
    }

    #[test]
    fn what_was_kept_elsewhere_comes_first_and_gives_way_first() {
        let mut queue = Queue::new(&bounds(3, 1_000));
        queue.push(event(3, "x"));
        queue.push(event(4, "x"));
        queue.prepend(vec![event(1, "x"), event(2, "x")], 7);
        assert_eq!(queue.take(), (vec![event(2, "x"), event(3, "x"), event(4, "x")], 8));
    }
}
