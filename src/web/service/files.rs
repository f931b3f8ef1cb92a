//! `static`: the files of a directory.

mod cached;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Frame};
use hyper::header::{self, HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;

use super::node_info::escape;
use super::{full, is_read, method_not_allowed, not_found, text, with_type};
use crate::web::own::OwnFiles;
use crate::web::{Body, Request, Response};

/// Octets read from a file at a time.
pub(super) const CHUNK_SIZE: usize = 64 * 1024;

/// Chunks of a file that may wait to be sent.
pub(super) const CHUNKS_MAX: usize = 2;

/// Entries of a directory that are listed.
const ENTRIES_MAX: usize = 10_000;

/// Encodings that a file may lie beside in, best first: what it is called, and what its name ends with.
const ENCODINGS: [(&str, &str); 2] = [("br", "br"), ("gzip", "gz")];

/// The directory of a service.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    /// Absolute, without symbolic links. Nothing outside it is served or run.
    pub(crate) root: PathBuf,
    /// What neither is, though it may be inside.
    pub(crate) own: OwnFiles,
}

/// The files of a directory.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) tree: Tree,
    /// Directories without `index.html` are listed.
    pub(crate) lists_directories: bool,
    /// Content type by extension, before the well-known ones.
    pub(crate) types: BTreeMap<String, String>,
    /// Seconds that browsers may keep a file.
    pub(crate) cache_s: Option<u64>,
    /// What is served for paths that do not exist, below the directory.
    pub(crate) fallback: Option<String>,
}

/// What is at a path.
enum Found {
    /// A file, and the encoding it is in.
    File(File, Option<&'static str>, PathBuf),
    /// The path of a directory has to end with a slash.
    Unslashed,
    /// The names in a directory, sorted; those of directories end with a slash.
    Listing(Vec<String>),
    Nothing,
}

impl Files {
    pub(super) async fn answer(&self, rest: &str, request: &Request) -> Response {
        if !is_read(request) {
            return method_not_allowed("GET, HEAD");
        }
        let Some(relative) = relative_path(rest) else { return not_found() };
        let (tree, lists, fallback) = (self.tree.clone(), self.lists_directories, self.fallback.clone());
        let is_slashed = rest.is_empty() && request.uri().path().ends_with('/') || rest.ends_with('/');
        let encodings = accepted_encodings(request.headers());
        if !is_slashed
            && self.tree.own.is_empty()
            && let Some((file, encoding)) = cached::open(&self.tree.root, &relative, encodings)
        {
            return self.send(file, encoding, &relative, request).await;
        }
        let search = move || {
            let found = find(&tree, &relative, is_slashed, lists, encodings)?;
            match (found, fallback) {
                (Found::Nothing, Some(fallback)) => {
                    find(&tree, Path::new(&fallback), false, false, encodings)
                }
                (found, _) => Ok(found),
            }
        };
        let found = tokio::task::spawn_blocking(search).await.map_err(io::Error::other).flatten();
        match found {
            Ok(Found::File(file, encoding, path)) => self.send(file, encoding, &path, request).await,
            Ok(Found::Unslashed) => add_slash(request),
            Ok(Found::Listing(names)) => {
                with_type(StatusCode::OK, "text/html; charset=utf-8", listing(request.uri().path(), &names))
            }
            Ok(Found::Nothing) => not_found(),
            Err(error) => {
                tracing::warn!(path = request.uri().path(), "static file: {error}");
                text(StatusCode::INTERNAL_SERVER_ERROR, "500: the file cannot be read")
            }
        }
    }

    async fn send(
        &self,
        file: File,
        encoding: Option<&'static str>,
        path: &Path,
        request: &Request,
    ) -> Response {
        let Ok(metadata) = file.metadata() else { return not_found() };
        let version = Version::of(metadata.len(), metadata.modified().ok(), encoding);
        let mut headers = self.headers(path, &version);
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if version.is_known_to(request.headers()) {
            return respond(StatusCode::NOT_MODIFIED, headers, full(Bytes::new()));
        }
        let range = match version.range(request.headers()) {
            Ranged::Whole => None,
            Ranged::Part(range) => Some(range),
            Ranged::Outside => {
                insert(&mut headers, header::CONTENT_RANGE, &format!("bytes */{}", version.size));
                return respond(StatusCode::RANGE_NOT_SATISFIABLE, headers, full(Bytes::new()));
            }
        };
        let wanted = range.clone().unwrap_or(0..version.size);
        insert(&mut headers, header::CONTENT_LENGTH, &(wanted.end - wanted.start).to_string());
        let status = match &range {
            Some(range) => {
                let told = format!("bytes {}-{}/{}", range.start, range.end - 1, version.size);
                insert(&mut headers, header::CONTENT_RANGE, &told);
                StatusCode::PARTIAL_CONTENT
            }
            None => StatusCode::OK,
        };
        let body = if request.method() == hyper::Method::HEAD {
            full(Bytes::new())
        } else {
            read(file, wanted).await
        };
        respond(status, headers, body)
    }

    fn headers(&self, path: &Path, version: &Version) -> HeaderMap {
        let mut headers = HeaderMap::new();
        insert(&mut headers, header::CONTENT_TYPE, &content_type(&self.types, path));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        insert(&mut headers, header::ETAG, &version.tag);
        if let Some(modified) = version.modified {
            insert(&mut headers, header::LAST_MODIFIED, &httpdate::fmt_http_date(modified));
        }
        if let Some(seconds) = self.cache_s {
            insert(&mut headers, header::CACHE_CONTROL, &format!("max-age={seconds}, public"));
            let expires = SystemTime::now().checked_add(Duration::from_secs(seconds));
            let expires = expires.filter(|_| seconds < 10 * 365 * 86_400);
            if let Some(expires) = expires {
                insert(&mut headers, header::EXPIRES, &httpdate::fmt_http_date(expires));
            }
        }
        headers
    }
}

/// The content type of a file by its extension, which may be among the configured ones.
pub(super) fn content_type(types: &BTreeMap<String, String>, path: &Path) -> String {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let configured = [extension.to_owned(), format!(".{extension}")];
    if let Some(kind) = configured.iter().find_map(|extension| types.get(extension)) {
        return kind.clone();
    }
    let kind = mime_guess::from_ext(extension).first_or_octet_stream();
    let is_text = kind.type_() == "text" || matches!(kind.subtype().as_str(), "javascript" | "json");
    if is_text { format!("{kind}; charset=utf-8") } else { kind.to_string() }
}

/// The path below the root; none for one that could lead out of it, or to something hidden.
pub(super) fn relative_path(rest: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in rest.split('/').filter(|component| !component.is_empty()) {
        let name = percent_decode_str(component).decode_utf8().ok()?;
        let is_hidden = name.starts_with('.') && name != ".well-known";
        if is_hidden || name.contains(['/', '\\', '\0']) {
            return None;
        }
        path.push(&*name);
    }
    Some(path)
}

fn find(
    tree: &Tree,
    relative: &Path,
    is_slashed: bool,
    lists: bool,
    encodings: [bool; 2],
) -> io::Result<Found> {
    let Some(path) = tree.inside(&tree.root.join(relative))? else { return Ok(Found::Nothing) };
    if !fs::metadata(&path)?.is_dir() {
        // A file has nothing below it.
        return if is_slashed { Ok(Found::Nothing) } else { open(tree, path, encodings) };
    }
    if !is_slashed {
        return Ok(Found::Unslashed);
    }
    match tree.inside(&path.join("index.html"))? {
        Some(index) if fs::metadata(&index)?.is_file() => open(tree, index, encodings),
        _ if lists => Ok(Found::Listing(tree.names(&path)?)),
        _ => Ok(Found::Nothing),
    }
}

impl Tree {
    /// Where a path leads, if that exists, is in the root and may be known.
    pub(super) fn inside(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        match fs::canonicalize(path) {
            Ok(real) => Ok((real.starts_with(&self.root) && !self.own.have(&real)).then_some(real)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }

    /// What a directory in it has that may be known.
    fn names(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)?.take(ENTRIES_MAX) {
            let entry = entry?;
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') || self.own.have(&entry.path()) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                name.push('/');
            }
            names.push(name);
        }
        names.sort();
        Ok(names)
    }
}

fn open(tree: &Tree, path: PathBuf, encodings: [bool; 2]) -> io::Result<Found> {
    let accepted = ENCODINGS.iter().zip(encodings).filter(|(_, accepted)| *accepted);
    for ((encoding, suffix), _) in accepted {
        let mut name = path.clone().into_os_string();
        name.push(".");
        name.push(suffix);
        if let Some(beside) = tree.inside(Path::new(&name))?.filter(|beside| beside.is_file()) {
            return Ok(Found::File(File::open(beside)?, Some(encoding), path));
        }
    }
    // Pipes and devices would block.
    if !fs::metadata(&path)?.is_file() {
        return Ok(Found::Nothing);
    }
    Ok(Found::File(File::open(&path)?, None, path))
}

fn listing(path: &str, names: &[String]) -> String {
    let link = |name: &String| {
        let target = percent_encoding::utf8_percent_encode(
            name.trim_end_matches('/'),
            percent_encoding::NON_ALPHANUMERIC,
        );
        let slash = if name.ends_with('/') { "/" } else { "" };
        format!("<li><a href=\"./{target}{slash}\">{}</a></li>", escape(name))
    };
    let title = escape(&percent_decode_str(path).decode_utf8_lossy());
    let items: String = names.iter().map(link).collect();
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body><h1>{title}</h1><ul>{items}</ul></body></html>"
    )
}

fn add_slash(request: &Request) -> Response {
    let path = request.uri().path();
    // A path like //host/ would lead to another host.
    let path = format!("/{}/", path.trim_matches('/'));
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    insert(response.headers_mut(), header::LOCATION, &format!("{path}{query}"));
    response
}

fn accepted_encodings(headers: &HeaderMap) -> [bool; 2] {
    let written =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_accepted = |wanted: &str| {
        written.split(',').any(|item| {
            let (name, weight) = item.split_once(';').unwrap_or((item, ""));
            let weight: f32 = weight.trim().strip_prefix("q=").and_then(|q| q.parse().ok()).unwrap_or(1.0);
            name.trim().eq_ignore_ascii_case(wanted) && weight > 0.0
        })
    };
    ENCODINGS.map(|(name, _)| is_accepted(name))
}

/// A state of a file.
struct Version {
    size: u64,
    modified: Option<SystemTime>,
    tag: String,
}

/// What of a file is asked for.
#[derive(Debug, PartialEq)]
enum Ranged {
    Whole,
    Part(Range<u64>),
    Outside,
}

impl Version {
    fn of(size: u64, modified: Option<SystemTime>, encoding: Option<&str>) -> Self {
        let since =
            modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
        let tag = format!("\"{:x}-{size:x}{}\"", since.as_nanos(), encoding.unwrap_or_default());
        Self { size, modified, tag }
    }

    /// Whether the browser has it (RFC 9110 §13.2.2).
    fn is_known_to(&self, headers: &HeaderMap) -> bool {
        if let Some(tags) = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()) {
            let mut tags = tags.split(',').map(str::trim);
            return tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.tag);
        }
        self.is_not_newer_than(headers, header::IF_MODIFIED_SINCE)
    }

    fn is_not_newer_than(&self, headers: &HeaderMap, name: header::HeaderName) -> bool {
        let since = headers.get(name).and_then(|date| date.to_str().ok());
        let since = since.and_then(|date| httpdate::parse_http_date(date).ok());
        // HTTP dates have no fractions.
        let is_old = |since: SystemTime, at: SystemTime| at < since + Duration::from_secs(1);
        since.zip(self.modified).is_some_and(|(since, at)| is_old(since, at))
    }

    /// One range of octets; several are answered with the whole (RFC 9110 §14.2).
    fn range(&self, headers: &HeaderMap) -> Ranged {
        let Some(written) = headers.get(header::RANGE).and_then(|range| range.to_str().ok()) else {
            return Ranged::Whole;
        };
        if let Some(condition) = headers.get(header::IF_RANGE) {
            let is_same = condition.as_bytes() == self.tag.as_bytes()
                || self.is_not_newer_than(headers, header::IF_RANGE);
            if !is_same {
                return Ranged::Whole;
            }
        }
        let Some((first, last)) = written.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
        else {
            return Ranged::Whole;
        };
        let (first, last) = (first.trim(), last.trim());
        let range = match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(self.size),
            (Ok(first), Err(_)) if last.is_empty() => first..self.size,
            (Err(_), Ok(count)) if first.is_empty() => self.size.saturating_sub(count)..self.size,
            _ => return Ranged::Whole,
        };
        if range.start < range.end { Ranged::Part(range) } else { Ranged::Outside }
    }
}

/// Puts a field into a head, if its value may be there.
pub(super) fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A part of a file as a body: a small one at once, a long one chunk by chunk, as fast as the peer takes it. No thread waits
/// for a peer.
async fn read(file: File, part: Range<u64>) -> Body {
    let file = Arc::new(file);
    if part.end - part.start <= CHUNK_SIZE as u64 {
        return match read_chunk(&file, part).await {
            Ok(octets) => full(octets),
            Err(error) => FileBody::failed(error).boxed_unsync(),
        };
    }
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::task::spawn_local(async move {
        let mut at = part.start;
        while at < part.end {
            let chunk = at..part.end.min(at + CHUNK_SIZE as u64);
            at = chunk.end;
            let read = read_chunk(&file, chunk).await;
            let is_over = read.is_err();
            if sender.send(read).await.is_err() || is_over {
                return;
            }
        }
    });
    FileBody(receiver).boxed_unsync()
}

async fn read_chunk(file: &Arc<File>, chunk: Range<u64>) -> io::Result<Bytes> {
    let size = (chunk.end - chunk.start) as usize;
    if let Some(octets) = cached::read(file, chunk.start, size) {
        return Ok(octets);
    }
    let file = Arc::clone(file);
    let work = move || {
        let mut octets = vec![0; size];
        file.read_exact_at(&mut octets, chunk.start).map(|()| octets.into())
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other).flatten()
}

/// Chunks that another thread reads.
pub(super) struct FileBody(pub(super) mpsc::Receiver<io::Result<Bytes>>);

impl FileBody {
    fn failed(error: io::Error) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        let _ = sender.try_send(Err(error));
        Self(receiver)
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out() {
        for path in ["/../x", "/a/../../x", "/%2e%2e/x", "/..%2fx", "/a%00", "/.git/config", "/a%5c..%5cb"] {
            assert_eq!(relative_path(path), None, "{path}");
        }
        assert_eq!(relative_path("//a//b.txt"), Some("a/b.txt".into()));
        assert_eq!(relative_path("/.well-known/a%20b"), Some(".well-known/a b".into()));
    }

    #[test]
    fn links_out_of_the_root_are_not_followed() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let root = fs::canonicalize(directory.path()).expect("a path").join("root");
        fs::create_dir(&root).expect("a directory");
        fs::write(root.join("a"), "a").expect("a file");
        fs::write(root.join("../b"), "b").expect("a file");
        std::os::unix::fs::symlink("../b", root.join("out")).expect("a link");
        std::os::unix::fs::symlink("a", root.join("in")).expect("a link");
        let tree = Tree { root, own: OwnFiles::default() };
        let is_file = |name: &str| {
            matches!(find(&tree, Path::new(name), false, false, [false; 2]), Ok(Found::File(..)))
        };
        assert!(is_file("a") && is_file("in") && !is_file("out") && !is_file("c"));
    }

    #[test]
    fn ranges() {
        let version = Version::of(10, None, None);
        let check = |written: &str, expected: Ranged| {
            let headers =
                HeaderMap::from_iter([(header::RANGE, HeaderValue::from_str(written).expect("a value"))]);
            assert_eq!(version.range(&headers), expected, "{written}");
        };
        check("bytes=0-3", Ranged::Part(0..4));
        check("bytes=4-", Ranged::Part(4..10));
        check("bytes=-3", Ranged::Part(7..10));
        check("bytes=-30", Ranged::Part(0..10));
        check("bytes=8-30", Ranged::Part(8..10));
        check("bytes=10-", Ranged::Outside);
        check("bytes=-0", Ranged::Outside);
        for whole in ["bytes=3-1", "bytes=0-1,4-5", "lines=0-1", "bytes=a-b"] {
            check(whole, Ranged::Whole);
        }
    }

    #[test]
    fn encodings_are_negotiated() {
        let accepted = |written: &'static str| {
            accepted_encodings(&HeaderMap::from_iter([(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static(written),
            )]))
        };
        assert_eq!(accepted("gzip, br"), [true, true]);
        assert_eq!(accepted("gzip;q=0.5, br;q=0"), [false, true]);
        assert_eq!(accepted_encodings(&HeaderMap::new()), [false, false]);
    }
}
