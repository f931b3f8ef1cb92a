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
    /// UBJSON draft 12: big-endian.
    Ubjson = 3,
    /// BJData draft 4: the little-endian successor of UBJSON, under the same names on the wire.
    Bjdata = 4,
    /// WAMP-FlatBuffers as Autobahn has it; payloads within are CBOR.
    FlatBuffers = 5,
}

impl SerializerId {
    /// Number of serializer ids; `self as usize` is below it, so tables can be arrays.
    pub const COUNT: usize = 6;

    /// Every serializer id, in discriminant order.
    pub const ALL: [SerializerId; SerializerId::COUNT] = [
        SerializerId::Json,
        SerializerId::MessagePack,
        SerializerId::Cbor,
        SerializerId::Ubjson,
        SerializerId::Bjdata,
        SerializerId::FlatBuffers,
    ];

    /// The serializer of the payloads within.
    pub const fn of_payloads(self) -> SerializerId {
        match self {
            SerializerId::FlatBuffers => SerializerId::Cbor,
            id => id,
        }
    }
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
    /// `wamp.2.ubjson`, RawSocket id 4: of the two dialects the one that current peers speak.
    pub const BJDATA: Serializer = Serializer::plain(SerializerId::Bjdata);
    /// `wamp.2.ubjson`, RawSocket id 4: the dialect of Autobahn before 26.6.
    pub const UBJSON: Serializer = Serializer::plain(SerializerId::Ubjson);
    /// `wamp.2.flatbuffers`, RawSocket id 5.
    pub const FLATBUFFERS: Serializer = Serializer::plain(SerializerId::FlatBuffers);
    /// `wamp.2.json.batched`.
    pub const JSON_BATCHED: Serializer = Serializer::batched(SerializerId::Json);
    /// `wamp.2.msgpack.batched`.
    pub const MESSAGE_PACK_BATCHED: Serializer = Serializer::batched(SerializerId::MessagePack);
    /// `wamp.2.cbor.batched`.
    pub const CBOR_BATCHED: Serializer = Serializer::batched(SerializerId::Cbor);
    /// `wamp.2.flatbuffers.batched`, framed as the others; Autobahn has none.
    pub const FLATBUFFERS_BATCHED: Serializer = Serializer::batched(SerializerId::FlatBuffers);
    /// `wamp.2.ubjson.batched`, current dialect.
    pub const BJDATA_BATCHED: Serializer = Serializer::batched(SerializerId::Bjdata);
    /// `wamp.2.ubjson.batched`, old dialect.
    pub const UBJSON_BATCHED: Serializer = Serializer::batched(SerializerId::Ubjson);

    /// Every serializer, in the order Autobahn|Python offers them (most compact first). Of two dialects under one name on the
    /// wire the first is assumed until a peer's messages tell.
    pub const ALL: [Serializer; 2 * SerializerId::COUNT] = [
        Serializer::CBOR_BATCHED,
        Serializer::CBOR,
        Serializer::MESSAGE_PACK_BATCHED,
        Serializer::MESSAGE_PACK,
        Serializer::BJDATA_BATCHED,
        Serializer::BJDATA,
        Serializer::UBJSON_BATCHED,
        Serializer::UBJSON,
        Serializer::FLATBUFFERS_BATCHED,
        Serializer::FLATBUFFERS,
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
            (SerializerId::FlatBuffers, false) => "wamp.2.flatbuffers",
            (SerializerId::FlatBuffers, true) => "wamp.2.flatbuffers.batched",
            (SerializerId::Ubjson | SerializerId::Bjdata, false) => "wamp.2.ubjson",
            (SerializerId::Ubjson | SerializerId::Bjdata, true) => "wamp.2.ubjson.batched",
        }
    }

    /// The name that peers know it by: the subprotocol without `wamp.2.`. The two dialects share theirs.
    pub fn wire_name(self) -> &'static str {
        &self.subprotocol()["wamp.2.".len()..]
    }

    /// The name used in configurations and on command lines: the subprotocol without `wamp.2.`, unless that means another
    /// dialect.
    pub const fn name(self) -> &'static str {
        match (self.id, self.batched) {
            (SerializerId::Json, false) => "json",
            (SerializerId::Json, true) => "json.batched",
            (SerializerId::MessagePack, false) => "msgpack",
            (SerializerId::MessagePack, true) => "msgpack.batched",
            (SerializerId::Cbor, false) => "cbor",
            (SerializerId::Cbor, true) => "cbor.batched",
            (SerializerId::FlatBuffers, false) => "flatbuffers",
            (SerializerId::FlatBuffers, true) => "flatbuffers.batched",
            (SerializerId::Bjdata, false) => "ubjson",
            (SerializerId::Bjdata, true) => "ubjson.batched",
            (SerializerId::Ubjson, false) => "ubjson-draft12",
            (SerializerId::Ubjson, true) => "ubjson-draft12.batched",
        }
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
            SerializerId::Ubjson | SerializerId::Bjdata => 4,
            SerializerId::FlatBuffers => 5,
        }
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

    /// The member of a WebSocket subprotocol, the first of several; none if unknown. Names compare exactly (RFC 6455 §4.1).
    pub fn by_subprotocol(self, subprotocol: &str) -> Option<Serializer> {
        self.iter().find(|serializer| serializer.subprotocol() == subprotocol)
    }

    /// The (never batched) member of a RawSocket nibble, the first of several; none if illegal, reserved or unknown.
    pub fn by_rawsocket_id(self, id: u8) -> Option<Serializer> {
        self.iter().find(|serializer| !serializer.batched && serializer.rawsocket_id() == id)
    }

    /// The WebSocket subprotocols of the members, each once, though several may have the same.
    pub fn subprotocols(self) -> impl Iterator<Item = &'static str> {
        let is_first = move |member: &Serializer| self.by_subprotocol(member.subprotocol()) == Some(*member);
        self.iter().filter(is_first).map(Serializer::subprotocol)
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
    fn each_subprotocol_is_told_once() {
        let told: Vec<&str> = SerializerSet::ALL.subprotocols().collect();
        assert_eq!(told.iter().filter(|name| **name == "wamp.2.ubjson").count(), 1);
        assert_eq!(told.len(), 10);
    }

    #[test]
    fn names_and_ids_read_back() {
        for serializer in Serializer::ALL {
            assert_eq!(Serializer::from_name(serializer.name()), Some(serializer));
            let only = SerializerSet::NONE.with(serializer);
            assert_eq!(only.by_subprotocol(serializer.subprotocol()), Some(serializer));
            let plain = Serializer::plain(serializer.id);
            assert_eq!(SerializerSet::NONE.with(plain).by_rawsocket_id(plain.rawsocket_id()), Some(plain));
        }
    }

    #[test]
    fn the_current_dialect_comes_first() {
        assert_eq!(SerializerSet::ALL.by_subprotocol("wamp.2.ubjson"), Some(Serializer::BJDATA));
        assert_eq!(SerializerSet::ALL.by_rawsocket_id(4), Some(Serializer::BJDATA));
        for serializer in Serializer::ALL {
            let name = serializer.name();
            assert!(name.contains("draft12") || serializer.subprotocol() == format!("wamp.2.{name}"));
        }
    }

    #[test]
    fn unknown_names_and_ids_are_refused() {
        for name in ["", "wamp.2.", "wamp.2.JSON", "wamp.1.json", "json", "wamp.2.json.batched.batched"] {
            assert_eq!(SerializerSet::ALL.by_subprotocol(name), None, "{name}");
        }
        for id in [0, 6, 15, 255] {
            assert_eq!(SerializerSet::ALL.by_rawsocket_id(id), None, "{id}");
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
