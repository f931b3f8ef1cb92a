//! Testaments: what a session wants published when it is gone (wamp.md 2.3).

use crossring_codec::id::RequestId;
use crossring_codec::message::decode::decode;
use crossring_codec::message::{Message, PublishOptions};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::uri::{Match, is_restricted, is_valid, well_known};
use crossring_codec::value::{Dict, Value};

use super::arguments::{Names, Question};
use super::{Answer, Context, Failure, Reply, no_caller};
use crate::authz::Action;
use crate::control::permissions::Wanted;
use crate::held::wire_options;
use crate::letter::Parcel;
use crate::limits::{LIMIT_EXCEEDED, Limits};
use crate::owned;

const TOPIC: Names = &["topic"];
const SCOPE: Names = &["scope"];

/// A publication to come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Testament {
    /// Where it is published.
    pub(crate) topic: Box<str>,
    /// How; never acknowledged.
    pub(crate) options: PublishOptions<'static>,
    /// What.
    pub(crate) parcel: Parcel,
    /// Its size, for the limit.
    octets: u32,
}

impl Testament {
    /// Its options as they would be on the wire.
    pub(crate) fn wire_options(&self) -> Dict {
        let (options, topic) = (self.options.clone(), (*self.topic).into());
        let request = RequestId::from_random(0);
        wire_options(&Message::Publish { request, options, topic, payload: Payload::EMPTY })
    }
}

/// The testaments of a session, each bucket in the order of addition.
#[derive(Debug, Default)]
pub(crate) struct Testaments {
    detached: Vec<Testament>,
    destroyed: Vec<Testament>,
}

/// When a testament is published.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// When the transport is lost.
    Detached,
    /// When the session is gone.
    Destroyed,
}

impl Testaments {
    /// All testaments in the order of publication.
    pub(crate) fn into_ordered(self) -> impl Iterator<Item = Testament> {
        self.detached.into_iter().chain(self.destroyed)
    }

    /// Takes a bucket out.
    pub(crate) fn take(&mut self, scope: Scope) -> Vec<Testament> {
        std::mem::take(self.bucket_mut(scope))
    }

    fn bucket_mut(&mut self, scope: Scope) -> &mut Vec<Testament> {
        match scope {
            Scope::Detached => &mut self.detached,
            Scope::Destroyed => &mut self.destroyed,
        }
    }

    fn has_room(&self, new: &Testament, limits: &Limits) -> bool {
        let all = || self.detached.iter().chain(&self.destroyed);
        let octets: u64 = all().map(|known| u64::from(known.octets)).sum();
        all().count() < limits.testaments_per_session_max as usize
            && octets + u64::from(new.octets) <= u64::from(limits.testament_octets_per_session_max)
    }
}

/// `wamp.session.add_testament`
pub(super) fn add(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let topic = question.text(0, TOPIC)?;
    let scope = read_scope(question, 4)?;
    let testament = read(question, topic)?;
    let (address, session) = context.registry.session_by_id(question.caller).ok_or_else(no_caller)?;
    let (realm, role) = (session.identity.realm, session.identity.role);
    check_topic(context, topic)?;
    let wanted = Wanted { action: Action::Publish, uri: topic.into(), match_policy: Match::Exact };
    if !context.may(realm, role, wanted, || testament.wire_options())? {
        let text = format!("session not authorized to publish to topic '{topic}'");
        return Err(Failure::with_text(well_known::NOT_AUTHORIZED, text));
    }
    let limits = context.registry.limits().clone();
    let session = context.registry.session_mut(address).ok_or_else(no_caller)?;
    let testaments = &mut session.extras_mut().testaments;
    if !testaments.has_room(&testament, &limits) {
        let text = "too many testaments of one session".to_owned();
        return Err(Failure::with_text(LIMIT_EXCEEDED, text));
    }
    testaments.bucket_mut(scope).push(testament);
    Reply::none()
}

/// `wamp.session.flush_testaments`; how many there were.
pub(super) fn flush(context: &mut Context<'_>, question: &Question<'_>) -> Answer {
    let scope = read_scope(question, 0)?;
    let address = context.registry.session_by_id(question.caller).map(|(address, _)| address);
    let session = address.and_then(|address| context.registry.session_mut(address));
    let extras = session.and_then(|session| session.extras.as_mut());
    let flushed = extras.map(|extras| extras.testaments.take(scope)).unwrap_or_default();
    Reply::one(flushed.len() as u64)
}

fn read_scope(question: &Question<'_>, position: usize) -> Result<Scope, Failure> {
    match question.optional_text(position, SCOPE)? {
        None | Some("destroyed") => Ok(Scope::Destroyed),
        Some("detached") => Ok(Scope::Detached),
        Some(_) => Err(Failure::invalid_argument("scope must be destroyed or detached".to_owned())),
    }
}

fn check_topic(context: &Context<'_>, topic: &str) -> Result<(), Failure> {
    let strictness = context.registry.strictness(context.realm);
    let is_too_long = topic.len() > context.registry.limits().uri_size_max as usize;
    let text = if is_too_long || !is_valid(topic, Match::Exact, strictness) {
        format!("publish with invalid topic URI '{topic}'")
    } else if is_restricted(topic) {
        format!("publish with restricted topic URI '{topic}'")
    } else {
        return Ok(());
    };
    Err(Failure::with_text(well_known::INVALID_URI, text))
}

/// Options are read by the decoder of messages: what is wrong in PUBLISH is wrong here.
fn read(question: &Question<'_>, topic: &str) -> Result<Testament, Failure> {
    const PUBLISH: u64 = 16;
    let mut octets = Vec::new();
    let message = Value::List(vec![
        PUBLISH.into(),
        1.into(),
        Value::Dict(question.optional_dict(3, &["publish_options"])?),
        topic.into(),
        Value::List(question.list(1, &["args"])?),
        Value::Dict(question.dict(2, &["kwargs"])?),
    ]);
    message.encode(SerializerId::Cbor, &mut octets).map_err(|_| unreadable())?;
    match decode(SerializerId::Cbor, &octets) {
        Ok(Message::Publish { options, payload, .. }) => Ok(Testament {
            topic: topic.into(),
            options: PublishOptions { acknowledge: false, exclude_me: true, ..owned::publish(options) },
            parcel: Parcel::pack(&payload),
            octets: octets.len() as u32,
        }),
        Ok(_) => Err(unreadable()),
        Err(error) => Err(Failure::invalid_argument(error.to_string())),
    }
}

fn unreadable() -> Failure {
    Failure::invalid_argument("the testament cannot be published".to_owned())
}
