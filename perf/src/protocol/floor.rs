//! The floor's own frames: `u32` length, little-endian, then the payload. The first frame of a
//! connection is one byte, its role; the pump answers it with an empty frame.

use super::{FRAME_BYTES_MAX, Incoming, Protocol, ReplyTo, Role, Template};
use crate::{fault::Fault, link::Link};

/// Bytes in front of every payload.
pub const LENGTH_BYTES: usize = 4;

/// The role byte of the hello frame.
pub mod hello {
    /// Its frames go to all subscribers.
    pub const PUBLISHER: u8 = b'P';
    /// Receives the publishers' frames.
    pub const SUBSCRIBER: u8 = b'S';
    /// Its frames go to the callee.
    pub const CALLER: u8 = b'C';
    /// Its frames go to the caller.
    pub const CALLEE: u8 = b'E';
    /// Neither sends nor receives.
    pub const IDLE: u8 = b'I';
}

/// Client side of the floor protocol.
#[derive(Clone, Debug)]
pub struct Floor {
    frame: Template,
    is_secured: bool,
}

impl Floor {
    /// Sessions whose payloads have `payload_bytes`.
    pub fn new(is_secured: bool, payload_bytes: usize) -> Floor {
        let length = (payload_bytes as u32).to_le_bytes();
        Floor { frame: Template::new(&length, payload_bytes, b""), is_secured }
    }
}

impl Protocol for Floor {
    async fn join(&mut self, link: &mut Link, role: Role) -> Result<(), Fault> {
        if self.is_secured {
            link.start_tls().await?;
        }
        let role = match role {
            Role::Publisher => hello::PUBLISHER,
            Role::Subscriber(_) => hello::SUBSCRIBER,
            Role::Caller => hello::CALLER,
            Role::Callee => hello::CALLEE,
            Role::Idle => hello::IDLE,
        };
        let frame = vec![1, 0, 0, 0, role];
        link.ask("floor hello", frame, |bytes| match bytes.get(..LENGTH_BYTES) {
            Some([0, 0, 0, 0]) => Ok(Some((LENGTH_BYTES, ()))),
            Some(other) => Err(Fault::malformed("floor", other)),
            None => Ok(None),
        })
        .await
    }

    async fn knock(&self, link: &mut Link) -> Result<(), Fault> {
        link.knock().await
    }

    async fn leave(&mut self, _link: &mut Link) -> Result<(), Fault> {
        Ok(())
    }

    fn publish(&mut self, stamp_ns: u64, out: &mut Vec<u8>) {
        self.frame.append(stamp_ns, out);
    }

    fn call(&mut self, stamp_ns: u64, out: &mut Vec<u8>) {
        self.frame.append(stamp_ns, out);
    }

    fn answer(&mut self, _reply_to: ReplyTo<'_>, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        out.extend_from_slice(payload);
    }

    fn skim(&mut self, bytes: &[u8], on: &mut impl FnMut(Incoming<'_>)) -> Result<usize, Fault> {
        let mut at = 0;
        while let Some(size) = frame_bytes(&bytes[at..])? {
            let Some(payload) = bytes.get(at + LENGTH_BYTES..at + LENGTH_BYTES + size) else { break };
            on(Incoming::Payload(payload));
            at += LENGTH_BYTES + size;
        }
        Ok(at)
    }
}

/// Length of the payload of the frame at the start of `bytes`, `None` when even that is incomplete.
fn frame_bytes(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    match u32::from_le_bytes(*length) as usize {
        size if size <= FRAME_BYTES_MAX => Ok(Some(size)),
        _ => Err(Fault::malformed("floor", bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::read_stamp, protocol::testing::skim_every_cut};

    #[test]
    fn frames_survive_every_cut() {
        let mut floor = Floor::new(false, 20);
        let mut stream = Vec::new();
        for stamp_ns in [1, 2, 3] {
            floor.publish(stamp_ns, &mut stream);
        }
        let found = skim_every_cut(&floor, &stream);
        let stamps: Vec<_> = found.iter().map(|payload| read_stamp(payload)).collect();
        assert_eq!(stamps, [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn an_absurd_length_is_refused() {
        let mut floor = Floor::new(false, 16);
        assert!(floor.skim(&[0xff; 8], &mut |_| ()).is_err());
    }
}
