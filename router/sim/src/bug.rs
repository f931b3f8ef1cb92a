//! Bugs put in on purpose, outside the router, to see that the checkers find them.

use crossring_codec::id::SessionId;
use crossring_codec::message::{Forwarder, Message, Passthru};
use crossring_codec::payload::{Payload, Shape};
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::{is_reserved, well_known};
use crossring_codec::value::{Dict, Value};
use crossring_router::address::{RoleId, ShardId};
use crossring_router::config::Allow;
use crossring_router::letter::{Lane, Letter, Parcel, Ruling};

use crate::rng::SeededRng;

/// A bug to put in.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Bug {
    /// Two publications, or two calls, overtake each other on a lane.
    ReorderLane,
    /// The registry takes a shard for informed of an interest before it is: SUBSCRIBED leaves too early.
    EarlySubscribed,
    /// The same with a callee: REGISTERED leaves too early.
    EarlyRegistered,
    /// The acknowledgement of a shard does not reach the registry.
    LoseAcknowledgement,
    /// A publication gets lost between shards.
    LosePublication,
    /// An answer to a call arrives twice.
    DuplicateAnswer,
    /// The registry does not learn that a session has left.
    ForgetLeave,
    /// A shard does not learn that a callee has left.
    StaleCallee,
    /// An EVENT follows UNSUBSCRIBED.
    LateEvent,
    /// An EVENT is sent twice.
    DuplicateEvent,
    /// An EVENT reaches another session than it is for.
    MisdirectedEvent,
    /// A full queue drops an EVENT without counting it.
    UncountedDrop,
    /// Calls time out too soon.
    HastyTimeout,
    /// Calls time out too late.
    LateTimeout,
    /// Callees get more than they take.
    ForgottenLimit,
    /// A call reaches its callee twice.
    DuplicateCall,
    /// A callee is interrupted without a cause.
    StrayInterrupt,
    /// A part of a progressive invocation gets lost.
    LosePart,
    /// Receivers are told another trust level.
    WrongTrust,
    /// A meta event gets lost.
    LoseMetaEvent,
    /// A meta event is published twice.
    DuplicateMetaEvent,
    /// A count of the meta API is wrong.
    WrongCount,
    /// A session that is to be ended lives on.
    LoseKill,
    /// A testament is not published.
    LoseTestament,
    /// While a session moves to another transport, a shard promises too early that no more events follow.
    HastyFence,
    /// Calls that begin to wait overtake each other.
    PassQueue,
    /// Events are not retained.
    ForgottenRetention,
    /// Events go to all who share them.
    ForgottenShare,
    /// Nobody is asked to acknowledge events.
    ForgottenReceipt,
    /// A shard does not learn that a subscription is revoked.
    LoseRevocation,
    /// A publication does not get into the history.
    LoseRecord,
    /// A callee is interrupted twice.
    DuplicateInterrupt,
    /// A change of details is lost.
    LoseChange,
    /// Watchers are not told of a schema.
    LoseSchema,
    /// Receivers are told that a message has been forwarded, which it was not.
    ForgedHops,
    /// Some messages are counted twice.
    MiscountedTraffic,
    /// Receivers are not told how a payload is encoded.
    ForgottenKeys,
    /// An encoded payload is changed on its way.
    GarbledPayload,
    /// Shards give sessions the rights of another role.
    WrongRole,
    /// Shards are told that an authorizer allows what it denies.
    IgnoredDenial,
    /// Shards are not told that what an authorizer has said is void.
    StaleDecision,
    /// What an authorizer has said is taken for a failure.
    MistakenAnswer,
    /// A message that waits for an authorizer is lost.
    LoseHeld,
    /// The host reads on where it should not.
    IgnoredPause,
    /// What an authenticator has said is changed on its way.
    ForgedIdentity,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 45] = [
        Bug::ReorderLane,
        Bug::EarlySubscribed,
        Bug::EarlyRegistered,
        Bug::LoseAcknowledgement,
        Bug::LosePublication,
        Bug::DuplicateAnswer,
        Bug::ForgetLeave,
        Bug::StaleCallee,
        Bug::LateEvent,
        Bug::DuplicateEvent,
        Bug::MisdirectedEvent,
        Bug::UncountedDrop,
        Bug::HastyTimeout,
        Bug::LateTimeout,
        Bug::ForgottenLimit,
        Bug::DuplicateCall,
        Bug::StrayInterrupt,
        Bug::LosePart,
        Bug::WrongTrust,
        Bug::LoseMetaEvent,
        Bug::DuplicateMetaEvent,
        Bug::WrongCount,
        Bug::LoseKill,
        Bug::LoseTestament,
        Bug::HastyFence,
        Bug::PassQueue,
        Bug::ForgottenRetention,
        Bug::ForgottenShare,
        Bug::ForgottenReceipt,
        Bug::LoseRevocation,
        Bug::LoseRecord,
        Bug::DuplicateInterrupt,
        Bug::LoseChange,
        Bug::LoseSchema,
        Bug::ForgedHops,
        Bug::MiscountedTraffic,
        Bug::ForgottenKeys,
        Bug::GarbledPayload,
        Bug::WrongRole,
        Bug::IgnoredDenial,
        Bug::StaleDecision,
        Bug::MistakenAnswer,
        Bug::LoseHeld,
        Bug::IgnoredPause,
        Bug::ForgedIdentity,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Bug::ReorderLane => "reorder-lane",
            Bug::EarlySubscribed => "early-subscribed",
            Bug::EarlyRegistered => "early-registered",
            Bug::LoseAcknowledgement => "lose-interest-ack",
            Bug::LosePublication => "lose-publication",
            Bug::DuplicateAnswer => "duplicate-answer",
            Bug::ForgetLeave => "forget-leave",
            Bug::StaleCallee => "stale-callee",
            Bug::LateEvent => "late-event",
            Bug::DuplicateEvent => "duplicate-event",
            Bug::MisdirectedEvent => "misdirected-event",
            Bug::UncountedDrop => "uncounted-drop",
            Bug::HastyTimeout => "hasty-timeout",
            Bug::LateTimeout => "late-timeout",
            Bug::ForgottenLimit => "forgotten-limit",
            Bug::DuplicateCall => "duplicate-call",
            Bug::StrayInterrupt => "stray-interrupt",
            Bug::LosePart => "lose-part",
            Bug::WrongTrust => "wrong-trust",
            Bug::LoseMetaEvent => "lose-meta-event",
            Bug::DuplicateMetaEvent => "duplicate-meta-event",
            Bug::WrongCount => "wrong-count",
            Bug::LoseKill => "lose-kill",
            Bug::LoseTestament => "lose-testament",
            Bug::HastyFence => "hasty-fence",
            Bug::PassQueue => "pass-queue",
            Bug::ForgottenRetention => "forgotten-retention",
            Bug::ForgottenShare => "forgotten-share",
            Bug::ForgottenReceipt => "forgotten-receipt",
            Bug::LoseRevocation => "lose-revocation",
            Bug::LoseRecord => "lose-record",
            Bug::DuplicateInterrupt => "duplicate-interrupt",
            Bug::LoseChange => "lose-change",
            Bug::LoseSchema => "lose-schema",
            Bug::ForgedHops => "forged-hops",
            Bug::MiscountedTraffic => "miscounted-traffic",
            Bug::ForgottenKeys => "forgotten-keys",
            Bug::GarbledPayload => "garbled-payload",
            Bug::WrongRole => "wrong-role",
            Bug::IgnoredDenial => "ignored-denial",
            Bug::StaleDecision => "stale-decision",
            Bug::MistakenAnswer => "mistaken-answer",
            Bug::LoseHeld => "lose-held",
            Bug::IgnoredPause => "ignored-pause",
            Bug::ForgedIdentity => "forged-identity",
        }
    }

    /// Reads the name on the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }
}

/// With [`Bug::LateTimeout`], shards see to what is due only so often.
pub const LATE_TICKS: u64 = 400;

/// What becomes of a letter.
#[derive(Debug)]
pub enum Fate {
    /// It is delivered.
    Sent(Letter),
    /// It is delivered, but takes the place of the one before it.
    Swapped(Letter),
    /// It is delivered twice.
    Doubled(Letter),
    /// It is delivered, slowly, and its receiver seems to have acknowledged it at once.
    Acknowledged(Letter, u64),
    /// It is delivered, and this one behind it.
    Followed(Letter, Letter),
    /// It is lost.
    Lost,
}

/// Puts a bug into the mail.
#[derive(Debug)]
pub struct Saboteur {
    bug: Option<Bug>,
    rng: SeededRng,
    /// The shard of the router's own sessions.
    service_shard: ShardId,
    /// Tickets acknowledged in the name of a shard, whose own acknowledgement is to be swallowed.
    forged: Vec<(ShardId, u64)>,
}

impl Saboteur {
    /// One that puts in `bug`, or none.
    pub const fn new(bug: Option<Bug>, rng: SeededRng, service_shard: ShardId) -> Self {
        Self { bug, rng, service_shard, forged: Vec::new() }
    }

    /// The bug.
    pub const fn bug(&self) -> Option<Bug> {
        self.bug
    }

    /// Whether to strike now, at an opportunity that comes `often`.
    pub fn strikes(&mut self, bug: Bug, per_mille: u32) -> bool {
        self.bug == Some(bug) && self.rng.chance(per_mille)
    }

    /// Decides about a letter.
    pub fn inspect(&mut self, from: ShardId, to: ShardId, letter: Letter) -> Fate {
        let Some(bug) = self.bug else { return Fate::Sent(letter) };
        match (bug, &letter) {
            (Bug::ReorderLane, Letter::Publication(_) | Letter::Call(_)) if self.rng.chance(300) => {
                Fate::Swapped(letter)
            }
            (Bug::StaleDecision, Letter::ForgetDecisions { ticket, .. })
            | (Bug::EarlySubscribed, Letter::AddInterest { ticket, .. })
            | (Bug::EarlyRegistered, Letter::AddCallee { ticket, .. }) => {
                let ticket = *ticket;
                self.forged.push((to, ticket));
                Fate::Acknowledged(letter, ticket)
            }
            (
                Bug::EarlySubscribed | Bug::EarlyRegistered | Bug::StaleDecision,
                Letter::Acknowledge { ticket },
            ) => match self.take_forged(from, *ticket) {
                Some(_) => Fate::Lost,
                None => Fate::Sent(letter),
            },
            (Bug::LoseAcknowledgement, Letter::Acknowledge { .. })
            | (Bug::LosePublication, Letter::Publication(_))
            | (Bug::StaleCallee, Letter::RemoveCallee { .. })
            | (Bug::ForgetLeave, Letter::Leave { .. }) => self.lose_some(letter),
            (Bug::LoseKill, Letter::Kill { .. })
            | (Bug::LoseRevocation, Letter::RevokeSubscription { .. }) => Fate::Lost,
            (Bug::LoseSchema, Letter::Publication(publication))
                if publication.topic.starts_with("wamp.schema.") =>
            {
                self.lose_some(letter)
            }
            (Bug::LoseRecord, Letter::Publication(_)) if to == self.service_shard => self.lose_some(letter),
            (Bug::HastyFence, Letter::Fence { .. }) | (Bug::PassQueue, Letter::Enqueue { .. }) => {
                Fate::Swapped(letter)
            }
            (Bug::LosePart, Letter::Continue(_)) => self.lose_some(letter),
            (Bug::LoseMetaEvent, Letter::Publication(publication)) if is_reserved(&publication.topic) => {
                self.lose_some(letter)
            }
            (Bug::LoseTestament, Letter::Publication(publication))
                if from == ShardId::CONTROL && !is_reserved(&publication.topic) =>
            {
                self.lose_some(letter)
            }
            (Bug::DuplicateMetaEvent, Letter::Publication(publication))
                if is_reserved(&publication.topic) && self.rng.chance(100) =>
            {
                Fate::Doubled(letter)
            }
            (Bug::DuplicateAnswer, Letter::Result { .. } | Letter::Error { .. })
            | (Bug::DuplicateCall, Letter::Call(_))
                if self.rng.chance(200) =>
            {
                Fate::Doubled(letter)
            }
            (Bug::StrayInterrupt, Letter::Call(call)) if self.rng.chance(100) => {
                let (call, callee) = (call.origin, call.callee);
                Fate::Followed(letter, Letter::Abandon { call, callee, timed_out: false })
            }
            _ => Fate::Sent(self.change(bug, to, letter)),
        }
    }

    /// What a letter says instead.
    fn change(&self, bug: Bug, to: ShardId, letter: Letter) -> Letter {
        match (bug, &letter) {
            (Bug::IgnoredDenial, Letter::Authorized { .. }) => allowed(letter),
            (Bug::WrongTrust, Letter::Publication(_) | Letter::Call(_)) => distrusted(letter),
            (Bug::WrongRole, Letter::Admit { .. }) => promoted(letter),
            (Bug::ForgedHops, Letter::Publication(_) | Letter::Call(_)) => forged(letter),
            (Bug::MistakenAnswer, Letter::Result { call, .. }) if to == self.service_shard => {
                let (call, details, error) = (*call, Box::default(), well_known::CANCELED.into());
                Letter::Error { call, details, error, parcel: Parcel::pack(&Payload::EMPTY) }
            }
            (Bug::ForgedIdentity, Letter::Result { .. }) => as_member(letter),
            (Bug::WrongCount, Letter::Result { .. }) => miscounted(letter),
            _ => letter,
        }
    }

    /// An acknowledgement that was forged before the true one came.
    fn take_forged(&mut self, from: ShardId, ticket: u64) -> Option<(ShardId, u64)> {
        let known = self.forged.iter().position(|forged| *forged == (from, ticket))?;
        Some(self.forged.swap_remove(known))
    }

    /// Changes what a shard is told by a client.
    pub fn tamper(&self, mut message: Message<'static>) -> Message<'static> {
        match (self.bug, &mut message) {
            (Some(Bug::HastyTimeout), Message::Call { options, .. }) => options.timeout_ms /= 2,
            (Some(Bug::LoseChange), Message::Call { procedure, payload, .. })
                if procedure == "wamp.session.modify_details" =>
            {
                let session = payload.arguments().unwrap_or_default().into_iter().take(1);
                let arguments: Vec<Value> = session.chain([Value::Dict(Dict::new())]).collect();
                *payload = Payload::from_values(SerializerId::Json, &arguments, &Dict::new());
            }
            (Some(Bug::GarbledPayload), Message::Publish { payload, .. })
                if payload.shape == Shape::Transparent =>
            {
                payload.shape = Shape::Arguments;
            }
            (Some(Bug::ForgottenKeys), Message::Publish { options, .. }) => {
                if let Some(extra) = &mut options.extra {
                    extra.passthru = Passthru::default();
                }
            }
            (Some(Bug::ForgottenLimit), Message::Register { options, .. }) => options.concurrency = None,
            (Some(Bug::ForgottenRetention), Message::Publish { options, .. }) => options.retain = false,
            (Some(Bug::ForgottenShare | Bug::ForgottenReceipt), Message::Publish { options, .. }) => {
                if let Some(extra) = &mut options.extra {
                    extra.rkey = extra.rkey.take().filter(|_| self.bug != Some(Bug::ForgottenShare));
                    extra.x_acknowledged_delivery &= self.bug != Some(Bug::ForgottenReceipt);
                }
            }
            _ => {}
        }
        message
    }

    fn lose_some(&mut self, letter: Letter) -> Fate {
        if self.rng.chance(100) { Fate::Lost } else { Fate::Sent(letter) }
    }
}

/// Whoever is admitted gets the first role of the realm, that may do everything, but is told the right one.
fn promoted(mut letter: Letter) -> Letter {
    if let Letter::Admit { admission, .. } = &mut letter {
        admission.role = RoleId(0);
    }
    letter
}

/// Whatever is asked for is allowed.
fn allowed(mut letter: Letter) -> Letter {
    if let Letter::Authorized { ruling: Ruling::Lasting(decision) | Ruling::Once(decision), .. } = &mut letter
    {
        decision.allow = Allow::ALL;
    }
    letter
}

fn distrusted(mut letter: Letter) -> Letter {
    let trustlevel = match &mut letter {
        Letter::Publication(publication) => &mut publication.trustlevel,
        Letter::Call(call) => &mut call.trustlevel,
        _ => return letter,
    };
    *trustlevel = trustlevel.map(|level| level + 1);
    letter
}

/// Forwarded for somebody, if it was for nobody.
fn forged(mut letter: Letter) -> Letter {
    let forward_for = match &mut letter {
        Letter::Publication(publication) => &mut publication.extra.get_or_insert_default().forward_for,
        Letter::Call(call) => &mut call.options.extra_mut().forward_for,
        _ => return letter,
    };
    let forger = || Forwarder { session: SessionId::from_random(0), authid: None, authrole: "forger".into() };
    forward_for.get_or_insert_with(|| vec![forger()]);
    letter
}

/// Whoever is to be a guest is a member.
fn as_member(letter: Letter) -> Letter {
    let Letter::Result { call, details, parcel } = letter else { return letter };
    let parcel = match &parcel.payload().arguments().unwrap_or_default()[..] {
        [Value::String(role)] if role == "guest" => {
            Parcel::pack(&Payload::from_values(SerializerId::Json, &["member".into()], &Dict::new()))
        }
        _ => parcel,
    };
    Letter::Result { call, details, parcel }
}

/// One more than there are.
fn miscounted(letter: Letter) -> Letter {
    let Letter::Result { call, details, parcel } = letter else { return letter };
    let arguments = parcel.payload().arguments().unwrap_or_default();
    let parcel = match arguments[..] {
        [Value::Integer(count)] => {
            let wrong = [Value::Integer(count + 1)];
            Parcel::pack(&Payload::from_values(SerializerId::Json, &wrong, &Dict::new()))
        }
        _ => parcel,
    };
    Letter::Result { call, details, parcel }
}

/// Whether two neighbours on a lane may be swapped so that a rule is broken: same lane, same kind; or a publication and the
/// fence behind it.
pub fn may_swap(first: &Letter, second: &Letter) -> bool {
    if matches!((first, second), (Letter::Publication(_), Letter::Fence { .. })) {
        return true;
    }
    let is_queue = matches!(first, Letter::Enqueue { .. });
    (first.lane() == Lane::Data || is_queue)
        && std::mem::discriminant(first) == std::mem::discriminant(second)
}
