//! What is refused while a request is taken apart: how many by reason, the first of each as an example.

use super::{RejectReason, Rejection};
use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Refusals(BTreeMap<RejectReason, (u64, String)>);

impl Refusals {
    /// Counts `samples` more; `example` is asked for the first of a reason alone.
    pub fn add(&mut self, reason: RejectReason, samples: u64, example: impl FnOnce() -> String) {
        self.0.entry(reason).or_insert_with(|| (0, example())).0 += samples;
    }

    /// How many in all.
    pub fn samples(&self) -> u64 {
        self.0.values().map(|(samples, _)| samples).sum()
    }

    /// By reason.
    pub fn into_rejections(self) -> impl Iterator<Item = Rejection> {
        self.0.into_iter().map(|(reason, (samples, example))| Rejection {
            reason,
            samples,
            example,
        })
    }
}
