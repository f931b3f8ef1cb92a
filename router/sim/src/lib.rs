//! crossring router/sim crate.
