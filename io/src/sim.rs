//! The simulated engine: a seeded fake kernel.
