//! NATS core protocol: `PUB`, `SUB`, `MSG`, and request/reply through an inbox subject.
//!
//! A server `PING` is skipped, not answered: NATS closes after two unanswered pings two minutes
//! apart, longer than any measurement here lasts.

use std::{fmt, ops::Range};

use super::{FRAME_BYTES_MAX, HeaderCache, Incoming, Protocol, ReplyTo, Role, Template, decimal, first_line};
use crate::{fault::Fault, link::Link};

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"rust\",\"version\":\"1\",\
                       \"protocol\":1,\"echo\":true,\"headers\":false}\r\n";
const PROCEDURE: &str = "perf.echo";
const INBOX: &str = "_INBOX.perf";

/// What lies between TCP and the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrapping {
    /// WebSocket, the protocol cut into binary frames anyhow.
    pub is_websocket: bool,
    /// TLS; without WebSocket it begins after the server's INFO.
    pub is_secured: bool,
}

impl fmt::Display for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_websocket { "+ws" } else { "" })?;
        f.write_str(if self.is_secured { "+tls" } else { "" })
    }
}

/// Client side of NATS.
#[derive(Clone, Debug)]
pub struct Nats {
    wrapping: Wrapping,
    publish: Template,
    call: Template,
    header: HeaderCache,
    /// Where the reply subject stands in the cached header.
    reply_to: Option<Range<usize>>,
}

impl Nats {
    /// Sessions whose payloads have `payload_bytes`.
    pub fn new(wrapping: Wrapping, payload_bytes: usize) -> Nats {
        let publish = format!("PUB {} {payload_bytes}\r\n", subject(0));
        let call = format!("PUB {PROCEDURE} {INBOX} {payload_bytes}\r\n");
        Nats {
            wrapping,
            publish: Template::new(publish.as_bytes(), payload_bytes, b"\r\n"),
            call: Template::new(call.as_bytes(), payload_bytes, b"\r\n"),
            header: HeaderCache::default(),
            reply_to: None,
        }
    }
}

fn subject(topic: u32) -> String {
    format!("perf.topic.{topic}")
}

impl Protocol for Nats {
    async fn join(&mut self, link: &mut Link, role: Role) -> Result<(), Fault> {
        self.wrap(link).await?;
        let mut hello = CONNECT.to_owned();
        match role {
            Role::Subscriber(topic) => hello += &format!("SUB {} 1\r\n", subject(topic)),
            Role::Callee => hello += &format!("SUB {PROCEDURE} 1\r\n"),
            Role::Caller => hello += &format!("SUB {INBOX} 1\r\n"),
            Role::Publisher | Role::Idle => (),
        }
        hello += "PING\r\n";
        link.ask("NATS CONNECT", hello.into_bytes(), await_pong).await
    }

    async fn knock(&self, link: &mut Link) -> Result<(), Fault> {
        self.await_turn(link).await?;
        link.knock().await
    }

    async fn leave(&mut self, _link: &mut Link) -> Result<(), Fault> {
        Ok(())
    }

    fn publish(&mut self, stamp_ns: u64, out: &mut Vec<u8>) {
        self.publish.append(stamp_ns, out);
    }

    fn call(&mut self, stamp_ns: u64, out: &mut Vec<u8>) {
        self.call.append(stamp_ns, out);
    }

    fn answer(&mut self, reply_to: ReplyTo<'_>, payload: &[u8], out: &mut Vec<u8>) {
        let ReplyTo::Subject(subject) = reply_to else { return };
        out.extend_from_slice(b"PUB ");
        out.extend_from_slice(subject);
        out.extend_from_slice(format!(" {}\r\n", payload.len()).as_bytes());
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
    }

    fn skim(&mut self, bytes: &[u8], on: &mut impl FnMut(Incoming<'_>)) -> Result<usize, Fault> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let Some((header, size)) = self.header_of(rest)? else { return Ok(at) };
            let total = if header_is_message(rest) { header + size + 2 } else { header };
            if rest.len() < total {
                return Ok(at);
            }
            if header_is_message(rest) {
                let payload = &rest[header..header + size];
                on(match &self.reply_to {
                    None => Incoming::Payload(payload),
                    Some(subject) => {
                        Incoming::Request { reply_to: ReplyTo::Subject(&rest[subject.clone()]), payload }
                    }
                });
            }
            at += total;
        }
    }
}

impl Nats {
    async fn wrap(&self, link: &mut Link) -> Result<(), Fault> {
        if self.wrapping.is_secured {
            self.await_turn(link).await?;
            link.start_tls().await?;
        }
        if self.wrapping.is_websocket {
            link.start_websocket("/").await?;
        }
        Ok(())
    }

    /// Without WebSocket the server speaks first, also where TLS is wanted.
    async fn await_turn(&self, link: &mut Link) -> Result<(), Fault> {
        if self.wrapping.is_websocket {
            return Ok(());
        }
        let info = |bytes: &[u8]| Ok(first_line(bytes).map(|line| (line.len() + 2, ())));
        link.reader.expect("NATS INFO", info).await
    }

    /// Lengths of the line at the start (with its CR LF) and of the payload behind it.
    fn header_of(&mut self, bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
        if let Some(known) = self.header.get(bytes) {
            return Ok(Some(known));
        }
        let Some(line) = first_line(bytes) else { return Ok(None) };
        let header = line.len() + 2;
        if !header_is_message(bytes) {
            return control(line).map(|()| Some((header, 0)));
        }
        let size = line.rsplit(|&byte| byte == b' ').next().and_then(decimal);
        match size {
            Some(size) if size <= FRAME_BYTES_MAX => {
                self.header.put(&bytes[..header], size);
                self.reply_to = reply_to(line);
                Ok(Some((header, size)))
            }
            _ => Err(Fault::malformed("NATS", line)),
        }
    }
}

fn header_is_message(bytes: &[u8]) -> bool {
    bytes.starts_with(b"MSG ")
}

fn control(line: &[u8]) -> Result<(), Fault> {
    let known: [&[u8]; 4] = [b"PING", b"PONG", b"+OK", b"INFO "];
    if line.starts_with(b"-ERR") {
        return Err(Fault::refused("NATS", line));
    }
    match known.iter().any(|word| line.starts_with(word)) {
        true => Ok(()),
        false => Err(Fault::malformed("NATS", line)),
    }
}

/// `MSG <subject> <sid> [reply-to] <size>`: a fourth word before the size makes it a request.
fn reply_to(line: &[u8]) -> Option<Range<usize>> {
    let start = line.splitn(4, |&byte| byte == b' ').take(3).map(|word| word.len() + 1).sum();
    let length = line.get(start..)?.iter().position(|&byte| byte == b' ')?;
    Some(start..start + length)
}

fn await_pong(bytes: &[u8]) -> Result<Option<(usize, ())>, Fault> {
    let mut at = 0;
    while let Some(line) = first_line(&bytes[at..]) {
        at += line.len() + 2;
        control(line)?;
        if line == b"PONG" {
            return Ok(Some((at, ())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::skim_every_cut;

    #[test]
    fn messages_among_control_lines_survive_every_cut() {
        let stream = b"INFO {}\r\nMSG perf.topic.0 1 5\r\nhello\r\nPING\r\nMSG perf.topic.0 1 5\r\nworld\r\n\
                       MSG perf.echo 1 _INBOX.perf 2\r\nhi\r\nMSG perf.topic.0 1 4\r\n\r\n\r\n\r\n";
        let found = skim_every_cut(&Nats::new(Wrapping::default(), 16), stream);
        assert_eq!(found[0], b"hello");
        assert_eq!(found[1], b"world");
        assert!(found[2].ends_with(b" hi") && found[2].starts_with(b"Subject("));
        assert_eq!(found[3], b"\r\n\r\n");
    }

    #[test]
    fn errors_and_noise_are_faults() {
        let mut nats = Nats::new(Wrapping::default(), 16);
        assert!(nats.skim(b"-ERR 'Authorization Violation'\r\n", &mut |_| ()).is_err());
        assert!(nats.skim(b"HTTP/1.1 200 OK\r\n", &mut |_| ()).is_err());
        assert!(nats.skim(b"MSG a 1 99999999999\r\n", &mut |_| ()).is_err());
    }

    #[test]
    fn an_answer_is_a_publish_to_the_inbox() {
        let mut out = Vec::new();
        Nats::new(Wrapping::default(), 16).answer(ReplyTo::Subject(b"_INBOX.perf"), b"hello", &mut out);
        assert_eq!(out, b"PUB _INBOX.perf 5\r\nhello\r\n");
    }
}
