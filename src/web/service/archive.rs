//! `archive`: the files in a ZIP archive.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, mpsc};
use zip::ZipArchive;

use super::files::{CHUNK_SIZE, CHUNKS_MAX, FileBody, content_type, insert};
use super::{allow_cross_origin, full, is_read, method_not_allowed, not_found, text};
use crate::web::{Body, Request, Response};

/// Octets of the files that are kept unpacked, where that is wanted.
const KEPT_SIZE_MAX: usize = 64 << 20;

/// Octets of a file that is kept.
const KEPT_FILE_SIZE_MAX: u64 = 1 << 20;

/// Long files of one archive that are unpacked at the same time; others wait.
const UNPACKING_MAX: usize = 64;

/// What is done with an archive.
#[derive(Clone, Debug, Default)]
pub(crate) struct ArchiveRules {
    /// Put before each path.
    pub(crate) prefix: String,
    /// What paths lead to that end with a slash.
    pub(crate) index: Option<String>,
    /// What is served for paths that do not exist.
    pub(crate) fallback: Option<String>,
    /// Content type by extension, before the well-known ones.
    pub(crate) types: BTreeMap<String, String>,
    /// Files are kept unpacked.
    pub(crate) keeps: bool,
}

/// An archive.
#[derive(Debug)]
pub(crate) struct Archive {
    reader: ZipArchive<Window>,
    objects: HashMap<String, Object>,
    rules: ArchiveRules,
    /// Who unpacks a long file; each holds a thread for as long as its client takes.
    unpacking: Arc<Semaphore>,
    kept: RefCell<Kept>,
}

/// Files that are unpacked already, by number.
#[derive(Debug, Default)]
struct Kept {
    files: HashMap<usize, Bytes>,
    size: usize,
}

/// A file of the archive.
#[derive(Debug)]
struct Object {
    number: usize,
    size: u64,
    crc: u32,
}

/// A file that many read at the same time, each with a position of its own.
#[derive(Clone, Debug)]
struct Window {
    file: Arc<File>,
    position: u64,
    size: u64,
}

impl Read for Window {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(octets, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl Archive {
    /// Opens an archive, which has to have one of the SHA-256 fingerprints if there are any.
    pub(crate) fn open(path: &Path, fingerprints: &[String], rules: ArchiveRules) -> Result<Self, String> {
        let place = path.display();
        let fault = |error: &dyn std::fmt::Display| format!("archive {place}: {error}");
        let mut file = File::open(path).map_err(|error| fault(&error))?;
        if !fingerprints.is_empty() {
            let found = fingerprint(&mut file).map_err(|error| fault(&error))?;
            if !fingerprints.iter().any(|known| known.eq_ignore_ascii_case(&found)) {
                return Err(fault(&"does not match any of the configured SHA-256 fingerprints"));
            }
        }
        let size = file.metadata().map_err(|error| fault(&error))?.len();
        let window = Window { file: Arc::new(file), position: 0, size };
        let mut reader = ZipArchive::new(window).map_err(|error| fault(&error))?;
        let objects = objects(&mut reader).map_err(|error| fault(&error))?;
        let unpacking = Arc::new(Semaphore::new(UNPACKING_MAX));
        Ok(Self { reader, objects, rules, unpacking, kept: RefCell::default() })
    }

    pub(super) async fn answer(&self, rest: &str, request: &Request) -> Response {
        if !is_read(request) {
            return method_not_allowed("GET, HEAD");
        }
        let Some((name, object)) = self.find(rest) else { return not_found() };
        let tag = format!("\"{:x}-{:x}\"", object.crc, object.size);
        let mut headers = HeaderMap::new();
        insert(&mut headers, header::ETAG, &tag);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let known = request.headers().get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
        let is_known = known.is_some_and(|tags| tags.split(',').any(|known| known.trim() == tag));
        let mut response = Response::new(full(Bytes::new()));
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            insert(&mut headers, header::CONTENT_TYPE, &content_type(&self.rules.types, Path::new(name)));
            insert(&mut headers, header::CONTENT_LENGTH, &object.size.to_string());
            if request.method() == Method::GET {
                *response.body_mut() = match self.unpack(object).await {
                    Ok(body) => body,
                    Err(error) => {
                        tracing::warn!(name, "archive: {error}");
                        return text(StatusCode::INTERNAL_SERVER_ERROR, "500: the file cannot be read");
                    }
                };
            }
        }
        response.headers_mut().extend(headers);
        allow_cross_origin(request.headers(), &mut response);
        response
    }

    /// The file that a path leads to.
    fn find(&self, rest: &str) -> Option<(&str, &Object)> {
        let path = percent_decode_str(rest).decode_utf8().ok()?;
        let mut name = path.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        if name.is_empty() || path.ends_with('/') {
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(self.rules.index.as_deref().unwrap_or_default());
        }
        self.object(&name).or_else(|| self.object(self.rules.fallback.as_deref()?))
    }

    fn object(&self, name: &str) -> Option<(&str, &Object)> {
        let prefix = self.rules.prefix.trim_matches('/');
        let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        self.objects.get_key_value(&name).map(|(name, object)| (name.as_str(), object))
    }

    /// The content of a file: a small one at once, a long one as fast as the peer takes it.
    async fn unpack(&self, object: &Object) -> io::Result<Body> {
        if let Some(octets) = self.kept.borrow().files.get(&object.number) {
            return Ok(full(octets.clone()));
        }
        let (mut reader, number, size) = (self.reader.clone(), object.number, object.size);
        let is_kept = self.rules.keeps && size <= KEPT_FILE_SIZE_MAX;
        if size > CHUNK_SIZE as u64 && !is_kept {
            let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
            let permit = Arc::clone(&self.unpacking).acquire_owned().await.map_err(io::Error::other)?;
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                match reader.by_index(number) {
                    Ok(entry) => send_chunks(entry, size, &sender),
                    Err(error) => drop(sender.blocking_send(Err(io::Error::other(error)))),
                }
            });
            return Ok(FileBody(receiver).boxed_unsync());
        }
        let work = move || -> io::Result<Bytes> {
            let mut octets = vec![0; size as usize];
            reader.by_index(number).map_err(io::Error::other)?.read_exact(&mut octets)?;
            Ok(octets.into())
        };
        let octets = tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()?;
        if is_kept {
            self.keep(number, &octets);
        }
        Ok(full(octets))
    }

    fn keep(&self, number: usize, octets: &Bytes) {
        let mut kept = self.kept.borrow_mut();
        if kept.size + octets.len() <= KEPT_SIZE_MAX && kept.files.insert(number, octets.clone()).is_none() {
            kept.size += octets.len();
        }
    }
}

/// Sends `size` octets, chunk by chunk, until they are sent or nobody wants more.
fn send_chunks(mut source: impl Read, size: u64, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut left = size;
    while left > 0 {
        let mut chunk = vec![0; left.min(CHUNK_SIZE as u64) as usize];
        let read = source.read_exact(&mut chunk).map(|()| Bytes::from(chunk));
        left -= left.min(CHUNK_SIZE as u64);
        let is_over = read.is_err();
        if sender.blocking_send(read).is_err() || is_over {
            return;
        }
    }
}

/// The files of an archive, by name.
fn objects(reader: &mut ZipArchive<Window>) -> zip::result::ZipResult<HashMap<String, Object>> {
    let mut objects = HashMap::new();
    for number in 0..reader.len() {
        let entry = reader.by_index_raw(number)?;
        // Nobody can ask for a name that is no text.
        if let Ok(name) = entry.name()
            && entry.is_file()
        {
            let object = Object { number, size: entry.size(), crc: entry.crc32() };
            objects.insert(name.into_owned(), object);
        }
    }
    Ok(objects)
}

/// The SHA-256 of a file, in hexadecimal digits.
fn fingerprint(file: &mut File) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK_SIZE];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(crossring_router::credentials::to_hex(&digest.finalize())),
            count => digest.update(&chunk[..count]),
        }
    }
}
