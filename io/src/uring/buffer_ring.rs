//! The receive buffers of one ring: a provided-buffer ring and the memory behind it.
//!
//! A buffer belongs to the kernel while it is provided, to the worker while it is leased. `leased`
//! says which; every access by the worker checks it.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use crate::lease::BufferLease;

/// The only buffer group of a ring.
pub(super) const GROUP: u16 = 0;

pub(super) struct BufferRing {
    entries: Mapping,
    memory: Mapping,
    /// By buffer: whether the worker holds it.
    leased: Vec<bool>,
    leased_count: u32,
    /// Octets made resident since the last `trim`, at most: some buffers may have been used more than once.
    stained: u64,
    size: u32,
    mask: u16,
    /// Next entry to fill; the kernel sees it after `publish`.
    tail: u16,
}

impl BufferRing {
    /// Maps and registers `count` buffers of `size` bytes, all provided.
    pub(super) fn register(submitter: &Submitter<'_>, count: u32, size: u32) -> io::Result<BufferRing> {
        assert!(count.is_power_of_two());
        assert!(count <= 1 << 15);
        let entries = Mapping::new(count as usize * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(count as usize * size as usize)?;
        // SAFETY: `entries` is page-aligned, zeroed, has room for `count` entries and, being a field of
        // the returned value, stays mapped until the ring is gone (see `Drop for Queue`).
        unsafe {
            submitter.register_buf_ring_with_flags(entries.base.as_ptr() as u64, count as u16, GROUP, 0)?;
        }
        let leased = vec![false; count as usize];
        let mask = (count - 1) as u16;
        let mut ring =
            BufferRing { entries, memory, leased, leased_count: 0, stained: 0, size, mask, tail: 0 };
        (0..count).for_each(|index| ring.provide(index as u16));
        ring.publish();
        Ok(ring)
    }

    /// Turns a completion of `length` bytes in buffer `index` into a lease.
    #[inline]
    pub(super) fn lend(&mut self, index: u16, length: u32) -> BufferLease {
        let leased = &mut self.leased[usize::from(index)];
        assert!(!*leased, "the kernel filled a buffer it was not given");
        assert!(length <= self.size);
        *leased = true;
        self.leased_count += 1;
        self.stained += u64::from(length.max(PAGE_SIZE));
        BufferLease { index: u32::from(index), length }
    }

    #[inline]
    pub(super) fn bytes(&self, lease: &BufferLease) -> &[u8] {
        assert!(self.leased[lease.index as usize], "lease of another engine");
        assert!(lease.length <= self.size);
        let offset = lease.index as usize * self.size as usize;
        // SAFETY: `leased` says that the kernel does not own this buffer, so nothing writes to it while
        // `self` is borrowed; it lies inside `memory`, which is zero-initialised and mapped as long as
        // `self`; `length` was checked against the buffer's size.
        unsafe { std::slice::from_raw_parts(self.memory.base.as_ptr().add(offset), lease.length as usize) }
    }

    #[inline]
    pub(super) fn release(&mut self, lease: BufferLease) {
        let leased = &mut self.leased[lease.index as usize];
        assert!(*leased, "lease of another engine");
        *leased = false;
        self.leased_count -= 1;
        self.provide(lease.index as u16);
    }

    /// Gives the pages behind the buffers back to the system, where that is worth it. To be called when every completion was handled, and not while the kernel runs for the ring.
    pub(super) fn trim(&mut self) {
        if self.leased_count > 0 || self.stained < STAINED_MIN {
            return;
        }
        self.stained = 0;
        // SAFETY: the range is our own mapping. No buffer is leased, so nobody reads it; what it held was handled, so
        // that it reads as zeros from now on changes nothing. The kernel writes to provided buffers from this very
        // thread, inside `enter` (deferred task run), so no write is lost. Failure leaves the pages as they are.
        unsafe { libc::madvise(self.memory.base.as_ptr().cast(), self.memory.length, libc::MADV_DONTNEED) };
    }

    /// Buffers the kernel owns.
    pub(super) fn free_count(&self) -> u32 {
        u32::from(self.mask) + 1 - self.leased_count
    }

    pub(super) fn leased_count(&self) -> u32 {
        self.leased_count
    }

    /// Shows all entries provided so far to the kernel.
    #[inline]
    pub(super) fn publish(&self) {
        // SAFETY: the tail overlays the reserved half-word of the first entry, by the kernel's layout;
        // it is aligned, inside `entries`, and only ever accessed atomically.
        let tail = unsafe {
            let address = BufRingEntry::tail(self.entries.base.as_ptr().cast()).cast_mut();
            AtomicU16::from_ptr(address)
        };
        tail.store(self.tail, Ordering::Release);
    }

    #[inline]
    fn provide(&mut self, index: u16) {
        let offset = usize::from(index) * self.size as usize;
        let slot = usize::from(self.tail & self.mask);
        // SAFETY: `slot` is below the entry count. The kernel does not read entries at or behind the
        // published tail, and there are never more provided buffers than entries, so this entry is
        // ours. `addr`, `len` and `bid` do not overlap the tail half-word. `offset` is inside `memory`.
        unsafe {
            let entry = &mut *self.entries.base.as_ptr().cast::<BufRingEntry>().add(slot);
            entry.set_addr(self.memory.base.as_ptr().add(offset) as u64);
            entry.set_len(self.size);
            entry.set_bid(index);
        }
        self.tail = self.tail.wrapping_add(1);
    }
}

/// What a short message makes resident.
const PAGE_SIZE: u32 = 4096;

/// Octets that are worth giving back.
const STAINED_MIN: u64 = 256 * 1024;

/// Anonymous zeroed pages, unmapped on drop.
struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

impl Mapping {
    fn new(length: usize) -> io::Result<Mapping> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches no memory of
        // ours.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Mapping { base, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `base` and `length` are those of our own mapping, and no reference into it outlives
        // the value.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}
