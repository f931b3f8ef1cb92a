//! crossring io crate.
