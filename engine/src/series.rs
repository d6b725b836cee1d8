//! Who a series is: labels, identity, class, kind.
//!
//! Identity is `xxh3_64` over the sorted labels, each written as name, 0xFF, value, 0xFF (0xFF never occurs in UTF-8), so
//! every decoder computes the same id without building the labels first.

mod catalog;
mod class;
mod family;
mod identity;
mod kind;
mod metadata;

pub use catalog::Catalog;
pub use class::classify;
pub use family::{QUANTILES, Role, derived_of, family_of, role_of};
pub use identity::{IdentityHasher, Labels, SERVICE_GRAPH, entity_of, home_of, info_from_labels, is_of_service};
pub use kind::{kind_by_name, set_kind};
pub use metadata::{Metadata, MetricType};
pub use wire::series::{MetricClass, SeriesInfo, SeriesKind};

use wire::{SeriesId, Timestamp};

/// One value of one series at one instant. Never NaN: stale markers and NaN are told apart in `ingest`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub series: SeriesId,
    pub at: Timestamp,
    pub value: f64,
}
