//! Alertmanager's webhook, version 4 (`docs/configuration.md`, `<webhook_config>`), and Grafana's, which has the same fields and more.
//!
//! A firing alert carries no end: it fires until the webhook says that it is resolved, or until it was not repeated for
//! [`FIRING_MS`], which is longer than the usual `repeat_interval`.

use super::{DecodedAlerts, RawAlert, checked_all};
use crate::ingest::{RejectReason, Rejection};
use serde::Deserialize;
use wire::Timestamp;

/// Alertmanager repeats what still fires every 4 hours unless told otherwise.
pub(super) const FIRING_MS: i64 = 5 * 3600 * 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(default)]
    truncated_alerts: i64,
    alerts: Vec<RawAlert>,
}

/// Reads one message.
///
/// # Errors
/// If it is none; the message names the place.
pub fn decode_webhook(body: &[u8], now: Timestamp) -> Result<DecodedAlerts, String> {
    let message: Message =
        serde_json::from_slice(body).map_err(|error| format!("no webhook message of version 4: {error}"))?;
    let truncated = u64::try_from(message.truncated_alerts).unwrap_or_default();
    let mut decoded = checked_all(message.alerts, now);
    for alert in &mut decoded.alerts {
        alert.ends_at.get_or_insert(now + FIRING_MS);
    }
    if truncated > 0 {
        decoded.rejections.push(Rejection {
            reason: RejectReason::OverLimit,
            samples: truncated,
            example: "the sender left alerts out: raise max_alerts of its webhook".to_owned(),
        });
    }
    Ok(decoded)
}
