//! Shared inputs of the benchmarks: payloads of every size and shape, and a router in one thread.
//!
//! Run one with `cargo bench -p crossring-benches --bench codec [-- FILTER]`. As tests (`cargo test`, `cargo nextest run`)
//! the benchmarks run once each, on their smallest inputs.

#![forbid(unsafe_code)]

use std::time::Duration;

pub mod node;
pub mod payload;
pub mod router;
pub mod thread_time;

use thread_time::ThreadTime;

/// Criterion as the benchmarks use it.
pub type Criterion = criterion::Criterion<ThreadTime>;

/// Criterion with short times: the whole suite shall end within three minutes.
pub fn criterion() -> Criterion {
    criterion::Criterion::default()
        .with_measurement(ThreadTime)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(400))
        .sample_size(20)
        .nresamples(5_000)
        .configure_from_args()
}

/// Whether this run measures; otherwise it only tries each benchmark once.
pub fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// All of `inputs` in a run that measures, else the first.
pub fn inputs<T>(inputs: &[T]) -> &[T] {
    if is_measuring() { inputs } else { &inputs[..1] }
}
