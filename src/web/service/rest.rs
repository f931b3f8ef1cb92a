//! `publisher`, `caller` and `webhook`: WAMP for those who only speak HTTP.

use bytes::Bytes;
use crossring_codec::id::SessionId;
use crossring_codec::message::PublishOptions;
use crossring_codec::serializer::SerializerId;
use crossring_codec::value::{Dict, Value};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};

use super::body::{self, BodyError};
use super::signature::Signatures;
use super::{allow_cross_origin, preflight, with_type};
use crate::web::bridge::{Bridge, Refusal};
use crate::web::{Peer, Request, Response};

/// Longest body of a request where nothing shorter is configured, in octets.
const BODY_SIZE_MAX: usize = 1 << 20;

/// A service that turns requests into calls or publications.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) deed: Deed,
    pub(crate) bridge: Bridge,
    pub(crate) admission: Admission,
}

/// What is done with a request.
#[derive(Debug)]
pub(crate) enum Deed {
    Publish,
    Call,
    /// Publishes head and body as they are.
    Hook(Hook),
}

/// What a webhook publishes, and how it answers.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) topic: String,
    pub(crate) success: String,
    pub(crate) failure: String,
    /// The secret of GitHub's signature.
    pub(crate) github_secret: Option<crossring_router::config::Secret>,
}

/// Who may ask.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    pub(crate) requires_tls: bool,
    /// Empty: from anywhere.
    pub(crate) networks: Vec<Network>,
    /// Octets; 0: [`BODY_SIZE_MAX`].
    pub(crate) body_size_max: usize,
    pub(crate) signatures: Signatures,
}

/// Addresses that begin with the same bits.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Network {
    address: std::net::IpAddr,
    bits: u8,
}

impl Network {
    /// `10.0.0.1`, `10.0.0.0/8`, `fe80::/10`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: std::net::IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(self, address: std::net::IpAddr) -> bool {
        let octets = |address: std::net::IpAddr| match address {
            std::net::IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            std::net::IpAddr::V6(address) => address.to_bits(),
        };
        let differing = (octets(address) ^ octets(self.address)).leading_zeros();
        address.is_ipv4() == self.address.is_ipv4() && differing >= u32::from(self.bits)
    }
}

/// Why a request is not performed: status and text.
pub(super) struct Fault(pub(super) StatusCode, pub(super) String);

impl Fault {
    fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }
}

impl Rest {
    pub(super) async fn answer(&self, peer: &Peer, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let request = hyper::Request::from_parts(parts, ());
        let mut response = match *request.method() {
            Method::OPTIONS => preflight(request.headers(), "POST,PUT,OPTIONS"),
            Method::POST | Method::PUT => match self.perform(peer, &request, body).await {
                Ok(response) => response,
                Err(Fault(status, text)) => failure(status, &text, &[], &Dict::new()),
            },
            _ => {
                let text = format!(
                    "Method not accepted by the REST bridge. ('{}' not allowed, only POST, PUT)",
                    request.method()
                );
                let mut response = failure(StatusCode::METHOD_NOT_ALLOWED, &text, &[], &Dict::new());
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST,PUT,OPTIONS"));
                response
            }
        };
        allow_cross_origin(request.headers(), &mut response);
        let never = HeaderValue::from_static("no-store,no-cache,must-revalidate,max-age=0");
        response.headers_mut().insert(header::CACHE_CONTROL, never);
        response
    }

    async fn perform(
        &self,
        peer: &Peer,
        request: &hyper::Request<()>,
        body: hyper::body::Incoming,
    ) -> Result<Response, Fault> {
        let is_hook = matches!(self.deed, Deed::Hook(_));
        check_type(request.headers(), is_hook)?;
        let body = self.admission.read(body).await?;
        if let Deed::Hook(Hook { github_secret: Some(secret), .. }) = &self.deed {
            super::signature::check_github(secret, request.headers(), &body)?;
        }
        self.admission.signatures.check(request.uri().query().unwrap_or_default(), &body)?;
        self.admission.check(peer)?;
        let text = std::str::from_utf8(&body)
            .map_err(|_| Fault::bad("Non-decodable request body, was not UTF-8."))?;
        match &self.deed {
            Deed::Hook(hook) => Ok(self.hook(hook, request.headers(), text).await),
            Deed::Publish => self.publish(Fields::read(text)?).await,
            Deed::Call => self.call(Fields::read(text)?).await,
        }
    }

    async fn publish(&self, fields: Fields) -> Result<Response, Fault> {
        let topic = fields.name("topic")?;
        let options = publish_options(&fields.dict("options")?)?;
        let (arguments, keywords) = (fields.list("args")?, fields.dict("kwargs")?);
        Ok(match self.bridge.publish(topic, options, &arguments, &keywords).await {
            Ok(publication) => told(&vec![("id".to_owned(), publication.get().into())]),
            Err(refusal) => refused(&refusal),
        })
    }

    async fn call(&self, fields: Fields) -> Result<Response, Fault> {
        let procedure = fields.name("procedure")?;
        let (arguments, keywords) = (fields.list("args")?, fields.dict("kwargs")?);
        Ok(match self.bridge.call(procedure, &arguments, &keywords).await {
            Ok((arguments, keywords)) => {
                let arguments =
                    if arguments.is_empty() && keywords.is_empty() { vec![Value::Null] } else { arguments };
                let mut result = vec![("args".to_owned(), Value::List(arguments))];
                if !keywords.is_empty() {
                    result.push(("kwargs".to_owned(), Value::Dict(keywords)));
                }
                told(&result)
            }
            Err(refusal) => refused(&refusal),
        })
    }

    async fn hook(&self, hook: &Hook, headers: &HeaderMap, body: &str) -> Response {
        let mut told: Dict = Vec::new();
        for name in headers.keys() {
            let values = headers.get_all(name).iter();
            let values = values.map(|value| Value::from(&*String::from_utf8_lossy(value.as_bytes())));
            told.push((name.as_str().to_owned(), Value::List(values.collect())));
        }
        let event = vec![("headers".to_owned(), Value::Dict(told)), ("body".to_owned(), body.into())];
        let event = [Value::Dict(event)];
        let published =
            self.bridge.publish(hook.topic.clone(), PublishOptions::default(), &event, &Dict::new()).await;
        let (status, text) = match published {
            Ok(_) => (StatusCode::ACCEPTED, &hook.success),
            Err(refusal) => {
                tracing::warn!(topic = hook.topic, "webhook: {}", refusal.error);
                (StatusCode::INTERNAL_SERVER_ERROR, &hook.failure)
            }
        };
        with_type(status, "text/plain; charset=utf-8", text.clone())
    }
}

impl Admission {
    async fn read(&self, body: hyper::body::Incoming) -> Result<Bytes, Fault> {
        let most = if self.body_size_max == 0 { BODY_SIZE_MAX } else { self.body_size_max };
        let too_long = |size: &str| {
            let text = format!("Request too long. ({size} is longer than accepted {most})");
            Fault(StatusCode::PAYLOAD_TOO_LARGE, text)
        };
        body::read(body, most).await.map_err(|error| match error {
            BodyError::TooLong(Some(size)) => too_long(&size.to_string()),
            BodyError::TooLong(None) => too_long("it"),
            BodyError::Broken => Fault::bad("Malformed request to the REST bridge."),
            BodyError::Busy => {
                Fault(StatusCode::SERVICE_UNAVAILABLE, "Too many requests at once.".to_owned())
            }
            BodyError::Late => {
                Fault(StatusCode::REQUEST_TIMEOUT, "The request body took too long.".to_owned())
            }
        })
    }

    fn check(&self, peer: &Peer) -> Result<(), Fault> {
        let is_inside = |network: &Network| peer.address().is_some_and(|address| network.contains(address));
        if !self.networks.is_empty() && !self.networks.iter().any(is_inside) {
            return Err(Fault::bad("Request denied based on IP address."));
        }
        if self.requires_tls && !peer.is_secure() {
            return Err(Fault::bad("Malformed request to the REST bridge."));
        }
        Ok(())
    }
}

fn check_type(headers: &HeaderMap, is_hook: bool) -> Result<(), Fault> {
    let Some(written) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let written = written.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = written.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    if !is_hook && kind != "application/json" {
        return Err(Fault::bad(format!(
            "Non-accepted content type. (must be one of '['application/json']', not '{kind}')"
        )));
    }
    let mut charsets =
        parts.filter_map(|part| part.strip_prefix("charset=")).map(|name| name.trim_matches('"'));
    let charset = charsets.next();
    let is_utf8 = charset.is_none_or(|name| matches!(name, "utf-8" | "utf8"));
    if !is_utf8 || charsets.next().is_some() {
        return Err(Fault::bad("Non-accepted request encoding, must be UTF-8."));
    }
    Ok(())
}

/// The JSON object of a request.
struct Fields(Dict);

impl Fields {
    fn read(text: &str) -> Result<Self, Fault> {
        match Value::decode(SerializerId::Json, text.as_bytes()) {
            Ok(Value::Dict(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Fault::bad("Request body was valid JSON, but not well formed (must be a dict).")),
            Err(_) => Err(Fault::bad("Request body was invalid JSON.")),
        }
    }

    /// Null, zero and the empty text are as good as absent, as they are in Crossbar.io.
    fn value(&self, key: &str) -> Option<&Value> {
        let value = self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        value.filter(|value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Integer(number) => *number != 0,
            Value::String(text) => !text.is_empty(),
            _ => true,
        })
    }

    fn name(&self, key: &str) -> Result<String, Fault> {
        let name = self.0.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_str());
        name.map(str::to_owned).ok_or_else(|| {
            let text = format!("Request body was valid JSON, but not well formed (missing key '{key}').");
            Fault::bad(text)
        })
    }

    fn list(&self, key: &str) -> Result<Vec<Value>, Fault> {
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(Value::List(list)) => Ok(list.clone()),
            Some(_) => Err(wrong_type(key, "a list")),
        }
    }

    fn dict(&self, key: &str) -> Result<Dict, Fault> {
        match self.value(key) {
            None => Ok(Dict::new()),
            Some(Value::Dict(dict)) => Ok(dict.clone()),
            Some(_) => Err(wrong_type(key, "a dict")),
        }
    }
}

fn wrong_type(key: &str, expected: &str) -> Fault {
    Fault::bad(format!("Request body was valid JSON, but not well formed ('{key}' must be {expected})."))
}

/// The options that a publication over HTTP may have.
fn publish_options(written: &Dict) -> Result<PublishOptions<'static>, Fault> {
    let mut options = PublishOptions::default();
    for (key, value) in written {
        let flag = || match value {
            Value::Bool(flag) => Ok(*flag),
            _ => Err(wrong_type(key, "a boolean")),
        };
        let texts = || -> Result<Vec<_>, Fault> {
            let items = match value {
                Value::List(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            };
            let text = |item: &Value| item.as_str().map(|text| text.to_owned().into());
            items.iter().map(text).collect::<Option<_>>().ok_or_else(|| wrong_type(key, "a list of strings"))
        };
        let sessions = || -> Result<Vec<SessionId>, Fault> {
            let items = match value {
                Value::List(items) => items.as_slice(),
                one => std::slice::from_ref(one),
            };
            let id = |item: &Value| SessionId::new(u64::try_from(item.as_integer()?).ok()?);
            items
                .iter()
                .map(id)
                .collect::<Option<_>>()
                .ok_or_else(|| wrong_type(key, "a list of session ids"))
        };
        match key.as_str() {
            "acknowledge" => {}
            "exclude_me" => options.exclude_me = flag()?,
            "retain" => options.retain = flag()?,
            "exclude" => options.extra_mut().exclude = Some(sessions()?),
            "eligible" => options.extra_mut().eligible = Some(sessions()?),
            "exclude_authid" => options.extra_mut().exclude_authid = Some(texts()?),
            "exclude_authrole" => options.extra_mut().exclude_authrole = Some(texts()?),
            "eligible_authid" => options.extra_mut().eligible_authid = Some(texts()?),
            "eligible_authrole" => options.extra_mut().eligible_authrole = Some(texts()?),
            _ => return Err(Fault::bad(format!("Unknown publish option '{key}'."))),
        }
    }
    Ok(options)
}

/// 200 with a dict.
fn told(document: &Dict) -> Response {
    json(StatusCode::OK, document)
}

/// A WAMP error: 200, as in Crossbar.io.
fn refused(refusal: &Refusal) -> Response {
    failure(StatusCode::OK, &refusal.error, &refusal.arguments, &refusal.keywords)
}

fn failure(status: StatusCode, error: &str, arguments: &[Value], keywords: &Dict) -> Response {
    let document = vec![
        ("error".to_owned(), error.into()),
        ("args".to_owned(), Value::List(arguments.to_vec())),
        ("kwargs".to_owned(), Value::Dict(keywords.clone())),
    ];
    json(status, &document)
}

fn json(status: StatusCode, document: &Dict) -> Response {
    let mut octets = Vec::new();
    match Value::Dict(document.clone()).encode(SerializerId::Json, &mut octets) {
        Ok(()) => with_type(status, "application/json; charset=UTF-8", octets),
        Err(error) => {
            let text = format!("the result cannot be told in JSON: {error}");
            with_type(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_addresses() {
        let check = |network: &str, address: &str, expected: bool| {
            let network = Network::parse(network).expect("a network");
            assert_eq!(
                network.contains(address.parse().expect("an address")),
                expected,
                "{network:?} {address}"
            );
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "::1", false);
        check("fe80::/10", "febf::1", true);
        check("fe80::/10", "fec0::1", false);
        for wrong in ["10.0.0.0/33", "x", "10.0.0/8", "::/129"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
    }
}
