//! The serializers and the names the transports negotiate them by.
//!
//! A serializer here is a *name*, never an encoder: the encoders live beside it, one module each.

use std::fmt;

/// The encoding of one WAMP message, whatever the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SerializerId {
    /// RFC 8259 text; binary values as `"\0"` + Base64.
    Json = 0,
    /// MessagePack version 5 (str and bin distinct).
    MessagePack = 1,
    /// RFC 8949.
    Cbor = 2,
}

impl SerializerId {
    /// Number of serializer ids; `self as usize` is below it, so tables can be arrays.
    pub const COUNT: usize = 3;

    /// Every serializer id, in discriminant order.
    pub const ALL: [SerializerId; SerializerId::COUNT] =
        [SerializerId::Json, SerializerId::MessagePack, SerializerId::Cbor];
}

/// A negotiated serializer: the encoding, and whether several messages share one WebSocket message.
///
/// RawSocket has no batched variants: there `batched` is always false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serializer {
    /// The encoding of each message.
    pub id: SerializerId,
    /// Whether one WebSocket message carries a batch (subprotocols `wamp.2.*.batched`).
    pub batched: bool,
}

impl Serializer {
    /// `wamp.2.json`, RawSocket id 1.
    pub const JSON: Serializer = Serializer::plain(SerializerId::Json);
    /// `wamp.2.msgpack`, RawSocket id 2.
    pub const MESSAGE_PACK: Serializer = Serializer::plain(SerializerId::MessagePack);
    /// `wamp.2.cbor`, RawSocket id 3.
    pub const CBOR: Serializer = Serializer::plain(SerializerId::Cbor);
    /// `wamp.2.json.batched`.
    pub const JSON_BATCHED: Serializer = Serializer::batched(SerializerId::Json);
    /// `wamp.2.msgpack.batched`.
    pub const MESSAGE_PACK_BATCHED: Serializer = Serializer::batched(SerializerId::MessagePack);
    /// `wamp.2.cbor.batched`.
    pub const CBOR_BATCHED: Serializer = Serializer::batched(SerializerId::Cbor);

    /// Every serializer, in the order Autobahn|Python offers them (most compact first).
    pub const ALL: [Serializer; 6] = [
        Serializer::CBOR_BATCHED,
        Serializer::CBOR,
        Serializer::MESSAGE_PACK_BATCHED,
        Serializer::MESSAGE_PACK,
        Serializer::JSON_BATCHED,
        Serializer::JSON,
    ];

    /// The serializer `id` with one message per transport message.
    pub const fn plain(id: SerializerId) -> Serializer {
        Serializer { id, batched: false }
    }

    /// The serializer `id` with several messages per WebSocket message.
    pub const fn batched(id: SerializerId) -> Serializer {
        Serializer { id, batched: true }
    }

    /// The WebSocket subprotocol, as in `Sec-WebSocket-Protocol`.
    pub const fn subprotocol(self) -> &'static str {
        match (self.id, self.batched) {
            (SerializerId::Json, false) => "wamp.2.json",
            (SerializerId::Json, true) => "wamp.2.json.batched",
            (SerializerId::MessagePack, false) => "wamp.2.msgpack",
            (SerializerId::MessagePack, true) => "wamp.2.msgpack.batched",
            (SerializerId::Cbor, false) => "wamp.2.cbor",
            (SerializerId::Cbor, true) => "wamp.2.cbor.batched",
        }
    }

    /// The serializer of a WebSocket subprotocol; none if unknown. Names compare exactly (RFC 6455 §4.1).
    pub fn from_subprotocol(subprotocol: &str) -> Option<Serializer> {
        Serializer::from_name(subprotocol.strip_prefix("wamp.2.")?)
    }

    /// The name used in configurations and on command lines: the subprotocol without `wamp.2.`.
    pub fn name(self) -> &'static str {
        &self.subprotocol()["wamp.2.".len()..]
    }

    /// The serializer of a configuration name such as `cbor` or `cbor.batched`; none if unknown.
    pub fn from_name(name: &str) -> Option<Serializer> {
        Serializer::ALL.into_iter().find(|serializer| serializer.name() == name)
    }

    /// The RawSocket serializer nibble, 1..=15.
    pub const fn rawsocket_id(self) -> u8 {
        match self.id {
            SerializerId::Json => 1,
            SerializerId::MessagePack => 2,
            SerializerId::Cbor => 3,
        }
    }

    /// The (never batched) serializer of a RawSocket nibble; none if illegal, reserved or unknown.
    pub fn from_rawsocket_id(id: u8) -> Option<Serializer> {
        SerializerId::ALL
            .into_iter()
            .map(Serializer::plain)
            .find(|serializer| serializer.rawsocket_id() == id)
    }

    /// Whether messages are UTF-8 text: they travel in WebSocket text messages, all others in binary ones.
    pub const fn is_text(self) -> bool {
        matches!(self.id, SerializerId::Json)
    }

    const fn bit(self) -> u16 {
        1 << ((self.id as u16) << 1 | self.batched as u16)
    }
}

impl fmt::Display for Serializer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The serializers a listener accepts. Unordered: the order of the client's offer decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerializerSet(u16);

impl SerializerSet {
    /// No serializer.
    pub const NONE: SerializerSet = SerializerSet(0);

    /// Every serializer, plain and batched.
    pub const ALL: SerializerSet = SerializerSet((1 << (2 * SerializerId::COUNT)) - 1);

    /// This set and `serializer`.
    pub const fn with(self, serializer: Serializer) -> SerializerSet {
        SerializerSet(self.0 | serializer.bit())
    }

    /// Whether `serializer` is in the set.
    pub const fn contains(self, serializer: Serializer) -> bool {
        self.0 & serializer.bit() != 0
    }

    /// The members, in the order of [`Serializer::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Serializer> {
        Serializer::ALL.into_iter().filter(move |serializer| self.contains(*serializer))
    }
}

impl FromIterator<Serializer> for SerializerSet {
    fn from_iter<I: IntoIterator<Item = Serializer>>(serializers: I) -> SerializerSet {
        serializers.into_iter().fold(SerializerSet::NONE, SerializerSet::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_read_back() {
        for serializer in Serializer::ALL {
            assert_eq!(Serializer::from_subprotocol(serializer.subprotocol()), Some(serializer));
            assert_eq!(Serializer::from_name(serializer.name()), Some(serializer));
            let plain = Serializer::plain(serializer.id);
            assert_eq!(Serializer::from_rawsocket_id(serializer.rawsocket_id()), Some(plain));
        }
    }

    #[test]
    fn unknown_names_and_ids_are_refused() {
        for name in ["", "wamp.2.", "wamp.2.JSON", "wamp.1.json", "json", "wamp.2.json.batched.batched"] {
            assert_eq!(Serializer::from_subprotocol(name), None, "{name}");
        }
        for id in [0, 4, 5, 15, 255] {
            assert_eq!(Serializer::from_rawsocket_id(id), None, "{id}");
        }
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = SerializerSet::from_iter([Serializer::JSON, Serializer::CBOR_BATCHED]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Serializer::CBOR_BATCHED, Serializer::JSON]);
        assert_eq!(SerializerSet::ALL.iter().count(), Serializer::ALL.len());
        assert_eq!(SerializerSet::NONE.iter().count(), 0);
    }
}
