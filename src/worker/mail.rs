//! Mail between the threads of a node: letters of the router core, and orders of the control shard to workers.

use std::sync::Arc;

use crossring_io::Doorbell;
use crossring_io::mailbox::{self, Delivery, Mailbox, MailboxLimits};
use crossring_router::address::{SessionKey, ShardId, TransportId};
use crossring_router::config::Secret;
use crossring_router::details::TransportDetails;
use crossring_router::letter::{self, Letter};
use crossring_router::outbox::Post;
use rustls::ServerConfig;

use crossring_io::Monotonic;

/// What travels between threads.
#[derive(Debug)]
pub enum Mail {
    /// Between the halves of the router core.
    Letter(Letter),
    /// From the control shard to a worker.
    Order(Order),
    /// About tracking cookies.
    Cookie(CookieMail),
    /// Of an HTTP connection.
    Relay(Relay),
}

/// What workers, which set tracking cookies, and the control shard, which knows them, have to tell each other.
#[derive(Debug)]
pub enum CookieMail {
    /// To the control shard: a cookie has been set.
    Issued {
        /// Where.
        transport: TransportId,
        /// The cookie.
        value: Secret,
    },
    /// To the control shard: a connection brings this cookie, and waits to hear what it is worth.
    Asked {
        /// The connection.
        key: SessionKey,
        /// Where.
        transport: TransportId,
        /// The cookie.
        value: Secret,
    },
    /// To the worker that asked.
    Answered {
        /// The connection; it may be gone.
        key: SessionKey,
        /// The cookie is one of ours, and good.
        is_known: bool,
    },
}

/// A piece of an HTTP connection, whose socket is a data shard's and whose requests are the control shard's.
#[derive(Debug)]
pub struct Relay {
    /// The connection on its shard.
    pub key: SessionKey,
    /// What.
    pub part: RelayPart,
}

/// Pieces of an HTTP connection. In each direction at most [`WINDOW_SIZE`] octets are on their way.
#[derive(Debug)]
pub enum RelayPart {
    /// To the control shard: a peer of this listening transport speaks HTTP.
    Opened(TransportId, Box<TransportDetails>),
    /// Octets for the other side.
    Octets(Vec<u8>),
    /// The other side has passed on so many octets.
    Took(u32),
    /// To the control shard: the connection is gone. To a data shard: let what is queued leave, then close it.
    Ended,
    /// To a data shard: the peer wants a WebSocket. The octets are its handshake, and what came behind.
    HandedOver(Vec<u8>),
}

/// Octets of an HTTP connection that may be on their way between shards, in each direction.
pub const WINDOW_SIZE: usize = 256 * 1024;

/// What the control shard wants of a worker.
#[derive(Clone, Debug)]
pub enum Order {
    /// Accept nothing more, close idle connections, end when the rest is gone, or at the deadline.
    Stop {
        /// The latest end.
        deadline: Monotonic,
    },
    /// Connections of a transport that are accepted from now on get these settings of TLS.
    Secure {
        /// The transport.
        transport: TransportId,
        /// Its settings.
        config: Arc<ServerConfig>,
    },
}

/// One thread's end of the mail: it posts to all and receives from all.
pub struct PostOffice {
    mailbox: Mailbox<Mail>,
    /// Letters that every gated lane still takes; looked up anew at zero.
    credit: usize,
}

/// One post office for each data shard, in order, and the one of the control shard behind them.
pub fn post_offices(doorbells: Vec<Doorbell>) -> Vec<PostOffice> {
    let mesh = mailbox::mesh(doorbells, MailboxLimits::default());
    mesh.into_iter().map(|mailbox| PostOffice { mailbox, credit: 0 }).collect()
}

impl PostOffice {
    fn control_index(&self) -> usize {
        self.mailbox.member_count() - 1
    }

    /// Registry and service shard (the number behind those of the data shards) live on the same thread.
    fn index_of(&self, shard: ShardId) -> usize {
        if shard == ShardId::CONTROL { self.control_index() } else { shard.index() }
    }

    fn shard_of(&self, index: usize) -> ShardId {
        if index == self.control_index() { ShardId::CONTROL } else { ShardId(index as u8) }
    }

    /// Posts an order.
    pub fn order(&mut self, to: ShardId, order: Order) {
        self.mailbox.post(self.index_of(to), mailbox::Lane::Control, Mail::Order(order));
    }

    /// Posts something about a cookie.
    pub fn cookie(&mut self, to: ShardId, mail: CookieMail) {
        self.credit = self.credit.saturating_sub(1);
        self.mailbox.post(self.index_of(to), mailbox::Lane::Control, Mail::Cookie(mail));
    }

    /// Posts a piece of an HTTP connection. To a data shard it goes by the lane of answers, which the windows bound.
    pub fn relay(&mut self, to: ShardId, relay: Relay) {
        let lane = if to == ShardId::CONTROL { mailbox::Lane::Data } else { mailbox::Lane::Reply };
        self.mailbox.post(self.index_of(to), lane, Mail::Relay(relay));
    }

    /// Hands over everything posted; `ring` wakes sleeping receivers.
    pub fn deliver(&mut self, ring: impl FnMut(&Doorbell)) {
        self.mailbox.flush(ring);
    }

    /// The next batch of mail and who posted it. Give it back with [`PostOffice::recycle`].
    pub fn take(&mut self, ring: impl FnMut(&Doorbell)) -> Option<(ShardId, Delivery<Mail>)> {
        let delivery = self.mailbox.take(ring)?;
        Some((self.shard_of(delivery.from), delivery))
    }

    /// Gives a handled batch back.
    pub fn recycle(&mut self, delivery: Delivery<Mail>) {
        self.mailbox.recycle(delivery);
    }

    /// Whether every lane that clients can fill takes more. While not, input is read no further.
    #[inline]
    pub fn has_credit(&mut self) -> bool {
        self.credit > 0 || self.look_up_credit()
    }

    /// Whether that is known without a look at the lanes.
    #[inline]
    pub fn is_credit_known(&self) -> bool {
        self.credit > 0
    }

    /// Makes the next question about credit be a look at the lanes, and whatever else stops the reading.
    pub fn interrupt_reading(&mut self) {
        self.credit = 0;
    }

    #[cold]
    fn look_up_credit(&mut self) -> bool {
        self.credit =
            self.gated_lanes().map(|(to, lane)| self.mailbox.credit(to, lane)).min().unwrap_or(usize::MAX);
        self.credit > 0
    }

    /// The lanes that clients fill at will: `Data` to the other shards and to the service shard, and `Control` to the registry
    /// (SUBSCRIBE and UNSUBSCRIBE in a loop). Answers need no gate: there are no more of them than calls.
    fn gated_lanes(&self) -> impl Iterator<Item = (usize, mailbox::Lane)> + use<> {
        let (own, control) = (self.mailbox.own_index(), self.control_index());
        let shards = (0..=control).filter(move |to| *to != own).map(|to| (to, mailbox::Lane::Data));
        shards.chain([(control, mailbox::Lane::Control)])
    }

    /// Lets the next sleep end when there is credit again.
    pub fn wait_for_credit(&mut self) {
        self.credit = 0;
        for (to, lane) in self.gated_lanes() {
            if self.mailbox.credit(to, lane) == 0 {
                self.mailbox.wait_for_credit(to, lane);
            }
        }
    }

    /// Announces sleep; `false`: there is something to do. Call [`PostOffice::woke`] after either.
    pub fn prepare_sleep(&mut self) -> bool {
        self.mailbox.prepare_sleep()
    }

    /// Ends what `prepare_sleep` began.
    pub fn woke(&mut self) {
        self.mailbox.woke();
        self.credit = 0;
    }
}

impl Post for PostOffice {
    fn post(&mut self, to: ShardId, letter: Letter) {
        let lane = match letter.lane() {
            letter::Lane::Control => mailbox::Lane::Control,
            letter::Lane::Reply => mailbox::Lane::Reply,
            letter::Lane::Data => mailbox::Lane::Data,
        };
        if lane != mailbox::Lane::Reply {
            self.credit = self.credit.saturating_sub(1);
        }
        self.mailbox.post(self.index_of(to), lane, Mail::Letter(letter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_is_behind_stops_the_reading() {
        let doorbells = [(); 2].map(|()| Doorbell::eventfd().expect("an eventfd"));
        let [mut shard, mut control] =
            <[PostOffice; 2]>::try_from(post_offices(doorbells.to_vec())).unwrap_or_else(|_| panic!("two"));
        let key = SessionKey { slot: 0, generation: 0 };
        let mut posted = 0;
        while shard.has_credit() {
            shard.post(ShardId::CONTROL, Letter::Leave { key });
            posted += 1;
            assert!(posted <= MailboxLimits::default().letter_count_max, "no end");
        }
        shard.deliver(Doorbell::ring);
        assert!(!shard.has_credit(), "delivered is not taken");
        let (from, delivery) = control.take(Doorbell::ring).expect("mail");
        assert_eq!((from, delivery.letters.len()), (ShardId(0), posted));
        assert!(shard.has_credit());
    }
}
