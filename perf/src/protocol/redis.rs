//! Redis publish/subscribe in RESP2. Redis has no calls.

use super::{FRAME_BYTES_MAX, HeaderCache, Incoming, Protocol, ReplyTo, Role, Template, decimal, first_line};
use crate::{fault::Fault, link::Link};

/// Client side of Redis.
#[derive(Clone, Debug)]
pub struct Redis {
    publish: Template,
    header: HeaderCache,
}

impl Redis {
    /// Sessions whose payloads have `payload_bytes`.
    pub fn new(payload_bytes: usize) -> Redis {
        let channel = channel(0);
        let head = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${payload_bytes}\r\n", channel.len());
        Redis {
            publish: Template::new(head.as_bytes(), payload_bytes, b"\r\n"),
            header: HeaderCache::default(),
        }
    }
}

fn channel(topic: u32) -> String {
    format!("perf.topic.{topic}")
}

impl Protocol for Redis {
    async fn join(&mut self, link: &mut Link, role: Role) -> Result<(), Fault> {
        let command = match role {
            Role::Subscriber(topic) => {
                let channel = channel(topic);
                format!("*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{channel}\r\n", channel.len())
            }
            Role::Publisher | Role::Idle => "*1\r\n$4\r\nPING\r\n".to_owned(),
            Role::Caller | Role::Callee => return Err(Fault::Unsupported { operation: "call" }),
        };
        link.ask("Redis command", command.into_bytes(), |bytes| {
            Ok(reply_bytes(bytes)?.map(|reply| (reply.total, ())))
        })
        .await
    }

    async fn leave(&mut self, link: &mut Link) -> Result<(), Fault> {
        let quit = b"*1\r\n$4\r\nQUIT\r\n".to_vec();
        link.ask("Redis QUIT", quit, |bytes| Ok(reply_bytes(bytes)?.map(|reply| (reply.total, ())))).await
    }

    fn publish(&mut self, stamp_ns: u64, out: &mut Vec<u8>) {
        self.publish.append(stamp_ns, out);
    }

    fn call(&mut self, _stamp_ns: u64, _out: &mut Vec<u8>) {}

    fn answer(&mut self, _reply_to: ReplyTo<'_>, _payload: &[u8], _out: &mut Vec<u8>) {}

    fn skim(&mut self, bytes: &[u8], on: &mut impl FnMut(Incoming<'_>)) -> Result<usize, Fault> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if let Some((header, size)) = self.header.get(rest) {
                let Some(_) = rest.get(..header + size + 2) else { return Ok(at) };
                on(Incoming::Payload(&rest[header..header + size]));
                at += header + size + 2;
                continue;
            }
            let Some(reply) = reply_bytes(rest)? else { return Ok(at) };
            if let Some((start, end)) = reply.message {
                self.header.put(&rest[..start], end - start);
                on(Incoming::Payload(&rest[start..end]));
            }
            at += reply.total;
        }
    }
}

/// One complete reply.
struct Reply {
    total: usize,
    /// Range of the payload, if the reply is a `message` push.
    message: Option<(usize, usize)>,
}

fn reply_bytes(bytes: &[u8]) -> Result<Option<Reply>, Fault> {
    let Some(line) = first_line(bytes) else { return Ok(None) };
    let simple = Reply { total: line.len() + 2, message: None };
    match line.first() {
        Some(b'+' | b':') => Ok(Some(simple)),
        Some(b'-') => Err(Fault::refused("Redis", line)),
        Some(b'*') => array_bytes(bytes, line),
        _ => Err(Fault::malformed("Redis", line)),
    }
}

/// `*3` of `message`/`subscribe`, channel, payload/count.
fn array_bytes(bytes: &[u8], line: &[u8]) -> Result<Option<Reply>, Fault> {
    let count = decimal(&line[1..]).filter(|&count| count <= 4);
    let count = count.ok_or_else(|| Fault::malformed("Redis", line))?;
    let mut at = line.len() + 2;
    let mut kind: &[u8] = b"";
    let mut last = (at, at);
    for index in 0..count {
        let Some((start, end, next)) = element(&bytes[at..])? else { return Ok(None) };
        last = (at + start, at + end);
        if index == 0 {
            kind = &bytes[last.0..last.1];
        }
        at += next;
    }
    let message = (kind == b"message" && count == 3).then_some(last);
    Ok(Some(Reply { total: at, message }))
}

/// Start and end of the content, and start of the next element.
fn element(bytes: &[u8]) -> Result<Option<(usize, usize, usize)>, Fault> {
    let Some(line) = first_line(bytes) else { return Ok(None) };
    let start = line.len() + 2;
    match line.first() {
        Some(b':') => Ok(Some((1, line.len(), start))),
        Some(b'$') => {
            let size = decimal(&line[1..]).filter(|&size| size <= FRAME_BYTES_MAX);
            let size = size.ok_or_else(|| Fault::malformed("Redis", line))?;
            let next = start + size + 2;
            Ok((bytes.len() >= next).then_some((start, start + size, next)))
        }
        _ => Err(Fault::malformed("Redis", line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::skim_every_cut;

    #[test]
    fn pushes_among_replies_survive_every_cut() {
        let stream = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nt\r\n:1\r\n\
                       *3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$5\r\nhello\r\n:1\r\n+PONG\r\n\
                       *3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$5\r\nworld\r\n\
                       *3\r\n$7\r\nmessage\r\n$1\r\nt\r\n$2\r\n\r\n\r\n";
        let found = skim_every_cut(&Redis::new(16), stream);
        assert_eq!(found, [b"hello".to_vec(), b"world".to_vec(), b"\r\n".to_vec()]);
    }

    #[test]
    fn errors_and_noise_are_faults() {
        let mut redis = Redis::new(16);
        assert!(redis.skim(b"-NOAUTH Authentication required.\r\n", &mut |_| ()).is_err());
        assert!(redis.skim(b"hello\r\n", &mut |_| ()).is_err());
        assert!(redis.skim(b"*99\r\n", &mut |_| ()).is_err());
    }
}
