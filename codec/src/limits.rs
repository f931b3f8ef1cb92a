//! Bounds of what a decoder accepts, whatever the configuration says.

/// Deepest nesting of lists and dicts in a message; in CBOR each tag is a level too. Protects the stack of tree readers and of receivers.
pub const DEPTH_MAX: usize = 128;

/// How deep the lists and dicts of a message may be nested, the message itself being one level: from 1 to [`DEPTH_MAX`].
#[derive(Copy, Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct NestingDepth(u8);

impl NestingDepth {
    /// [`DEPTH_MAX`].
    pub const MAX: Self = Self(DEPTH_MAX as u8);

    /// So many levels; none if that is no depth from 1 to [`DEPTH_MAX`].
    pub const fn new(levels: u8) -> Option<Self> {
        if levels >= 1 && levels as usize <= DEPTH_MAX { Some(Self(levels)) } else { None }
    }

    /// How many levels.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// How deep an element of the message may be nested.
    pub(crate) const fn of_elements(self) -> usize {
        self.0 as usize - 1
    }
}

impl Default for NestingDepth {
    fn default() -> Self {
        Self::MAX
    }
}

const _: () = assert!(DEPTH_MAX <= u8::MAX as usize);

/// Longest message in octets (16 MiB): what RawSocket can frame.
pub const MESSAGE_SIZE_MAX: usize = 1 << 24;

/// Most entries in one list of options (`exclude`, `eligible`, `forward_for`, `authmethods`, …).
pub const OPTION_LIST_MAX: usize = 16 * 1024;
