//! Numbers that stand for lines.
//!
//! A line is the wrapping sum of one part a word and one a glue, each mixed with its place. What stands at a place can so be
//! taken out of the sum, or another put in, without looking at the rest of the line.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Odd numbers without pattern.
const ODD: u64 = 0xa076_1d64_78bd_642f;
const PLACE: u64 = 0xe703_7ed1_a0b4_28db;

/// Hash of a word that is masked.
pub(super) const VALUE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads every bit over all.
pub(super) fn fold(number: u64) -> u64 {
    let wide = u128::from(number) * u128::from(ODD);
    (wide as u64) ^ (wide >> 64) as u64
}

/// Part of a word with this hash at a place.
pub(super) fn word_at(hash: u64, place: usize) -> u64 {
    fold(hash ^ (2 * place as u64 + 1).wrapping_mul(PLACE))
}

/// Part of the glue before the word of a place.
pub(super) fn glue_at(hash: u64, place: usize) -> u64 {
    fold(hash ^ (2 * place as u64 + 2).wrapping_mul(PLACE))
}

/// Part of a value at a place.
pub(super) fn value_at(place: usize) -> u64 {
    word_at(VALUE, place)
}

/// Hash of a word's bytes. Short words are read at once, by two numbers that may overlap.
pub(super) fn of_bytes(bytes: &[u8]) -> u64 {
    let length = (bytes.len() as u64) << 56;
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let mut hash = fold(u64::from_le_bytes(*first) ^ length);
        for middle in bytes[8..].chunks_exact(8) {
            let mut word = [0; 8];
            word.copy_from_slice(middle);
            hash = fold(hash ^ u64::from_le_bytes(word));
        }
        fold(hash ^ u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let both = u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
        fold(both ^ length)
    } else {
        let packed = bytes.iter().fold(1, |packed, byte| packed << 8 | u64::from(*byte));
        fold(packed ^ length)
    }
}

/// A map by numbers that are spread already.
pub(super) type ByHash<V> = HashMap<u64, V, BuildHasherDefault<AsItIs>>;

/// The number itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = fold(self.0 ^ of_bytes(bytes));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = fold(number);
    }
}
