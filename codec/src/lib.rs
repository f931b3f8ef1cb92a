//! crossring codec crate.
