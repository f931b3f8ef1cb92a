//! The application payload of a message: validated octets that the router forwards without decoding them.

use std::borrow::Cow;

use crate::serializer::SerializerId;

/// `Arguments` and `ArgumentsKw` as they stood at the end of the received message.
///
/// `octets` is one contiguous span in the encoding of `serializer`: from the first octet of Arguments to the last of
/// ArgumentsKw (JSON: the separating comma and white space included). The decoder has checked that the span is well formed,
/// that text is UTF-8 and that nesting stays within [`crate::limits::DEPTH_MAX`]; so a payload may be copied into a message
/// of the same serializer as it is, and has to be transcoded ([`crate::transcode`]) for any other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Payload<'a> {
    /// The encoding of `octets`.
    pub serializer: SerializerId,
    /// What is present.
    pub shape: Shape,
    /// The span.
    pub octets: Cow<'a, [u8]>,
    /// Length of the Arguments element in octets; what follows (after a JSON comma) is ArgumentsKw.
    pub arguments_size: u32,
}

/// Which payload elements a message has.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum Shape {
    /// Neither Arguments nor ArgumentsKw.
    #[default]
    Empty,
    /// Arguments.
    Arguments,
    /// Arguments (possibly empty) and ArgumentsKw.
    ArgumentsAndKeywords,
    /// One binary (JSON also: text) in the place of Arguments: payload transparency.
    Transparent,
}

impl Payload<'static> {
    /// No payload. It is the same in every serializer.
    pub const EMPTY: Payload<'static> = Payload {
        serializer: SerializerId::Json,
        shape: Shape::Empty,
        octets: Cow::Borrowed(&[]),
        arguments_size: 0,
    };
}

impl Default for Payload<'_> {
    fn default() -> Self {
        Payload::EMPTY
    }
}

impl<'a> Payload<'a> {
    /// A view that borrows from this payload.
    pub fn borrowed(&self) -> Payload<'_> {
        Payload { octets: Cow::Borrowed(&self.octets), ..*self }
    }

    /// Detaches the payload from the received octets.
    pub fn into_owned(self) -> Payload<'static> {
        Payload { octets: Cow::Owned(self.octets.into_owned()), ..self }
    }
}
