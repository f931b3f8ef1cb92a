//! A receive buffer lent to the worker.

/// Names received bytes inside the engine that received them.
///
/// Not cloneable: it must be given back with `Engine::release` once, else its buffer is lost to the
/// engine (`EngineCounters::leases_outstanding` shows it).
#[derive(Debug)]
#[must_use = "a lease must be given back with Engine::release"]
pub struct BufferLease {
    pub(crate) index: u32,
    pub(crate) length: u32,
}

impl BufferLease {
    /// How many bytes were received.
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// Never true for a lease from an engine.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}
