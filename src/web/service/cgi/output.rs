//! What a script answers: its head (RFC 3875 §6), and behind it the body, as it comes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::StatusCode;
use hyper::body::{Body, Frame};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::process::ChildStdout;

use super::process::Process;
use crate::web::HEAD_SIZE_MAX;
use crate::web::service::remove_hop_by_hop;
use crate::web::silence::Silence;

/// Octets of a body read at a time.
const CHUNK_SIZE: usize = 16 * 1024;

/// What a script begins its answer with.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// Why a script's answer is none.
#[derive(Debug)]
pub(super) enum HeadError {
    /// It ends before its head does.
    Short,
    TooLong,
    /// A line that is no field.
    Line(usize),
    /// It says neither what follows nor where to go.
    NoType,
    Read(io::Error),
}

impl std::fmt::Display for HeadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HeadError::Short => f.write_str("it ends before its head does"),
            HeadError::TooLong => write!(f, "its head has more than {HEAD_SIZE_MAX} octets"),
            HeadError::Line(line) => write!(f, "line {line} of its head is no header field"),
            HeadError::NoType => f.write_str("it has neither Content-Type, Location nor Status"),
            HeadError::Read(error) => error.fmt(f),
        }
    }
}

/// What comes from a script.
pub(super) struct Output {
    stdout: ChildStdout,
    /// Read, and not passed on yet.
    octets: BytesMut,
    timeout: Duration,
}

impl Output {
    pub(super) fn new(stdout: ChildStdout, timeout: Duration) -> Self {
        Self { stdout, octets: BytesMut::with_capacity(CHUNK_SIZE), timeout }
    }

    /// Reads the head.
    pub(super) async fn head(&mut self) -> Result<Head, HeadError> {
        loop {
            if let Some((head, rest)) = divided(&self.octets) {
                let head = read_head(&self.octets[..head])?;
                let _ = self.octets.split_to(rest);
                return Ok(head);
            }
            if self.octets.len() >= HEAD_SIZE_MAX {
                return Err(HeadError::TooLong);
            }
            if self.stdout.read_buf(&mut self.octets).await.map_err(HeadError::Read)? == 0 {
                return Err(HeadError::Short);
            }
        }
    }

    /// The rest. The script is killed when that is dropped before its end.
    pub(super) fn into_body(self, process: Process) -> OutputBody {
        let silence = Silence::new(self.timeout);
        OutputBody { output: self, process: Some(process), silence }
    }
}

/// Where the head ends, and where the body begins.
fn divided(octets: &[u8]) -> Option<(usize, usize)> {
    let mut line = 0;
    while let Some(length) = octets[line..].iter().position(|octet| *octet == b'\n') {
        let content = &octets[line..line + length];
        if matches!(content, b"" | b"\r") {
            return Some((line, line + length + 1));
        }
        line += length + 1;
    }
    None
}

fn read_head(octets: &[u8]) -> Result<Head, HeadError> {
    let mut head = Head { status: StatusCode::OK, headers: HeaderMap::new() };
    let mut status = None;
    let lines = octets.split(|octet| *octet == b'\n');
    for (index, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        let wrong = || HeadError::Line(index + 1);
        let colon = line.iter().position(|octet| *octet == b':').ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| wrong())?;
        let value = line[colon + 1..].trim_ascii();
        if name == "status" {
            let code = value.split(|octet| *octet == b' ').next().unwrap_or_default();
            let code = StatusCode::from_bytes(code).ok().filter(|code| code.as_u16() >= 200);
            status = Some(code.ok_or_else(wrong)?);
        } else {
            head.headers.append(name, HeaderValue::from_bytes(value).map_err(|_| wrong())?);
        }
    }
    let redirects = head.headers.contains_key(header::LOCATION);
    if status.is_none() && !redirects && !head.headers.contains_key(header::CONTENT_TYPE) {
        return Err(HeadError::NoType);
    }
    head.status = status.unwrap_or(if redirects { StatusCode::FOUND } else { StatusCode::OK });
    remove_hop_by_hop(&mut head.headers);
    Ok(head)
}

/// The body of a script's answer.
pub(super) struct OutputBody {
    output: Output,
    process: Option<Process>,
    silence: Silence,
}

impl OutputBody {
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if !self.output.octets.is_empty() {
            return Poll::Ready(Ok(std::mem::take(&mut self.output.octets).freeze()));
        }
        let mut chunk = [0; CHUNK_SIZE];
        let mut buffer = ReadBuf::new(&mut chunk);
        let read = Pin::new(&mut self.output.stdout).poll_read(context, &mut buffer);
        read.map_ok(|()| Bytes::copy_from_slice(buffer.filled()))
    }
}

impl Body for OutputBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.process.is_none() {
            return Poll::Ready(None);
        }
        match self.poll_read(context) {
            Poll::Pending => self.silence.poll(context).map(|error| Some(Err(error))),
            Poll::Ready(Ok(octets)) if octets.is_empty() => {
                self.process.take().into_iter().for_each(Process::leave);
                Poll::Ready(None)
            }
            Poll::Ready(octets) => {
                self.silence.end();
                Poll::Ready(Some(octets.map(Frame::data)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(octets: &[u8]) -> Option<(u16, usize, &[u8])> {
        let (head, rest) = divided(octets)?;
        let head = read_head(&octets[..head]).ok()?;
        Some((head.status.as_u16(), head.headers.len(), &octets[rest..]))
    }

    #[test]
    fn heads() {
        assert_eq!(told(b"Content-Type: text/plain\n\nbody\n\n"), Some((200, 1, &b"body\n\n"[..])));
        assert_eq!(told(b"Content-Type: a/b\r\nX: 1\r\n\r\nbody"), Some((200, 2, &b"body"[..])));
        assert_eq!(told(b"Location: /x\n\n"), Some((302, 1, &b""[..])));
        assert_eq!(told(b"Status: 404 Not Found\n\n"), Some((404, 0, &b""[..])));
        assert_eq!(told(b"Status: 301\nLocation: /x\nConnection: close\n\n"), Some((301, 1, &b""[..])));
        for wrong in [
            &b"Content-Type: a/b\n"[..],
            b"\n",
            b"X: 1\n\n",
            b"no field\n\n",
            b"Status: 100\n\n",
            b"Status: x\n\n",
            b"A B: 1\n\n",
            b"X: \x01\n\n",
        ] {
            assert_eq!(told(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }
}
