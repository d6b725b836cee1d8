//! From the engine's own state to what `wire` shows: the live snapshot, its deltas, and the points of a drill-down.

mod delta;
mod entity;
mod points;
mod verdicts;

pub use delta::diff;
pub use entity::{EntityTally, entity_kind};
pub use points::{Verdict, bucketed};
pub use verdicts::Verdicts;
