//! Inquiries as CALLs of the service sessions.

use crossring_codec::id::RequestId;
use crossring_codec::message::{CallOptions, Message};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::well_known;
use crossring_codec::value::Dict;

use super::Control;
use crate::address::{Now, SessionKey};
use crate::input::Input;
use crate::inquiry::{Answer, Asker, Inquiry};
use crate::limits::LIMIT_EXCEEDED;
use crate::outbox::Post;

impl Control {
    /// Calls the procedure; the answer comes by [`Control::inquiry_answered`].
    pub(super) fn inquire<P: Post>(&mut self, now: Now, inquiry: Inquiry, out: &mut P) {
        let Inquiry { asker, question, timeout_ms } = inquiry;
        let service = &mut self.services[usize::from(question.realm.0)];
        if service.inquiries.len() >= self.shard.limits.inquiries_per_realm_max as usize {
            return self.give_answer(now, asker, Answer::Error(LIMIT_EXCEEDED.into(), Vec::new()), out);
        }
        let key = service.key;
        let request = self.next_request(key);
        self.services[usize::from(question.realm.0)].inquiries.insert(request.get(), asker);
        let options = CallOptions { timeout_ms: timeout_ms.into(), ..CallOptions::default() };
        let payload = Payload::from_values(SerializerId::MessagePack, &question.arguments, &Dict::new());
        let procedure = question.procedure.to_string().into();
        let message = Message::Call { request, options, procedure, payload };
        self.input(now, Input::Message { key, message }, out);
    }

    /// RESULT of a call of a service session.
    pub(super) fn inquiry_result<P: Post>(
        &mut self,
        now: Now,
        key: SessionKey,
        request: RequestId,
        payload: &Payload<'_>,
        out: &mut P,
    ) {
        let answer = match (payload.arguments(), payload.keywords()) {
            (Ok(arguments), Ok(keywords)) => Answer::Result(arguments, keywords),
            _ => Answer::Error(well_known::INVALID_ARGUMENT.into(), Vec::new()),
        };
        self.inquiry_answered(now, key, request, answer, out);
    }

    /// The one answer of a call of a service session.
    pub(super) fn inquiry_answered<P: Post>(
        &mut self,
        now: Now,
        key: SessionKey,
        request: RequestId,
        answer: Answer,
        out: &mut P,
    ) {
        let service = self.services.get_mut(key.slot as usize);
        if let Some(asker) = service.and_then(|service| service.inquiries.remove(&request.get())) {
            self.give_answer(now, asker, answer, out);
        }
    }

    fn give_answer<P: Post>(&mut self, now: Now, asker: Asker, answer: Answer, out: &mut P) {
        match asker {
            Asker::Permission(permission) => self.permission_answered(now, *permission, &answer, out),
            Asker::Attempt { address, session } => {
                let service_shard = self.shard.id();
                let mut emission = super::Emission { service_shard, exchange: &mut self.exchange, out };
                self.registry.attempt_answered(now, address, session, answer, &mut emission);
            }
        }
    }
}
