//! `upload`: files that browsers send in chunks, as forms with fields such as those of resumable.js.
//!
//! Each request brings one chunk, behind the fields that say which. Its octets go to the disk as they come. A file that is
//! complete appears in the directory at once and whole; a file that is there already is never replaced.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use crossring_codec::id::SessionId;
use crossring_codec::message::PublishOptions;
use crossring_codec::uri::{Match, Strictness, is_valid};
use crossring_codec::value::{Dict, Value};
use http_body_util::BodyDataStream;
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::header;
use hyper::{Method, StatusCode};
use multer::{Constraints, Multipart, SizeLimit};
use percent_encoding::percent_decode_str;

use super::{allow_cross_origin, full, method_not_allowed, preflight, text};
use crate::web::bridge::Bridge;
use crate::web::{Request, Response};

mod store;

use store::{Piece, Stored, Trouble};
pub(crate) use store::{Store, StoreRules};

/// Octets of all names and values of a form.
const FIELDS_SIZE_MAX: usize = 64 * 1024;

/// Fields of a form.
const FIELDS_MAX: usize = 64;

/// Octets of a request beside its chunk.
const OVERHEAD_SIZE_MAX: u64 = 1 << 20;

/// How long the next octets of a chunk may take.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a whole chunk may take.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(600);

/// Octets of a form that may come without being part of anything, such as the head of a field without end. Protects memory:
/// they are kept.
const PENDING_SIZE_MAX: u64 = 1 << 20;

/// What the fields of a form are called.
#[derive(Clone, Debug)]
pub(crate) struct FieldNames {
    pub(crate) file_name: String,
    pub(crate) mime_type: String,
    pub(crate) total_size: String,
    pub(crate) chunk_number: String,
    pub(crate) chunk_size: String,
    pub(crate) total_chunks: String,
    pub(crate) content: String,
    pub(crate) on_progress: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) chunk_extra: Option<String>,
    pub(crate) finish_extra: Option<String>,
}

/// The service of a path.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) names: FieldNames,
    pub(crate) store: Store,
    pub(crate) bridge: Bridge,
}

/// Why a chunk is not taken: status and text.
#[derive(Debug)]
struct Fault(StatusCode, String);

impl Fault {
    fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        let status = match &trouble {
            Trouble::Name | Trouble::Numbers | Trouble::Incomplete => StatusCode::BAD_REQUEST,
            Trouble::Kind => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Trouble::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Trouble::Exists => StatusCode::CONFLICT,
            Trouble::Full => StatusCode::SERVICE_UNAVAILABLE,
            Trouble::Disk(error) => {
                tracing::warn!("upload: {error}");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self(status, trouble.to_string())
    }
}

impl From<multer::Error> for Fault {
    fn from(error: multer::Error) -> Self {
        match error {
            multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
                Self(StatusCode::PAYLOAD_TOO_LARGE, "413: too long".to_owned())
            }
            error => Self::bad(format!("400: {error}")),
        }
    }
}

impl Upload {
    pub(super) async fn answer(&self, request: Request) -> Response {
        let asked = request.headers().clone();
        let answered = match *request.method() {
            Method::OPTIONS => Ok(preflight(&asked, "GET,POST,OPTIONS")),
            Method::GET => self.look_up(request.uri().query().unwrap_or_default()),
            Method::POST => self.take(request).await,
            _ => Ok(method_not_allowed("GET, POST, OPTIONS")),
        };
        let mut response = answered.unwrap_or_else(|Fault(status, told)| text(status, told));
        allow_cross_origin(&asked, &mut response);
        response
    }

    /// Whether a chunk is there: resumable.js asks so before it sends one.
    fn look_up(&self, query: &str) -> Result<Response, Fault> {
        let decode =
            |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let fields =
            Fields(pairs.map(|(name, value)| (decode(name), decode(value))).take(FIELDS_MAX).collect());
        let is_there = self.store.has(&fields.piece(&self.names)?);
        let mut response = Response::new(full(Bytes::new()));
        *response.status_mut() = if is_there { StatusCode::OK } else { StatusCode::NO_CONTENT };
        Ok(response)
    }

    async fn take(&self, request: Request) -> Result<Response, Fault> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let boundary = multer::parse_boundary(kind.unwrap_or_default())?;
        let limits = SizeLimit::new().whole_stream(self.store.chunk_size_max() + OVERHEAD_SIZE_MAX);
        let constraints = Constraints::new().size_limit(limits);
        let meter = Meter::default();
        let metered = Metered { body: request.into_body(), meter: meter.clone() };
        let mut form = Multipart::with_constraints(BodyDataStream::new(metered), boundary, constraints);
        let mut fields = Fields::default();
        let mut fields_size = 0;
        while let Some(mut part) = timely(form.next_field()).await? {
            meter.reset();
            let name = part.name().unwrap_or_default().to_owned();
            if name == self.names.content {
                return timeout(CHUNK_TIMEOUT, self.take_content(&fields, part, &meter)).await;
            }
            let mut value = Vec::new();
            while let Some(octets) = timely(part.chunk()).await? {
                meter.reset();
                value.extend_from_slice(&octets);
                if value.len() + name.len() + fields_size > FIELDS_SIZE_MAX {
                    return Err(Fault::bad("400: the fields are too long"));
                }
            }
            fields_size += value.len() + name.len();
            if fields.0.len() == FIELDS_MAX {
                return Err(Fault::bad("400: too many fields"));
            }
            fields.0.push((name, String::from_utf8_lossy(&value).into_owned()));
        }
        Err(Fault::bad(format!("400: field {:?} is missing", self.names.content)))
    }

    /// The chunk itself, which comes behind all fields that say what it is.
    async fn take_content(
        &self,
        fields: &Fields,
        mut part: multer::Field<'static>,
        meter: &Meter,
    ) -> Result<Response, Fault> {
        let piece = fields.piece(&self.names)?;
        let mut place = self.store.begin(&piece).await?;
        if place.is_new() {
            self.tell(fields, &piece, "started", piece.total_size).await;
        }
        while let Some(octets) = timely(part.chunk()).await? {
            meter.reset();
            place.write(octets).await?;
        }
        let stored = place.finish().await?;
        let status = if stored == Stored::File { "finished" } else { "progress" };
        self.tell(fields, &piece, status, self.store.remaining(&piece)).await;
        Ok(text(StatusCode::OK, if stored == Stored::File { "file stored" } else { "chunk stored" }))
    }

    /// Publishes how far an upload is, where its form asks for that. The permissions of the service's role hold.
    async fn tell(&self, fields: &Fields, piece: &Piece, status: &str, remaining: u64) {
        let topic = self.names.on_progress.as_deref().and_then(|name| fields.get(name));
        let Some(topic) = topic.filter(|topic| is_valid(topic, Match::Exact, Strictness::Strict)) else {
            return;
        };
        let mut options = PublishOptions::default();
        let session = self.names.session.as_deref().and_then(|name| fields.get(name));
        if let Some(session) = session.filter(|session| !session.is_empty()) {
            let Some(session) = session.parse().ok().and_then(SessionId::new) else { return };
            options.extra_mut().eligible = Some(vec![session]);
        }
        let event = [Value::Dict(self.progress(fields, piece, status, remaining))];
        if let Err(refusal) = self.bridge.publish(topic.to_owned(), options, &event, &Dict::new()).await {
            tracing::debug!(topic, "upload: {}", refusal.error);
        }
    }

    fn progress(&self, fields: &Fields, piece: &Piece, status: &str, remaining: u64) -> Dict {
        let done = if status == "finished" { 1.0 } else { piece.share_without(remaining) };
        let mut told: Dict = vec![
            ("id".to_owned(), piece.name.as_str().into()),
            ("name".to_owned(), piece.name.as_str().into()),
            ("type".to_owned(), fields.get(&self.names.mime_type).unwrap_or_default().into()),
            ("chunk".to_owned(), u64::from(piece.number).into()),
            ("total".to_owned(), piece.total_size.into()),
            ("remaining".to_owned(), remaining.into()),
            ("status".to_owned(), status.into()),
            ("progress".to_owned(), Value::Float(done)),
        ];
        let extra = if status == "finished" { &self.names.finish_extra } else { &self.names.chunk_extra };
        if let Some((name, value)) = extra.as_deref().and_then(|name| Some((name, fields.get(name)?))) {
            told.push((name.to_owned(), value.into()));
        }
        told
    }
}

/// What comes of a form within the time allowed.
async fn timely<T>(next: impl Future<Output = Result<T, multer::Error>>) -> Result<T, Fault> {
    timeout(PIECE_TIMEOUT, async { Ok(next.await?) }).await
}

async fn timeout<T>(after: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = |_| Err(Fault(StatusCode::REQUEST_TIMEOUT, "408: the form took too long".to_owned()));
    tokio::time::timeout(after, work).await.unwrap_or_else(late)
}

/// Counts the octets of a form that have come since something was made of them.
#[derive(Clone, Debug, Default)]
struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Something has been made of them.
    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn adds(&self, size: usize) -> bool {
        self.0.fetch_add(size as u64, Ordering::Relaxed) + size as u64 <= PENDING_SIZE_MAX
    }
}

/// A body that ends with an error when too much of it is kept.
struct Metered {
    body: Incoming,
    meter: Meter,
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(next.map(|frame| {
            let frame = frame.map_err(io::Error::other)?;
            let is_too_much = frame.data_ref().is_some_and(|octets| !self.meter.adds(octets.len()));
            if is_too_much { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(frame) }
        }))
    }
}

/// The fields of a form that came before the content.
#[derive(Debug, Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn text(&self, name: &str) -> Result<&str, Fault> {
        let missing = || Fault::bad(format!("400: field {name:?} is missing, or comes behind the content"));
        self.get(name).ok_or_else(missing)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, Fault> {
        self.text(name)?.parse().map_err(|_| Fault::bad(format!("400: field {name:?} is no number")))
    }

    /// Which chunk of which file.
    fn piece(&self, names: &FieldNames) -> Result<Piece, Fault> {
        let piece = Piece {
            name: Piece::base_name(self.text(&names.file_name)?).ok_or(Trouble::Name)?,
            total_size: self.number(&names.total_size)?,
            number: self.number(&names.chunk_number)?,
            chunk_size: self.number(&names.chunk_size)?,
            count: self.number(&names.total_chunks)?,
        };
        piece.check()?;
        Ok(piece)
    }
}
