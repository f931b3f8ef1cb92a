//! Options and details detached from the received octets, for letters.

use std::borrow::Cow;

use crossring_codec::message::{
    CallExtra, CallOptions, ErrorDetails, Forwarder, HelloDetails, Passthru, PublishExtra, PublishOptions,
    ResultDetails, Text,
};

fn text(text: Text<'_>) -> Text<'static> {
    Cow::Owned(text.into_owned())
}

fn maybe(value: Option<Text<'_>>) -> Option<Text<'static>> {
    value.map(text)
}

fn texts(list: Option<Vec<Text<'_>>>) -> Option<Vec<Text<'static>>> {
    list.map(|list| list.into_iter().map(text).collect())
}

fn forwarders(list: Option<Vec<Forwarder<'_>>>) -> Option<Vec<Forwarder<'static>>> {
    list.map(|list| list.into_iter().map(forwarder).collect())
}

/// One hop of `forward_for`.
pub(crate) fn forwarder(hop: Forwarder<'_>) -> Forwarder<'static> {
    Forwarder { session: hop.session, authid: maybe(hop.authid), authrole: text(hop.authrole) }
}

/// Passthru keys.
pub(crate) fn passthru(keys: Passthru<'_>) -> Passthru<'static> {
    Passthru {
        ppt_scheme: maybe(keys.ppt_scheme),
        ppt_serializer: maybe(keys.ppt_serializer),
        ppt_cipher: maybe(keys.ppt_cipher),
        ppt_keyid: maybe(keys.ppt_keyid),
        enc_algo: maybe(keys.enc_algo),
        enc_key: maybe(keys.enc_key),
        enc_serializer: maybe(keys.enc_serializer),
    }
}

/// `HELLO.Details`
pub(crate) fn hello(details: HelloDetails<'_>) -> HelloDetails<'static> {
    HelloDetails {
        roles: details.roles,
        agent: maybe(details.agent),
        authmethods: details.authmethods.into_iter().map(text).collect(),
        authid: maybe(details.authid),
        authrole: maybe(details.authrole),
        authextra: details.authextra,
        resumable: details.resumable,
        resume_session: details.resume_session,
        resume_token: maybe(details.resume_token),
    }
}

/// `PUBLISH.Options`
pub(crate) fn publish(options: PublishOptions<'_>) -> PublishOptions<'static> {
    PublishOptions {
        acknowledge: options.acknowledge,
        exclude_me: options.exclude_me,
        disclose_me: options.disclose_me,
        retain: options.retain,
        extra: options.extra.map(|extra| Box::new(publish_extra(*extra))),
    }
}

/// The rare keys of `PUBLISH.Options`.
pub(crate) fn publish_extra(extra: PublishExtra<'_>) -> PublishExtra<'static> {
    PublishExtra {
        exclude: extra.exclude,
        exclude_authid: texts(extra.exclude_authid),
        exclude_authrole: texts(extra.exclude_authrole),
        eligible: extra.eligible,
        eligible_authid: texts(extra.eligible_authid),
        eligible_authrole: texts(extra.eligible_authrole),
        rkey: maybe(extra.rkey),
        passthru: passthru(extra.passthru),
        transaction_hash: maybe(extra.transaction_hash),
        x_acknowledged_delivery: extra.x_acknowledged_delivery,
        forward_for: forwarders(extra.forward_for),
    }
}

/// `CALL.Options`
pub(crate) fn call_options(options: CallOptions<'_>) -> CallOptions<'static> {
    let own = |extra: Box<CallExtra<'_>>| {
        Box::new(CallExtra {
            rkey: maybe(extra.rkey),
            runmode: maybe(extra.runmode),
            passthru: passthru(extra.passthru),
            transaction_hash: maybe(extra.transaction_hash),
            forward_for: forwarders(extra.forward_for),
            caller: extra.caller,
            caller_authid: maybe(extra.caller_authid),
            caller_authrole: maybe(extra.caller_authrole),
        })
    };
    CallOptions {
        receive_progress: options.receive_progress,
        progress: options.progress,
        timeout_ms: options.timeout_ms,
        disclose_me: options.disclose_me,
        extra: options.extra.map(own),
    }
}

/// What of a callee's details reaches the caller: progress, passthru keys, and whom it was forwarded for.
pub(crate) fn result(details: ResultDetails<'_>) -> ResultDetails<'static> {
    ResultDetails {
        progress: details.progress,
        passthru: details.passthru.map(|keys| Box::new(passthru(*keys))),
        forward_for: forwarders(details.forward_for),
        ..ResultDetails::default()
    }
}

/// What of a callee's error details reaches the caller: passthru keys, and whom it was forwarded for.
pub(crate) fn error(details: ErrorDetails<'_>) -> ErrorDetails<'static> {
    ErrorDetails {
        passthru: details.passthru.map(|keys| Box::new(passthru(*keys))),
        forward_for: forwarders(details.forward_for),
        ..ErrorDetails::default()
    }
}
