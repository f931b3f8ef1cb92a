//! Buffers of what arrived in pieces.

/// Appends input from `*consumed` on until `buffer` holds `size` octets or the input ends.
pub(crate) fn fill(buffer: &mut Vec<u8>, size: usize, input: &[u8], consumed: &mut usize) {
    let count = size.saturating_sub(buffer.len()).min(input.len() - *consumed);
    reserve(buffer, count, size);
    buffer.extend_from_slice(&input[*consumed..*consumed + count]);
    *consumed += count;
}

/// Makes room for `count` more octets of a whole of `size`.
///
/// Never takes more than twice the octets really received, whatever length a peer announced.
pub(crate) fn reserve(buffer: &mut Vec<u8>, count: usize, size: usize) {
    let held = buffer.len() + count;
    if held > buffer.capacity() {
        let wanted = (2 * held).min(size).max(held);
        buffer.reserve_exact(wanted - buffer.len());
    }
}

/// Makes `whole` the contents of `scratch`.
///
/// A short one is copied, so that scratch keeps its grown memory; a long one is moved.
pub(crate) fn hand_over(whole: Vec<u8>, scratch: &mut Vec<u8>) {
    if whole.len() < MOVE_SIZE_MIN {
        scratch.clear();
        scratch.extend_from_slice(&whole);
    } else {
        *scratch = whole;
    }
}

/// From here on, moving a buffer is cheaper than copying its octets.
const MOVE_SIZE_MIN: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_follows_what_was_received() {
        let mut buffer = Vec::new();
        let (input, mut consumed) = (vec![7; 100], 0);
        fill(&mut buffer, 1 << 24, &input, &mut consumed);
        assert_eq!((buffer.len(), consumed), (100, 100));
        assert!(buffer.capacity() <= 200);
    }

    #[test]
    fn takes_no_more_than_asked() {
        let mut buffer = vec![1];
        let mut consumed = 1;
        fill(&mut buffer, 3, &[0, 2, 3, 4], &mut consumed);
        assert_eq!((buffer, consumed), (vec![1, 2, 3], 3));
    }
}
