//! crossring router crate.
