//! Calls of meta procedures.
//!
//! When an authorizer has to be asked about a caller, its call waits for the answer, and what the same session calls meanwhile
//! waits behind it, in its order. What nobody waits for any more is forgotten at once, and not carried out.

use std::collections::VecDeque;

use crossring_codec::error::DecodeError;
use crossring_codec::id::{RequestId, SessionId};
use crossring_codec::message::{
    CancelMode, ErrorDetails, InvocationDetails, Message, MessageType, YieldOptions,
};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::well_known;
use crossring_codec::value::{Dict, Value};

use super::permissions::{Asked, Permission, Wanted, Whose};
use super::{Control, Emission};
use crate::address::{Now, RealmId, SessionKey};
use crate::agent::{self, Answer, Context, Failure, Open, Reply};
use crate::authz::{InHand, Ruling};
use crate::details;
use crate::input::Input;
use crate::limits::{LIMIT_EXCEEDED, Limits};
use crate::outbox::Post;

#[cfg(test)]
mod tests;

/// An INVOCATION of a service session that has not been answered.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Invocation {
    key: SessionKey,
    request: RequestId,
    /// Of its payload, and of that of its answer.
    serializer: SerializerId,
}

/// A call of a meta procedure.
#[derive(Debug)]
struct MetaCall {
    invocation: Invocation,
    caller: SessionId,
    /// The realm it is about, and its index into [`agent::PROCEDURES`].
    offer: (RealmId, usize),
    payload: Payload<'static>,
    arrival_ns: u64,
    /// The authorizer has been silent while it waited: from its arrival on the time counts.
    is_behind_silence: bool,
}

/// Calls of one session about which its authorizer is asked: about one, the others wait.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    /// The one it is asked about; absent: nobody waits for that any more.
    first: Option<MetaCall>,
    behind: VecDeque<MetaCall>,
    /// Of payload, of those behind.
    octets: usize,
}

impl MetaCall {
    fn read(&self) -> Result<(Vec<Value>, Dict), DecodeError> {
        Ok((self.payload.arguments()?, self.payload.keywords()?))
    }

    fn octets(&self) -> usize {
        self.payload.octets.len()
    }
}

impl Undecided {
    /// A call that waits behind others, unless they are too many or too long: then it is given back.
    fn push(&mut self, call: MetaCall, limits: &Limits) -> Result<(), MetaCall> {
        let octets = self.octets + call.octets();
        if self.behind.len() >= limits.meta_calls_per_session_max as usize
            || octets > limits.meta_call_octets_per_session_max as usize
        {
            return Err(call);
        }
        self.octets = octets;
        self.behind.push_back(call);
        Ok(())
    }

    /// The calls that have waited behind another one wait behind this one.
    fn go_on(&mut self, calls: VecDeque<MetaCall>) {
        self.octets += calls.iter().map(MetaCall::octets).sum::<usize>();
        self.behind.extend(calls);
    }

    fn take(&mut self, is_it: impl Fn(&MetaCall) -> bool) -> Option<MetaCall> {
        if let Some(first) = self.first.take_if(|first| is_it(first)) {
            return Some(first);
        }
        let position = self.behind.iter().position(is_it)?;
        let call = self.behind.remove(position)?;
        self.octets -= call.octets();
        Some(call)
    }
}

impl Control {
    /// INVOCATION of a meta procedure.
    pub(super) fn invoked<P: Post>(
        &mut self,
        now: Now,
        (key, request): (SessionKey, RequestId),
        offer: Option<(RealmId, usize)>,
        details: &InvocationDetails<'_>,
        payload: Payload<'static>,
        out: &mut P,
    ) {
        let invocation = Invocation { key, request, serializer: payload.serializer };
        let (Some(offer), Some(caller)) = (offer, details.caller) else {
            return self.answer(now, invocation, Err(Failure::new(well_known::NO_SUCH_PROCEDURE)), out);
        };
        let (arrival_ns, is_behind_silence) = (now.monotonic_ns, false);
        let call = MetaCall { invocation, caller, offer, payload, arrival_ns, is_behind_silence };
        let Some(undecided) = self.undecided.get_mut(&caller.get()) else {
            return self.perform(now, call, None, out);
        };
        match undecided.push(call, &self.shard.limits) {
            Ok(()) => self.note_waiting(invocation, caller),
            Err(_) => self.answer(now, invocation, Err(Failure::new(LIMIT_EXCEEDED)), out),
        }
    }

    /// INTERRUPT: nobody waits for the answer any more, or only to hear that the call is cancelled. What has been carried out
    /// stays so.
    pub(super) fn interrupted<P: Post>(
        &mut self,
        now: Now,
        key: SessionKey,
        request: RequestId,
        mode: CancelMode,
        out: &mut P,
    ) {
        if let Some(call) = self.take_waiting(key, request)
            && mode == CancelMode::Kill
        {
            self.answer(now, call.invocation, Err(Failure::new(well_known::CANCELED)), out);
        }
    }

    fn note_waiting(&mut self, invocation: Invocation, caller: SessionId) {
        let Invocation { key, request, .. } = invocation;
        self.services[key.slot as usize].waiting.insert(request.get(), caller);
    }

    fn take_waiting(&mut self, key: SessionKey, request: RequestId) -> Option<MetaCall> {
        let caller = self.services.get_mut(key.slot as usize)?.waiting.remove(&request.get())?;
        let is_it = |call: &MetaCall| call.invocation.key == key && call.invocation.request == request;
        self.undecided.get_mut(&caller.get())?.take(is_it)
    }

    fn answer<P: Post>(&mut self, now: Now, invocation: Invocation, answer: Answer, out: &mut P) {
        let Invocation { key, request, serializer } = invocation;
        self.services[key.slot as usize].waiting.remove(&request.get());
        let message = answer_message(request, answer, serializer);
        self.input(now, Input::Message { key, message }, out);
    }

    /// The authorizer has answered about the first one of a caller's calls.
    pub(super) fn decided<P: Post>(&mut self, now: Now, caller: SessionId, in_hand: InHand, out: &mut P) {
        let Some(Undecided { first, mut behind, .. }) = self.undecided.remove(&caller.get()) else { return };
        if let Ruling::Failed { is_silence: true, .. } = in_hand.ruling {
            behind.iter_mut().for_each(|call| call.is_behind_silence = true);
        }
        if let Some(call) = first {
            self.perform(now, call, Some(in_hand), out);
        }
        self.perform_all(now, caller, behind, out);
    }

    /// Goes on with the calls of one caller, up to the next one that an authorizer has to be asked about.
    fn perform_all<P: Post>(
        &mut self,
        now: Now,
        caller: SessionId,
        mut calls: VecDeque<MetaCall>,
        out: &mut P,
    ) {
        loop {
            if let Some(undecided) = self.undecided.get_mut(&caller.get()) {
                return undecided.go_on(calls);
            }
            let Some(call) = calls.pop_front() else { return };
            self.perform(now, call, None, out);
        }
    }

    /// Calls a meta procedure; `in_hand` is what its caller may do.
    fn perform<P: Post>(&mut self, now: Now, call: MetaCall, in_hand: Option<InHand>, out: &mut P) {
        let (realm, index) = call.offer;
        let Some(procedure) = agent::PROCEDURES.get(index) else { return };
        let (arguments, keywords) = match call.read() {
            Ok(read) => read,
            Err(error) => {
                let failure = Failure::invalid_argument(error.to_string());
                return self.answer(now, call.invocation, Err(failure), out);
            }
        };
        self.shard.authorization.take_in_hand(in_hand);
        let service_shard = self.shard.id();
        let mut emission = Emission { service_shard, exchange: &mut self.exchange, out };
        let mut context = Context {
            registry: &mut self.registry,
            store: &mut *self.stores[usize::from(realm.0)],
            authorization: &self.shard.authorization,
            schemas: &mut self.services[usize::from(realm.0)].schemas,
            realm,
            out: &mut emission,
            events: Vec::new(),
            open: None,
        };
        let answer = procedure.call(&mut context, call.caller, &arguments, &keywords);
        let (events, open) = (context.events, context.open);
        self.shard.authorization.take_in_hand(None);
        for (topic, arguments) in events {
            self.publish_event(now, realm, topic, &arguments, out);
        }
        match open {
            None => self.answer(now, call.invocation, answer, out),
            Some(Open::Permission(wanted, options)) => self.ask_for_caller(now, call, wanted, options, out),
            Some(Open::Voided(roles)) => {
                let service_shard = self.shard.id();
                let mut emission = Emission { service_shard, exchange: &mut self.exchange, out };
                let ticket = self.registry.void_decisions(realm, &roles, &mut emission);
                self.voiding.insert(ticket, call.invocation);
            }
        }
    }

    fn ask_for_caller<P: Post>(
        &mut self,
        now: Now,
        call: MetaCall,
        wanted: Wanted,
        options: Dict,
        out: &mut P,
    ) {
        let MetaCall { invocation, caller, .. } = call;
        let Some((_, session)) = self.registry.session_by_id(caller) else {
            return self.answer(now, invocation, Err(agent::no_caller()), out);
        };
        let since_ns = if call.is_behind_silence { call.arrival_ns } else { now.monotonic_ns };
        let permission = Permission {
            realm: session.identity.realm,
            role: session.identity.role,
            session: details::for_authorizer(&self.shard.config, session),
            whose: Whose::Caller(caller),
            wanted,
            options,
            asked: Asked::first(since_ns, self.shard.limits.authorizer_timeout_ms),
        };
        self.undecided.insert(caller.get(), Undecided { first: Some(call), ..Undecided::default() });
        self.note_waiting(invocation, caller);
        self.ask(now, permission, out);
    }

    /// All shards have forgotten what authorizers had said.
    pub(super) fn voided<P: Post>(&mut self, now: Now, ticket: u64, out: &mut P) {
        if let Some(invocation) = self.voiding.remove(&ticket) {
            self.answer(now, invocation, Ok(Reply::default()), out);
        }
    }
}

/// The answer to an INVOCATION, in the serializer of its arguments.
fn answer_message(request: RequestId, answer: Answer, serializer: SerializerId) -> Message<'static> {
    match answer {
        Ok(Reply { arguments, keywords }) => {
            let payload = Payload::from_values(serializer, &arguments, &keywords);
            Message::Yield { request, options: YieldOptions::default(), payload }
        }
        Err(Failure { error, arguments, keywords }) => Message::Error {
            request_type: MessageType::Invocation,
            request,
            details: ErrorDetails::default(),
            error: error.into(),
            payload: Payload::from_values(serializer, &arguments, &keywords),
        },
    }
}
