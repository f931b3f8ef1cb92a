//! Test vectors: the official ones of the WAMP specification where they are at hand, and our own in the same format.
//!
//! The official ones are looked for in `$WAMP_VECTORS` and in `shared/vectors` beside the repository.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crossring_codec::message::decode::decode;
use crossring_codec::message::encode::encode;
use crossring_codec::message::{Message, MessageType};
use crossring_codec::serializer::SerializerId;
use serde_json::{Map, Value as Json};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn official_vectors() {
    let Some(folder) = official_folder() else {
        eprintln!(
            "skipped: neither $WAMP_VECTORS nor shared/vectors beside the repository holds test vectors"
        );
        return;
    };
    let mut count = Count::default();
    for file in files(&folder.join("singlemessage")) {
        count.run_file(&file);
    }
    assert!(count.messages >= 5 * 35 && count.valid >= 39 && count.invalid >= 28, "{count:?}");
}

#[test]
fn own_vectors() {
    let mut count = Count::default();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")) {
        count.run_file(&file);
    }
    assert!(count.messages > 0 && count.valid > 0 && count.invalid > 0, "{count:?}");
}

fn official_folder() -> Option<PathBuf> {
    let named = std::env::var_os("WAMP_VECTORS").map(PathBuf::from);
    let beside = ["../shared/vectors", "../../shared/vectors"].map(|path| Path::new(REPOSITORY).join(path));
    named.into_iter().chain(beside).find(|folder| folder.join("singlemessage").is_dir())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of vectors") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[derive(Debug, Default)]
struct Count {
    messages: usize,
    valid: usize,
    invalid: usize,
}

impl Count {
    fn run_file(&mut self, path: &Path) {
        let text = std::fs::read_to_string(path).expect("a readable vector");
        let file: Json = serde_json::from_str(&text).expect("a vector in JSON");
        for sample in file["samples"].as_array().expect("samples") {
            let name = format!("{}: {}", path.display(), sample["description"]);
            if sample.get("wmsg").is_some() {
                self.run_validation(&name, sample);
            } else {
                self.run_serialization(&name, sample);
            }
        }
    }

    fn run_validation(&mut self, name: &str, sample: &Json) {
        let octets = sample["wmsg"].to_string();
        let decoded = decode(SerializerId::Json, octets.as_bytes());
        match sample.get("expected_error").filter(|error| !error.is_null()) {
            None => {
                self.valid += 1;
                assert!(decoded.is_ok(), "{name}: {decoded:?}");
            }
            Some(wanted) => {
                self.invalid += 1;
                let error = decoded.expect_err(name);
                let word = wanted["contains"].as_str().unwrap_or_default();
                assert!(!error.is_undecodable() && error.to_string().contains(word), "{name}: {error}");
            }
        }
    }

    fn run_serialization(&mut self, name: &str, sample: &Json) {
        for (key, serializer) in [
            ("json", SerializerId::Json),
            ("msgpack", SerializerId::MessagePack),
            ("cbor", SerializerId::Cbor),
            ("ubjson", SerializerId::Ubjson),
            ("ubjson", SerializerId::Bjdata),
            ("flatbuffers", SerializerId::FlatBuffers),
        ] {
            let Some(variants) = sample["serializers"][key].as_array() else { continue };
            let mut expected = sample["expected_attributes"].clone();
            if serializer == SerializerId::FlatBuffers {
                // Autobahn leaves them out.
                expected.as_object_mut().and_then(|attributes| attributes.remove("roles"));
            }
            let variants = variants.iter().filter(|variant| is_dialect(variant, serializer));
            let variants: Vec<_> = variants.map(octets_of).collect();
            let encodings: Vec<_> = variants
                .iter()
                .map(|octets| {
                    let message =
                        decode(serializer, octets).unwrap_or_else(|error| panic!("{name}: {error}"));
                    check_attributes(name, &message, &expected);
                    encoded(serializer, &message)
                })
                .collect();
            if serializer == SerializerId::FlatBuffers {
                // Tables may lie in any order.
                let read = |octets: &Vec<u8>| decode(serializer, octets).map(Message::into_owned);
                assert!(encodings.iter().map(read).eq(variants.iter().map(read)), "{name}");
                self.messages += 1;
                continue;
            }
            assert!(
                encodings.iter().all(|octets| variants.contains(octets)),
                "{name}: {key} encodes differently: {}",
                String::from_utf8_lossy(&encodings[0])
            );
            self.messages += 1;
        }
    }
}

/// Two dialects share the key `ubjson`; a note tells them apart.
fn is_dialect(variant: &Json, serializer: SerializerId) -> bool {
    let note = variant["note"].as_str().unwrap_or_default();
    match serializer {
        SerializerId::Ubjson => note.starts_with("UBJSON"),
        SerializerId::Bjdata => note.starts_with("BJData"),
        _ => true,
    }
}

fn octets_of(variant: &Json) -> Vec<u8> {
    let text = |key| variant.get(key).and_then(Json::as_str);
    match (text("bytes_hex"), text("bytes_base64"), text("bytes")) {
        (Some(hex), ..) => octets_of_hex(hex),
        (_, Some(base64), _) => STANDARD.decode(base64).expect("base64"),
        (.., Some(text)) => text.as_bytes().to_vec(),
        _ => panic!("no octets in {variant}"),
    }
}

fn octets_of_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).expect("hex") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn encoded(serializer: SerializerId, message: &Message<'_>) -> Vec<u8> {
    let mut octets = Vec::new();
    encode(serializer, message, &mut octets).expect("encodable");
    octets
}

/// Compares the message, seen through JSON, with the attributes that the vector expects.
fn check_attributes(name: &str, message: &Message<'_>, expected: &Json) {
    let elements: Vec<Json> =
        serde_json::from_slice(&encoded(SerializerId::Json, message)).expect("valid JSON");
    let mut found = Map::new();
    for (element, value) in layout(message.message_type()).iter().zip(elements) {
        match (*element, &value) {
            ("args", Json::String(text)) => {
                found.insert("payload".into(), hex_of(text).into());
            }
            ("details", details) if details.get("roles").is_some() => {
                found.insert("roles".into(), details["roles"].clone());
            }
            _ => {
                found.insert(element.to_string(), value);
            }
        }
    }
    for (attribute, wanted) in expected.as_object().expect("attributes") {
        let attribute = match attribute.as_str() {
            "subscription_id" => "subscription",
            "publication_id" => "publication",
            "registration_id" => "registration",
            "session_id" => "session",
            "request_id" => "request",
            attribute => attribute,
        };
        let value = found.get(attribute).unwrap_or(&Json::Null);
        assert_eq!(value, wanted, "{name}: {attribute}");
    }
}

fn hex_of(text: &str) -> String {
    let octets = STANDARD.decode(text.strip_prefix('\0').expect("binary")).expect("base64");
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn layout(message_type: MessageType) -> &'static [&'static str] {
    match message_type {
        MessageType::Hello => &["message_type", "realm", "details"],
        MessageType::Welcome => &["message_type", "session", "details"],
        MessageType::Abort | MessageType::Goodbye => &["message_type", "details", "reason"],
        MessageType::Challenge => &["message_type", "method", "extra"],
        MessageType::Authenticate => &["message_type", "signature", "extra"],
        MessageType::Error => {
            &["message_type", "request_type", "request", "details", "error", "args", "kwargs"]
        }
        MessageType::Publish => &["message_type", "request", "options", "topic", "args", "kwargs"],
        MessageType::Published => &["message_type", "request", "publication"],
        MessageType::Subscribe => &["message_type", "request", "options", "topic"],
        MessageType::Subscribed | MessageType::Unsubscribe => &["message_type", "request", "subscription"],
        MessageType::Unsubscribed | MessageType::Unregistered => &["message_type", "request", "details"],
        MessageType::Event => &["message_type", "subscription", "publication", "details", "args", "kwargs"],
        MessageType::EventReceived => &["message_type", "publication"],
        MessageType::Call => &["message_type", "request", "options", "procedure", "args", "kwargs"],
        MessageType::Cancel | MessageType::Interrupt => &["message_type", "request", "options"],
        MessageType::Result => &["message_type", "request", "details", "args", "kwargs"],
        MessageType::Register => &["message_type", "request", "options", "procedure"],
        MessageType::Registered | MessageType::Unregister => &["message_type", "request", "registration"],
        MessageType::Invocation => &["message_type", "request", "registration", "details", "args", "kwargs"],
        MessageType::Yield => &["message_type", "request", "options", "args", "kwargs"],
    }
}
