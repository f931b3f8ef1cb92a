//! Payloads that the application encodes, and that routers pass on without reading them.

use crossring_codec::error::{DecodeError, EncodeError};
use crossring_codec::message::{Passthru, Text};
use crossring_codec::payload::{Payload, Shape};
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_codec::value::{Dict, Value};

use super::super::check::{self, OptionFault};

/// Why an encoded payload cannot be read or made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PayloadFault {
    /// It is not octets.
    Octets(DecodeError),
    /// A message says that its payload is encoded, and carries none.
    Missing,
    /// A cipher or serializer that this program lacks.
    Unknown(String),
    /// A key that no router takes.
    Option(OptionFault),
    /// A value that the serializer lacks.
    Value(EncodeError),
}

impl std::fmt::Display for PayloadFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Octets(error) => error.fmt(f),
            Self::Missing => f.write_str("the payload is not the octets it is said to be"),
            Self::Unknown(name) => write!(f, "the payload is encoded by {name}"),
            Self::Option(fault) => fault.fmt(f),
            Self::Value(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PayloadFault {}

macro_rules! from {
    ($($source:ty => $variant:ident),+) => {$(
        impl From<$source> for PayloadFault {
            fn from(error: $source) -> Self {
                PayloadFault::$variant(error)
            }
        }
    )+};
}
from!(DecodeError => Octets, OptionFault => Option, EncodeError => Value);

/// A payload of Autobahn's payload transparency (`EncodedPayload`): octets in the place of Arguments.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EncodedPayload {
    payload: Vec<u8>,
    enc_algo: String,
    enc_serializer: Option<String>,
    enc_key: Option<String>,
}

impl EncodedPayload {
    /// Octets and how they came about. `enc_algo`: `cryptobox`, `mqtt`, `xbr` or `x_…`; `enc_serializer`: `json`, `msgpack`,
    /// `cbor`, `ubjson`, `flatbuffers` or `x_…`; `enc_key`: names the key.
    ///
    /// # Errors
    /// A name outside these lists.
    pub fn new(
        payload: Vec<u8>,
        enc_algo: impl Into<String>,
        enc_serializer: Option<String>,
        enc_key: Option<String>,
    ) -> Result<Self, OptionFault> {
        let encoded = Self { payload, enc_algo: enc_algo.into(), enc_serializer, enc_key };
        check::transparency(&encoded.passthru())?;
        Ok(encoded)
    }

    /// The payload of a message with these keys; `None` if it is not encoded.
    ///
    /// # Errors
    /// The keys say so, but the payload is something else.
    pub fn read(keys: &Passthru<'_>, payload: &Payload<'_>) -> Result<Option<Self>, PayloadFault> {
        let Some(enc_algo) = keys.enc_algo.as_deref() else { return Ok(None) };
        let octets = match payload.transparent()? {
            Some(Value::Binary(octets)) => octets,
            Some(Value::String(text)) => text.into_bytes(),
            _ => return Err(PayloadFault::Missing),
        };
        Ok(Some(Self {
            payload: octets,
            enc_algo: enc_algo.to_owned(),
            enc_serializer: keys.enc_serializer.as_deref().map(str::to_owned),
            enc_key: keys.enc_key.as_deref().map(str::to_owned),
        }))
    }

    /// `payload`: the octets.
    pub fn octets(&self) -> &[u8] {
        &self.payload
    }

    /// `enc_algo`: the algorithm.
    pub fn enc_algo(&self) -> &str {
        &self.enc_algo
    }

    /// `enc_serializer`: how the values were turned to octets.
    pub fn enc_serializer(&self) -> Option<&str> {
        self.enc_serializer.as_deref()
    }

    /// `enc_key`: the key, or its name.
    pub fn enc_key(&self) -> Option<&str> {
        self.enc_key.as_deref()
    }

    /// The keys that go into options.
    pub fn passthru(&self) -> Passthru<'static> {
        Passthru {
            enc_algo: Some(self.enc_algo.clone().into()),
            enc_serializer: self.enc_serializer.clone().map(Into::into),
            enc_key: self.enc_key.clone().map(Into::into),
            ..Passthru::default()
        }
    }

    /// The payload that goes into the message.
    ///
    /// # Errors
    /// None today: every serializer carries octets.
    pub fn to_payload(&self, serializer: SerializerId) -> Result<Payload<'static>, EncodeError> {
        let mut octets = Vec::new();
        Value::Binary(self.payload.clone()).encode(serializer, &mut octets)?;
        let arguments_size = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        let serializer = serializer.of_payloads();
        Ok(Payload { serializer, shape: Shape::Transparent, octets: octets.into(), arguments_size })
    }
}

/// A payload of the specification's passthru mode: Arguments is one binary, which holds the arguments in a serialization of
/// their own and possibly ciphered.
#[derive(Clone, Debug, PartialEq)]
pub struct PassthruPayload {
    octets: Vec<u8>,
    keys: Passthru<'static>,
}

impl PassthruPayload {
    /// Octets that the application has made. `keys.ppt_scheme`: `wamp`, `mqtt` or `x_…`.
    ///
    /// # Errors
    /// A name that the specification does not know, or a combination that it forbids.
    pub fn new(octets: Vec<u8>, keys: Passthru<'static>) -> Result<Self, OptionFault> {
        check::passthru_mode(&keys)?;
        match keys.ppt_scheme {
            Some(_) => Ok(Self { octets, keys }),
            None => Err(OptionFault { option: "ppt_scheme", rule: "needed with the other ppt options" }),
        }
    }

    /// Arguments in the serialization `serializer`, not ciphered.
    ///
    /// # Errors
    /// A scheme that the specification does not know or that needs more (`wamp`: a cipher is not made here, but CBOR is
    /// needed), or a value that JSON lacks.
    pub fn pack(
        scheme: &str,
        serializer: SerializerId,
        arguments: &[Value],
        keywords: &Dict,
    ) -> Result<Self, PayloadFault> {
        let content = vec![
            ("args".to_owned(), Value::List(arguments.to_vec())),
            ("kwargs".to_owned(), Value::Dict(keywords.clone())),
        ];
        let mut octets = Vec::new();
        Value::Dict(content).encode(serializer, &mut octets)?;
        let keys = Passthru {
            ppt_scheme: Some(scheme.to_owned().into()),
            ppt_serializer: Some(Serializer::plain(serializer).name().into()),
            ..Passthru::default()
        };
        Ok(Self::new(octets, keys)?)
    }

    /// The payload of a message with these keys; `None` if it is not in passthru mode.
    ///
    /// # Errors
    /// The keys say so, but the payload is not one binary argument.
    pub fn read(keys: &Passthru<'_>, payload: &Payload<'_>) -> Result<Option<Self>, PayloadFault> {
        if keys.ppt_scheme.is_none() {
            return Ok(None);
        }
        let own = |text: &Option<Text<'_>>| text.as_deref().map(|it| it.to_owned().into());
        let octets = match <[Value; 1]>::try_from(payload.arguments()?) {
            Ok([Value::Binary(octets)]) => octets,
            Ok([Value::String(text)]) => text.into_bytes(),
            _ => return Err(PayloadFault::Missing),
        };
        let keys = Passthru {
            ppt_scheme: own(&keys.ppt_scheme),
            ppt_serializer: own(&keys.ppt_serializer),
            ppt_cipher: own(&keys.ppt_cipher),
            ppt_keyid: own(&keys.ppt_keyid),
            ..Passthru::default()
        };
        Ok(Some(Self { octets, keys }))
    }

    /// The arguments inside, when they are not ciphered. `native` means the serializer of the session they came through.
    ///
    /// # Errors
    /// A cipher, a serializer unknown here, or octets that are not what they are said to be.
    pub fn unpack(&self, native: SerializerId) -> Result<(Vec<Value>, Dict), PayloadFault> {
        if let Some(cipher) = self.keys.ppt_cipher.as_deref() {
            return Err(PayloadFault::Unknown(cipher.to_owned()));
        }
        let serializer = match self.keys.ppt_serializer.as_deref() {
            None | Some("native") => native,
            Some(name) => match Serializer::from_name(name) {
                Some(Serializer { id, batched: false }) => id,
                _ => return Err(PayloadFault::Unknown(name.to_owned())),
            },
        };
        let content = Value::decode(serializer, &self.octets)?;
        let arguments = match content.get("args") {
            Some(Value::List(arguments)) => arguments.clone(),
            None | Some(Value::Null) => Vec::new(),
            Some(_) => return Err(PayloadFault::Missing),
        };
        match content.get("kwargs") {
            Some(Value::Dict(keywords)) => Ok((arguments, keywords.clone())),
            None | Some(Value::Null) => Ok((arguments, Dict::new())),
            Some(_) => Err(PayloadFault::Missing),
        }
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The keys that go into options.
    pub fn passthru(&self) -> Passthru<'static> {
        self.keys.clone()
    }

    /// The payload that goes into the message.
    pub fn to_payload(&self, serializer: SerializerId) -> Payload<'static> {
        Payload::from_values(serializer, &[Value::Binary(self.octets.clone())], &Dict::new())
    }
}
