//! Which samples of a series are taken: duplicates, conflicts, late and early ones told apart.
//!
//! `store::history` decides, as a pure function of the samples that came before. What depends on the clock (too far in the
//! future) is decided before the log, by [`too_far_ahead`], so that a replay after a crash decides the same way.

use super::RejectReason;
use wire::Timestamp;

/// Samples may be this far ahead of the clock; Prometheus draws the same line.
pub const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;

/// What becomes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// Newer than everything before: history and detection.
    InOrder,
    /// Late, but its place is still open: history only, since an online model cannot go back.
    OutOfOrder,
    /// Not taken.
    Refused(RejectReason),
}

/// Whether a timestamp is more than [`MAX_AHEAD_MS`] ahead of the clock.
pub fn too_far_ahead(at: Timestamp, now: Timestamp) -> bool {
    at.millis_since(now) > MAX_AHEAD_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_future_has_a_limit() {
        assert!(!too_far_ahead(Timestamp(MAX_AHEAD_MS), Timestamp(0)));
        assert!(too_far_ahead(Timestamp(MAX_AHEAD_MS + 1), Timestamp(0)));
    }
}
