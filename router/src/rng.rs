//! Random numbers from the host's seed: one generator for ids that work as capabilities, a faster one for the rest.

use std::fmt;

use sha2::{Digest, Sha256};

/// ChaCha with twelve rounds in counter mode. Session ids come from it: knowing some tells nothing about others.
#[derive(Clone)]
pub(crate) struct SecretGenerator {
    key: [u32; 8],
    counter: u64,
    block: [u32; 16],
    used: usize,
}

impl SecretGenerator {
    /// A generator whose whole output follows from `seed` and `entropy`.
    pub(crate) fn new(seed: u64, entropy: &str) -> Self {
        let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(entropy).finalize();
        let mut key = [0; 8];
        for (word, octets) in key.iter_mut().zip(digest.chunks_exact(4)) {
            *word = u32::from_le_bytes([octets[0], octets[1], octets[2], octets[3]]);
        }
        Self { key, counter: 0, block: [0; 16], used: 16 }
    }

    /// 64 random bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        if self.used + 2 > self.block.len() {
            self.refill();
        }
        let low = u64::from(self.block[self.used]);
        let high = u64::from(self.block[self.used + 1]);
        self.used += 2;
        low | high << 32
    }

    /// A uniform number below `bound` (not 0).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        scale(self.next_u64(), bound)
    }

    fn refill(&mut self) {
        const ROUNDS: usize = 12;
        let mut state = [0u32; 16];
        state[..4].copy_from_slice(&[0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574]);
        state[4..12].copy_from_slice(&self.key);
        state[12] = self.counter as u32;
        state[13] = (self.counter >> 32) as u32;
        self.block = state;
        for _ in 0..ROUNDS / 2 {
            double_round(&mut self.block);
        }
        for (word, start) in self.block.iter_mut().zip(state) {
            *word = word.wrapping_add(start);
        }
        self.counter += 1;
        self.used = 0;
    }
}

impl fmt::Debug for SecretGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretGenerator").finish_non_exhaustive()
    }
}

fn double_round(block: &mut [u32; 16]) {
    const COLUMNS_THEN_DIAGONALS: [[usize; 4]; 8] = [
        [0, 4, 8, 12],
        [1, 5, 9, 13],
        [2, 6, 10, 14],
        [3, 7, 11, 15],
        [0, 5, 10, 15],
        [1, 6, 11, 12],
        [2, 7, 8, 13],
        [3, 4, 9, 14],
    ];
    for [a, b, c, d] in COLUMNS_THEN_DIAGONALS {
        quarter_round(block, a, b, c, d);
    }
}

fn quarter_round(block: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    for (x, y, z, distance) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        block[x] = block[x].wrapping_add(block[y]);
        block[z] = (block[z] ^ block[x]).rotate_left(distance);
    }
}

/// xoshiro256++: publication ids and the random invocation policy. Fast, not secret.
#[derive(Clone, Debug)]
pub(crate) struct FastGenerator {
    state: [u64; 4],
}

impl FastGenerator {
    /// A generator whose whole output follows from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let mut spread = SplitMix(seed);
        Self { state: std::array::from_fn(|_| spread.next()) }
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A uniform number below `bound` (not 0).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        scale(self.next_u64(), bound)
    }
}

/// SplitMix64: turns one seed into many unrelated words.
#[derive(Clone, Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn scale(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8439 section 2.1.1.
    #[test]
    fn the_quarter_round_is_chachas() {
        let mut block = [0u32; 16];
        block[..4].copy_from_slice(&[0x1111_1111, 0x0102_0304, 0x9b8d_6f43, 0x0123_4567]);
        quarter_round(&mut block, 0, 1, 2, 3);
        assert_eq!(block[..4], [0xea2a_92f4, 0xcb1c_f8ce, 0x4581_472e, 0x5881_c4bb]);
    }

    /// First output of the reference implementation for the state 1, 2, 3, 4.
    #[test]
    fn the_fast_generator_is_xoshiro256_plus_plus() {
        let mut generator = FastGenerator { state: [1, 2, 3, 4] };
        let first: [u64; 4] = std::array::from_fn(|_| generator.next_u64());
        assert_eq!(first, [41943041, 58720359, 3588806011781223, 3591011842654386]);
    }

    #[test]
    fn equal_seeds_give_equal_sequences() {
        let (mut a, mut b) = (SecretGenerator::new(7, "x"), SecretGenerator::new(7, "x"));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert_ne!(SecretGenerator::new(8, "x").next_u64(), SecretGenerator::new(7, "x").next_u64());
        assert_ne!(SecretGenerator::new(7, "y").next_u64(), SecretGenerator::new(7, "x").next_u64());
        assert!((0..100).all(|_| a.below(10) < 10));
    }
}
