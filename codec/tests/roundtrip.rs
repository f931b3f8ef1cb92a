//! The fuzz bodies on seeded octets: generated messages, and messages that were tampered with.

#![forbid(unsafe_code)]

use crossring_codec::fuzzing::{self, Generator};
use crossring_codec::message::encode::encode;
use crossring_codec::serializer::SerializerId;
use proptest::collection::vec;
use proptest::prelude::*;

/// Octets that a generator makes a message of.
fn seeds() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..400)
}

/// What happens to octets on their way.
#[derive(Clone, Debug)]
enum Damage {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
    /// Repeats a part.
    Double(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    use prop::sample::Index;
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, octet)| Damage::Replace(at, octet)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, octet)| Damage::Insert(at, octet)),
        2 => any::<Index>().prop_map(Damage::Remove),
        1 => any::<Index>().prop_map(Damage::Cut),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Double(from, to)),
    ]
}

fn damaged(mut octets: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if octets.is_empty() {
            break;
        }
        let length = octets.len();
        match damage {
            Damage::Replace(at, octet) => octets[at.index(length)] = *octet,
            Damage::Insert(at, octet) => octets.insert(at.index(length), *octet),
            Damage::Remove(at) => drop(octets.remove(at.index(length))),
            Damage::Cut(at) => octets.truncate(at.index(length)),
            Damage::Double(from, to) => {
                let (from, to) = (from.index(length), to.index(length));
                let part = octets[from.min(to)..from.max(to)].to_vec();
                octets.splice(to..to, part);
            }
        }
    }
    octets
}

fn encoded(serializer: SerializerId, seed: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    encode(serializer, &Generator::new(seed).message(serializer), &mut octets).expect("encodable");
    octets
}

/// A message in WAMP-FlatBuffers, if it has a form there.
fn in_tables(seed: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let message = Generator::new(seed).message(SerializerId::FlatBuffers);
    encode(SerializerId::FlatBuffers, &message, &mut octets).ok().map(|()| octets)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn messages_read_back(seed in seeds()) {
        fuzzing::roundtrip(&seed);
    }

    #[test]
    fn messages_in_tables_read_back(seed in seeds()) {
        fuzzing::roundtrip_flatbuffers(&seed);
    }

    #[test]
    fn payloads_survive_transcoding(seed in seeds()) {
        fuzzing::transcode(&seed);
    }

    #[test]
    fn damaged_messages_do_no_harm(seed in seeds(), damages in vec(damage(), 0..6)) {
        fuzzing::decode_json(&damaged(encoded(SerializerId::Json, &seed), &damages));
        fuzzing::decode_msgpack(&damaged(encoded(SerializerId::MessagePack, &seed), &damages));
        fuzzing::decode_cbor(&damaged(encoded(SerializerId::Cbor, &seed), &damages));
        fuzzing::decode_ubjson(&damaged(encoded(SerializerId::Ubjson, &seed), &damages));
        if let Some(octets) = in_tables(&seed) {
            fuzzing::decode_flatbuffers(&damaged(octets, &damages));
        }
        fuzzing::decode_ubjson(&damaged(encoded(SerializerId::Bjdata, &seed), &damages));
    }

    #[test]
    fn any_octets_do_no_harm(octets in vec(any::<u8>(), 0..200)) {
        fuzzing::decode_json(&octets);
        fuzzing::decode_msgpack(&octets);
        fuzzing::decode_cbor(&octets);
        fuzzing::decode_ubjson(&octets);
        fuzzing::decode_flatbuffers(&octets);
    }

    #[test]
    fn skimming_agrees_with_reading(seed in seeds(), damages in vec(damage(), 0..4)) {
        fuzzing::skim_agrees_with_decode(&seed);
        for serializer in SerializerId::ALL.into_iter().filter(|id| *id != SerializerId::FlatBuffers) {
            fuzzing::skim_agrees_with_decode(&damaged(encoded(serializer, &seed), &damages));
        }
    }
}

/// Every message type comes up: the first octet is the request id, the second the type.
#[test]
fn every_message_type_reads_back() {
    for message_type in 0..25 {
        for filling in 0..=255 {
            let mut seed = vec![0, message_type];
            seed.resize(120, filling);
            fuzzing::roundtrip(&seed);
            fuzzing::roundtrip_flatbuffers(&seed);
        }
    }
}

/// Found by fuzzing.
#[test]
fn an_empty_payload_is_not_an_absent_one() {
    let seed = [
        0xfb, 0xbf, 0x01, 0xff, 0xff, 0x00, 0xff, 0x9f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x38, 0xff, 0x00, 0x3f,
    ];
    fuzzing::roundtrip_flatbuffers(&seed);
}
