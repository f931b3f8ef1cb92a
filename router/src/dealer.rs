//! The dealer half of a shard: the replica of all registrations, the calls of local callers and the invocations of local
//! callees.
//!
//! A call is known to its caller's shard by a [`CallKey`], to its callee's shard by the invocation id of the callee's
//! session. When both are the same shard no letter is involved.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Arc;

use crossring_codec::id::{RegistrationId, RequestId};
use crossring_codec::message::InvocationPolicy;
use crossring_codec::uri::Match;

use crate::address::{CallAddress, CallKey, RealmId, SessionAddress, SessionKey};
use crate::config::RealmConfig;
use crate::dense::Replica;
use crate::letter;
use crate::pattern::PatternTable;
use crate::table::{IntegerMap, IntegerState, Slab};
use crate::timers::Timers;

mod answer;
mod away;
mod call;
mod cancel;
mod choose;
mod progressive;
mod queue;
mod register;
mod reroute;
mod timeout;
mod waiting;

pub(crate) use call::CallRoute;
use cancel::Withdrawal;
use progressive::{Progressive, Waiting};
pub(crate) use queue::Granted;
use queue::{Queued, Slots};
pub(crate) use register::AddedCallee;
use reroute::Kept;
use timeout::Deadline;

/// The tables of the dealer.
#[derive(Debug)]
pub(crate) struct Dealer {
    pub(crate) registrations: Replica<Registration>,
    realms: Vec<Procedures>,
    /// Procedures whose calls may wait, by realm: how many.
    queue_rules: Vec<PatternTable<u32>>,
    /// Calls of local callers.
    pub(crate) calls: Slab<Call>,
    /// When calls of local callers are over without an answer.
    timers: Timers<CallKey>,
    /// Invocation ids by calls of other shards, for letters that name the call.
    foreign: hashbrown::HashMap<CallAddress, RequestId, IntegerState>,
    /// Callees of all registrations, of any shard.
    pub(crate) callees: usize,
}

/// The patterns of one realm.
#[derive(Debug)]
struct Procedures {
    patterns: PatternTable<u64>,
    /// Changes whenever a call might have to go elsewhere than before. Never 0.
    version: u64,
}

/// A registration: (realm, uri, policy), known on all shards.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) id: RegistrationId,
    pub(crate) realm: RealmId,
    pub(crate) uri: Arc<str>,
    pub(crate) match_policy: Match,
    pub(crate) invoke: InvocationPolicy,
    /// In the order of registration.
    pub(crate) candidates: Vec<Candidate>,
    /// Where `roundrobin` goes on.
    cursor: usize,
    /// Calls of this shard that wait for whomever the policy chooses: who comes later is to go behind them.
    queued: u32,
}

/// A callee that a call may be sent to.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) callee: letter::Callee,
    /// Of the letter that added it: tells it from an earlier or later entry of the same session.
    ticket: u64,
    /// It lives on this shard, which so decides about its concurrency limit. Elsewhere the count is a hint.
    is_local: bool,
    /// Outstanding invocations, counted only under a concurrency limit. Exact on the callee's shard; elsewhere
    /// those of this shard's callers.
    outstanding: u64,
    slots: Slots,
}

/// A call of a local caller.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) caller: SessionKey,
    pub(crate) request: RequestId,
    registration: RegistrationId,
    /// Who has it; on another shard, unless `invocation` is known.
    callee: Option<SessionAddress>,
    /// The id at a local callee.
    invocation: Option<RequestId>,
    /// Counts against the concurrency of a callee on another shard, added under this ticket.
    slot: Option<NonZeroU64>,
    /// CANCEL `kill` has been received.
    is_killed: bool,
    /// What only some calls have.
    rare: Option<Box<Rare>>,
}

/// What only some calls have.
#[derive(Debug, Default)]
struct Rare {
    deadline: Deadline,
    /// It waits for a free slot.
    queued: Option<Box<Queued>>,
    progressive: Option<Progressive>,
}

/// What a session owns as a caller.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Outstanding calls by request id.
    pub(crate) calls: IntegerMap<u64, CallKey>,
    /// Octets of payload of those that wait for a free slot.
    queued_octets: usize,
    /// Calls that were over before the caller had sent all of them, the latest last: what still comes is ignored.
    late: VecDeque<u64>,
}

/// What a session owns as a callee.
#[derive(Debug)]
pub(crate) struct Callee {
    /// Outstanding invocations.
    pub(crate) invocations: IntegerMap<u64, Invocation>,
    /// Highest invocation id sent; 0 before the first.
    invocation_last: u64,
    /// Registrations by id.
    registrations: IntegerMap<u64, Held>,
    /// Registrations for which REGISTERED has not been sent.
    unconfirmed: usize,
    /// Calls that came before REGISTERED could be sent, and all behind them: the order of invocations is a promise.
    pub(crate) waiting: VecDeque<Waiting>,
    /// What it may pass on to another callee.
    kept: Option<Box<Kept>>,
    /// Invocations of which it has been told that nobody waits for their answer, the latest last.
    interrupted: VecDeque<u64>,
}

/// A registration held by a session.
#[derive(Copy, Clone, Debug)]
struct Held {
    /// REGISTERED has been sent.
    is_confirmed: bool,
    /// There is a concurrency limit.
    is_limited: bool,
    /// The callee minds the timeout of calls itself.
    forward_timeout: bool,
}

/// An invocation that waits for its final answer.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Invocation {
    pub(crate) origin: CallAddress,
    registration: RegistrationId,
    receive_progress: bool,
    /// The router itself waits for the answer.
    pub(crate) is_inquiry: bool,
    /// Counts against the callee's concurrency, as it was added under this ticket.
    slot: Option<NonZeroU64>,
}

impl Held {
    fn new(callee: &letter::Callee) -> Self {
        Self {
            is_confirmed: false,
            is_limited: callee.concurrency.is_some(),
            forward_timeout: callee.forward_timeout,
        }
    }
}

impl Dealer {
    pub(crate) fn new(realms: &[RealmConfig], seed: u64) -> Self {
        let procedures = |_: &RealmConfig| Procedures { patterns: PatternTable::new(seed), version: 1 };
        Self {
            registrations: Replica::default(),
            queue_rules: Self::queue_rules(realms, seed),
            realms: realms.iter().map(procedures).collect(),
            calls: Slab::default(),
            timers: Timers::default(),
            foreign: hashbrown::HashMap::with_hasher(IntegerState::new(seed)),
            callees: 0,
        }
    }

    /// Entries of the table of deadlines.
    pub(crate) fn deadlines(&self) -> usize {
        self.timers.len()
    }
}

impl Call {
    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl Callee {
    fn new(integers: IntegerState) -> Self {
        Self {
            invocations: integers.map(),
            invocation_last: 0,
            registrations: integers.map(),
            unconfirmed: 0,
            waiting: VecDeque::new(),
            kept: None,
            interrupted: VecDeque::new(),
        }
    }

    /// Registrations held.
    pub(crate) fn registrations_held(&self) -> usize {
        self.registrations.len()
    }
}
