//! A session with permessage-deflate: the codec takes its frames apart and makes them.

use std::cell::RefCell;

use crossring_codec::transport::{Compressors, FrameWriter, Incoming as Transported, Transport};

use super::{super::Incoming, dialogue::broken, skim::Messages};
use crate::fault::Fault;

/// Both halves of a joined session share it; they run on one thread.
#[derive(Debug, Default)]
pub(super) struct Compressed {
    reading: RefCell<Option<Transport>>,
    inflated: RefCell<Vec<u8>>,
    writing: RefCell<Writing>,
}

#[derive(Debug, Default)]
struct Writing {
    writer: Option<Box<FrameWriter>>,
    compressors: Compressors,
    frame: Vec<u8>,
}

impl Compressed {
    pub(super) fn set_writer(&mut self, writer: Box<FrameWriter>) {
        self.writing.get_mut().writer = Some(writer);
    }

    /// From here on received octets are skimmed here.
    pub(super) fn reading_with(self, transport: Transport) -> Compressed {
        Compressed { reading: RefCell::new(Some(transport)), ..self }
    }

    /// A frame as the server gets it. It has to be made for mask key 0.
    pub(super) fn written(&self, frame: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out, |plain| plain.extend_from_slice(frame));
        out
    }

    /// Appends the frame that `make` makes, for mask key 0, as the server gets it.
    pub(super) fn put(&self, out: &mut Vec<u8>, make: impl FnOnce(&mut Vec<u8>)) {
        let Writing { writer, compressors, frame } = &mut *self.writing.borrow_mut();
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
        let (mut transport, mut inflated) = (self.reading.borrow_mut(), self.inflated.borrow_mut());
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
