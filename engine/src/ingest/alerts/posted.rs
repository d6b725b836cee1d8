//! `POST /api/v2/alerts`: a JSON list of alerts, as Prometheus sends it to every Alertmanager it knows (Alertmanager's
//! `api/v2/openapi.yaml`, `postableAlerts`).

use super::{DecodedAlerts, RawAlert, checked_all};
use wire::Timestamp;

/// Reads the list.
///
/// # Errors
/// If it is none; the message names the place.
pub fn decode_posted(body: &[u8], now: Timestamp) -> Result<DecodedAlerts, String> {
    let raw: Vec<RawAlert> = serde_json::from_slice(body).map_err(|error| format!("no list of alerts: {error}"))?;
    Ok(checked_all(raw, now))
}
