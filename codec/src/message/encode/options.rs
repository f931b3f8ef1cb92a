//! Options and details: what has its default value is not written.

use crate::error::EncodeError;
use crate::id::SessionId;
use crate::message::{
    CallOptions, CancelMode, CancelOptions, CloseDetails, ErrorDetails, EventDetails, Features, Forwarder,
    HelloDetails, InterruptOptions, InvocationDetails, InvocationPolicy, Passthru, PublishOptions,
    RegisterOptions, ResultDetails, SubscribeOptions, Text, WelcomeDetails,
};
use crate::uri::Match;
use crate::value::Dict;
use crate::wire::Writer;
use crate::wire::value::{write, write_dict};

/// A dict whose entries are counted while they are written.
pub(super) struct Fields<'w, W> {
    writer: &'w mut W,
    mark: usize,
    count: usize,
}

/// Kinds of fields.
impl<'w, W: Writer> Fields<'w, W> {
    #[inline(always)]
    pub(super) fn open(writer: &'w mut W) -> Self {
        let mark = writer.open_fields();
        Self { writer, mark, count: 0 }
    }

    #[inline(always)]
    pub(super) fn close(self) {
        self.writer.close_fields(self.mark, self.count);
    }

    fn key(&mut self, key: &str) {
        self.count += 1;
        self.writer.key(key);
    }

    #[inline(always)]
    fn boolean(&mut self, key: &str, value: bool, default: bool) {
        if value != default {
            self.key(key);
            self.writer.boolean(value);
        }
    }

    #[inline(always)]
    fn unsigned(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.key(key);
            self.writer.unsigned(value);
        }
    }

    #[inline(always)]
    pub(super) fn id(&mut self, key: &str, id: Option<u64>) {
        self.unsigned(key, id);
    }

    #[inline(always)]
    pub(super) fn text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.key(key);
            self.writer.text(text);
        }
    }

    fn word(&mut self, key: &str, word: &str, default: &str) {
        self.text(key, (word != default).then_some(word));
    }

    fn sessions(&mut self, key: &str, sessions: Option<&[SessionId]>) {
        if let Some(sessions) = sessions {
            self.key(key);
            self.writer.list(sessions.len());
            sessions.iter().for_each(|session| self.writer.unsigned(session.get()));
            self.writer.end_list();
        }
    }

    fn texts(&mut self, key: &str, texts: Option<&[Text<'_>]>) {
        if let Some(texts) = texts {
            self.key(key);
            self.writer.list(texts.len());
            texts.iter().for_each(|text| self.writer.text(text));
            self.writer.end_list();
        }
    }

    fn dict(&mut self, key: &str, write: impl FnOnce(&mut Fields<'_, W>)) {
        self.key(key);
        let mut fields = Fields::open(self.writer);
        write(&mut fields);
        fields.close();
    }

    fn values(&mut self, key: &str, dict: &Dict) -> Result<(), EncodeError> {
        if !dict.is_empty() {
            self.key(key);
            write_dict(self.writer, dict)?;
        }
        Ok(())
    }

    fn role(&mut self, name: &str, features: Option<Features>) {
        let Some(features) = features else { return };
        self.dict(name, |role| {
            if features != Features::default() {
                role.dict("features", |fields| {
                    features.iter().for_each(|feature| fields.boolean(feature.name(), true, false));
                });
            }
        });
    }

    fn forward_for(&mut self, hops: Option<&[Forwarder<'_>]>) {
        let Some(hops) = hops else { return };
        self.key("forward_for");
        self.writer.list(hops.len());
        for hop in hops {
            let mut fields = Fields::open(self.writer);
            fields.id("session", Some(hop.session.get()));
            fields.text("authid", hop.authid.as_deref());
            fields.text("authrole", Some(&hop.authrole));
            fields.close();
        }
        self.writer.end_list();
    }

    fn passthru(&mut self, keys: &Passthru<'_>) {
        self.text("ppt_scheme", keys.ppt_scheme.as_deref());
        self.text("ppt_serializer", keys.ppt_serializer.as_deref());
        self.text("ppt_cipher", keys.ppt_cipher.as_deref());
        self.text("ppt_keyid", keys.ppt_keyid.as_deref());
        self.text("enc_algo", keys.enc_algo.as_deref());
        self.text("enc_key", keys.enc_key.as_deref());
        self.text("enc_serializer", keys.enc_serializer.as_deref());
    }
}

/// Dicts of the messages. The order is that of the official test vectors.
impl<W: Writer> Fields<'_, W> {
    #[inline(always)]
    pub(super) fn event_details(&mut self, details: &EventDetails<'_>) {
        self.text("topic", details.topic.as_deref());
        self.id("publisher", details.publisher.map(SessionId::get));
        self.text("publisher_authid", details.publisher_authid.as_deref());
        self.text("publisher_authrole", details.publisher_authrole.as_deref());
        self.unsigned("trustlevel", details.trustlevel);
        self.boolean("retained", details.retained, false);
        if let Some(extra) = &details.extra {
            self.boolean("x_acknowledged_delivery", extra.x_acknowledged_delivery, false);
            self.text("transaction_hash", extra.transaction_hash.as_deref());
            self.forward_for(extra.forward_for.as_deref());
            self.passthru(&extra.passthru);
        }
    }

    #[inline(always)]
    pub(super) fn publish_options(&mut self, options: &PublishOptions<'_>) {
        self.boolean("acknowledge", options.acknowledge, false);
        self.boolean("exclude_me", options.exclude_me, true);
        self.boolean("disclose_me", options.disclose_me, false);
        self.boolean("retain", options.retain, false);
        if let Some(extra) = &options.extra {
            self.sessions("exclude", extra.exclude.as_deref());
            self.texts("exclude_authid", extra.exclude_authid.as_deref());
            self.texts("exclude_authrole", extra.exclude_authrole.as_deref());
            self.sessions("eligible", extra.eligible.as_deref());
            self.texts("eligible_authid", extra.eligible_authid.as_deref());
            self.texts("eligible_authrole", extra.eligible_authrole.as_deref());
            self.text("rkey", extra.rkey.as_deref());
            self.text("transaction_hash", extra.transaction_hash.as_deref());
            self.boolean("x_acknowledged_delivery", extra.x_acknowledged_delivery, false);
            self.passthru(&extra.passthru);
            self.forward_for(extra.forward_for.as_deref());
        }
    }

    #[inline(always)]
    pub(super) fn call_options(&mut self, options: &CallOptions<'_>) {
        self.boolean("receive_progress", options.receive_progress, false);
        self.boolean("progress", options.progress, false);
        self.unsigned("timeout", (options.timeout_ms != 0).then_some(options.timeout_ms));
        self.boolean("disclose_me", options.disclose_me, false);
        if let Some(extra) = &options.extra {
            self.text("rkey", extra.rkey.as_deref());
            self.text("runmode", extra.runmode.as_deref());
            self.text("transaction_hash", extra.transaction_hash.as_deref());
            self.id("caller", extra.caller.map(SessionId::get));
            self.text("caller_authid", extra.caller_authid.as_deref());
            self.text("caller_authrole", extra.caller_authrole.as_deref());
            self.passthru(&extra.passthru);
            self.forward_for(extra.forward_for.as_deref());
        }
    }

    #[inline(always)]
    pub(super) fn invocation_details(&mut self, details: &InvocationDetails<'_>) {
        self.text("procedure", details.procedure.as_deref());
        self.id("caller", details.caller.map(SessionId::get));
        self.text("caller_authid", details.caller_authid.as_deref());
        self.text("caller_authrole", details.caller_authrole.as_deref());
        self.unsigned("trustlevel", details.trustlevel);
        self.boolean("receive_progress", details.receive_progress, false);
        self.boolean("progress", details.progress, false);
        self.unsigned("timeout", (details.timeout_ms != 0).then_some(details.timeout_ms));
        if let Some(extra) = &details.extra {
            self.text("transaction_hash", extra.transaction_hash.as_deref());
            self.passthru(&extra.passthru);
            self.forward_for(extra.forward_for.as_deref());
        }
    }

    #[inline(always)]
    pub(super) fn result_details(&mut self, details: &ResultDetails<'_>) {
        self.boolean("progress", details.progress, false);
        self.id("callee", details.callee.map(SessionId::get));
        self.text("callee_authid", details.callee_authid.as_deref());
        self.text("callee_authrole", details.callee_authrole.as_deref());
        if let Some(keys) = &details.passthru {
            self.passthru(keys);
        }
        self.forward_for(details.forward_for.as_deref());
    }

    pub(super) fn error_details(&mut self, details: &ErrorDetails<'_>) {
        self.text("message", details.message.as_deref());
        self.id("callee", details.callee.map(SessionId::get));
        self.text("callee_authid", details.callee_authid.as_deref());
        self.text("callee_authrole", details.callee_authrole.as_deref());
        if let Some(keys) = &details.passthru {
            self.passthru(keys);
        }
        self.forward_for(details.forward_for.as_deref());
    }

    pub(super) fn subscribe_options(&mut self, options: &SubscribeOptions<'_>) {
        self.word("match", options.match_policy.as_str(), Match::default().as_str());
        self.boolean("get_retained", options.get_retained, false);
        self.text("nkey", options.nkey.as_deref());
        self.forward_for(options.forward_for.as_deref());
    }

    pub(super) fn register_options(&mut self, options: &RegisterOptions<'_>) {
        self.word("match", options.match_policy.as_str(), Match::default().as_str());
        self.word("invoke", options.invoke.as_str(), InvocationPolicy::default().as_str());
        self.boolean("disclose_caller", options.disclose_caller, false);
        self.boolean("forward_timeout", options.forward_timeout, false);
        self.unsigned("concurrency", options.concurrency);
        self.boolean("force_reregister", options.force_reregister, false);
        self.forward_for(options.forward_for.as_deref());
    }

    pub(super) fn cancel_options(&mut self, options: &CancelOptions<'_>) {
        self.word("mode", options.mode.as_str(), CancelMode::default().as_str());
        self.forward_for(options.forward_for.as_deref());
    }

    pub(super) fn interrupt_options(&mut self, options: &InterruptOptions<'_>) {
        self.word("mode", options.mode.as_str(), CancelMode::default().as_str());
        self.text("reason", options.reason.as_deref());
        self.forward_for(options.forward_for.as_deref());
    }

    pub(super) fn close_details(&mut self, details: &CloseDetails<'_>) {
        self.text("message", details.message.as_deref());
        self.boolean("resumable", details.resumable, false);
        self.text("scram", details.scram.as_deref());
    }

    pub(super) fn hello_details(&mut self, details: &HelloDetails<'_>) -> Result<(), EncodeError> {
        self.dict("roles", |roles| {
            roles.role("subscriber", details.roles.subscriber);
            roles.role("publisher", details.roles.publisher);
            roles.role("caller", details.roles.caller);
            roles.role("callee", details.roles.callee);
        });
        self.text("agent", details.agent.as_deref());
        self.texts("authmethods", (!details.authmethods.is_empty()).then_some(&details.authmethods));
        self.text("authid", details.authid.as_deref());
        self.text("authrole", details.authrole.as_deref());
        self.values("authextra", &details.authextra)?;
        self.boolean("resumable", details.resumable, false);
        self.id("resume_session", details.resume_session.map(SessionId::get));
        self.text("resume_token", details.resume_token.as_deref());
        Ok(())
    }

    pub(super) fn welcome_details(&mut self, details: &WelcomeDetails<'_>) -> Result<(), EncodeError> {
        self.dict("roles", |roles| {
            roles.role("broker", details.roles.broker);
            roles.role("dealer", details.roles.dealer);
        });
        self.text("realm", details.realm.as_deref());
        self.text("authid", details.authid.as_deref());
        self.text("authrole", details.authrole.as_deref());
        self.text("authmethod", details.authmethod.as_deref());
        self.text("authprovider", details.authprovider.as_deref());
        self.values("authextra", &details.authextra)?;
        self.text("agent", details.agent.as_deref());
        self.boolean("resumed", details.resumed, false);
        self.boolean("resumable", details.resumable, false);
        self.text("resume_token", details.resume_token.as_deref());
        self.text("resume-token", details.resume_token.as_deref());
        for (name, value) in &details.custom {
            self.key(name);
            write(self.writer, value)?;
        }
        Ok(())
    }
}
