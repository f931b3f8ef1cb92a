//! Messages with payloads of a given size and shape.

use crossring_codec::id::{PublicationId, RequestId, SubscriptionId};
use crossring_codec::message::encode::encode;
use crossring_codec::message::{EventDetails, Message, PublishOptions};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};

/// Payload sizes of the benchmarks, in octets, about: the serializers differ a little.
pub const SIZES: [usize; 4] = [16, 256, 4096, 65_536];

/// What a payload is made of.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// One long text.
    Text,
    /// Small objects in each other and side by side: numbers, short texts, lists.
    Objects,
}

impl Content {
    /// Both.
    pub const ALL: [Content; 2] = [Content::Text, Content::Objects];

    /// The name in the benchmarks' ids.
    pub const fn name(self) -> &'static str {
        match self {
            Content::Text => "text",
            Content::Objects => "objects",
        }
    }

    /// The arguments of a message, about `size` octets long when encoded.
    pub fn arguments(self, size: usize) -> Vec<Value> {
        match self {
            Content::Text => vec![Value::String("abcdefgh".chars().cycle().take(size).collect())],
            Content::Objects => (0..(size / OBJECT_SIZE).max(1) as i128).map(object).collect(),
        }
    }
}

/// What one object of [`Content::Objects`] takes in JSON, about.
const OBJECT_SIZE: usize = 96;

fn object(number: i128) -> Value {
    let position = Value::List(vec![Value::Float(0.5 + number as f64), Value::Float(-12.25)]);
    let inner = vec![("position".to_owned(), position), ("is_valid".to_owned(), Value::Bool(true))];
    Value::Dict(vec![
        ("id".to_owned(), Value::Integer(1_000_000 + number)),
        ("name".to_owned(), Value::String("sensor".to_owned())),
        ("state".to_owned(), Value::Dict(inner)),
        ("parent".to_owned(), Value::Null),
    ])
}

/// A payload of about `size` octets.
pub fn payload(serializer: SerializerId, content: Content, size: usize) -> Payload<'static> {
    Payload::from_values(serializer, &content.arguments(size), &Dict::new())
}

/// A PUBLISH.
pub fn publish<'a>(request: u64, topic: &'a str, payload: Payload<'a>) -> Message<'a> {
    let request = RequestId::new(request).expect("requests count from 1");
    Message::Publish { request, options: PublishOptions::default(), topic: topic.into(), payload }
}

/// An EVENT.
pub fn event(payload: Payload<'_>) -> Message<'_> {
    Message::Event {
        subscription: SubscriptionId::new(4711).expect("an id"),
        publication: PublicationId::new(1_234_567_890_123).expect("an id"),
        details: EventDetails::default(),
        payload,
    }
}

/// The octets of a message.
pub fn encoded(serializer: SerializerId, message: &Message<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    encode(serializer, message, &mut octets).expect("the benchmarks' values suit every serializer");
    octets
}
