//! A stream of octets in WebSocket frames: NATS cuts its protocol anywhere.

use crate::{fault::Fault, protocol::FRAME_BYTES_MAX};

/// Any key will do on a trusted loopback, but not zero: a server may skip unmasking then.
const MASK_KEY: [u8; 4] = [0x9e, 0x37, 0x79, 0xb9];
const FIN_BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
const OPCODE_CLOSE: u8 = 8;

/// Takes frames of a server apart, wherever they are cut.
#[derive(Debug, Default)]
pub(super) struct Deframer {
    /// The beginning of a head.
    head: Vec<u8>,
    /// Octets of the current frame still to come.
    remaining: usize,
    /// The current frame is a ping or pong.
    is_control: bool,
}

impl Deframer {
    /// Appends the payloads in `bytes` to `out`.
    pub(super) fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.remaining > 0 {
                let (payload, later) = bytes.split_at(bytes.len().min(self.remaining));
                if !self.is_control {
                    out.extend_from_slice(payload);
                }
                self.remaining -= payload.len();
                bytes = later;
                continue;
            }
            self.head.push(first);
            bytes = rest;
            if let Some(size) = self.announced()? {
                self.is_control = self.head[0] & 0x08 != 0;
                self.remaining = size;
                self.head.clear();
            }
        }
        Ok(())
    }

    /// Size of the frame whose head is complete.
    fn announced(&self) -> Result<Option<usize>, Fault> {
        let size = match *self.head {
            [first, _, ..] if first & 0x70 != 0 || first & 0x0f == OPCODE_CLOSE => u64::MAX,
            [_, size @ 0..126] => u64::from(size),
            [_, 126, high, low] => u64::from(u16::from_be_bytes([high, low])),
            [_, 127, a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            // Servers must not mask.
            [_, (MASKED..), ..] => u64::MAX,
            _ => return Ok(None),
        };
        match usize::try_from(size) {
            Ok(size) if size <= FRAME_BYTES_MAX => Ok(Some(size)),
            _ => Err(Fault::malformed("a plain WebSocket frame", &self.head)),
        }
    }
}

/// Appends `payload` as one frame of a client to `out`.
pub(super) fn frame(payload: &[u8], out: &mut Vec<u8>) {
    out.push(FIN_BINARY);
    match payload.len() {
        size @ 0..126 => out.push(MASKED | size as u8),
        size @ 126..=0xffff => {
            out.push(MASKED | 126);
            out.extend_from_slice(&(size as u16).to_be_bytes());
        }
        size => {
            out.push(MASKED | 127);
            out.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK_KEY);
    let start = out.len();
    out.extend_from_slice(payload);
    let (words, rest) = out[start..].as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(MASK_KEY)).to_ne_bytes();
    }
    rest.iter_mut().zip(MASK_KEY).for_each(|(octet, key)| *octet ^= key);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame(payload, &mut out);
        let head = out.len() - payload.len() - MASK_KEY.len();
        out[1] &= !MASKED;
        [&out[..head], payload].concat()
    }

    #[test]
    fn payloads_survive_every_cut() {
        let stream =
            [served(b"hello"), vec![0x89, 2, 7, 7], served(&[3; 300]), served(&[4; 70_000])].concat();
        let expected = [b"hello".to_vec(), vec![3; 300], vec![4; 70_000]].concat();
        for chunk in [1, 2, 5, 1000, stream.len()] {
            let (mut deframer, mut out) = (Deframer::default(), Vec::new());
            stream.chunks(chunk).for_each(|part| deframer.take(part, &mut out).expect("frames"));
            assert!(out == expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn frames_of_a_client_are_masked() {
        let mut out = Vec::new();
        frame(b"Hello", &mut out);
        assert_eq!(out[..6], [0x82, 0x85, 0x9e, 0x37, 0x79, 0xb9]);
        let plain: Vec<u8> = out[6..].iter().zip(MASK_KEY.iter().cycle()).map(|(a, b)| a ^ b).collect();
        assert_eq!(plain, b"Hello");
    }

    #[test]
    fn what_a_server_may_not_send_is_refused() {
        for bytes in [[0x82, 0x85], [0x88, 2], [0xc2, 1]] {
            assert!(Deframer::default().take(&bytes, &mut Vec::new()).is_err(), "{bytes:?}");
        }
        assert!(Deframer::default().take(&[0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0], &mut Vec::new()).is_err());
    }
}
