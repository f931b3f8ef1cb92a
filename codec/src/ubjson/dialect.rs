//! Which of the two dialects a peer speaks.

use crate::message::decode::decode;
use crate::serializer::SerializerId;

/// The dialect of a message, if it tells: the only one in which the octets are a WAMP message.
///
/// Messages whose numbers and lengths all fit in an octet read the same in both; so do, rarely, others. The HELLO of Autobahn
/// is such a message.
pub(crate) fn dialect(octets: &[u8]) -> Option<SerializerId> {
    let reads_as = |serializer| decode(serializer, octets).is_ok();
    match (reads_as(SerializerId::Bjdata), reads_as(SerializerId::Ubjson)) {
        (true, false) => Some(SerializerId::Bjdata),
        (false, true) => Some(SerializerId::Ubjson),
        _ => None,
    }
}
