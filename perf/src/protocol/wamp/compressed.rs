//! A session with permessage-deflate: the codec takes its frames apart and makes them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crossring_codec::transport::{Compressors, FrameWriter, Incoming as Transported, Transport};

use super::{super::Incoming, dialogue::broken, skim::Messages};
use crate::fault::Fault;

/// Both halves of a joined session share it. They run on one thread, so nobody ever waits for a lock.
#[derive(Debug, Default)]
pub(super) struct Compressed {
    reading: Mutex<Option<Transport>>,
    inflated: Mutex<Vec<u8>>,
    writing: Mutex<Writing>,
}

#[derive(Debug, Default)]
struct Writing {
    writer: Option<Box<FrameWriter>>,
    compressors: Compressors,
    frame: Vec<u8>,
}

impl Compressed {
    pub(super) fn set_writer(&self, writer: Box<FrameWriter>) {
        lock(&self.writing).writer = Some(writer);
    }

    /// From here on received octets are skimmed here.
    pub(super) fn reading_with(self, transport: Transport) -> Compressed {
        Compressed { reading: Mutex::new(Some(transport)), ..self }
    }

    /// A frame as the server gets it. It has to be made for mask key 0.
    pub(super) fn written(&self, frame: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out, |plain| plain.extend_from_slice(frame));
        out
    }

    /// Appends the frame that `make` makes, for mask key 0, as the server gets it.
    pub(super) fn put(&self, out: &mut Vec<u8>, make: impl FnOnce(&mut Vec<u8>)) {
        let Writing { writer, compressors, frame } = &mut *lock(&self.writing);
        frame.clear();
        make(frame);
        if let Some(writer) = writer {
            writer.write(frame, compressors, out);
        }
    }

    /// As the other skimmers do, but an incomplete rest is kept inside.
    pub(super) fn skim(
        &self,
        bytes: &[u8],
        messages: Messages,
        on: &mut impl FnMut(Incoming<'_>),
    ) -> Result<usize, Fault> {
        let (mut transport, mut inflated) = (lock(&self.reading), lock(&self.inflated));
        let Some(transport) = transport.as_mut() else { return Ok(0) };
        let mut consumed = 0;
        while let Some(found) = transport.next(bytes, &mut consumed, &mut inflated).map_err(broken)? {
            match found {
                Transported::Message(octets) => messages.find(octets, on)?,
                Transported::PeerClosing { .. } => return Err(Fault::Closed { during: "receive" }),
                _ => (),
            }
        }
        Ok(consumed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
