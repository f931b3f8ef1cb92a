//! Bounds of what a decoder accepts, whatever the configuration says.

/// Deepest nesting of lists and dicts in a message. Protects the stack of tree readers and of receivers.
pub const DEPTH_MAX: usize = 128;

/// Longest message in octets (16 MiB): what RawSocket can frame.
pub const MESSAGE_SIZE_MAX: usize = 1 << 24;

/// Most entries in one list of options (`exclude`, `eligible`, `forward_for`, `authmethods`, …).
pub const OPTION_LIST_MAX: usize = 16 * 1024;
