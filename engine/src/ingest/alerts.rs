//! Alerts as other systems send them: what Prometheus posts to an Alertmanager, and the webhook of Alertmanager and Grafana.
//!
//! Pure decoders. An alert that breaks a rule is refused by itself with a reason; the others are taken.

mod posted;
mod webhook;

pub use posted::decode_posted;
pub use webhook::decode_webhook;

use super::changes::time_of;
use super::{RejectReason, Rejection};
use serde::Deserialize;
use std::collections::BTreeMap;
use wire::Timestamp;
use wire::alert::PostedAlert;

/// Alerts of one request at most: Prometheus sends 256.
const MAX_ALERTS: usize = 10_000;
const MAX_LABELS: usize = 128;
const MAX_NAME_BYTES: usize = 1024;
const MAX_VALUE_BYTES: usize = 16 << 10;
/// Of all labels and annotations of an alert together.
const MAX_BYTES: usize = 32 << 10;

/// What a request brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodedAlerts {
    pub alerts: Vec<PostedAlert>,
    /// Each names the alert by its place in the request.
    pub rejections: Vec<Rejection>,
}

/// One alert as both formats write it; fields beyond these are not ours.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct RawAlert {
    status: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<String>,
}

impl RawAlert {
    fn checked(self, now: Timestamp) -> Result<PostedAlert, String> {
        if self.labels.values().all(String::is_empty) {
            return Err("it has no labels".to_owned());
        }
        for (what, pairs) in [("label", &self.labels), ("annotation", &self.annotations)] {
            if pairs.len() > MAX_LABELS {
                return Err(format!("more than {MAX_LABELS} {what}s"));
            }
            for (name, value) in pairs {
                if name.is_empty() || name.len() > MAX_NAME_BYTES {
                    return Err(format!("a {what}'s name must have 1 to {MAX_NAME_BYTES} bytes"));
                }
                if value.len() > MAX_VALUE_BYTES {
                    return Err(format!("{what} {name}: more than {MAX_VALUE_BYTES} bytes"));
                }
            }
        }
        let pairs = self.labels.iter().chain(&self.annotations);
        let bytes: usize = pairs.map(|(name, value)| name.len() + value.len()).sum();
        if bytes > MAX_BYTES {
            return Err(format!(
                "labels and annotations have {bytes} bytes, at most {MAX_BYTES} are taken"
            ));
        }
        let starts_at = time("startsAt", self.starts_at)?;
        let mut ends_at = time("endsAt", self.ends_at)?;
        if let (Some(start), Some(end)) = (starts_at, ends_at)
            && end < start
        {
            return Err("startsAt must be before endsAt".to_owned());
        }
        // A webhook says so in words, whatever the times are.
        match self.status.as_deref() {
            Some("resolved") => ends_at = Some(ends_at.map_or(now, |end| end.min(now))),
            Some("firing") => ends_at = ends_at.filter(|end| *end > now),
            _ => {}
        }
        Ok(PostedAlert {
            labels: self.labels,
            annotations: self.annotations,
            starts_at,
            ends_at,
            generator_url: self.generator_url.unwrap_or_default(),
        })
    }
}

/// The year one stands for "not set".
fn time(field: &str, text: Option<String>) -> Result<Option<Timestamp>, String> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let at = time_of(&text).ok_or_else(|| format!("{field}: {text:.64?} is no RFC 3339 time"))?;
    Ok(Some(at).filter(|at| at.as_millis() > 0))
}

fn checked_all(raw: Vec<RawAlert>, now: Timestamp) -> DecodedAlerts {
    let mut decoded = DecodedAlerts::default();
    let count = raw.len();
    for (place, alert) in raw.into_iter().take(MAX_ALERTS).enumerate() {
        match alert.checked(now) {
            Ok(alert) => decoded.alerts.push(alert),
            Err(problem) => {
                let example = format!("alert {}: {problem}", place + 1);
                decoded
                    .rejections
                    .push(Rejection::one(RejectReason::Malformed, example));
            }
        }
    }
    if count > MAX_ALERTS {
        decoded.rejections.push(Rejection {
            reason: RejectReason::OverLimit,
            samples: (count - MAX_ALERTS) as u64,
            example: format!("{count} alerts in one request, {MAX_ALERTS} are taken"),
        });
    }
    decoded
}

#[cfg(test)]
mod tests;
