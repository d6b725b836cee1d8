//! Alerts of other systems, kept as Alertmanager keeps them: by the hash of their labels, firing until their end has passed, and
//! quiet while a silence covers them.
//!
//! Pure: no clock, no store. The coordinator owns the one [`AlertBook`], keeps what it returns as changed, and asks it what fires.

mod book;
mod fingerprint;
mod matcher;
mod silence;

pub use book::{AlertBook, Received};
pub use fingerprint::fingerprint;
pub use matcher::{Matchers, parse_matcher, whole};
pub use silence::SilenceError;

use crate::series::entity_of;
use wire::EntityId;
use wire::alert::{Alert, Pairs};

/// An alert without an end is over this long after it was last sent: Alertmanager's default.
pub const RESOLVE_TIMEOUT_MS: i64 = 5 * 60_000;

/// Alerts that fire at the same time at most.
pub const MAX_ALERTS: usize = 10_000;

/// Silences kept at most, expired ones included.
pub const MAX_SILENCES: usize = 1000;

/// Whom the labels name; `None`: nobody.
pub fn entity_named(labels: &Pairs) -> Option<EntityId> {
    entity_of(|name| labels.get(name).map(String::as_str)).map(EntityId::from)
}

/// Whether it tells of trouble. A watchdog fires always, to show that the way is open; `info` and `none` page nobody.
pub fn tells_of_trouble(alert: &Alert) -> bool {
    let quiet = ["info", "none", "informational", "debug"];
    let severity = alert.labels.get("severity").map(|s| s.to_ascii_lowercase());
    !matches!(alert.name(), "Watchdog" | "DeadMansSwitch" | "InfoInhibitor")
        && !severity.is_some_and(|severity| quiet.contains(&severity.as_str()))
}

#[cfg(test)]
mod tests;
