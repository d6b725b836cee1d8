//! The last residuals of every series, for the autoencoder.

use super::autoencoder::WINDOW;
use crate::features::compress;

/// One ring of [`WINDOW`] numbers a series, all in one allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    values: Vec<f32>,
    next: Vec<u32>,
}

impl Windows {
    pub(super) fn add(&mut self) {
        self.values.resize(self.values.len() + WINDOW, 0.0);
        self.next.push(0);
    }

    /// Adds the newest long-term deviation, compressed, and returns the one that had to go for it.
    pub(super) fn push(&mut self, slot: usize, deviation: f32) -> f32 {
        let next = self.next[slot] as usize;
        let place = &mut self.values[slot * WINDOW + next % WINDOW];
        let displaced = std::mem::replace(place, compress(deviation));
        // Past the first round only the position counts.
        let following = next + 1;
        self.next[slot] = (if following >= 2 * WINDOW {
            following - WINDOW
        } else {
            following
        }) as u32;
        displaced
    }

    /// Reads from each cache line of a series.
    pub(super) fn touch(&self, slot: usize) -> f32 {
        self.values[slot * WINDOW] + self.values[slot * WINDOW + WINDOW / 2] + self.next[slot] as f32
    }

    /// Copies the ring of a series, and where it goes on.
    pub(super) fn copy_out(&self, slot: usize) -> ([f32; WINDOW], u32) {
        let mut ring = [0.0; WINDOW];
        ring.copy_from_slice(&self.values[slot * WINDOW..(slot + 1) * WINDOW]);
        (ring, self.next[slot])
    }

    /// Puts a copy back.
    pub(super) fn put_back(&mut self, slot: usize, (ring, next): ([f32; WINDOW], u32)) {
        self.values[slot * WINDOW..(slot + 1) * WINDOW].copy_from_slice(&ring);
        self.next[slot] = next;
    }

    pub(super) fn is_full(&self, slot: usize) -> bool {
        self.next[slot] as usize >= WINDOW
    }

    /// The greatest deviation in the window, of either sign, compressed.
    pub(super) fn greatest(&self, slot: usize) -> f32 {
        // Sizes have the order of their bits; integers are compared many at a time.
        let ring = &self.values[slot * WINDOW..(slot + 1) * WINDOW];
        f32::from_bits(ring.iter().map(|x| x.abs().to_bits()).fold(0, u32::max))
    }

    /// The window of a series, oldest first; zeros where it is not full.
    pub(super) fn of(&self, slot: usize) -> [f32; WINDOW] {
        let ring = &self.values[slot * WINDOW..(slot + 1) * WINDOW];
        let (newer, older) = ring.split_at(self.next[slot] as usize % WINDOW);
        let mut window = [0.0; WINDOW];
        window[..older.len()].copy_from_slice(older);
        window[older.len()..].copy_from_slice(newer);
        window
    }

    /// Appends the window of a series to `out`, oldest first.
    pub(super) fn append_to(&self, slot: usize, out: &mut Vec<f32>) {
        out.extend_from_slice(&self.of(slot));
    }
}
