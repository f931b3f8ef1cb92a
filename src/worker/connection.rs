//! The receiving half of one connection: octets in, inputs of the shard out.

use std::sync::Arc;

use crossring_codec::error::DecodeError;
use crossring_codec::limits::NestingDepth;
use crossring_codec::message::Message;
use crossring_codec::message::decode::decode_within;
use crossring_codec::transport::{Incoming, Transport, TransportError, TransportErrorKind, close_code};
use crossring_io::Monotonic;
use crossring_router::address::{Now, SessionKey, TransportId};
use crossring_router::config::Secret;
use crossring_router::details::TransportDetails;
use crossring_router::input::Input;
use crossring_router::outbox::EndCause;
use crossring_router::shard::Shard;

use super::AutoPing;
use super::details::settled;
use super::outbound::{MayRead, Outbound};
use super::refusals::{Refusal, Refusals};
use super::relay::Flow;

/// What a connection's input is routed through.
pub(super) struct Routing<'a> {
    pub(super) shard: &'a mut Shard,
    pub(super) outbound: &'a mut Outbound,
    pub(super) refusals: &'a mut Refusals,
    /// Octets that a peer without a session may send.
    pub(super) unjoined_octets_max: u32,
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) now: Now,
    /// Asks what the connection's socket knows.
    pub(super) socket: &'a dyn Fn() -> TransportDetails,
}

/// What the worker has to do after input was taken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Pumped {
    /// Nothing.
    Done,
    /// The handshake is over.
    Opened,
    /// Another shard is behind: read no further for now. The rest of the input is held.
    Paused,
    /// The peer asks to be let in. The rest of the input is held.
    Requested,
    /// The session waits for its authorizer: as `Paused`, until the core says otherwise.
    Held,
    /// The peer closes: let what is queued leave, then close.
    Ended,
    /// The peer broke the transport's rules and has been told: as `Ended`.
    Failed,
}

#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Phase {
    Vacant,
    /// Its first octets will tell what it speaks.
    Undecided,
    Handshaking,
    Open,
    /// It speaks HTTP with the control shard.
    Relayed,
    /// Open, and everything it sends goes back.
    Echoing,
    /// Its end has begun; input is ignored.
    Ending,
}

/// One connection.
pub(super) struct Connection {
    key: SessionKey,
    /// Index of its listener.
    listener: u16,
    transport_id: TransportId,
    phase: Phase,
    /// The peer's first message may settle how it wants its own.
    is_settled: bool,
    is_paused: bool,
    is_secured: bool,
    /// There is no router behind it.
    echoes: bool,
    /// Octets received since there was a session last.
    unjoined_octets: u32,
    /// The session waits for its authorizer.
    is_held: bool,
    /// How deep its messages may be nested.
    nesting_max: NestingDepth,
    transport: Option<Transport>,
    rare: Option<Box<Rare>>,
}

/// What few connections have.
#[derive(Default)]
struct Rare {
    /// Input not taken because another shard is behind, or the session waits for its authorizer.
    held: Vec<u8>,
    /// Keep-alive: when a pong or message came last, and when a ping was sent that is not answered yet.
    heard: Monotonic,
    pinged: Option<Monotonic>,
    /// Only pongs count.
    wants_pongs: bool,
    /// The tracking cookie, until the transport is open.
    cookie: Option<Secret>,
    /// Of a relayed connection.
    flow: Flow,
}

const _: () = assert!(size_of::<Connection>() <= 96, "one per connection");

impl Connection {
    /// The content of a free slot.
    pub(super) const fn vacant() -> Self {
        Self {
            key: SessionKey { slot: u32::MAX, generation: 0 },
            listener: 0,
            transport_id: TransportId(0),
            phase: Phase::Vacant,
            is_settled: false,
            is_paused: false,
            is_secured: false,
            echoes: false,
            unjoined_octets: 0,
            is_held: false,
            nesting_max: NestingDepth::MAX,
            transport: None,
            rare: None,
        }
    }

    /// Without a transport its first octets decide.
    pub(super) fn new(
        key: SessionKey,
        listener: u16,
        transport_id: TransportId,
        transport: Option<Transport>,
        is_secured: bool,
    ) -> Self {
        let phase = if transport.is_some() { Phase::Handshaking } else { Phase::Undecided };
        Self { key, listener, transport_id, phase, transport, is_secured, ..Self::vacant() }
    }

    /// Lets everything go back; without a transport at once, octet by octet.
    pub(super) fn make_echo(&mut self) {
        self.echoes = true;
        if self.transport.is_none() {
            self.begin_echo();
        }
    }

    /// The handshake is over.
    pub(super) fn begin_echo(&mut self) {
        self.phase = Phase::Echoing;
    }

    /// Its messages may be nested so deep.
    pub(super) fn limit_nesting(&mut self, nesting_max: NestingDepth) {
        self.nesting_max = nesting_max;
    }

    pub(super) fn transport_mut(&mut self) -> Option<&mut Transport> {
        self.transport.as_mut()
    }

    /// What it speaks is known now.
    pub(super) fn decide(&mut self, transport_id: TransportId, transport: Transport) {
        self.transport_id = transport_id;
        self.phase = Phase::Handshaking;
        self.transport = Some(transport);
    }

    /// It speaks HTTP.
    pub(super) fn relay(&mut self) {
        self.phase = Phase::Relayed;
    }

    /// It is given back by HTTP. What HTTP still had to send may be on its way out.
    pub(super) fn undecide(&mut self) {
        self.phase = Phase::Undecided;
        self.rare.get_or_insert_default().flow = Flow::default();
    }

    pub(super) fn is_relayed(&self) -> bool {
        self.phase == Phase::Relayed
    }

    /// Whether its input is not for a transport.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.phase, Phase::Undecided | Phase::Relayed)
    }

    /// The windows of a relayed connection.
    #[inline]
    pub(super) fn flow(&mut self) -> Option<&mut Flow> {
        self.is_relayed().then(|| &mut self.rare.get_or_insert_default().flow)
    }

    pub(super) fn listener(&self) -> u16 {
        self.listener
    }

    /// Whether the slot is not free.
    pub(super) fn is_taken(&self) -> bool {
        self.phase != Phase::Vacant
    }

    pub(super) fn is(&self, key: SessionKey) -> bool {
        self.is_taken() && self.key == key
    }

    pub(super) fn key(&self) -> SessionKey {
        self.key
    }

    pub(super) fn transport_id(&self) -> TransportId {
        self.transport_id
    }

    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self.phase, Phase::Undecided | Phase::Handshaking)
    }

    /// Input is kept for later.
    pub(super) fn is_paused(&self) -> bool {
        self.is_paused || self.is_held
    }

    /// Starts or ends the wait for the session's authorizer. `true`: input may be taken again.
    pub(super) fn set_held(&mut self, is_held: bool) -> bool {
        let was_held = std::mem::replace(&mut self.is_held, is_held);
        was_held && !is_held && !self.is_paused
    }

    /// There is credit again. `true`: input may be taken again.
    pub(super) fn has_credit(&mut self) -> bool {
        self.is_paused = false;
        !self.is_held
    }

    /// Whether its octets are those of TLS.
    pub(super) fn is_secured(&self) -> bool {
        self.is_secured
    }

    /// Whether the shard has been told of it and must hear of its end.
    pub(super) fn is_known_to_shard(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Ending)
    }

    /// Keeps input for later.
    pub(super) fn hold(&mut self, octets: &[u8]) {
        self.rare.get_or_insert_default().held.extend_from_slice(octets);
    }

    /// As `hold`, for what was held before.
    pub(super) fn keep(&mut self, octets: Vec<u8>) {
        self.rare.get_or_insert_default().held = octets;
    }

    /// Takes no further input for now; what is left is taken, and counted, later.
    fn set_aside(&mut self, octets: &[u8]) {
        self.unjoined_octets = self.unjoined_octets.saturating_sub(octets.len() as u32);
        self.hold(octets);
        self.is_paused = true;
    }

    /// Takes the input that was held; reading goes on.
    pub(super) fn take_held(&mut self) -> Vec<u8> {
        self.is_paused = false;
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.held)).unwrap_or_default()
    }

    /// Takes received octets apart and routes every message in them.
    pub(super) fn pump(&mut self, octets: &[u8], routing: &mut Routing<'_>) -> Pumped {
        if self.echoes {
            return self.pump_echo(octets, routing);
        }
        let mut consumed = 0;
        let mut pumped = Pumped::Done;
        if !self.is_within_budget(octets.len(), routing) {
            let kind = TransportErrorKind::MessageTooLong;
            return self.fail_for(Refusal::UnjoinedOctets, TransportError { kind, offset: 0 }, routing);
        }
        while self.phase != Phase::Ending {
            let Some(transport) = &mut self.transport else { break };
            if (consumed < octets.len() || transport.is_holding())
                && let stop @ (MayRead::NoCredit | MayRead::Held) = routing.outbound.may_read(self.key)
            {
                self.set_aside(&octets[consumed..]);
                self.is_paused = stop == MayRead::NoCredit;
                self.is_held = stop == MayRead::Held;
                return if self.is_held { Pumped::Held } else { Pumped::Paused };
            }
            match transport.next(octets, &mut consumed, routing.scratch) {
                Ok(None) => break,
                Ok(Some(Incoming::Requested)) => {
                    self.set_aside(&octets[consumed..]);
                    return Pumped::Requested;
                }
                Ok(Some(Incoming::Message(message))) => {
                    if !self.is_settled {
                        settle(self.key, transport, routing.outbound);
                        self.is_settled = transport.is_settled();
                    }
                    let Some(framing) = transport.framing() else { break };
                    let key = self.key;
                    routing.outbound.received(key, message.len());
                    let decoded = decode_within(framing.serializer().id, message, self.nesting_max);
                    if let Err(refusal) = route(key, decoded, routing.shard, routing.outbound, routing.now) {
                        routing.refusals.add(refusal);
                        self.phase = Phase::Ending;
                    }
                }
                Ok(Some(Incoming::Reply(reply))) => routing.outbound.raw(self.key, reply),
                Ok(Some(Incoming::Opened { .. })) => {
                    self.open(routing);
                    pumped = Pumped::Opened;
                }
                Ok(Some(Incoming::Pong(_))) => self.heard(routing.now, true),
                Ok(Some(Incoming::PeerClosing { .. })) => {
                    self.end_phase();
                    return Pumped::Ended;
                }
                Err(error) => return self.fail(error, routing),
            }
        }
        self.heard(routing.now, false);
        pumped
    }

    /// The handshake is over: the shard is told.
    fn open(&mut self, routing: &mut Routing<'_>) {
        let Some(transport) = &mut self.transport else { return };
        settle(self.key, transport, routing.outbound);
        if let Some(writer) = transport.take_writer() {
            routing.outbound.set_writer(self.key, writer);
        }
        transport.limit_inflation(Some(routing.unjoined_octets_max as usize));
        self.phase = Phase::Open;
        let established = routing.outbound.secured.take_established(self.key);
        let cookie = self.rare.as_mut().and_then(|rare| rare.cookie.take());
        let details = settled((routing.socket)(), transport, established.as_deref(), cookie);
        let input = Input::Opened { key: self.key, transport: self.transport_id, details: Arc::new(details) };
        routing.shard.handle(routing.now, input, routing.outbound);
    }

    /// Takes note of octets about to be taken; `false`: who has no session has sent too many.
    fn is_within_budget(&mut self, received: usize, routing: &Routing<'_>) -> bool {
        let was_unjoined = self.unjoined_octets > 0;
        let is_unjoined = routing.shard.is_unjoined(self.key);
        if let Some(transport) = self.transport.as_mut().filter(|_| is_unjoined != was_unjoined) {
            // What compressed octets stand for must not be more either.
            transport.limit_inflation(is_unjoined.then_some(routing.unjoined_octets_max as usize));
        }
        if !is_unjoined {
            self.unjoined_octets = 0;
            return true;
        }
        self.unjoined_octets = self.unjoined_octets.saturating_add(received as u32);
        self.unjoined_octets <= routing.unjoined_octets_max
    }

    /// The tracking cookie of a request that waits.
    pub(super) fn requested_cookie(&self) -> Option<Secret> {
        self.transport.as_ref()?.requested_cookie().map(Secret::new)
    }

    /// Lets the peer in, known by this cookie, which is new to it or not.
    pub(super) fn accept_request(
        &mut self,
        cookie: Secret,
        is_new: bool,
        outbound: &mut Outbound,
        scratch: &mut Vec<u8>,
    ) {
        let Some(transport) = &mut self.transport else { return };
        scratch.clear();
        transport.accept_request(is_new.then(|| cookie.expose()), scratch);
        outbound.raw(self.key, scratch);
        self.rare.get_or_insert_default().cookie = Some(cookie);
    }

    fn end_phase(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Ending;
        }
    }

    pub(super) fn fail(&mut self, error: TransportError, routing: &mut Routing<'_>) -> Pumped {
        self.fail_for(refusal_of(error.kind), error, routing)
    }

    fn fail_for(&mut self, why: Refusal, error: TransportError, routing: &mut Routing<'_>) -> Pumped {
        tracing::debug!(slot = self.key.slot, "transport: {error}");
        routing.refusals.add(why);
        if self.phase == Phase::Open {
            let text = error.to_string();
            let input = Input::Violation { key: self.key, text: &text };
            routing.shard.handle(routing.now, input, routing.outbound);
        }
        self.end_phase();
        if let Some(transport) = &mut self.transport {
            routing.scratch.clear();
            transport.fail(error.kind, routing.scratch);
            routing.outbound.raw(self.key, routing.scratch);
        }
        Pumped::Failed
    }

    /// Says an orderly farewell in the transport's own words.
    pub(super) fn close(&mut self, cause: EndCause, outbound: &mut Outbound, scratch: &mut Vec<u8>) {
        self.end_phase();
        let code = match cause {
            EndCause::Aborted => close_code::PROTOCOL_ERROR,
            _ => close_code::NORMAL,
        };
        if let Some(transport) = &mut self.transport {
            scratch.clear();
            transport.close(code, "", scratch);
            outbound.raw(self.key, scratch);
        }
    }

    pub(super) fn heard(&mut self, now: Now, is_pong: bool) {
        if let Some(rare) = &mut self.rare
            && (is_pong || !rare.wants_pongs)
        {
            rare.heard = Monotonic(now.monotonic_ns);
            rare.pinged = None;
        }
    }

    /// Keep-alive: pings a silent peer and tells when to look again; an error when it is dead.
    pub(super) fn ping(
        &mut self,
        now: Monotonic,
        every: AutoPing,
        outbound: &mut Outbound,
    ) -> Result<Monotonic, ()> {
        let interval_ns = u64::from(every.interval_ms) * 1_000_000;
        let timeout_ns = u64::from(every.timeout_ms) * 1_000_000;
        if self.is_paused() {
            return Ok(now.after_ns(interval_ns)); // an answer would not be read
        }
        let Some(transport) = &mut self.transport else { return Err(()) };
        let rare =
            self.rare.get_or_insert_with(|| Box::new(Rare { heard: Monotonic::ZERO, ..Rare::default() }));
        rare.wants_pongs = !every.restarts_on_traffic;
        if let Some(pinged) = rare.pinged {
            let is_dead = every.timeout_ms > 0 && now.since_ns(pinged) >= timeout_ns;
            return if is_dead { Err(()) } else { Ok(now.after_ns(interval_ns)) };
        }
        if now.since_ns(rare.heard) < interval_ns {
            return Ok(rare.heard.after_ns(interval_ns));
        }
        let mut frame = Vec::new();
        let payload = vec![b'.'; every.size.min(125) as usize];
        if transport.ping(&payload, &mut frame).is_ok() {
            outbound.raw(self.key, &frame);
        }
        rare.pinged = Some(now);
        Ok(now.after_ns(if timeout_ns > 0 { timeout_ns } else { interval_ns }))
    }
}

/// Routes a message; refuses what is none, and that is the end.
fn route(
    key: SessionKey,
    decoded: Result<Message<'_>, DecodeError>,
    shard: &mut Shard,
    outbound: &mut Outbound,
    now: Now,
) -> Result<(), Refusal> {
    match decoded {
        Ok(message) => {
            shard.handle(now, Input::Message { key, message }, outbound);
            Ok(())
        }
        Err(error) => {
            let text = error.to_string();
            shard.handle(now, Input::Violation { key, text: &text }, outbound);
            Err(Refusal::of_message(&error))
        }
    }
}

/// As what a fault of the transport is counted.
pub(super) fn refusal_of(kind: TransportErrorKind) -> Refusal {
    match kind {
        TransportErrorKind::MessageTooLong
        | TransportErrorKind::FrameTooLong
        | TransportErrorKind::HttpHeadTooLong => Refusal::Size,
        TransportErrorKind::InflateRatio => Refusal::Inflation,
        _ => Refusal::Transport,
    }
}

/// Tells the sending half how the peer wants its messages.
fn settle(key: SessionKey, transport: &Transport, outbound: &mut Outbound) {
    if let Some(framing) = transport.framing() {
        outbound.set_framing(key, framing, transport.peer_limit() as u32);
    }
}
