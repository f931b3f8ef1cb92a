//! Receive buffers shared by all connections, allocated when first needed.

use crate::lease::BufferLease;

pub(super) struct BufferPool {
    buffers: Vec<Buffer>,
    /// Last in, first out: the warmest buffer is used next.
    free: Vec<u32>,
    count_max: u32,
    size: u32,
}

struct Buffer {
    bytes: Box<[u8]>,
    leased: bool,
}

impl BufferPool {
    pub(super) fn new(count_max: u32, size: u32) -> BufferPool {
        BufferPool { buffers: Vec::new(), free: Vec::new(), count_max, size }
    }

    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty() || (self.buffers.len() as u32) < self.count_max
    }

    pub(super) fn leased_count(&self) -> u32 {
        (self.buffers.len() - self.free.len()) as u32
    }

    /// The buffer which the next `lend` lends.
    pub(super) fn next_free(&mut self) -> Option<&mut [u8]> {
        if self.free.is_empty() {
            self.grow();
        }
        let index = *self.free.last()?;
        Some(&mut self.buffers[index as usize].bytes)
    }

    fn grow(&mut self) {
        let index = self.buffers.len() as u32;
        if index < self.count_max {
            let bytes = vec![0; self.size as usize].into_boxed_slice();
            self.buffers.push(Buffer { bytes, leased: false });
            self.free.push(index);
        }
    }

    /// Lends what was received into `next_free`.
    pub(super) fn lend(&mut self, length: usize) -> BufferLease {
        let index = self.free.pop().expect("next_free came before");
        assert!(length <= self.size as usize);
        self.buffers[index as usize].leased = true;
        BufferLease { index, length: length as u32 }
    }

    /// Frees all buffers if none is lent.
    pub(super) fn trim(&mut self) {
        if self.leased_count() == 0 {
            self.buffers = Vec::new();
            self.free = Vec::new();
        }
    }

    pub(super) fn bytes(&self, lease: &BufferLease) -> &[u8] {
        let buffer = &self.buffers[lease.index as usize];
        assert!(buffer.leased, "lease of another engine");
        &buffer.bytes[..lease.length as usize]
    }

    pub(super) fn release(&mut self, lease: BufferLease) {
        let buffer = &mut self.buffers[lease.index as usize];
        assert!(buffer.leased, "lease of another engine");
        buffer.leased = false;
        self.free.push(lease.index);
    }
}
