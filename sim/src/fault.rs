//! What can break, and how it shows.

use wire::{EntityId, Timestamp};

/// A fault with a known cause. Everything else that it moves is a consequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub kind: FaultKind,
    /// The service that is at fault.
    pub cause: EntityId,
    pub onset: Timestamp,
    pub duration_ms: i64,
}

/// How a service fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultKind {
    /// Its own latency is multiplied; callers wait.
    Latency { factor: f64 },
    /// A share (0..=1) of its requests fails; callers that need it fail too.
    Errors { share: f64 },
    /// Its memory climbs in a straight line from its usual level to 100 % at the end of the fault; over 95 % it is slow.
    Leak,
    /// It gets a multiple of its requests, and so does everything below it.
    Surge { factor: f64 },
    /// It stops serving and stops reporting; its callers fail.
    Crash,
}

impl Fault {
    /// How far the fault has come at `at`, 0..1; `None` before and after it.
    pub(crate) fn progress(&self, at: Timestamp) -> Option<f64> {
        let since = at.millis_since(self.onset);
        (0..self.duration_ms)
            .contains(&since)
            .then(|| since as f64 / self.duration_ms as f64)
    }
}
