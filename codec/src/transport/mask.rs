//! WebSocket masking (RFC 6455 §5.3) and the keys of the client side.

/// Four octets that every payload octet is combined with, already rotated to the payload's position.
pub(crate) type MaskKey = [u8; 4];

/// Combines `bytes` with `key`; masking and unmasking are the same operation.
pub(crate) fn apply(bytes: &mut [u8], key: MaskKey) {
    let wide: [u8; LANES] = std::array::from_fn(|index| key[index % 4]);
    let (lanes, rest) = bytes.as_chunks_mut::<LANES>();
    for lane in lanes {
        for (byte, mask) in lane.iter_mut().zip(wide) {
            *byte ^= mask;
        }
    }
    let (words, tail) = rest.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(key) {
        *byte ^= mask;
    }
}

/// Appends `masked` to `out`, unmasked.
///
/// Copies block by block, so that the second pass over a block finds it in the first-level cache.
pub(crate) fn append_unmasked(out: &mut Vec<u8>, masked: &[u8], key: MaskKey) {
    out.reserve(masked.len());
    for block in masked.chunks(BLOCK) {
        let start = out.len();
        out.extend_from_slice(block);
        apply(&mut out[start..], key);
    }
}

/// The key as it stands `count` octets further into the payload.
pub(crate) fn advanced(mut key: MaskKey, count: usize) -> MaskKey {
    key.rotate_left(count % 4);
    key
}

/// A reproducible stream of mask keys and nonces (SplitMix64).
///
/// Masking protects intermediaries against scripts in browsers; the caller's seed decides how
/// unpredictable the keys are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaskKeys(u64);

impl MaskKeys {
    pub(crate) const fn new(seed: u64) -> MaskKeys {
        MaskKeys(seed)
    }

    pub(crate) fn next(&mut self) -> MaskKey {
        let [a, b, c, d, ..] = self.next_u64().to_be_bytes();
        [a, b, c, d]
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// Octets combined at once: one AVX2 register, two SSE2 ones.
const LANES: usize = 32;

/// Octets copied before they are unmasked: half a first-level cache.
const BLOCK: usize = 16 << 10;

const _: () =
    assert!(LANES.is_multiple_of(4) && BLOCK.is_multiple_of(4), "a block must leave the key unrotated");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_definition_at_every_length() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for length in (0..200).chain([BLOCK - 1, BLOCK, 2 * BLOCK + 3]) {
            let plain: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let masked: Vec<u8> =
                plain.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]).collect();
            let mut unmasked = b"before".to_vec();
            append_unmasked(&mut unmasked, &masked, key);
            assert_eq!(unmasked, [b"before", plain.as_slice()].concat(), "{length}");
        }
    }

    #[test]
    fn keys_advance_with_the_payload() {
        let key = [1, 2, 3, 4];
        assert_eq!(advanced(key, 0), key);
        assert_eq!(advanced(key, 5), [2, 3, 4, 1]);
    }

    #[test]
    fn equal_seeds_give_equal_keys() {
        let keys = |seed| {
            let mut keys = MaskKeys::new(seed);
            [keys.next(), keys.next(), keys.next()]
        };
        assert_eq!(keys(7), keys(7));
        assert_ne!(keys(7), keys(8));
    }
}
