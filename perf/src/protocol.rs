//! What the generator has to know of each protocol, and nothing more: how to join, how to write a
//! publish, a call and an answer from a template, and how to skim what comes back.
//!
//! The hot loops in `driver` are generic over [`Protocol`], so every system is driven by the same
//! code and differs only in its frames.

pub mod floor;
pub mod mqtt;
pub mod nats;
pub mod redis;
pub mod wamp;

use crate::{
    clock::{STAMP_BYTES, write_stamp},
    fault::Fault,
    link::Link,
};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Publishes to [`Topic`] 0.
    Publisher,
    /// Receives everything published to the topic.
    Subscriber(Topic),
    /// Calls the echo procedure.
    Caller,
    /// Answers the echo procedure.
    Callee,
    /// Joined, and silent.
    Idle,
}

/// Number of a topic; publishers publish to topic 0.
pub type Topic = u32;

/// What a skimmer finds in received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// An event's or a result's payload, stamp first.
    Payload(&'a [u8]),
    /// A call to be answered.
    Request {
        /// How the answer is addressed.
        reply_to: ReplyTo<'a>,
        /// The payload to echo.
        payload: &'a [u8],
    },
}

/// How an answer finds its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyTo<'a> {
    /// Connections are paired (floor).
    Peer,
    /// By request id (WAMP).
    Request(u64),
    /// By subject (NATS).
    Subject(&'a [u8]),
}

/// One protocol, and the state of one session in it. Cloned per connection.
pub trait Protocol: Clone + Send + 'static {
    /// Joins over a fresh connection and returns when the server has acknowledged everything the
    /// role needs, so that nothing published afterwards can miss this session.
    fn join(&mut self, link: &mut Link, role: Role) -> impl Future<Output = Result<(), Fault>>;

    /// Begins a TLS handshake over a fresh connection and waits until the server has answered.
    fn knock(&self, link: &mut Link) -> impl Future<Output = Result<(), Fault>> {
        let _ = link;
        std::future::ready(Err(Fault::Unsupported { operation: "TLS" }))
    }

    /// Says goodbye as a well-behaved client does, before the connection is closed.
    fn leave(&mut self, link: &mut Link) -> impl Future<Output = Result<(), Fault>>;

    /// Appends one publish to topic 0, its payload stamped.
    fn publish(&mut self, stamp_ns: u64, out: &mut Vec<u8>);

    /// Appends one call, its payload stamped.
    fn call(&mut self, stamp_ns: u64, out: &mut Vec<u8>);

    /// Appends the answer to a call.
    fn answer(&mut self, reply_to: ReplyTo<'_>, payload: &[u8], out: &mut Vec<u8>);

    /// Finds all complete frames at the start of `bytes`, reports those that carry a payload, and
    /// returns how many bytes they took. Never keeps a reference: an incomplete frame is offered
    /// again with more bytes behind it.
    fn skim(&mut self, bytes: &[u8], on: &mut impl FnMut(Incoming<'_>)) -> Result<usize, Fault>;
}

/// A frame encoded once; only the stamp changes from one copy to the next.
#[derive(Clone, Debug, Default)]
pub struct Template {
    frame: Vec<u8>,
    stamp_at: usize,
}

impl Template {
    /// `head`, a stamped payload of `payload_bytes`, `tail`.
    pub fn new(head: &[u8], payload_bytes: usize, tail: &[u8]) -> Template {
        assert!(payload_bytes >= STAMP_BYTES, "payload sizes are checked where options are parsed");
        let mut frame = head.to_vec();
        frame.resize(head.len() + payload_bytes, b'x');
        frame.extend_from_slice(tail);
        Template { frame, stamp_at: head.len() }
    }

    /// Appends a copy stamped with `stamp_ns`.
    pub fn append(&self, stamp_ns: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        write_stamp(&mut out[start + self.stamp_at..], stamp_ns);
    }
}

/// Receivers of one topic see the same header on every frame. Remembering the last one turns the
/// parse of a text header into one comparison; the header is parsed again whenever it differs.
#[derive(Clone, Debug, Default)]
pub struct HeaderCache {
    header: Vec<u8>,
    payload_bytes: usize,
}

impl HeaderCache {
    /// Length of the header and of the payload behind it, if `bytes` start with the same header.
    pub fn get(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        (!self.header.is_empty() && bytes.starts_with(&self.header))
            .then_some((self.header.len(), self.payload_bytes))
    }

    /// Remembers a header that was just parsed.
    pub fn put(&mut self, header: &[u8], payload_bytes: usize) {
        self.header.clear();
        self.header.extend_from_slice(header);
        self.payload_bytes = payload_bytes;
    }
}

/// The first line of `bytes` without its CR LF. `None` when it is not complete.
pub fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some(&bytes[..end])
}

/// A decimal number as text protocols write it, at most 18 digits.
pub fn decimal(digits: &[u8]) -> Option<usize> {
    let fits = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    fits.then(|| digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

/// Largest frame a server may announce; more is a broken stream.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
pub(crate) mod testing {
    //! The property every skimmer has: the result does not depend on how the bytes were cut.

    use super::*;

    /// Feeds `stream` in chunks of every small size and returns what was found, checking that
    /// every cut finds the same.
    pub(crate) fn skim_every_cut<P: Protocol>(protocol: &P, stream: &[u8]) -> Vec<Vec<u8>> {
        let whole = skim_in_chunks(protocol, stream, stream.len());
        for chunk in 1..stream.len().min(64) {
            assert_eq!(skim_in_chunks(protocol, stream, chunk), whole, "chunks of {chunk}");
        }
        whole
    }

    fn skim_in_chunks<P: Protocol>(protocol: &P, stream: &[u8], chunk: usize) -> Vec<Vec<u8>> {
        let (mut protocol, mut carried, mut found) = (protocol.clone(), Vec::new(), Vec::new());
        for part in stream.chunks(chunk) {
            carried.extend_from_slice(part);
            let consumed = protocol
                .skim(&carried, &mut |incoming| match incoming {
                    Incoming::Payload(payload) => found.push(payload.to_vec()),
                    Incoming::Request { reply_to, payload } => {
                        found.push([format!("{reply_to:?} ").as_bytes(), payload].concat());
                    }
                })
                .expect("a valid stream");
            carried.drain(..consumed);
        }
        assert!(carried.is_empty(), "left over: {}", carried.escape_ascii());
        found
    }
}
