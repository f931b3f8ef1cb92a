//! `cgi`: programs that answer (RFC 3875).

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, Command};

use super::body::{self, BodyError};
use super::files::{Tree, relative_path};
use super::{Context, not_found, text};
use crate::web::complaints::Complaints;
use crate::web::own::{self, OwnFiles};
use crate::web::slots::{Slot, Slots};
use crate::web::{Request, Response};

mod environment;
mod output;
mod process;

use environment::{PATH, environment};
use output::{HeadError, Output};
use process::Process;

/// Lines in the log about the scripts of a service, in ten seconds.
const COMPLAINTS_MAX: u32 = 100;

/// The scripts of a directory.
#[derive(Debug)]
pub(crate) struct Cgi {
    tree: Tree,
    /// What runs the scripts.
    processor: PathBuf,
    /// How long a script may be silent.
    timeout: Duration,
    /// Octets of a body.
    body_size_max: usize,
    slots: Slots,
    complaints: Rc<Complaints>,
}

/// A script, and how the path that was asked for leads to it.
struct Script {
    file: PathBuf,
    /// Components of the path that lead to it.
    depth: usize,
}

/// Why a script has not answered.
enum Trouble {
    Body(BodyError),
    Busy,
    Start(io::Error),
    Head(HeadError),
    Timeout,
}

impl Cgi {
    /// # Errors
    /// A text that says what cannot be used.
    pub(crate) fn new(config: &crate::config::CgiConfig, own: &OwnFiles) -> Result<Self, String> {
        let root = own::directory(&config.directory)?;
        Ok(Self {
            tree: Tree { own: own.within(&root), root },
            processor: found(&config.processor)?,
            timeout: config.timeout,
            body_size_max: config.body_size_max,
            slots: Slots::new(config.processes_max),
            complaints: Rc::new(Complaints::new(COMPLAINTS_MAX)),
        })
    }

    pub(super) async fn answer(&self, context: Context<'_>, request: Request) -> Response {
        let Some(relative) = relative_path(context.rest) else { return not_found() };
        let tree = self.tree.clone();
        let search = move || find(&tree, &relative);
        let found = tokio::task::spawn_blocking(search).await.map_err(io::Error::other).flatten();
        let script = match found {
            Ok(Some(script)) => script,
            Ok(None) => return not_found(),
            Err(error) => {
                self.complain(&context, &format!("the script cannot be read: {error}"));
                return text(StatusCode::INTERNAL_SERVER_ERROR, "500: the script cannot be read");
            }
        };
        match self.run(&context, script, request).await {
            Ok(response) => response,
            Err(trouble) => self.apologize(&context, &trouble),
        }
    }

    /// Reads the body first, so that a slow client holds no process.
    async fn run(
        &self,
        context: &Context<'_>,
        script: Script,
        request: Request,
    ) -> Result<Response, Trouble> {
        let (parts, body) = request.into_parts();
        let body = body::read(body, self.body_size_max).await.map_err(Trouble::Body)?;
        let slot = self.slots.take().await.ok_or(Trouble::Busy)?;
        let (process, mut output) =
            self.start(context, &script, &parts, body, slot).map_err(Trouble::Start)?;
        let head = tokio::time::timeout(self.timeout, output.head()).await;
        let head = head.map_err(|_| Trouble::Timeout)?.map_err(Trouble::Head)?;
        let mut response = hyper::Response::new(output.into_body(process).boxed_unsync());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        Ok(response)
    }

    fn start(
        &self,
        context: &Context<'_>,
        script: &Script,
        parts: &Parts,
        body: Bytes,
        slot: Slot,
    ) -> io::Result<(Process, Output)> {
        let (own, below) = divided(context, script.depth);
        let mut command = Command::new(&self.processor);
        command
            .arg(&script.file)
            .current_dir(script.file.parent().unwrap_or(&self.tree.root))
            .env_clear()
            .envs(environment(context.peer, parts, &script.file, own, below, body.len()))
            .stdin(if body.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Whatever the script starts ends with it.
            .process_group(0);
        let mut child = command.spawn()?;
        if let Some(stdin) = child.stdin.take() {
            tokio::task::spawn_local(feed(stdin, body));
        }
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let name = script.file.display().to_string();
        Ok((
            Process::new(child, name, Rc::clone(&self.complaints), self.timeout, slot),
            Output::new(stdout, self.timeout),
        ))
    }

    fn complain(&self, context: &Context<'_>, what: &str) {
        if self.complaints.permit() {
            tracing::warn!(path = context.path, "{what}");
        }
    }

    fn apologize(&self, context: &Context<'_>, trouble: &Trouble) -> Response {
        match trouble {
            Trouble::Body(error) => error.answer(),
            Trouble::Busy => {
                let mut response =
                    text(StatusCode::SERVICE_UNAVAILABLE, "503: too many scripts at the same time");
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
            Trouble::Start(error) => {
                self.complain(context, &format!("the script does not start: {error}"));
                text(StatusCode::INTERNAL_SERVER_ERROR, "500: the script does not start")
            }
            Trouble::Head(error) => {
                self.complain(context, &format!("the script's answer is none: {error}"));
                text(StatusCode::BAD_GATEWAY, "502: the script's answer is none")
            }
            Trouble::Timeout => {
                self.complain(context, "the script does not answer");
                text(StatusCode::GATEWAY_TIMEOUT, "504: the script does not answer")
            }
        }
    }
}

/// Gives a script its input. It ends with the script, which closes the other end.
async fn feed(mut stdin: ChildStdin, body: Bytes) {
    // A script need not read what it does not want.
    let _ = stdin.write_all(&body).await;
}

/// The file of a name that is looked up, or of a path.
fn found(processor: &Path) -> Result<PathBuf, String> {
    let is_path = processor.components().count() > 1;
    let candidates: Vec<PathBuf> = match is_path {
        true => vec![processor.to_owned()],
        false => PATH.split(':').map(|directory| Path::new(directory).join(processor)).collect(),
    };
    let found = candidates.into_iter().find(|file| file.is_file());
    found.ok_or_else(|| format!("processor {} does not exist", processor.display()))
}

/// The script that a path leads to: it may have more components than that.
fn find(tree: &Tree, relative: &Path) -> io::Result<Option<Script>> {
    let mut file = tree.root.clone();
    for (index, component) in relative.components().enumerate() {
        match tree.inside(&file.join(component))? {
            None => return Ok(None),
            Some(next) if next.is_dir() => file = next,
            Some(next) => return Ok(next.is_file().then_some(Script { file: next, depth: index + 1 })),
        }
    }
    Ok(None)
}

/// The path up to a script, and what is below it.
fn divided<'a>(context: &Context<'a>, depth: usize) -> (&'a str, &'a str) {
    let mut end = 0;
    for component in context.rest.split('/').filter(|component| !component.is_empty()).take(depth) {
        end = component.as_ptr() as usize - context.rest.as_ptr() as usize + component.len();
    }
    let below = &context.rest[end..];
    (&context.path[..context.path.len() - below.len()], below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_in_the_directory_only() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let root = directory.path().canonicalize().expect("a path");
        std::fs::create_dir_all(root.join("cgi/sub")).expect("a directory");
        std::fs::write(root.join("cgi/sub/a.py"), "").expect("a file");
        std::fs::write(root.join("secret.py"), "").expect("a file");
        std::os::unix::fs::symlink(root.join("secret.py"), root.join("cgi/link.py")).expect("a link");
        let tree = Tree { root: root.join("cgi"), own: OwnFiles::default() };
        let check = |path: &str, expected: Option<usize>| {
            let found = find(&tree, Path::new(path)).expect("no error");
            assert_eq!(found.map(|script| script.depth), expected, "{path}");
        };
        check("sub/a.py", Some(2));
        check("sub/a.py/more/x", Some(2));
        check("sub", None);
        check("none", None);
        check("link.py", None);
        check("", None);
    }
}
